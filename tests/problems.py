"""Small problems that many tests share."""

import itertools
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from pgm_control import TabularMDP, TabularModel

FULL = os.environ.get("PGM_CONTROL_TESTS") == "full"


def some(cases: Sequence[Any]) -> Sequence[Any]:
    """Every third case; all cases if `PGM_CONTROL_TESTS` is "full"."""
    return cases if FULL else cases[::3]


def sized(full: Any, reduced: Any) -> Any:
    """The first value if `PGM_CONTROL_TESTS` is "full"; else the second, of a test that takes long."""
    return full if FULL else reduced


def thinned(*axes: Sequence[Any]) -> list[tuple[Any, ...]]:
    """A third of the combinations of these values, in which each value meets others in turn; all if "full"."""
    every = itertools.product(*(enumerate(axis) for axis in axes))
    kept = (each for each in every if FULL or sum(i for i, _ in each) % 3 == 0)
    return [tuple(value for _, value in each) for each in kept]


def random_mdp(
    seed: int, states: int = 3, actions: int = 2, outcomes: int = 3, horizon: int = 3, discount: float = 1.0
) -> TabularMDP:
    """An MDP with Dirichlet dynamics and normal rewards.

    Some outcomes are impossible, some lead to the same state with different rewards.
    """
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.ones(outcomes), (states, actions))
    probability[0, 0] = np.eye(outcomes)[0]
    return TabularMDP(
        initial=rng.dirichlet(np.ones(states)),
        probability=probability,
        successor=rng.integers(states, size=probability.shape),
        reward=rng.normal(size=probability.shape),
        horizon=horizon,
        discount=discount,
    )


def mixing(states: int) -> TabularMDP:
    """An MDP in which every state can follow every other."""
    rng = np.random.default_rng(3)
    shape = (states, 2, states)
    return TabularMDP.from_dense(
        np.eye(states)[0], rng.dirichlet(np.ones(states), shape[:2]), rng.normal(size=shape), 1
    )


def endless(
    mdp: TabularMDP, temperature: float = 0.0, discount: float | None = None, prior: Any = None
) -> TabularModel:
    """The model of an infinite-horizon problem. Defaults: τ = 0 (hard), and the discount of the problem."""
    return TabularModel(mdp if discount is None else mdp.replace(discount=discount), temperature, prior)


def gamble(horizon: int = 1, jackpot: float = 3.0, probability: float = 0.2, wage: float = 1.0) -> TabularMDP:
    """An MDP with one state: action 0 pays the wage, action 1 pays the jackpot or 0. Two outcomes, one successor."""
    return TabularMDP(
        initial=[1.0],
        probability=[[[1.0, 0.0], [probability, 1.0 - probability]]],
        successor=[[[0, 0], [0, 0]]],
        reward=[[[wage, 0.0], [jackpot, 0.0]]],
        horizon=horizon,
        action_names=("work", "gamble"),
    )
