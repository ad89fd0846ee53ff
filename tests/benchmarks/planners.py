"""Planners against exact answers: first actions of the scalar linear-quadratic problem, and returns on windy problems.

`python -m tests.benchmarks.planners first` prints the mean first action at s₀ = 1, over 16 copies, beside the exact
one. `ledge`, `windy_pendulum` and `hurry` play episodes: with the settings below, which were fixed before the runs that
the tables quote, every row has as many plans and sweeps. `--episodes 256 --seeds 5` are the sizes of the tables.
"""

import argparse
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from pgm_control import LinearQuadraticModel, LineModel, infer
from pgm_control.inference.local.vector_model import payoff, vector_model_of
from pgm_control.models import continuous_zoo
from pgm_control.planners import CEM, MPPI, SMCPlanner
from pgm_control.runtime.randomness import seeded

from ..linear_quadratics import scalar

FIRST = ((1.0, 16, 8192), (0.0, 64, 8192), (-0.2, 128, 16384))  # β, M, K
SPREAD = {"gusty_ledge": 0.4, "windy_pendulum": 2.0, "hurry": 0.5}
PLANS, SWEEPS, NOISES = 512, 2, 16
COPIES = 16


def rows(spread: float) -> Mapping[str, Callable[[Any, int], Any]]:
    """The planners of the tables, by name; each takes a model and a seed."""
    common = {"num_plans": PLANS, "num_sweeps": SWEEPS, "spread": spread}
    return {
        "MPPI, one draw": lambda m, s: MPPI(m, optimism=1.0, num_noise_samples=1, seed=s, **common),
        f"MPPI, {NOISES} draws, β = 1": lambda m, s: MPPI(m, optimism=1.0, num_noise_samples=NOISES, seed=s, **common),
        f"MPPI, {NOISES} draws, mean": lambda m, s: MPPI(m, optimism=0.0, num_noise_samples=NOISES, seed=s, **common),
        "CEM, one draw": lambda m, s: CEM(m, num_plans=PLANS, num_noise_samples=1, seed=s),
        "SMC, free": lambda m, s: SMCPlanner(m, optimism=1.0, num_plans=1024, num_noise_samples=1, seed=s),
    }


def played(model: Any, planner: Any, episodes: int, seed: int) -> torch.Tensor:
    """The returns of episodes side by side, whose noise is that of another seed than the planner's."""
    if isinstance(model, LineModel):
        return played_on_the_line(model, planner, episodes, seed)
    vectors = vector_model_of(model)
    assert vectors is not None
    with seeded(seed):
        state = vectors.start().expand((episodes,)).rsample()
    total = torch.zeros(episodes, dtype=torch.float64)
    noise = torch.Generator().manual_seed(seed)
    planner.reset()
    for t in range(vectors.horizon):
        action = planner.act(state)
        with seeded(noise):
            ahead = vectors.dynamics(t, state, action).rsample()
        total = total + payoff(vectors, t, state, action, ahead) * vectors.temperature
        state = ahead
    return total


def played_on_the_line(model: LineModel, planner: Any, episodes: int, seed: int) -> torch.Tensor:
    """The same for a known start on the line."""
    states, noise = [torch.full((episodes,), model.problem.initial_mean, dtype=torch.float64)], torch.Generator()
    noise.manual_seed(seed)
    planner.reset()
    for _ in range(model.problem.horizon):
        action = planner.act(states[-1][:, None])[:, 0]
        with seeded(noise):
            states.append(model.problem.next_state(states[-1], action).sample())
    return model.problem.returns(torch.stack(states, 1))


def returns(name: str, episodes: int, seeds: int, only: str) -> None:
    """Print the mean return of each planner, with its standard error over all episodes of all seeds."""
    model = continuous_zoo()[name].model()
    print(f"{name}, {seeds} × {episodes} episodes, {PLANS} plans, {SWEEPS} sweeps, spread {SPREAD[name]}")
    for row, make in rows(SPREAD[name]).items():
        if only not in row:
            continue
        began, found, by_seed = time.perf_counter(), [], []
        for seed in range(seeds):
            found.append(played(model, make(model, seed), episodes, 1000 + seed))
            by_seed.append(float(found[-1].mean()))
        every = torch.cat(found)
        error = float(every.std()) / math.sqrt(len(every))
        cost = (time.perf_counter() - began) / (len(every) * model.problem.horizon)
        seeds_shown = ", ".join(f"{each:.2f}" for each in by_seed)
        print(f"  {row:<24} {float(every.mean()):8.3f} ± {error:.3f}  {1e3 * cost:6.2f} ms a decision  ({seeds_shown})")


def first() -> None:
    """Print first actions, their errors and the number of simulated steps."""
    model = LinearQuadraticModel(scalar())
    for beta, noises, plans in FIRST:
        planner = MPPI(
            model, optimism=beta, num_plans=plans, num_noise_samples=noises, num_sweeps=4, adapts_spread=True, seed=0
        )
        found = planner.plan([[1.0]] * COPIES)
        action, exact = found.action[:, 0], -float(infer(model, beta).gain[0])
        print(
            f"β = {beta:4}: {float(action.mean()):.4f} ± {float(action.std()) / math.sqrt(COPIES):.4f}, exact "
            f"{exact:.4f}, {found.num_simulated_steps / 1e6:.0f} million simulated steps, {found.status.name}"
        )


def main() -> None:
    """Run the table that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=["first", "ledge", *SPREAD])
    parser.add_argument("--episodes", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", default="", help="rows whose name holds this")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.table == "first":
        first()
    else:
        name = "gusty_ledge" if given.table == "ledge" else given.table
        returns(name, given.episodes, given.seeds, given.only)


if __name__ == "__main__":
    main()
