"""Time of one step of a fit on FrozenLake: SVI with the exact ELBO, beside C, NumPyro, torch and enumeration by Pyro.

python -m tests.benchmarks.svi_step [--rounds N] [--seconds S]
"""

import argparse
from collections.abc import Callable

import pyro
from pyro.infer import SVI

from pgm_control import MarkovELBO, TabularModel, infer

from . import peers_svi as peers
from .harness import SIZES, lake, on, race, require_close, versions
from .limit.compiled import available


def step(model: TabularModel, free: bool) -> Callable[[], object]:
    return SVI(model, peers.guide_of(model, free), peers.adam(), loss=MarkovELBO()).step


def contestants(model: TabularModel, free: bool) -> dict[str, Callable[[], object]]:
    size = model.mdp.horizon * model.mdp.num_states * model.mdp.num_actions
    found: dict[str, Callable[[], object]] = {"Pyro, one site (floor of SVI.step)": peers.single_site(size)}
    if available():
        found["C, ELBO and gradient only (limit)"] = peers.limit_step(model, free)
        found["C, and fused Adam of torch"] = peers.limit_with_adam(model, free)
    found["pgm-control, MarkovELBO, compiled"] = on("auto", step(model, free))
    found["pgm-control, MarkovELBO, torch"] = on("torch", step(model, free))
    numpyro = peers.numpyro_step(model, free)
    if numpyro is not None:
        found["NumPyro SVI, one exact factor, jit"] = numpyro()
    found["Pyro TraceEnum_ELBO"] = peers.enumeration(model, peers.guide_of(model, free))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.15, help="time of each contestant in each round")
    options = parser.parse_args()
    pyro.enable_validation(False)
    print(versions(("torch", "pyro-ppl", "jax", "numpyro", "optax", "numba")))
    for size, steps in SIZES.items():
        model = lake(size, 0.05)
        for free in (False, True):
            print(f"FrozenLake {size}, T = {steps}, {'free' if free else 'clamped'} guide, temperature 0.05")
            if available():
                start = MarkovELBO().loss(model, peers.guide_of(model, free))
                require_close("C", peers.ElboLimit(model, free).evaluate(), -start)
                assert -start <= infer(model, float(free)).objective
            race(contestants(model, free), options.rounds, options.seconds)


if __name__ == "__main__":
    main()
