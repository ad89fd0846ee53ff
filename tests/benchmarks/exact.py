"""Exact inference (all Q, V, policies, dice), compiled and in torch, beside what Pyro needs to enumerate log p(O).

python tests/benchmarks/exact.py
"""

import os
from collections.abc import Callable

import pyro
from harness import race
from pyro.infer import TraceEnum_ELBO, config_enumerate

from pgm_control import FreeGuide, TabularModel, fit, infer
from pgm_control.models import frozen_lake


def exactly(model: TabularModel, optimism: float, backend: str) -> Callable[[], object]:
    def call() -> None:
        os.environ["PGM_CONTROL_BACKEND"] = backend
        infer(model, optimism)

    return call


def fitted(model: TabularModel, method: str) -> Callable[[], object]:
    def call() -> None:
        os.environ["PGM_CONTROL_BACKEND"] = "auto"
        fit(model, FreeGuide(model), method=method, tolerance=1e-3)  # pyright: ignore[reportArgumentType]

    return call


def main() -> None:
    pyro.enable_validation(False)
    for name, mdp in (("4x4, T = 20", frozen_lake(horizon=20)), ("8x8, T = 100", frozen_lake("8x8", 100))):
        model = TabularModel(mdp, 0.1)
        evidence = TraceEnum_ELBO(max_plate_nesting=0)
        print(f"FrozenLake {name}")
        race(
            {
                "free, compiled": exactly(model, 1.0, "auto"),
                "clamped, compiled": exactly(model, 0.0, "auto"),
                "free, torch": exactly(model, 1.0, "torch"),
                "clamped, torch": exactly(model, 0.0, "torch"),
                "log p(O), Pyro TraceEnum": lambda: evidence.loss(config_enumerate(model), lambda: None),  # noqa: B023
                "fit of a free guide, exact": fitted(model, "exact"),
                "fit of a free guide, natural gradient": fitted(model, "natural_gradient"),
            }
        )


if __name__ == "__main__":
    main()
