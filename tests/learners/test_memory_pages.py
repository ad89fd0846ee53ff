"""Freed memory is reused without a page fault, and in large pages where the system has them."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = """
import resource, torch
from pgm_control.learners.memory_pages import prepare_memory

prepare_memory()
for i in range(13):
    if i == 3:
        start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.ones(1 << 17) for _ in range(8)]
    del blocks
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start) / 10)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep what they keep")
def test_eight_blocks_are_reused_without_a_page_fault():
    """Each block has half a megabyte; without the call there are a thousand faults each time."""
    found = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    assert float(found.stdout) < 50


LARGE = """
import re, torch
from pgm_control.learners.memory_pages import prepare_memory

def megabytes_asked_for():
    maps = re.findall(r"^Size: +(\\d+) kB.*?^VmFlags:(.*?)$", open("/proc/self/smaps").read(), re.M | re.S)
    return sum(int(size) for size, flags in maps if "hg" in flags.split()) / 1024

before = megabytes_asked_for()
prepare_memory()
print(megabytes_asked_for() - before)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or not Path("/sys/kernel/mm/transparent_hugepage").exists(),
    reason="there are no large pages to ask for, or another C library",
)
def test_large_pages_are_requested():
    found = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=True)
    assert 8 <= float(found.stdout) <= 14
