"""The contract table: add a row, and every law is run on it.

A model row builds a `TabularModel`; a guide row builds a guide from a model and names the blocks of chance it frees.
"""

from collections.abc import Callable
from typing import NamedTuple

from problems import gamble, random_mdp

from pgm_control import ClampedGuide, FreeGuide, MarkovGuide, TabularModel
from pgm_control.models import restaurant, risky_path

MODELS: dict[str, Callable[[], TabularModel]] = {
    "restaurant": lambda: TabularModel(restaurant()),
    "risky path": lambda: TabularModel(risky_path(), 10.0),
    "gamble, cold": lambda: TabularModel(gamble(horizon=2), 0.2),
    "random": lambda: TabularModel(random_mdp(seed=0, horizon=3), 0.7),
    "random, discounted": lambda: TabularModel(random_mdp(seed=1, horizon=3, discount=0.8), 0.7),
    "random, final reward": lambda: TabularModel(random_mdp(seed=2).replace(final_reward=[1.0, 0.0, -1.0])),
    "one of everything": lambda: TabularModel(random_mdp(seed=3, states=1, actions=1, outcomes=1, horizon=1)),
}


class GuideRow(NamedTuple):
    """How to build a guide, and what it may change."""

    build: Callable[[TabularModel], MarkovGuide]
    free: frozenset[str]
    optimism: float


GUIDES: dict[str, GuideRow] = {
    "free": GuideRow(FreeGuide, frozenset({"initial", "dynamics"}), 1.0),
    "clamped": GuideRow(ClampedGuide, frozenset(), 0.0),
}
