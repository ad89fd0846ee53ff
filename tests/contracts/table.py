"""The contract table: every law is checked on each of its rows.

A model row builds a `TabularModel`. A guide row builds a guide from a model and lists the blocks that it may change.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from problems import gamble, random_mdp
from pyro.optim import PyroOptim

from pgm_control import ClampedGuide, DialGuide, FreeGuide, MarkovGuide, Optimism, TabularModel
from pgm_control.guides import (
    DeterministicGuide,
    LowRankGuide,
    MeanFieldGuide,
    NeuralGuide,
    OpenLoopGuide,
    StationaryGuide,
    ViewGuide,
)
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
    """How to build a guide, the blocks that it may change, and its optimum.

    `optimism` is that of a guide whose optimum is `infer(model, optimism)`; None if the optimum is only bounded by that
    of a guide that frees the same blocks. `is_prior` is whether the guide starts at the prior of the model.
    """

    build: Callable[[TabularModel], MarkovGuide]
    free: frozenset[str]
    optimism: float | Optimism | None
    is_prior: bool = True
    fit: Mapping[str, Any] = {}

    @property
    def bound(self) -> float | Optimism:
        """The optimism β of a guide that is at least as good."""
        return self.optimism if self.optimism is not None else Optimism(float("dynamics" in self.free), 1.0)


NOTHING, CHANCE = frozenset[str](), frozenset({"initial", "dynamics"})

GUIDES: dict[str, GuideRow] = {
    "free": GuideRow(FreeGuide, CHANCE, 1.0),
    "clamped": GuideRow(ClampedGuide, NOTHING, 0.0),
    "dial, free": GuideRow(lambda model: DialGuide(model, 1.0), CHANCE, 1.0),
    "dial, clamped": GuideRow(lambda model: DialGuide(model, 0.0), NOTHING, 0.0),
    "dial, dice alone": GuideRow(
        lambda model: DialGuide(model, Optimism(1.0, 0.0)), frozenset({"dynamics"}), Optimism(1.0, 0.0)
    ),
    "view": GuideRow(lambda model: ViewGuide(model, torch.arange(model.mdp.num_states) // 2), NOTHING, None),
    "open loop": GuideRow(OpenLoopGuide, NOTHING, None),
    "stationary": GuideRow(StationaryGuide, NOTHING, None),
    "deterministic": GuideRow(DeterministicGuide, NOTHING, None, is_prior=False, fit={"method": "exact"}),
    "neural": GuideRow(NeuralGuide, NOTHING, None, fit={"optim": PyroOptim(torch.optim.Adam, {"lr": 0.01})}),
    "mean field": GuideRow(MeanFieldGuide, CHANCE, None, is_prior=False),
    "low rank": GuideRow(LowRankGuide, CHANCE, None),
    "rank 0": GuideRow(lambda model: LowRankGuide(model, 0), frozenset({"initial"}), Optimism(0.0, 1.0)),
    "full rank": GuideRow(lambda model: LowRankGuide(model, model.mdp.horizon), CHANCE, 1.0),
}
