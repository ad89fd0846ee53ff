"""The model of an agent that does not observe the state.

Sources:
    [kaelbling1998] L. P. Kaelbling, M. L. Littman and A. R. Cassandra, Planning and acting in partially observable
        stochastic domains. Artificial Intelligence 101(1–2):99–134, 1998. doi:10.1016/S0004-3702(98)00023-X
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pgm_control.errors import InvalidArgument, InvalidProblem
from pgm_control.problems.checks import Kind, no_counts, normalised, shape, table
from pgm_control.problems.checks import temperature as checked_temperature
from pgm_control.problems.memory_states import Remembered, remember
from pgm_control.problems.partially_observed import PartiallyObservedMDP
from pgm_control.runtime.moving import Place, moved_copy, moved_probability, place_of

from .tabular import TabularModel


@final
class PartiallyObservedModel:
    r"""A POMDP with a temperature and an action prior, for `history_optimum`, `WindowGuide` and `FreeWindowGuide`.

    Joint density (unnormalised; any real reward)

    $$\tilde p = p(s_0)\, p(o_0 \mid s_0) \prod_{t=0}^{T-1} \rho(a_t)\, p(k_t \mid s_t, a_t)\,
        p(o_{t+1} \mid a_t, s_{t+1})\, \exp(r_t/\tau)$$

    It is not a Pyro program itself: a policy that depends on the past needs a memory as part of the state. With that
    memory it becomes the tabular model that these guides and `history_optimum` have as their `model`:

        model = PartiallyObservedModel(tiger(horizon=4), temperature=5.0)
        remembered = remember(model.problem, window=2)
        TabularModel(remembered.mdp, model.temperature, remembered.action_prior(model.action_prior))

    Attributes:
        problem: the problem.
        temperature: τ, in reward units per nat.
        action_prior: $\rho(a)$, the same for all observations: a prior that depends on the state would reveal the state
            to the agent.

    References:
        [kaelbling1998]
    """

    def __init__(
        self,
        problem: PartiallyObservedMDP,
        temperature: float | np.number | Tensor = 1.0,
        action_prior: Float[Tensor, " action"] | Float[np.ndarray, " action"] | None = None,
    ) -> None:
        """Define the model.

        Args:
            problem: the problem.
            temperature: τ, in reward units per nat. 0, the hard maximum, is for `history_optimum` alone.
            action_prior: ρ(a), probabilities; default: uniform, 1/A. 0 masks an action.

        Raises:
            InvalidProblem: if an argument does not fit; the message names it and the remedy.
        """
        if not isinstance(problem, PartiallyObservedMDP):
            raise InvalidProblem(
                f"`problem` must be a PartiallyObservedMDP, but is a {type(problem).__name__}. Make one of a "
                "TabularMDP and the observations of its state: PartiallyObservedMDP(mdp, observation)."
            )
        mdp = problem.mdp
        self.problem = problem
        self.temperature = checked_temperature("temperature", temperature, mdp.probability.dtype)
        no_counts(action_prior)
        if action_prior is None:
            self.action_prior = mdp.probability.new_full((mdp.num_actions,), 1.0 / mdp.num_actions)
        else:
            kind = Kind(mdp.probability.dtype, mdp.probability.device)
            prior = table("action_prior", action_prior, {1: "action"}, kind)
            shape("action_prior", prior, (mdp.num_actions,), "one probability for each action, the same in all states")
            self.action_prior = normalised("action_prior", prior, (), given=action_prior)

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "PartiallyObservedModel":
        """Return the model on another device or in another floating dtype; itself if nothing changes.

        Args:
            device: a device of torch; default: the present one.
            dtype: torch.float64 or torch.float32; default: the present one.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it.
            InvalidProblem: if a reward exceeds the range of the dtype.
        """
        place = place_of(self.action_prior, device, dtype)
        if place == Place.of(self.action_prior):
            return self
        return moved_copy(self, place, action_prior=moved_probability(self.action_prior, place))

    def __repr__(self) -> str:
        """The problem and the temperature."""
        return f"PartiallyObservedModel({self.problem!r}, temperature {self.temperature:g})"


def with_memory(
    model: PartiallyObservedModel, window: int | None = None, *, max_states: int = 100_000
) -> tuple[Remembered, TabularModel]:
    """The problem whose states are pairs of a state and a memory, and its tabular model.

    Args:
        model: the model.
        window, max_states: as in `remember`.

    Raises:
        InvalidArgument: if `model` is not a `PartiallyObservedModel`, `window` is not a valid number, or there are more
            than `max_states` pairs.
    """
    if not isinstance(model, PartiallyObservedModel):
        raise InvalidArgument(
            f"`model` must be a PartiallyObservedModel, but is a {type(model).__name__}. Make one from the POMDP: "
            "PartiallyObservedModel(problem, temperature)."
        )
    remembered = remember(model.problem, window, max_states=max_states)
    return remembered, TabularModel(remembered.mdp, model.temperature, remembered.action_prior(model.action_prior))
