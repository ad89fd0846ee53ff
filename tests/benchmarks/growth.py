"""Growth of time and memory with the size of a problem: one page of plots, with the fitted exponents.

python -m tests.benchmarks.growth [--picture PATH] [--seconds N]

One size at a time grows over three decades. Time is CPU time of one thread, the least of several calls. Memory is the
peak of resident memory above that before the call (Linux). The exponent is the slope in logarithms over the last decade
and a half. Every operation here visits each outcome at each time, or each sample at each time, once: all exponents
should be 1. Below 1 a fixed cost is still visible, or the operation does not depend on the size.
"""

import argparse
import ctypes
import gc
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import pyro
import torch

from pgm_control import (
    ClampedGuide,
    FreeGuide,
    TabularMDP,
    TabularModel,
    evaluate,
    fit,
    infer,
    ledger,
    smc,
    soft_values,
    value_iteration,
)
from pgm_control.inverse_rl import ClampedDemonstrator, Demonstrations, DialDemonstrator, inverse

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # after the choice of a back end without a window

AXES = {
    "states S": (10, 10_000),
    "actions A": (2, 2_000),
    "outcomes K": (2, 2_000),
    "steps T": (5, 5_000),
    "batch": (2, 2_000),
    "particles": (30, 30_000),
    "demonstrations": (10, 10_000),
}
POINTS = 7
FITTED = 4  # the last points: a decade and a half
LEAST = 4.0  # MB: a smaller peak is not distinguished from noise
OVER = 1.15  # an exponent above this is marked


class Sizes(NamedTuple):
    """The sizes of a problem and of what is computed; all but one are those of their axis."""

    states: int = 10
    actions: int = 3
    outcomes: int = 3
    steps: int = 10
    batch: int = 1
    particles: int = 1
    demonstrations: int = 20


class Measured(NamedTuple):
    """Time and memory of one operation along one axis."""

    sizes: np.ndarray
    seconds: np.ndarray
    megabytes: np.ndarray


def problem(sizes: Sizes) -> TabularModel:
    """A random problem; successors are uniform, so that every state is reached."""
    states, steps, shape = sizes.states, sizes.steps, sizes[:3]
    rng = np.random.default_rng(0)
    probability = rng.random(shape)
    probability /= probability.sum(-1, keepdims=True)
    reward = rng.normal(size=shape)
    arrays = np.full(states, 1 / states), probability, rng.integers(states, size=shape), reward
    return TabularModel(TabularMDP(*arrays, steps, 0.95), 1.0)


Operation = Callable[[], object]


def build(sizes: Sizes) -> Operation:
    mdp = problem(sizes).mdp
    arrays = [each.numpy() for each in (mdp.initial, mdp.probability, mdp.successor, mdp.reward)]
    return lambda: TabularModel(TabularMDP(*arrays, mdp.horizon, mdp.discount), 1.0)


def inference(sizes: Sizes) -> Operation:
    model = problem(sizes)
    return lambda: infer(model, 1.0)


def marginals(sizes: Sizes) -> Operation:
    model = problem(sizes)
    return lambda: infer(model, 1.0).marginals()


def gradient(sizes: Sizes) -> Operation:
    model = problem(sizes)
    leading = () if sizes.batch == 1 else (sizes.batch,)
    reward = model.mdp.reward.expand(*leading, *model.mdp.reward.shape).clone().requires_grad_()
    return lambda: soft_values(model, 0.3, reward=reward).objective.sum().backward()


def likelihood(sizes: Sizes) -> Operation:
    model, seen = watched(sizes)
    reward = model.mdp.reward.expand(sizes.batch, *model.mdp.reward.shape).clone().requires_grad_()
    actor, last, tau = DialDemonstrator(0.3), torch.zeros_like(model.mdp.initial), model.temperature
    return lambda: actor.log_likelihood(model, seen, reward, last, tau).sum().backward()


def endless(sizes: Sizes) -> Operation:
    model = problem(sizes)
    return lambda: value_iteration(model, 0.0)


def exact_fit(sizes: Sizes) -> Operation:
    model = problem(sizes)
    return lambda: fit(model, FreeGuide(model), method="exact")


def natural_gradient(sizes: Sizes) -> Operation:
    model = problem(sizes)
    return lambda: fit(model, FreeGuide(model), method="natural_gradient", num_steps=2, tolerance=0.0)


def svi(sizes: Sizes) -> Operation:
    model = problem(sizes)
    return lambda: fit(model, FreeGuide(model), num_steps=3)


def scores(sizes: Sizes) -> Operation:
    model = problem(sizes)
    guide = ClampedGuide(model)
    return lambda: evaluate(model, guide)


def gaps(sizes: Sizes) -> Operation:
    model = problem(sizes)
    guide = ClampedGuide(model)
    return lambda: ledger(model, guide)


def monte_carlo(sizes: Sizes) -> Operation:
    model = problem(sizes)
    guide = ClampedGuide(model)
    return lambda: smc(model, guide, sizes.particles, seed=0)


def samples(sizes: Sizes) -> Operation:
    posterior = infer(problem(sizes), 1.0)
    return lambda: posterior.sample(sizes.particles, 0)


def watched(sizes: Sizes) -> tuple[TabularModel, Demonstrations]:
    model = problem(sizes)
    drawn = infer(model, 0.0).sample(sizes.demonstrations, 0)
    return model, Demonstrations.from_trajectories(model.mdp, drawn)


def counting(sizes: Sizes) -> Operation:
    model = problem(sizes)
    drawn = infer(model, 0.0).sample(sizes.demonstrations, 0)
    return lambda: Demonstrations.from_trajectories(model.mdp, drawn)


