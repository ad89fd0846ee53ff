"""A simulator as a function of states, which can be set, with noise that is drawn anew."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidArgument, InvalidProblem
from ...runtime.arguments import positive, shown, whole
from ...runtime.array_like import ArrayLike, numbers
from ...runtime.programs import require_callable
from ...text.one_line import one_line

_OPTIONAL = {"observe": ["batch"], "locate": ["batch"], "rollout": ["states", "plans", "generator"]}
_NEAR = 1e-5  # also for functions of float32
_TRIED = 3  # states, with different actions


@final
@dataclass(frozen=True, eq=False, repr=False)
class Simulator:
    r"""Dynamics and rewards as one function of a batch of states, to plan with: a `model` of `MPPI` and other planners.

    It stands for the trajectory model

    $$\tilde p = \prod_{t=0}^{T-1} U(a_t;\, \mathtt{low}, \mathtt{high})\, p(s_{t+1}, r_t \mid s_t, a_t)\,
        \exp(r_t/\tau),$$

    of which `step` draws $s_{t+1}$ and $r_t$, for as many states as it is given. After the end of an episode there is
    no further reward. Dynamics and rewards depend on time only if the state contains it.

    All noise must come from the generator that `step` is given. An environment that is copied with its random numbers
    shows a planner the future, which earns more than the free posterior; a `step` whose noise comes from elsewhere is
    refused, as far as two calls with equal generators show it.

        >>> import torch
        >>> from pgm_control.planners import MPPI, Simulator
        >>> def walk(state, action, generator):
        ...     ahead = state + action + 0.1 * torch.randn(state.shape, generator=generator, dtype=state.dtype)
        ...     return ahead, -(ahead**2).sum(-1)
        >>> simulator = Simulator(walk, start=[1.0], action_low=[-1.0], action_high=[1.0], horizon=5)
        >>> MPPI(simulator, num_plans=64, seed=0).act([1.0]).shape
        torch.Size([1])

    Attributes:
        step: a function of states (batch, n), actions (batch, m) and a torch generator that returns the next states
            (batch, n), the rewards (batch), in reward units, and if episodes can end a third value (batch), whether
            this one has ended. Tensors are of float64; numpy arrays may be returned.
        start: a state that the simulator can be in, n finite numbers. `step` is tried in it; planners begin anywhere.
        rollout: for simulators that can do whole plans at once: a function of states (batch, n), plans (batch, step, m)
            and a generator that returns the last states (batch, n) and the rewards (batch, step), as repeated calls of
            `step` would. Only where episodes do not end. It is held against `step` where that has no noise.
        action_low, action_high: the bounds of actions, m finite numbers each. The action prior is uniform between them.
        horizon: T, the number of actions.
        temperature: τ, in reward units per nat.
        observe: the observations of states, (batch, n) to (batch, k); None where the state is the observation. A
            critic that serves as a terminal value sees what it returns.
        locate: the states of observations, (batch, k) to (batch, n), with which `predict` acts in a live environment;
            None where the observation begins with the state.
    """

    step: Callable[[Tensor, Tensor, torch.Generator], Any]
    start: Float[Tensor, " state"] | ArrayLike
    action_low: Float[Tensor, " action"] | ArrayLike
    action_high: Float[Tensor, " action"] | ArrayLike
    horizon: int
    temperature: float = 1.0
    rollout: Callable[[Tensor, Tensor, torch.Generator], Any] | None = None
    observe: Callable[[Tensor], Any] | None = None
    locate: Callable[[Tensor], Any] | None = None

    __repr__ = one_line

    def __post_init__(self) -> None:
        """Check the arguments, with two calls of `step` for three copies of the start.

        Raises:
            InvalidArgument: if an argument does not fit; the message names it.
            InvalidProblem: if `step`, `observe` or `locate` does not return what it must.
        """
        require_callable("step", self.step, "states", "actions", "generator")
        start = _vector("start", self.start)
        low, high = _vector("action_low", self.action_low), _vector("action_high", self.action_high)
        if low.shape != high.shape or not bool((low < high).all()):
            raise InvalidArgument(
                f"`action_low` must be below `action_high`, one number for each coordinate of an action, but they are "
                f"{shown(low.tolist())} and {shown(high.tolist())}."
            )
        stored: dict[str, Any] = {
            "start": start,
            "action_low": low,
            "action_high": high,
            "horizon": whole("horizon", self.horizon),
            "temperature": positive("temperature", self.temperature),
        }
        for name, arguments in _OPTIONAL.items():
            if (given := getattr(self, name)) is not None:
                require_callable(name, given, *arguments)
        for name, value in stored.items():
            object.__setattr__(self, name, value)
        self._try()

    @property
    def num_states(self) -> int:
        """n, the numbers of a state."""
        return torch.as_tensor(self.start).shape[0]

    @property
    def num_actions(self) -> int:
        """m, the numbers of an action."""
        return torch.as_tensor(self.action_low).shape[0]

    def moved(self, state: Tensor, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor | None]:
        """The next states, the rewards, and whether the episodes have ended, checked; None where none can end.

        Raises:
            InvalidProblem: unless they have the shapes that they must have.
        """
        found, count = self.step(state, action, generator), state.shape[0]
        if not isinstance(found, tuple | list) or len(found) not in (2, 3):
            raise InvalidProblem(
                "`step` must return the next states and the rewards, and if episodes can end whether they have ended, "
                f"but returns {shown(found)}."
            )
        ahead, reward = (_numbers("step", each) for each in found[:2])
        ended = None if len(found) == 2 else numbers("step", found[2], InvalidProblem).detach().cpu() != 0
        vectors = [each.shape for each in (reward, ended) if each is not None]
        if ahead.shape != state.shape or any(each != (count,) for each in vectors):
            shapes = [tuple(each) for each in (ahead.shape, *vectors)]
            raise InvalidProblem(
                f"`step` must return next states of shape {tuple(state.shape)}, and rewards and ends of shape "
                f"({count},), but returns shapes {', '.join(map(str, shapes))}."
            )
        return ahead, reward, ended

    def rolled(self, state: Tensor, plans: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """What `rollout` returns, checked: the last states, and the rewards by step.

        Raises:
            InvalidProblem: unless they have the shapes that they must have.
        """
        assert self.rollout is not None
        found = self.rollout(state, plans, generator)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise InvalidProblem(f"`rollout` must return the last states and the rewards, but returns {shown(found)}.")
        last, reward = (_numbers("rollout", each) for each in found)
        if last.shape != state.shape or reward.shape != plans.shape[:2]:
            raise InvalidProblem(
                f"`rollout` must return states of shape {tuple(state.shape)} and rewards of shape "
                f"{tuple(plans.shape[:2])}, but returns shapes {tuple(last.shape)} and {tuple(reward.shape)}."
            )
        return last, reward

    def observed(self, state: Float[Tensor, "batch state"]) -> Float[Tensor, "batch observation"]:
        """The observations of states."""
        return state if self.observe is None else _rows("observe", self.observe(state), len(state))

    def located(self, observation: Float[Tensor, "batch observation"]) -> Float[Tensor, "batch state"]:
        """The states of observations.

        Raises:
            InvalidArgument: if observations have fewer numbers than a state.
        """
        if self.locate is not None:
            found = _rows("locate", self.locate(observation), len(observation))
            if found.shape[1] != self.num_states:
                raise InvalidProblem(
                    f"`locate` must return states of {self.num_states} numbers, but returns {found.shape[1]}."
                )
            return found
        if observation.shape[-1] < self.num_states:
            raise InvalidArgument(
                f"`observation` must begin with a state of {self.num_states} numbers, but has {observation.shape[-1]}. "
                "Give the Simulator a function `locate` of observations."
            )
        return observation[:, : self.num_states]

    def _try(self) -> None:
        """Call `step` twice with equal generators, and the functions of observations."""
        low, high = torch.as_tensor(self.action_low), torch.as_tensor(self.action_high)
        state = torch.as_tensor(self.start).expand(_TRIED, -1).clone()
        share = torch.linspace(0.25, 0.75, _TRIED, dtype=torch.float64)[:, None]
        action = low + share * (high - low)
        twice: list[tuple[Tensor, ...]] = []
        for _ in range(2):
            given = state.clone(), action.clone(), torch.Generator().manual_seed(0)
            try:
                twice.append(tuple(each.clone() for each in self.moved(*given) if each is not None))
            except InvalidProblem:
                raise
            except Exception as failure:  # of the user's code
                raise InvalidProblem(
                    f"`step` must be a function of states ({_TRIED}, {self.num_states}), actions ({_TRIED}, "
                    f"{self.num_actions}) and a generator, but raises {type(failure).__name__}: {failure}."
                ) from failure
            if not torch.equal(given[0], state) or not torch.equal(given[1], action):
                raise InvalidProblem("`step` must leave its arguments as they are, but writes into them. Copy them.")
        ahead, reward = twice[0][:2]
        if not bool(ahead.isfinite().all()) or bool(reward.isnan().any()):
            raise InvalidProblem("`step` must return finite states, and rewards that are numbers, but does not.")
        if any(not torch.equal(one, other) for one, other in zip(*twice, strict=True)):
            raise InvalidProblem(
                "`step` must draw its noise from the generator that it is given, but two calls with equal generators "
                "differ: its noise comes from elsewhere. Pass generator=generator to torch's functions."
            )
        self.located(self.observed(state))
        if self.rollout is not None:
            self._try_rollout(state, action)

    def _try_rollout(self, state: Tensor, action: Tensor) -> None:
        """Hold `rollout` against two calls of `step`, where these have no noise."""
        plans, steps = torch.stack((action, action.flip(0)), 1), list[tuple[Tensor, Tensor]]()
        for seed in (0, 1):
            generator = torch.Generator().manual_seed(seed)
            first, begun, ended = self.moved(state.clone(), plans[:, 0].clone(), generator)
            if ended is not None:
                raise InvalidProblem("`rollout` must be None where `step` says that episodes end. Leave it out.")
            begun = begun.clone()  # the function may use the same memory again
            last, earned, _ = self.moved(first.clone(), plans[:, 1].clone(), generator)
            steps.append((last.clone(), torch.stack((begun, earned), 1)))
        twice: list[tuple[Tensor, ...]] = []
        for _ in range(2):
            try:
                found = self.rolled(state.clone(), plans.clone(), torch.Generator().manual_seed(0))
            except InvalidProblem:
                raise
            except Exception as failure:  # of the user's code
                raise InvalidProblem(
                    f"`rollout` must be a function of states ({_TRIED}, {self.num_states}), plans ({_TRIED}, 2, "
                    f"{self.num_actions}) and a generator, but raises {type(failure).__name__}: {failure}."
                ) from failure
            twice.append(tuple(each.clone() for each in found))
        if any(bool(each.isnan().any()) for each in twice[0]):
            raise InvalidProblem("`rollout` must return states and rewards that are numbers, but does not.")
        if not all(torch.equal(*each) for each in zip(*twice, strict=True)):
            raise InvalidProblem(
                "`rollout` must draw its noise from the generator that it is given, but two calls with equal "
                "generators differ: its noise comes from elsewhere."
            )
        same = all(torch.equal(*each) for each in zip(*steps, strict=True))
        if same and not all(_agree(*each) for each in zip(twice[0], steps[0], strict=True)):
            raise InvalidProblem("`rollout` must do what repeated calls of `step` do, but its results differ.")


def _agree(one: Tensor, other: Tensor) -> bool:
    """Whether numbers agree, relative to the largest: they may be of any unit."""
    return torch.allclose(one, other, rtol=_NEAR, atol=_NEAR * float(other.abs().amax()))


def _numbers(name: str, found: Any) -> Tensor:
    """What a function of the user returned, as float64 on the processor."""
    if isinstance(found, np.ndarray) and found.dtype == np.float64 and found.flags.writeable:
        return torch.from_numpy(found)
    if isinstance(found, Tensor) and found.dtype is torch.float64 and not found.requires_grad and found.is_cpu:
        return found
    return numbers(name, found, InvalidProblem).detach().double().cpu()


def _vector(name: str, given: Any) -> Float[Tensor, " coordinate"]:
    """A vector of finite numbers, or one number as a vector.

    Raises:
        InvalidArgument: if it is none.
    """
    found = numbers(name, given, InvalidArgument).detach().to("cpu", torch.float64)
    found = found[None] if found.ndim == 0 else found
    if found.ndim != 1 or not found.numel() or not bool(found.isfinite().all()):
        raise InvalidArgument(f"`{name}` must be a vector of finite numbers, but is {shown(given)}.")
    return found.clone()


def _rows(name: str, given: Any, count: int) -> Float[Tensor, "batch coordinate"]:
    """What a function of a batch returned, one row for each.

    Raises:
        InvalidProblem: unless it is a matrix with that many rows.
    """
    found = _numbers(name, given)
    if found.ndim != 2 or len(found) != count:
        raise InvalidProblem(f"`{name}` must return {count} rows for {count}, but returns shape {tuple(found.shape)}.")
    return found
