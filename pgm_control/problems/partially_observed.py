"""A finite problem whose state is not observed.

Sources:
    [kaelbling1998] L. P. Kaelbling, M. L. Littman and A. R. Cassandra, Planning and acting in partially observable
        stochastic domains. Artificial Intelligence 101(1–2):99–134, 1998. doi:10.1016/S0004-3702(98)00023-X
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ..runtime.array_like import ArrayLike
from ..runtime.moving import Place, moved_copy, moved_probability, place_of
from . import checks
from .mdp import TabularMDP, require_mdp


@final
@dataclass(frozen=True, eq=False, repr=False, init=False)
class PartiallyObservedMDP:
    r"""A finite POMDP: a `TabularMDP` whose state the agent does not observe.

    $$p(s_0)\, p(o_0 \mid s_0) \prod_t \pi(a_t \mid o_0, a_0, o_1, \dots, o_t)\, p(k_t \mid s_t, a_t)\,
        p(o_{t+1} \mid a_t, s_{t+1})$$

    `remember` makes the tabular problem whose state is the pair of the true state and the memory. There everything
    stays exact, and the sensor is part of the dynamics: a free guide may imagine what it will observe.

        pomdp = tiger(horizon=4)
        remembered = remember(pomdp)  # the whole past; window=2 for the last two observations
        model = TabularModel(remembered.mdp, temperature=5.0)
        best = history_optimum(PartiallyObservedModel(pomdp, temperature=5.0))  # over all policies of the past
        guides = {f"window {w}": ViewGuide(model, remembered.view(w)) for w in (1, 2, 3)}
        for guide in guides.values():
            fit(model, guide)
        print(scorecard(model, {**guides, "best": best, "sees the state": infer(model, 0.0)}))

    Attributes:
        mdp: the underlying problem. Rewards are not observed, unless an observation reveals them.
        observation: $p(o \mid a, s')$, the distribution of the observation on arriving in s' by action a.
        initial_observation: $p(o_0 \mid s_0)$; None if nothing is observed before the first action.
        observation_names: the names of the observations, for messages and tables.

    References:
        [kaelbling1998]
    """

    mdp: TabularMDP
    observation: Float[Tensor, "action state observation"]
    initial_observation: Float[Tensor, "state observation"] | None
    observation_names: tuple[str, ...] | None

    def __init__(
        self,
        mdp: TabularMDP,
        observation: ArrayLike,
        initial_observation: ArrayLike | None = None,
        observation_names: Sequence[str] | None = None,
    ) -> None:
        """Check and store the arrays, in the dtype and on the device of the MDP.

        Args:
            mdp: the underlying problem.
            observation: probabilities, of shape (state, observation), or (action, state, observation) if the
                observation depends on the action that led to the state.
            initial_observation: probabilities of shape (state, observation). Default: `observation` if that has no
                action axis; otherwise nothing is observed before the first action.
            observation_names: distinct names, one for each observation.

        Raises:
            InvalidProblem: if an argument is invalid; the message names it, the offending index and value, and the
                remedy.
        """
        require_mdp("mdp", mdp)
        kind = checks.Kind(mdp.probability.dtype, mdp.probability.device)
        states, actions = mdp.num_states, mdp.num_actions
        axes = {2: "state, observation", 3: "action, state, observation"}
        seen = checks.table("observation", observation, axes, kind)
        expected = (states, seen.shape[-1]) if seen.ndim == 2 else (actions, states, seen.shape[-1])
        checks.shape("observation", seen, expected, axes[seen.ndim])
        seen = checks.normalised("observation", seen, (mdp.state_names,) if seen.ndim == 2 else (), given=observation)
        first = seen if seen.ndim == 2 else None
        if initial_observation is not None:
            first = checks.table("initial_observation", initial_observation, {2: axes[2]}, kind)
            checks.shape("initial_observation", first, (states, seen.shape[-1]), axes[2])
            first = checks.normalised("initial_observation", first, (mdp.state_names,), given=initial_observation)
        put = object.__setattr__  # the dataclass is frozen
        put(self, "mdp", mdp)
        put(self, "observation", seen if seen.ndim == 3 else seen.expand(actions, -1, -1))
        put(self, "initial_observation", first)
        put(self, "observation_names", checks.names("observation_names", observation_names, seen.shape[-1]))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "PartiallyObservedMDP":
        """The problem on another device or in another floating dtype; itself if nothing changes. See `TabularMDP.to`.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it.
            InvalidProblem: if a reward exceeds the range of the dtype.
        """
        place, first = place_of(self.observation, device, dtype), self.initial_observation
        if place == Place.of(self.observation):
            return self
        return moved_copy(
            self,
            place,
            observation=moved_probability(self.observation, place),
            initial_observation=None if first is None else moved_probability(first, place),
        )

    @property
    def num_observations(self) -> int:
        """The number of observations, O."""
        return self.observation.shape[-1]

    def observation_name(self, observation: int) -> str:
        """The name of an observation, or o and its index."""
        return self.observation_names[observation] if self.observation_names else f"o{observation}"

    def __repr__(self) -> str:
        """The sizes, without the tables."""
        return f"PartiallyObservedMDP({self.mdp!r}, {self.num_observations} observations)"
