"""After `keep_freed_memory` freed memory is reused without a page fault."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from pgm_control.cli.freed_memory import keep_freed_memory

keep_freed_memory()
for i in range(13):
    if i == 3:
        start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.ones(1 << 17) for _ in range(8)]
    del blocks
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start) / 10)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have settings of their own")
def test_eight_blocks_are_reused_without_a_page_fault():
    """Each block has half a megabyte; without the call there are a thousand faults each time."""
    found = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    assert float(found.stdout) < 50
