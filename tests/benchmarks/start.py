"""What a user waits for first: imports, the command line and a first fit, each in new processes.

`python -m tests.benchmarks.start`: 3 minutes; see `README.md` in this folder. Times are CPU times of whole processes,
user and system, on one thread, with bytecode and compiled loops in their caches. `--against FOLDER` also runs another
checkout of this repository, in turn with this one.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIT = """
import torch
from pyro.optim import PyroOptim
from pgm_control import FreeGuide, TabularModel, fit
from pgm_control.models import restaurant
ADAM = PyroOptim(torch.optim.Adam, {"lr": 0.1, "betas": (0.9, 0.9), "fused": True})
model = TabularModel(restaurant(), temperature=1.0)
"""
CALLS = {
    "import torch, pyro": ["-c", "import torch, pyro"],
    "and pgm_control": ["-c", "import torch, pyro, pgm_control"],
    "and `infer`": ["-c", "import torch, pyro; from pgm_control import infer"],
    "and `report`, the slowest name": ["-c", "import torch, pyro; from pgm_control import report"],
    "a first fit": ["-c", f"{FIT}fit(model, FreeGuide(model), num_steps=10)"],
    "a first fit, with torch.optim.Adam": ["-c", f"{FIT}fit(model, FreeGuide(model), optim=ADAM, num_steps=10)"],
} | {
    f"pgm-control {line}": ["-m", "pgm_control", *line.split()]
    for line in (
        "--version",
        "--help",
        "zoo",
        "compare resturant",
        "train sac Pendulum-v1 --total-steps 0",
        "compare restaurant",
    )
}


def seconds_of(call: list[str], checkout: Path, folder: str) -> float:
    """The CPU time of a new process, which runs in an empty folder."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    env = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *call], cwd=folder, env=env, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Run all calls in turn, round by round, and print medians and the medians of their ratios to the first call."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path)
    given = parser.parse_args()
    checkouts = {"": ROOT} | ({} if given.against is None else {f" ({given.against})": given.against})
    runs = {f"{name}{where}": (call, root) for name, call in CALLS.items() for where, root in checkouts.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(given.rounds + 1):
            for name, (call, root) in runs.items():
                seconds = seconds_of(call, root, folder)
                if number:  # the first round fills the caches
                    times[name].append(seconds)
    first = next(iter(times.values()))
    for name, each in times.items():
        ratio = statistics.median(mine / reference for mine, reference in zip(each, first, strict=True))
        print(f"  {name:<60} {statistics.median(each):6.2f} s, at least {min(each):.2f} s {ratio:6.2f} x")


if __name__ == "__main__":
    main()
