"""A model on the line as a simulator whose state can be set: the noise may depend on the state and the action."""

import math
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidArgument
from ...models.line import LineModel
from ...runtime.array_like import numbers
from .box import Box
from .gaussian_proposal import GaussianProposal
from .vectors import checked_states, deviations, observed_states
from .world import Moved


@final
class LineWorld:
    """A `LineModel`, whose states and actions are vectors of one number here.

    Attributes:
        horizon, temperature: T and τ.
        state_axes: 1.
        prior_sees_state: False.
        num_states, num_actions: 1.
    """

    def __init__(self, model: LineModel) -> None:
        """Take the model."""
        self._problem, self._variance = model.problem, float(model.action_prior)
        self.horizon, self.temperature = model.problem.horizon, float(model.temperature)
        self.state_axes, self.prior_sees_state = 1, False
        self.num_states, self.num_actions = 1, 1

    def states(self, state: Any) -> tuple[Float[Tensor, "episode 1"], bool]:
        """The states of an argument, a number, a vector of one or rows of them, and whether it was a single one."""
        found = numbers("state", state, InvalidArgument)
        return checked_states(found[None] if found.ndim == 0 else found, 1)

    def observed(self, observation: Any) -> tuple[Float[Tensor, "episode 1"], bool]:
        """The states in an observation, in front of what follows them, such as the time."""
        return observed_states(observation, 1)

    def proposal(self, t: int, state: Tensor, steps: int, spread: Any, temperature: float) -> GaussianProposal:
        """The action prior."""
        mean = state.new_zeros(len(state), steps, 1)
        scale = deviations(spread, torch.full_like(mean, self._variance**0.5))
        return GaussianProposal(mean, scale, Box.without_bounds(1))

    def like(self) -> Float[Tensor, " action"]:
        """Zeros of the shape of an action."""
        return torch.zeros(1, dtype=torch.float64)

    def played(self, centre: Float[Tensor, "episode step action"]) -> Float[Tensor, "episode step action"]:
        """The plans themselves."""
        return centre

    def log_prior(self, t: int, state: Tensor, action: Tensor) -> Tensor:
        """log N(a; 0, U), in nats."""
        constant = 0.5 * math.log(2 * math.pi * self._variance)
        return -0.5 * action[..., 0].square() / self._variance - constant

    def move(self, t: int, state: Tensor, action: Tensor) -> Moved:
        """One step."""
        place = state[..., 0]
        ahead = self._problem.next_state(place, action[..., 0].expand(place.shape)).sample().double()
        reward = self._problem.reward_at(t + 1, ahead)
        if t == self.horizon - 1:
            reward = reward + self._problem.final_reward_at(ahead)
        return Moved(ahead[..., None], reward)

    def __repr__(self) -> str:
        """The horizon."""
        return f"LineWorld(horizon {self.horizon})"
