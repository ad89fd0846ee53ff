"""A `Simulator` as a world for planners."""

import math
from collections.abc import Callable
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidArgument, InvalidProblem
from ...runtime.arguments import shown
from ...runtime.array_like import numbers
from .box import Box
from .gaussian_proposal import GaussianProposal
from .simulator import Simulator
from .vectors import checked_states, deviations
from .world import Moved


@final
class SimulatorWorld:
    """A `Simulator` as a world. Its states have one more number, which is 1 from the end of an episode on.

    Attributes:
        horizon, temperature: T and τ.
        state_axes: 1.
        prior_sees_state: False.
        num_states, num_actions: the sizes, without that number.
    """

    def __init__(self, simulator: Simulator) -> None:
        """Take the simulator."""
        self.simulator = simulator
        self.horizon, self.temperature = simulator.horizon, simulator.temperature
        self.state_axes, self.prior_sees_state = 1, False
        self.num_states, self.num_actions = simulator.num_states, simulator.num_actions
        self._box = Box(torch.as_tensor(simulator.action_low), torch.as_tensor(simulator.action_high))
        width = self._box.high - self._box.low
        self._log_density = -float(width.log().sum())
        self._mean, self._deviation = 0.5 * (self._box.low + self._box.high), width / math.sqrt(12)

    def states(self, state: Any) -> tuple[Float[Tensor, "episode state"], bool]:
        """The states of an argument, and whether it was a single one."""
        found, single = checked_states(state, self.num_states)
        return _begun(found), single

    def observed(self, observation: Any) -> tuple[Float[Tensor, "episode state"], bool]:
        """The states of observations, and whether it was a single one.

        Raises:
            InvalidArgument: unless each observation is a vector of finite numbers.
        """
        found = numbers("observation", observation, InvalidArgument).detach().to("cpu", torch.float64)
        if found.ndim not in (1, 2) or not found.numel() or not bool(found.isfinite().all()):
            raise InvalidArgument(
                "`observation` must be a vector of finite numbers, or one in each row of a batch, but has shape "
                f"{tuple(found.shape)}{' and other numbers' if found.numel() else ''}."
            )
        return _begun(self.simulator.located(found[None] if found.ndim == 1 else found)), found.ndim == 1

    def proposal(self, t: int, state: Tensor, steps: int, spread: Any, temperature: float) -> GaussianProposal:
        """Gaussians with the mean and the deviation of the uniform action prior, within its box."""
        size = len(state), steps, self.num_actions
        scale = deviations(spread, self._deviation.expand(size))
        return GaussianProposal(self._mean.expand(size), scale, self._box)

    def like(self) -> Float[Tensor, " action"]:
        """Zeros of the shape of an action."""
        return torch.zeros(self.num_actions, dtype=torch.float64)

    def played(self, centre: Float[Tensor, "episode step action"]) -> Float[Tensor, "episode step action"]:
        """The plans themselves."""
        return centre

    def log_prior(self, t: int, state: Tensor, action: Tensor) -> Tensor:
        """The log-density of the uniform prior, in nats; proposals draw no action beyond the box."""
        return action.new_full(action.shape[:-1], self._log_density)

    def move(self, t: int, state: Tensor, action: Tensor) -> Moved:
        """One step, with noise of torch's global generator, which the planner seeds.

        The function of the simulator is given copies, in which it may write.

        Raises:
            InvalidProblem: if a state of an episode that goes on is nan.
        """
        front = state.shape[:-1]
        flat = state.reshape(-1, self.num_states + 1)
        many = action.expand(*front, self.num_actions).reshape(-1, self.num_actions)
        at, over = flat[:, :-1], flat[:, -1] > 0
        ahead, reward, ended = self.simulator.moved(at.clone(), many.clone(), torch.default_generator)
        ahead = torch.where(over[:, None], at, ahead)
        _require_numbers(ahead, over if ended is None else over | ended, t)
        reward = torch.where(over, 0.0, reward)
        over = over if ended is None else over | ended
        return Moved(torch.cat((ahead, over.double()[:, None]), -1).reshape(state.shape), reward.reshape(front))

    def rolled(
        self,
        t: int,
        state: Float[Tensor, "episode state"],
        plans: Float[Tensor, "episode plan step action"],
        noises: int,
        with_last: bool,
    ) -> tuple[Float[Tensor, "episode plan noise"], Float[Tensor, "episode plan 1"], Tensor | None] | None:
        """The returns and log-priors of plans, each under noises of its own, and if `with_last` the states after them.

        None where the simulator has no `rollout`, which only those have whose episodes do not end.
        """
        if self.simulator.rollout is None:
            return None
        episodes, count, steps, size = plans.shape
        front = episodes, count, noises
        many = state[:, None, None].expand(*front, state.shape[-1]).reshape(-1, state.shape[-1])
        each = plans[:, :, None].expand(*front, steps, size).reshape(-1, steps, size)
        last, reward = self.simulator.rolled(many[:, :-1].clone(), each.clone(), torch.default_generator)
        _require_numbers(last, None, t + steps - 1, "rollout")
        prior = plans.new_full((episodes, count, 1), steps * self._log_density)
        return reward.sum(-1).reshape(front), prior, _begun(last).reshape(*front, -1) if with_last else None

    @staticmethod
    def going_on(value: Callable[..., Any]) -> Callable[..., Any]:
        """A function of t, states and perhaps actions, as one of states of this world: 0 after the end of an episode.

        What the function returns is checked by its caller.
        """

        def at(t: int, state: Tensor, *action: Tensor) -> Any:
            found = value(t, state[..., :-1], *action)
            fits = isinstance(found, Tensor) and found.shape == state.shape[:1]
            return torch.where(state[:, -1] > 0, 0.0, found) if fits else found

        return at

    def __repr__(self) -> str:
        """The sizes."""
        return f"SimulatorWorld({shown((self.num_states, self.num_actions, self.horizon))})"


def _require_numbers(state: Float[Tensor, "batch state"], over: Tensor | None, t: int, name: str = "step") -> None:
    """Require that no state is nan, but for those of episodes that are over.

    Raises:
        InvalidProblem: if one is.
    """
    if math.isnan(float(state.sum())):
        lost = state.isnan().any(-1)
        if bool((lost if over is None else lost & ~over).any()):
            raise InvalidProblem(
                f"`{name}` must return states that are numbers, but returns nan in step {t} of a plan. Look at its "
                "dynamics for large states and for actions near their bounds."
            )


def _begun(state: Float[Tensor, "episode state"]) -> Float[Tensor, "episode state_and_end"]:
    """States of episodes that go on."""
    return torch.cat((state, state.new_zeros(len(state), 1)), -1)
