"""A tabular model as a simulator whose state can be set."""

from typing import Any, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...errors import InvalidArgument
from ...problems.timed import at_time
from ...runtime.array_like import numbers
from ...trajectories.blocks import MarkovModel
from ...trajectories.steps import last_worth, prior_at, worth_at
from .categorical_proposal import CategoricalProposal
from .world import Moved, require_cpu


@final
class TabularWorld:
    """The tables of a model, from which outcomes are drawn for many states at once.

    Attributes:
        horizon, temperature: T and τ.
        state_axes: 0.
        prior_sees_state: True.
        num_states, num_actions: the sizes.
    """

    def __init__(self, model: MarkovModel) -> None:
        """Take the tables.

        Raises:
            InvalidArgument: if tables are not on the CPU, the temperature depends on time or is 0, or with a discount.
        """
        mdp, tau = model.mdp, model.temperature
        require_cpu(mdp.initial)
        if isinstance(tau, Tensor) or not tau > 0:
            raise InvalidArgument(
                "`model` must have one positive temperature for a planner, whose plans have weights exp(r/τ), but has "
                f"{'one by time' if isinstance(tau, Tensor) else tau}."
            )
        if mdp.discount < 1:
            raise InvalidArgument(
                f"`model` must have no discount for a planner, but has {mdp.discount}: the weight of a plan would be "
                "no product. Take a horizon and a `terminal_value` in its place."
            )
        self.horizon, self.temperature = mdp.horizon, float(tau)
        self.state_axes, self.prior_sees_state = 0, True
        self.num_states, self.num_actions = mdp.num_states, mdp.num_actions
        self._model = model
        self._cumulated = mdp.probability.detach().double().cumsum(-1)
        self._successor = mdp.successor
        self._last = last_worth(model).detach().double()

    def states(self, state: Any) -> tuple[Int[Tensor, " episode"], bool]:
        """The states of an argument, and whether it was a single one."""
        return self._indices("state", state)

    def observed(self, observation: Any) -> tuple[Int[Tensor, " episode"], bool]:
        """The states of an observation, and whether it was a single one."""
        return self._indices("observation", observation)

    def proposal(self, t: int, state: Tensor, steps: int, spread: Any, temperature: float) -> CategoricalProposal:
        """The action prior in the present state for the first step, and the mean of all states for the others.

        Raises:
            InvalidArgument: if `spread` is given.
        """
        if spread is not None:
            raise InvalidArgument("`spread` must be None for a table, whose actions have no deviation.")
        priors = torch.stack([prior_at(self._model, t + k).detach().double() for k in range(steps)])
        first = priors.mean(1).expand(len(state), -1, -1).clone()
        first[:, 0] = priors[0][state]
        first = first / first.sum(-1, keepdim=True)
        return CategoricalProposal(first, first)

    def like(self) -> Float[Tensor, " action"]:
        """Zeros, one for each action."""
        return torch.zeros(self.num_actions, dtype=torch.float64)

    def played(self, centre: Float[Tensor, "episode step action"]) -> Int[Tensor, "episode step"]:
        """The most probable actions."""
        return centre.argmax(-1)

    def log_prior(self, t: int, state: Tensor, action: Tensor) -> Tensor:
        """log ρ_t(a|s), in nats; −inf for a masked action."""
        return prior_at(self._model, t).detach().double().log()[state, action.expand_as(state)]

    def move(self, t: int, state: Tensor, action: Tensor) -> Moved:
        """One step."""
        action = action.expand_as(state)
        cumulated = at_time(self._cumulated, t, 3)[state, action]
        drawn = torch.rand(*state.shape, 1, dtype=torch.float64) * cumulated[..., -1:]
        outcome = (cumulated <= drawn).sum(-1, keepdim=True)
        outcome = outcome.clamp(max=cumulated.shape[-1] - 1)[..., 0]
        ahead = self._successor[state, action, outcome]
        reward = worth_at(self._model, t).detach().double()[state, action, outcome]
        if t == self.horizon - 1:
            reward = reward + self._last[ahead]
        return Moved(ahead, reward)

    def ended(self) -> Bool[Tensor, " state"]:
        """The states that no action leaves, without a reward: those in which an episode has ended."""
        model, steps = self._model, range(self.horizon)
        stays = self._successor == torch.arange(self.num_states)[:, None, None]
        found = self._last == 0
        for t in steps if model.mdp.probability.ndim > 3 or model.mdp.reward.ndim > 3 else (0,):
            possible = at_time(model.mdp.probability, t, 3) > 0
            idle = stays & (at_time(model.mdp.reward, t, 3) == 0)
            found = found & (idle | ~possible).flatten(1).all(1)
        return found

    def _indices(self, name: str, given: Any) -> tuple[Int[Tensor, " episode"], bool]:
        found = numbers(name, given, InvalidArgument).detach().cpu()
        whole = bool((found == found.round()).all()) and found.ndim <= 1 and found.numel() > 0
        if not whole or not bool(((found >= 0) & (found < self.num_states)).all()):
            raise InvalidArgument(
                f"`{name}` must be a state, a whole number from 0 to {self.num_states - 1}, or one for each episode, "
                f"but has shape {tuple(found.shape)} and other numbers."
            )
        return (found[None].long(), True) if found.ndim == 0 else (found.long(), False)

    def __repr__(self) -> str:
        """The sizes."""
        return f"TabularWorld({self.num_states} states, {self.num_actions} actions, horizon {self.horizon})"
