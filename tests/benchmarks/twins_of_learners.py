"""Policies of learners on tabular problems, beside the exact answers: they find the clamped optimum, not the free one.

python -m tests.benchmarks.twins_of_learners [--seeds N] [--brief]
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np
import torch

from pgm_control import TabularMDP, TabularModel, to_gymnasium
from pgm_control.learners import SAC, OriginalSAC, SoftQLearning
from pgm_control.models import frozen_lake, risky_path, slippery_cliff

from ..learned import TABLE, compare, learn


@dataclass
class Twin:
    """A problem at τ = 1, with its rewards divided by the intended temperature, and the settings of learning.

    Attributes:
        starts: number of initial steps with actions from the prior.
        steps: total number of steps.
    """

    name: str
    mdp: TabularMDP
    starts: int
    steps: int


def in_nats(mdp: TabularMDP, temperature: float) -> TabularMDP:
    """The problem with rewards in units of τ: the policies are the same, and learning rates are comparable."""
    return mdp.replace(reward=mdp.reward / temperature)


def twins(brief: bool) -> list[Twin]:
    starts, steps = (3_000, 12_000) if brief else (30_000, 80_000)
    return [
        Twin("FrozenLake 4x4, T = 12, τ = .1", in_nats(frozen_lake("4x4", horizon=12), 0.1), starts, steps),
        Twin("risky_path, T = 5, τ = 20", in_nats(risky_path(horizon=5), 20.0), starts, steps // 2),
        Twin("slippery_cliff, T = 6, τ = 10", in_nats(slippery_cliff(horizon=6), 10.0), starts, steps),
    ]


def run(kind: type, twin: Twin, seed: int) -> list[float]:
    """KL to the clamped and to the free optimum, and the error of the value, all in nats; then the seconds."""
    start = time.perf_counter()
    learner = kind(
        to_gymnasium(twin.mdp, observe_time=True), temperature=1.0, discount=twin.mdp.discount,
        learning_starts=twin.starts, seed=seed, **TABLE,
    )  # fmt: skip
    learn(learner, twin.steps)
    model = TabularModel(twin.mdp, 1.0)
    clamped, free = compare(learner, model, 0.0), compare(learner, model, 1.0)
    return [clamped.divergence, free.divergence, clamped.value, time.perf_counter() - start]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--brief", action="store_true", help="a tenth of the steps")
    options = parser.parse_args()
    torch.set_num_threads(1)
    heads = ("problem", "learner", "KL to clamped", "worst", "KL to free", "least", "error of V", "worst", "seconds")
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for twin in twins(options.brief):
        for kind in (SAC, OriginalSAC, SoftQLearning):
            found = np.array([run(kind, twin, seed) for seed in range(options.seeds)])
            clamped, free, value, seconds = found.T
            cells = (
                f"{clamped.mean():.2g}", f"{clamped.max():.2g}", f"{free.mean():.3g}", f"{free.min():.3g}",
                f"{value.mean():+.2g}", f"{np.abs(value).max():.2g}", f"{seconds.mean():.0f}",
            )  # fmt: skip
            print(f"| {twin.name} | {kind.__name__} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
