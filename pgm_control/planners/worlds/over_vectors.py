"""A model over vectors as a simulator whose state can be set: `ContinuousModel`, `PlanarModel`, or yours."""

import math
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidArgument, InvalidProblem
from ...inference.local.vector_model import PlanarVectors, VectorModel, payoff
from ...problems.continuous.support import box_of
from ...runtime.arguments import shown
from ...runtime.randomness import seeded
from .box import Box
from .gaussian_proposal import GaussianProposal
from .vectors import checked_states, deviations, observed_states
from .world import Moved, require_cpu

_DRAWS = 512  # for the moments of an action prior that does not know its own


@final
class VectorWorld:
    """A model over vectors, whose dynamics draw the next states of many states at once.

    Attributes:
        horizon, temperature: T and τ.
        state_axes: 1.
        prior_sees_state: whether the action prior may depend on the state.
        num_states, num_actions: the sizes.
    """

    def __init__(self, model: VectorModel) -> None:
        """Take the model, and find the sizes of its states and actions.

        Raises:
            InvalidArgument: if states are not on the CPU.
            InvalidProblem: if a state or an action is no vector.
        """
        self._model, self.horizon, self.temperature = model, model.horizon, float(model.temperature)
        self.state_axes, self.prior_sees_state = 1, not isinstance(model, PlanarVectors)
        with seeded(0):  # only the shapes matter
            state = model.start().expand((2,)).rsample()
            action = model.action_prior(0, state).rsample()
        require_cpu(state)
        if state.ndim != 2 or action.ndim != 2:
            raise InvalidProblem(
                f"`model` must have vectors as states and actions, but has shapes {tuple(state.shape[1:])} and "
                f"{tuple(action.shape[1:])}."
            )
        self.num_states, self.num_actions = state.shape[-1], action.shape[-1]

    def states(self, state: Any) -> tuple[Float[Tensor, "episode state"], bool]:
        """The states of an argument, and whether it was a single one."""
        return checked_states(state, self.num_states)

    def observed(self, observation: Any) -> tuple[Float[Tensor, "episode state"], bool]:
        """The states in an observation, in front of what follows them, such as the time."""
        return observed_states(observation, self.num_states)

    def proposal(self, t: int, state: Tensor, steps: int, spread: Any, temperature: float) -> GaussianProposal:
        """Gaussians with the moments of the action prior at the present states, within the bounds of its draws."""
        prior = self._model.action_prior(t, state)
        try:
            mean, deviation = prior.mean, prior.variance.sqrt()
        except (NotImplementedError, AttributeError):
            draws = prior.rsample((_DRAWS,))
            mean, deviation = draws.mean(0), draws.std(0)
        if not bool(mean.isfinite().all() and deviation.isfinite().all()) or mean.shape != (
            len(state),
            self.num_actions,
        ):
            raise InvalidArgument(
                f"`model` must have an action prior with a finite mean and variance to draw plans from, but its prior "
                f"is {shown(prior)}."
            )
        low, high = box_of(prior, self.num_actions)
        scale = deviations(spread, deviation.double()[:, None].expand(-1, steps, -1))
        return GaussianProposal(mean.double()[:, None].expand(-1, steps, -1), scale, Box(low, high))

    def like(self) -> Float[Tensor, " action"]:
        """Zeros of the shape of an action."""
        return torch.zeros(self.num_actions, dtype=torch.float64)

    def played(self, centre: Float[Tensor, "episode step action"]) -> Float[Tensor, "episode step action"]:
        """The plans themselves."""
        return centre

    def log_prior(self, t: int, state: Tensor, action: Tensor) -> Tensor:
        """log ρ_t(a|s), in nats."""
        if self.prior_sees_state:
            action = action.expand(*state.shape[:-1], self.num_actions)
            return self._model.action_prior(t, state).log_prob(action).double()
        return self._model.action_prior(t, action).log_prob(action)

    def move(self, t: int, state: Tensor, action: Tensor) -> Moved:
        """One step."""
        action = action.expand(*state.shape[:-1], self.num_actions)
        ahead = self._model.dynamics(t, state, action).rsample().double()
        return Moved(ahead, payoff(self._model, t, state, action, ahead) * self.temperature)

    def __repr__(self) -> str:
        """The sizes."""
        sizes = self.num_states, self.num_actions, self.horizon
        return f"VectorWorld({shown(sizes)})" if math.isfinite(self.temperature) else "VectorWorld"