def reward_of(sizes: Sizes) -> Operation:
    model, seen = watched(sizes)
    return lambda: inverse(model, seen, "state", ClampedDemonstrator(), prior=1.0, num_steps=5, num_starts=1)


TABLES = ("states S", "actions A", "outcomes K")
OPERATIONS: Mapping[str, tuple[Callable[[Sizes], Operation], tuple[str, ...]]] = {
    "TabularMDP, TabularModel": (build, TABLES),
    "infer": (inference, (*TABLES, "steps T")),
    "infer, marginals": (marginals, (*TABLES, "steps T")),
    "soft_values, gradient": (gradient, (*TABLES, "steps T", "batch")),
    "value_iteration": (endless, TABLES),
    "fit, exact": (exact_fit, (*TABLES, "steps T")),
    "fit, 2 natural gradients": (natural_gradient, (*TABLES, "steps T")),
    "fit, 3 steps of SVI": (svi, (*TABLES, "steps T")),
    "evaluate": (scores, (*TABLES, "steps T")),
    "ledger": (gaps, (*TABLES, "steps T")),
    "smc": (monte_carlo, ("particles", "steps T")),
    "sample": (samples, ("particles", "steps T")),
    "Demonstrations": (counting, ("demonstrations", "steps T")),
    "likelihood, gradient": (likelihood, ("demonstrations", "batch", "steps T")),
    "inverse, 5 steps": (reward_of, ("demonstrations", *TABLES, "steps T")),
}
FIELDS = dict(zip(AXES, Sizes._fields, strict=True))


def peak(call: Operation) -> float:
    """The most resident memory of a call above that before it, in megabytes."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = _resident("VmRSS")
    found = call()
    after = _resident("VmHWM")
    del found
    return max(after - before, 0.0)


def _resident(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{name}:"))) / 1e3


def seconds_of(call: Operation, seconds: float) -> float:
    """The least CPU time of a call, over as many calls as take about `seconds`, and at least two."""
    times: list[float] = []
    while len(times) < 2 or (sum(times) < seconds and len(times) < 20):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def measured(make: Callable[[Sizes], Operation], axis: str, seconds: float) -> Measured:
    """Time and memory of an operation along an axis."""
    low, high = AXES[axis]
    values = np.unique(np.round(np.geomspace(low, high, POINTS)).astype(int))
    rows = []
    for value in values:
        call = make(Sizes()._replace(**{FIELDS[axis]: int(value)}))
        call()  # compiles and allocates
        rows.append((peak(call), seconds_of(call, seconds)))
    memory, times = np.array(rows).T
    return Measured(values, times, memory)


def exponent(sizes: np.ndarray, values: np.ndarray, least: float = 0.0) -> float:
    """The slope in logarithms over the last points, without those below `least`; nan if fewer than three are left."""
    last = slice(-FITTED, None)
    fine = values[last] > least
    if fine.sum() < 3:
        return float("nan")
    return float(np.polyfit(np.log(sizes[last][fine]), np.log(values[last][fine]), 1)[0])


def picture(found: Mapping[str, Mapping[str, Measured]], path: Path) -> None:
    """One page: a column for each axis; time above, memory below."""
    figure, panels = plt.subplots(2, len(AXES), figsize=(4.0 * len(AXES), 10.0), layout="constrained", sharey="row")
    colours = dict(zip(OPERATIONS, plt.get_cmap("tab20").colors, strict=False))  # pyright: ignore[reportAttributeAccessIssue]
    for column, axis in zip(panels.T, AXES, strict=True):
        for panel, which, least in zip(column, ("seconds", "megabytes"), (0.0, LEAST), strict=True):
            for name, rows in found.items():
                if axis in rows:
                    values = getattr(rows[axis], which)
                    slope = exponent(rows[axis].sizes, values, least)
                    label = f"{name}: {slope:.2f}" if slope == slope else f"{name}: –"
                    shown = np.where(values > (0.0 if which == "seconds" else 0.1), values, np.nan)
                    panel.loglog(rows[axis].sizes, shown, "o-", ms=3, lw=1.2, color=colours[name], label=label)
            panel.legend(title="exponent", fontsize=7, title_fontsize=7, loc="upper left")
            panel.set_xlabel(axis)
            panel.grid(alpha=0.3)
    panels[0, 0].set_ylabel("CPU time of one call, seconds")
    panels[1, 0].set_ylabel("peak memory of one call, MB")
    figure.suptitle("Growth of time and memory; the others are S = 10, A = 3, K = 3, T = 10, 20 demonstrations")
    figure.savefig(path, dpi=70)


def main() -> None:
    """Measure, print the exponents and draw the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, default=Path(__file__).with_name("growth.png"))
    parser.add_argument("--seconds", type=float, default=0.1, help="for the calls of each point")
    parser.add_argument("--only", nargs="*", default=list(OPERATIONS), help="names of operations")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    pyro.enable_validation(False)
    found: dict[str, dict[str, Measured]] = {}
    print("| operation | " + " | ".join(AXES) + " |\n|---" + "|---" * len(AXES) + "|")
    for name in options.only:
        make, axes = OPERATIONS[name]
        found[name] = {axis: measured(make, axis, options.seconds) for axis in axes}
        cells = []
        for axis in AXES:
            row = found[name].get(axis)
            if row is None:
                cells.append("")
                continue
            times, memory = exponent(row.sizes, row.seconds), exponent(row.sizes, row.megabytes, LEAST)
            text = f"{times:.2f}, " + (f"{memory:.2f}" if memory == memory else "–")
            cells.append(f"**{text}**" if times > OVER or memory > OVER else text)
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    picture(found, options.picture)


if __name__ == "__main__":
    main()
