"""Resident memory of one long fit, or of a learner over many steps: its slope, with the standard error of a line.

python -m tests.benchmarks.flat_memory fit-exact --minutes 20     (the exact loss; fit-sampled: Trace_ELBO)
python -m tests.benchmarks.flat_memory soft-q --steps 100000      (sac: soft actor-critic)

The first fifth of the points is left out of the line: there caches and the memory of transitions are filled.
"""

import argparse
import gc
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch
from pyro.infer import Trace_ELBO

from pgm_control import ClampedGuide, MarkovELBO, TabularModel, fit
from pgm_control.learners import SAC, SoftQLearning
from pgm_control.models import frozen_lake

from .memory import resident

POINTS = 100
SETTLED = 0.2  # share of the points that does not count
CAPACITY = 5_000  # transitions
CHECKPOINT_EVERY = 1_000  # steps of a fit


class Point(NamedTuple):
    steps: int
    seconds: float
    megabytes: float
    blocks: int  # of Python's allocator


class Log:
    """Points at equal distances, of time or of steps."""

    def __init__(self, distance, by_time):
        self.distance, self.by_time, self.start, self.points = distance, by_time, time.perf_counter(), []

    def note(self, steps):
        seconds = time.perf_counter() - self.start
        if (seconds if self.by_time else steps) < (len(self.points) + 1) * self.distance:
            return
        gc.collect()
        self.points.append(Point(steps, seconds, resident(), sys.getallocatedblocks()))
        if len(self.points) % (POINTS // 10) == 0:
            print("  {:>9} steps {:>7.0f} s {:>8.1f} MB {:>9} blocks".format(*self.points[-1]), flush=True)


def line(x, y):
    """The slope of a line by least squares, and its standard error."""
    slope, intercept = statistics.linear_regression(x, y)
    residual = sum((b - slope * a - intercept) ** 2 for a, b in zip(x, y, strict=True)) / (len(x) - 2)
    return slope, (residual / (statistics.pvariance(x) * len(x))) ** 0.5


def summary(points):
    """The sentence of a run: the slopes by time and by steps."""
    kept = points[int(SETTLED * len(points)) :]
    if len(kept) < 3:
        return f"too short for a slope: {len(points)} points"
    megabytes, steps = [each.megabytes for each in kept], [each.steps for each in kept]
    hourly, error = line([each.seconds / 3600 for each in kept], megabytes)
    by_step, error_by_step = line(steps, [1e6 * each for each in megabytes])
    blocks, error_of_blocks = line(steps, [each.blocks for each in kept])
    return (
        f"{points[-1].steps} steps in {points[-1].seconds:.0f} s: {kept[0].megabytes:.1f} MB to "
        f"{kept[-1].megabytes:.1f} MB, {hourly:+.2f} ± {error:.2f} MB an hour, {by_step:+.2f} ± {error_by_step:.2f} "
        f"bytes a step, {blocks:+.4f} ± {error_of_blocks:.4f} blocks of Python a step"
    )


def fitted(minutes, loss):
    """Fit for some minutes, with checkpoints."""
    model, log = TabularModel(frozen_lake("4x4", horizon=20), 0.1), Log(60 * minutes / POINTS, by_time=True)

    def watch(seen):
        log.note(seen.step)
        return log.start + 60 * minutes < time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        fit(
            model, ClampedGuide(model), loss=loss, num_steps=10**9, tolerance=0.0, seed=0, callbacks=[watch],
            checkpoint=Path(folder) / "fit.pt", checkpoint_every=CHECKPOINT_EVERY,
        )  # fmt: skip
    return log.points


def learned(steps, kind):
    """Learn for a number of steps with small networks and a memory of transitions that is soon full."""
    common = {"capacity": CAPACITY, "batch_size": 32, "hidden": (16,), "discount": 0.95, "seed": 0}
    learner, log = kind("pgm_control/RiskyPath-v0", temperature=1.0, **common), Log(steps // POINTS, by_time=False)
    learner.learn(steps, log_every=log.distance, callbacks=[lambda seen: log.note(seen.step)])
    return log.points


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", choices=("fit-exact", "fit-sampled", "soft-q", "sac"))
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--steps", type=int, default=100_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(options.run)
    if options.run.startswith("fit"):
        points = fitted(options.minutes, MarkovELBO() if options.run == "fit-exact" else Trace_ELBO())
    else:
        points = learned(options.steps, SAC if options.run == "sac" else SoftQLearning)
    print(f"  {summary(points)}")


if __name__ == "__main__":
    main()
