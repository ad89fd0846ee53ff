"""Time of fits of both guides on FrozenLake, temperature 0.05, to within 1e-3 nats of the exact optimum.

python -m tests.benchmarks.svi_fit [--cap SECONDS] [--sizes 4x4 8x8]

Adam always has learning rate 0.1 and betas (0.9, 0.9). If the cap is reached, the time is extrapolated and marked ~:
TraceEnum_ELBO has the same gradient as MarkovELBO, so it is assumed to need as many steps, each of the median duration.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import pyro
import torch

from pgm_control import FitStep, TabularModel, fit, infer

from . import peers_svi as peers
from .harness import SIZES, lake, on, readable, versions
from .limit.compiled import available
from .limit.finite import CLAMPED, FREE, Limit

CLOSE = 1e-3  # nats
STEPS = 100_000


def ours(model: TabularModel, free: bool, method: Any, target: float) -> Callable[[], peers.Run]:
    """`fit` as a user calls it, with a new guide; the time includes all checks of the arguments."""

    def reached(step: FitStep) -> bool:
        return step.elbo >= target

    def call() -> peers.Run:
        guide = peers.guide_of(model, free)
        start = time.perf_counter()
        found = fit(
            model, guide, method=method, num_steps=STEPS, tolerance=0, callbacks=[] if method == "exact" else [reached]
        )
        seconds = time.perf_counter() - start
        assert found.elbo is not None
        return peers.Run(seconds, found.num_steps, found.elbo)

    return call


def limit(model: TabularModel, free: bool) -> Callable[[], peers.Run]:
    kernel, reward = Limit(model, FREE if free else CLAMPED), model.mdp.reward.numpy()

    def call() -> peers.Run:
        found, start = kernel.solve(reward), time.perf_counter()
        for _ in range(20):
            kernel.solve(reward)
        return peers.Run((time.perf_counter() - start) / 20, 1, found)

    return call


def stepping(new: Callable[[], Callable[[], float]], target: float) -> Callable[[], peers.Run]:
    """Single steps until the ELBO before a step is close enough; the first, which may compile, is timed separately."""

    def call() -> peers.Run:
        step, count = new(), 1
        start = time.perf_counter()
        elbo = step()
        first, begin = time.perf_counter() - start, time.perf_counter()
        while elbo < target and count < STEPS:
            elbo, count = step(), count + 1
        seconds = time.perf_counter() - begin
        return peers.Run(seconds * count / max(count - 1, 1), count, elbo, first)

    return call


def enumerated(model: TabularModel, free: bool, target: float, cap: float) -> Callable[[], tuple[peers.Run, float]]:
    """A fit by Pyro for at most `cap` seconds, and the median time of a step."""

    def call() -> tuple[peers.Run, float]:
        step = peers.enumeration(model, peers.guide_of(model, free))
        elbo, count, start, durations = -float("inf"), 0, time.perf_counter(), []
        while elbo < target and time.perf_counter() - start < cap:
            begin = time.perf_counter()
            elbo, count = -step(), count + 1
            durations.append(time.perf_counter() - begin)
        return peers.Run(sum(durations), count, elbo), statistics.median(durations)

    return call


def report(name: str, runs: list[peers.Run], reference: float) -> None:
    seconds = statistics.median(run.seconds for run in runs)
    compiling = f", and {readable(runs[0].compiling)} for the first" if runs[0].compiling else ""
    print(f"  {name:<44} {readable(seconds):>10} {seconds / reference:>9.3g} x {runs[-1].steps:>7} steps{compiling}")


def compare(model: TabularModel, free: bool, cap: float, rounds: int) -> None:
    best = infer(model, float(free)).objective
    target = best - CLOSE
    calls: dict[str, Callable[[], peers.Run]] = {}
    if available():
        calls["C, one sweep (limit)"] = limit(model, free)
    calls['fit(method="exact")'] = on("auto", ours(model, free, "exact", target))  # pyright: ignore[reportAssignmentType]
    calls['fit(method="natural_gradient")'] = on("auto", ours(model, free, "natural_gradient", target))  # pyright: ignore[reportAssignmentType]
    calls['fit(method="svi")'] = on("auto", ours(model, free, "svi", target))  # pyright: ignore[reportAssignmentType]
    if available():
        calls["C and fused Adam of torch"] = stepping(lambda: peers.limit_with_adam(model, free), target)
    jax = peers.jax_fit(model, free)
    if jax is not None:
        calls["JAX and optax, whole fit jitted"] = lambda: jax(target, STEPS)
    numpyro = peers.numpyro_step(model, free)
    if numpyro is not None:
        calls["NumPyro SVI, one exact factor, jit"] = stepping(numpyro, target)
    runs: dict[str, list[peers.Run]] = {name: [] for name in calls}
    for name, call in calls.items():  # the first call compiles
        first = call()
        runs[name].append(first)
        if not first.elbo >= target:
            print(f"  {name} ended {best - first.elbo:.2g} nats below the optimum")
    for _ in range(rounds):
        for name, call in calls.items():
            if sum(run.seconds for run in runs[name]) < 20 or len(runs[name]) < 2:
                runs[name].append(call()._replace(compiling=runs[name][0].compiling))
    timed = {name: each[1:] for name, each in runs.items()}
    reference = statistics.median(run.seconds for run in next(iter(timed.values())))
    for name, each in timed.items():
        report(name, each, reference)
    run, step = enumerated(model, free, target, cap)()
    if run.elbo >= target:
        report("Pyro TraceEnum_ELBO", [run], reference)
    else:
        steps = timed['fit(method="svi")'][-1].steps
        print(
            f"  {'Pyro TraceEnum_ELBO':<44} {'~' + readable(steps * step):>10} {steps * step / reference:>9.3g} x"
            f"  extrapolated: {run.steps} steps in {readable(run.seconds)}, {steps} needed"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cap", type=float, default=60.0, help="seconds for enumeration by Pyro, in each case")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    pyro.enable_validation(False)
    print(versions(("torch", "pyro-ppl", "jax", "numpyro", "optax", "numba")))
    for size in options.sizes:
        for free in (False, True):
            model = lake(size, 0.05)
            print(f"FrozenLake {size}, T = {SIZES[size]}, {'free' if free else 'clamped'} guide, temperature 0.05")
            compare(model, free, options.cap, options.rounds)


if __name__ == "__main__":
    main()
