"""The line: a number that is moved by a hand and a noise of any kind, with any reward of the place that it reaches."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, final

import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidProblem
from ...runtime.arguments import finite, number, shown, whole
from ...text.one_line import one_line
from .rewards import checked_reward


@final
@dataclass(frozen=True, eq=False, repr=False)
class Line:
    r"""A problem on the line, $s_{t+1} = s_t + a_t + w_t$, with a noise $w_t$ whose law may depend on state and action.

    The return is $\sum_{t=1}^{T} r(t, s_t) + r_T(s_T)$. Actions cost nothing by themselves; the action prior of a model
    prices them. States and actions are numbers.

        effort = lambda s, a: dist.Normal(0.0, (0.01 + 0.36 * a**2).sqrt())  # pyro.distributions
        Line(lambda s: -(s**2), horizon=8, noise=effort, initial_mean=3.0)

    Attributes:
        reward: r, a torch function of a batch of states, or of time and a batch of states; time is that at which the
            state is reached, 1 … T. In reward units.
        horizon: T, the number of actions.
        noise: the law of w: a deviation, a function (s, a) → deviation, or a function (s, a) → distribution of Pyro or
            torch, of numbers with a density, for batches of states and actions of the same shape.
        initial_mean: the start; the mean of it.
        initial_deviation: the deviation of a normal start; 0 for a start that is known.
        final_reward: $r_T$, a function of a batch of states; None for none.
    """

    reward: Callable[..., Any]
    horizon: int
    noise: Callable[..., Any] | Any
    initial_mean: float = 0.0
    initial_deviation: float = 0.0
    final_reward: Callable[..., Any] | None = None
    _checked: Callable[[int, Tensor], Tensor] = field(init=False, repr=False)
    _checked_final: Callable[[int, Tensor], Tensor] | None = field(init=False, repr=False)

    __repr__ = one_line

    def __post_init__(self) -> None:
        """Check the arguments.

        Raises:
            InvalidProblem, InvalidArgument: if one does not fit; the message names it.
        """
        deviation = number(self.initial_deviation)
        if not 0 <= deviation < float("inf"):
            raise InvalidProblem(f"`initial_deviation` must be at least 0, but is {shown(self.initial_deviation)}.")
        steps, end = whole("horizon", self.horizon), self.final_reward
        stored = {
            "horizon": steps,
            "initial_mean": finite("initial_mean", self.initial_mean),
            "initial_deviation": deviation,
            "_checked": checked_reward("reward", self.reward, (), steps),
            "_checked_final": None if end is None else checked_reward("final_reward", end, (), steps),
        }
        for name, value in stored.items():
            object.__setattr__(self, name, value)
        _check_noise(self)

    @property
    def has_known_start(self) -> bool:
        """Whether the start has no spread."""
        return self.initial_deviation == 0

    def noise_at(self, state: Float[Tensor, "*batch"], action: Float[Tensor, "*batch"]) -> Any:
        """The law of w, a distribution with the shape of the states as its batch."""
        given = self.noise(state, action) if callable(self.noise) else self.noise
        if hasattr(given, "log_prob"):
            return given
        scale = torch.as_tensor(given, dtype=state.dtype).expand(state.shape)
        return torch.distributions.Normal(torch.zeros_like(state), scale, validate_args=False)

    def next_state(self, state: Float[Tensor, "*batch"], action: Float[Tensor, "*batch"]) -> Any:
        """The law of s', a distribution of Pyro."""
        law, place = self.noise_at(state, action), state + action
        if isinstance(law, torch.distributions.Normal):
            return dist.Normal(place + law.loc, law.scale.expand_as(place))
        return dist.TransformedDistribution(law, dist.transforms.AffineTransform(place, torch.ones_like(place)))

    def reward_at(self, t: int, state: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """The reward of reaching states at time t, 1 … T, without the final reward."""
        return self._checked(t, state)

    def final_reward_at(self, state: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """The final reward of states; 0 if there is none."""
        final = self._checked_final
        return torch.zeros_like(state) if final is None else final(self.horizon, state)

    def returns(self, states: Float[Tensor, "*batch time_and_last"]) -> Float[Tensor, "*batch"]:
        """The return of paths, in reward units."""
        total = self.final_reward_at(states[..., -1])
        for t in range(1, self.horizon + 1):
            total = total + self.reward_at(t, states[..., t])
        return total


def _check_noise(problem: Line) -> None:
    """Try the law of the noise on three states and actions.

    Raises:
        InvalidProblem: if it has no density of one number for each.
    """
    state = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    wanted = "`noise` must be a positive deviation, a function (s, a) of it, or a function (s, a) to a distribution"
    if isinstance(problem.noise, type) or (
        not callable(problem.noise) and not 0 < number(problem.noise) < float("inf")
    ):
        raise InvalidProblem(f"{wanted}, but is {shown(problem.noise)}.")
    try:
        law = problem.noise_at(state, torch.zeros_like(state))
        density = torch.as_tensor(law.log_prob(torch.zeros_like(state)))
    except Exception as failure:  # of the user's code
        raise InvalidProblem(f"{wanted}, but with 3 states it raises {type(failure).__name__}: {failure}.") from failure
    if tuple(density.shape) != (3,) or bool(density.isnan().any()) or not bool((density < float("inf")).all()):
        raise InvalidProblem(f"{wanted} with a finite density for each state, but its log-density is {shown(density)}.")
