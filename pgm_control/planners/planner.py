"""The base class of planners: their common arguments, warm starts, acting, and episodes side by side."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.risk import Risk, beta_of
from ..environments.continuous.times import times_of_episodes
from ..errors import InvalidArgument
from ..runtime.arguments import finite, flag, number, shown, whole, whole_number, whole_or_none
from ..runtime.randomness import integer_of, seeded
from .open_loop_breakdown import Edge
from .plan import Plan, drawn_rows, status_of
from .remaining import require_step_left
from .terminal import TerminalValue, terminal_of
from .weights import ESS
from .worlds.by_kind import world_of
from .worlds.vectors import checked_spread
from .worlds.world import Proposal


class Found(NamedTuple):
    """What a search returns; the fields of `Plan`."""

    plans: Tensor
    log_weights: Float[Tensor, "episode plan"]
    effective_sample_size: Float[Tensor, " episode"]
    largest_weight: Float[Tensor, " episode"]
    largest_noise_weight: Float[Tensor, " episode"]
    temperature: Float[Tensor, " episode"]
    value: Float[Tensor, " episode"]
    centre: Tensor
    num_simulated_steps: int


class Planner(ABC):
    """A guide that is fitted anew at each step, by simulating plans.

    A subclass implements `_search`. All random numbers, those of plans and those of the model, come from a generator of
    the planner's own: it knows nothing of the random numbers of the environment in which it acts, nor changes them.

    Attributes:
        model: the model that is simulated.
        optimism: β, or a `Risk`.
        num_plans, num_noise_samples: K and M.
        horizon: H, the most steps that a plan looks ahead.
        temperature: τ, or the `ESS` that it is solved for.
        terminal_value: the value of the states after the last step of a plan, or None.
        latest: the last `Plan`, or None; of `predict` that of the environments at the latest time step.
    """

    def __init__(
        self,
        model: Any,
        optimism: float | Risk,
        num_plans: int,
        num_noise_samples: int,
        horizon: int | None,
        temperature: float | ESS | None,
        terminal_value: TerminalValue | None,
        spread: Any,
        seed: int | torch.Generator | None,
    ) -> None:
        """Check the arguments, which subclasses explain."""
        self.optimism: float | Risk = optimism if isinstance(optimism, Risk) else finite("optimism", optimism)
        if isinstance(self.optimism, Risk) and number(self.optimism.theta) != self.optimism.theta:
            raise InvalidArgument("`optimism` must be one number for a planner, but is a table of them.")
        self.num_plans = whole("num_plans", num_plans, 2)
        self.num_noise_samples = whole("num_noise_samples", num_noise_samples)
        self.model, self.world = model, world_of(model)
        longest = whole_or_none("horizon", horizon)
        self.horizon = self.world.horizon if longest is None else min(longest, self.world.horizon)
        self.temperature = self._temperature_of(temperature)
        self.terminal_value = terminal_of("terminal_value", terminal_value, model, self.world)
        self.spread = checked_spread(spread)
        self._random = torch.Generator().manual_seed(integer_of(seed))
        self._edge = Edge(model, self.horizon, terminal_value)
        self.latest: Plan | None = None
        self._before: Tensor | None = None
        self._time = 0
        self._kept = max(self.horizon - 1, 1), *self.world.like().shape  # what `predict` remembers of a plan

    @abstractmethod
    def _search(self, t: int, state: Tensor, proposal: Proposal, steps: int) -> Found:
        """Simulate plans from states (episode, …) at step t, and weigh them; draws come from torch's generator."""

    @final
    def plan(self, state: Any, time: int = 0, centre: Tensor | None = None) -> Plan:
        """Plan from some states, without a memory.

        Args:
            state: a state, or one for each episode: a vector or rows of them; for a table an index or indices.
            time: t, the step of the model at which the states are seen.
            centre: plans (episode, step, …) that the search begins with, such as `Plan.centre[:, 1:]` of the step
                before; default: those of the action prior.

        Returns:
            A `Plan` with an axis of episodes, also for a single state.

        Raises:
            InvalidArgument: if an argument does not fit, or every plan has weight 0.
            OptimismBreakdown: if the model is linear-quadratic and its objective over plans is unbounded.
        """
        states, _ = self.world.states(state)
        return self._planned(states, self._time_of(time), self._centre_of(centre, len(states)))

    @final
    def act(self, state: Any, deterministic: bool = True) -> Tensor:
        """The action in a state, or in one for each of several episodes side by side; the next call is the next step.

        Each call begins with the plan of the last one, moved on by a step. `reset()` begins new episodes.

        Args:
            state: as in `plan`.
            deterministic: play the plan of `Plan.action`; otherwise the first action of a plan drawn by its weight.

        Raises:
            InvalidArgument: as in `plan`; if the episode is over, or the number of episodes changes on the way.
        """
        deterministic = flag("deterministic", deterministic)
        states, single = self.world.states(state)
        require_step_left(self._time, self.world.horizon)
        before = self._before
        if before is not None and len(before) != len(states):
            raise InvalidArgument(
                f"`state` must have {len(before)} rows, as many as there were episodes, but has {len(states)}. "
                "Call reset() to begin new ones."
            )
        found = self._planned(states, self._time, before)
        self.latest, self._before, self._time = found, found.centre[:, 1:], self._time + 1
        action = self._played(found, deterministic)
        return action[0] if single else action

    @final
    def reset(self) -> None:
        """Begin new episodes: forget the plan and the time, but not the random numbers."""
        self.latest, self._before, self._time = None, None, 0

    @final
    def predict(
        self,
        observation: Any,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[Any, tuple[np.ndarray, ...]]:
        """The actions for an observation or a batch, in the form of Stable-Baselines3's `predict`.

        Args:
            observation: the state, or a batch; what follows the state, such as the time, is not read.
            state: what the last call returned: the time steps and the plans to begin with. None begins all episodes.
            episode_start: where an episode begins, by environment.
            deterministic: as in `act`.

        Raises:
            InvalidArgument: as in `plan`; if an episode outlasts the horizon of the model.
        """
        deterministic = flag("deterministic", deterministic)
        seen, single = self.world.observed(observation)
        time, centres = self._memory(len(seen), state, episode_start)
        action: np.ndarray | None = None
        together = bool((time == time[0]).all())
        for t in time[:1] if together else np.unique(time):
            rows = slice(None) if together else np.flatnonzero(time == t)
            kept = 0 if t == 0 else self._steps(int(t) - 1) - 1
            begin = None if kept == 0 or centres is None else torch.as_tensor(centres[rows, :kept])
            found = self._planned(seen[rows], int(t), begin)
            played = self._played(found, deterministic).numpy()
            action = np.empty((len(seen), *played.shape[1:]), played.dtype) if action is None else action
            action[rows] = played
            ahead = found.centre[:, 1:].numpy()
            if centres is None:
                centres = np.zeros((len(seen), *self._kept))
            centres[rows, : ahead.shape[1]] = ahead
            self.latest = found
        assert action is not None
        assert centres is not None
        return (action[0] if single else action), (time + 1, centres)

    def __repr__(self) -> str:
        """The model, the optimism and the sizes."""
        return (
            f"{type(self).__name__}({self.model!r}, optimism {self.optimism}, {self.num_plans} plans, "
            f"{self.num_noise_samples} noises, horizon {self.horizon})"
        )

    def _planned(self, states: Tensor, t: int, centre: Tensor | None) -> Plan:
        steps = self._steps(t)
        if not isinstance(self.temperature, ESS):
            self._edge.require(self.optimism, self.temperature)
        with torch.no_grad(), seeded(self._random):
            proposal = self.world.proposal(t, states, steps, self.spread, self._proposal_temperature())
            if centre is not None:
                proposal = proposal.continued(centre)
            found = self._search(t, states, proposal, steps)
        if isinstance(self.temperature, ESS):
            self._edge.require(self.optimism, float(found.temperature.amin()))
        actions = self.world.played(found.centre)
        status = status_of(
            found.largest_weight,
            found.largest_noise_weight,
            self.num_plans,
            self.num_noise_samples,
            self.num_noise_samples == 1
            or bool((torch.as_tensor(beta_of(self.optimism, found.temperature)) == 1.0).all()),
        )
        return Plan(
            status, t, actions[:, 0], actions, found.plans, found.log_weights, found.effective_sample_size,
            found.largest_weight,
            found.largest_noise_weight, found.temperature, found.value, found.num_simulated_steps, found.centre,
        )  # fmt: skip

    def _proposal_temperature(self) -> float:
        """The temperature of the first proposal, where that depends on it: for Lebesgue measure."""
        return self.world.temperature if isinstance(self.temperature, ESS) else self.temperature

    def _played(self, found: Plan, deterministic: bool) -> Tensor:
        if deterministic:
            return found.action
        with seeded(self._random):
            chosen = drawn_rows(found.log_weights)
        return found.plans[torch.arange(len(chosen)), chosen, 0]

    def _steps(self, t: int) -> int:
        return min(self.horizon, self.world.horizon - t)

    def _temperature_of(self, given: Any) -> float | ESS:
        if given is None or isinstance(given, ESS):
            return self.world.temperature if given is None else given
        found = number(given)
        if not 0 < found < float("inf"):
            raise InvalidArgument(
                f"`temperature` must be a positive number, ESS(fraction) or None for that of the model, but is "
                f"{shown(given)}."
            )
        return found

    def _time_of(self, time: Any) -> int:
        found = whole_number(time)
        if found is None or not 0 <= found < self.world.horizon:
            raise InvalidArgument(
                f"`time` must be a step of the model, 0 to {self.world.horizon - 1}, but is {shown(time)}."
            )
        return found

    def _centre_of(self, centre: Any, episodes: int) -> Tensor | None:
        """The argument `centre` of `plan`."""
        if centre is None:
            return None
        like = self.world.like()
        fits = isinstance(centre, Tensor) and centre.ndim == 2 + like.ndim and centre.shape[0] == episodes
        if not fits or centre.shape[2:] != like.shape or not bool(centre.isfinite().all()):
            raise InvalidArgument(
                f"`centre` must be finite plans of shape ({episodes}, steps, {', '.join(map(str, like.shape))}), such "
                f"as Plan.centre[:, 1:], but is {shown(centre)}."
            )
        return centre.detach().to(like)

    def _memory(self, count: int, state: Any, episode_start: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """The time step of each environment, and the plans to begin with."""
        time, centres = times_of_episodes(count, state, episode_start, self.world.horizon), None
        if state is not None:
            try:
                centres = np.array(state[1], dtype=np.float64)
            except (TypeError, ValueError, IndexError, RuntimeError):
                centres = np.empty(0)
            if centres.shape != (count, *self._kept) or not np.isfinite(centres).all():
                raise InvalidArgument(
                    f"`state` must be None, or what the last call of `predict` returned for {count} environments, but "
                    f"is {shown(state)}."
                )
        return time, centres
