"""Time of exact inference on FrozenLake: all Q and V, the objective and its gradient by the reward.

python -m tests.benchmarks.exact [--rounds N] [--seconds S]
"""

import argparse
from collections.abc import Callable
from typing import Any

import pyro
import torch

from pgm_control import FreeGuide, TabularModel, fit, infer, soft_values

from . import peers
from .harness import SIZES, backend, lake, on, race, require_close, versions
from .limit.compiled import available
from .limit.finite import CLAMPED, FREE, LINEAR, Limit


def ours(model: TabularModel, optimism: float) -> peers.Solve:
    def solve() -> tuple[torch.Tensor, torch.Tensor | None]:
        reward = model.mdp.reward.clone().requires_grad_()
        found = soft_values(model, optimism, reward=reward).objective
        found.backward()
        return found.detach(), reward.grad

    return solve


def limits(model: TabularModel, free: bool) -> dict[str, peers.Solve]:
    reward = model.mdp.reward
    plain = Limit(model, FREE if free else CLAMPED)
    function = Limit(model, FREE if free else CLAMPED).wrapped()
    array = reward.numpy()

    def wrapped() -> tuple[Any, Any]:
        leaf = reward.clone().requires_grad_()
        found = function(leaf)[0]
        found.backward()
        return found.detach(), leaf.grad

    found: dict[str, peers.Solve] = {
        "C (limit)": lambda: (plain.solve(array), plain.gradient),
        "C as one torch.autograd.Function": wrapped,
    }
    if free:
        linear = Limit(model, LINEAR)
        found["C, messages instead of their logs"] = lambda: (linear.solve(array), linear.gradient)
    return found


def contestants(model: TabularModel, free: bool) -> dict[str, peers.Solve]:
    optimism = float(free)
    found: dict[str, peers.Solve | None] = {
        **(limits(model, free) if available() else {}),
        "pgm-control, compiled": ours(model, optimism),
        "pgm-control, torch": on("torch", ours(model, optimism)),  # pyright: ignore[reportAssignmentType]
        "JAX, jit of value_and_grad of lax.scan": peers.jax_scan(model, free),
        "numba, bare loops": peers.numba_loop(model, free),
        "numpy, gradient by hand": peers.numpy_loop(model, free),
        "torch loop, autograd": peers.torch_loop(model, free),
    }
    if free:
        found["Pyro TraceEnum_ELBO (log p(O) and gradient only)"] = peers.pyro_enumeration(model)
    return {name: solve for name, solve in found.items() if solve is not None}


def fitted(model: TabularModel, method: Any) -> Callable[[], object]:
    return lambda: fit(model, FreeGuide(model), method=method, tolerance=1e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.15, help="time of each contestant in each round")
    options = parser.parse_args()
    pyro.enable_validation(False)
    print(versions(("torch", "pyro-ppl", "jax", "numba", "numpy")))
    for size, steps in SIZES.items():
        model = lake(size, 0.1)
        for free in (True, False):
            print(f"FrozenLake {size}, T = {steps}, {'free' if free else 'clamped'}, temperature 0.1")
            solves = contestants(model, free)
            expected = infer(model, float(free)).objective
            gradient = solves["numpy, gradient by hand"]()[1]
            for name, solve in solves.items():
                objective, found = solve()
                require_close(f"objective of {name}", objective, expected)
                require_close(f"gradient of {name}", found, gradient)
            race(solves, options.rounds, options.seconds)
        print(f"FrozenLake {size}, T = {steps}: whole posteriors and fits")
        with backend("auto"):
            race(
                {
                    "infer, free, compiled": lambda: infer(model, 1.0),  # noqa: B023
                    "infer, clamped, compiled": lambda: infer(model, 0.0),  # noqa: B023
                    "infer, free, torch": on("torch", lambda: infer(model, 1.0)),  # noqa: B023
                    "infer, clamped, torch": on("torch", lambda: infer(model, 0.0)),  # noqa: B023
                    'fit(method="exact"), free': fitted(model, "exact"),
                    'fit(method="natural_gradient"), free': fitted(model, "natural_gradient"),
                },
                options.rounds,
                options.seconds,
            )


if __name__ == "__main__":
    main()
