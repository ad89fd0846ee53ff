"""One step of SVI with the exact ELBO, beside the least that a step of Pyro costs, the torch recursion and enumeration.

python tests/benchmarks/svi_step.py
"""

import os
from collections.abc import Callable

import pyro
import pyro.distributions as dist
import torch
from harness import race
from pyro.infer import SVI, Trace_ELBO, TraceEnum_ELBO, config_enumerate
from pyro.optim import PyroOptim

from pgm_control import ClampedGuide, FreeGuide, MarkovELBO, TabularModel
from pgm_control.models import frozen_lake


def adam() -> PyroOptim:
    return PyroOptim(torch.optim.Adam, {"lr": 0.1, "betas": (0.9, 0.9)})


def single_site(size: int) -> Callable[[], object]:
    """A model of one sample site, a guide with as many parameters as a clamped one: what a step costs by itself."""
    start = torch.zeros(size)

    def model() -> None:
        pyro.sample("x", dist.Normal(torch.zeros(size), 1.0).to_event(1))

    def guide() -> None:
        pyro.sample("x", dist.Delta(pyro.param(f"x_at_{size}", start)).to_event(1))

    return SVI(model, guide, adam(), loss=Trace_ELBO()).step


def step(model: TabularModel, guide: FreeGuide | ClampedGuide, backend: str) -> Callable[[], object]:
    svi = SVI(model, guide, adam(), loss=MarkovELBO())

    def call() -> None:
        os.environ["PGM_CONTROL_BACKEND"] = backend
        svi.step()

    return call


def enumeration(model: TabularModel, guide: FreeGuide | ClampedGuide) -> Callable[[], object]:
    return SVI(model, config_enumerate(guide), adam(), loss=TraceEnum_ELBO(max_plate_nesting=0)).step


def main() -> None:
    pyro.enable_validation(False)
    for name, mdp in (("4x4, T = 20", frozen_lake(horizon=20)), ("8x8, T = 100", frozen_lake("8x8", 100))):
        model = TabularModel(mdp, 0.1)
        print(f"FrozenLake {name}")
        race(
            {
                "Pyro, one site": single_site(mdp.horizon * mdp.num_states * mdp.num_actions),
                "clamped, compiled": step(model, ClampedGuide(model), "auto"),
                "free, compiled": step(model, FreeGuide(model), "auto"),
                "clamped, torch": step(model, ClampedGuide(model), "torch"),
                "free, torch": step(model, FreeGuide(model), "torch"),
                "clamped, Pyro TraceEnum": enumeration(model, ClampedGuide(model)),
            }
        )


if __name__ == "__main__":
    main()
