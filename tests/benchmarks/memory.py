"""Growth of resident memory over many fits in one process, after the first tenth.

python -m tests.benchmarks.memory [--fits N]
"""

import argparse
import gc
import os
import resource
from pathlib import Path

import torch

from pgm_control import ClampedGuide, FreeGuide, TabularModel, fit
from pgm_control.models import frozen_lake

SVI_STEPS = 3
EVERY = 5  # one fit in so many uses SVI


def resident() -> float:
    """The resident memory in megabytes; the peak, on systems that report only that."""
    table = Path("/proc/self/statm")
    if table.exists():
        return int(table.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fits", type=int, default=10_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, settled = TabularModel(frozen_lake(horizon=5), 0.1), max(options.fits // 10, 1)
    start = resident()
    print(f"{options.fits} fits, one in {EVERY} by SVI")
    for done in range(1, options.fits + 1):
        guide = FreeGuide(model) if done % 2 else ClampedGuide(model)
        if done % EVERY:
            fit(model, guide, method="exact")
        else:
            fit(model, guide, num_steps=SVI_STEPS)
        if done == settled:
            gc.collect()
            start = resident()
        if done % settled == 0:
            print(f"  after {done:>6}: {resident():.1f} MB", flush=True)
    gc.collect()
    print(f"  growth after the first {settled}: {resident() - start:+.1f} MB (expected: none)")


if __name__ == "__main__":
    main()
