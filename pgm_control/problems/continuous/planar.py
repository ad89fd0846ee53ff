"""The plane: a point that is moved by a hand and a wind, with any reward of the place that it reaches.

Sources:
    [kappen2005] H. J. Kappen, Linear theory for control of nonlinear stochastic systems. Physical Review Letters
        95:200201, 2005. doi:10.1103/PhysRevLett.95.200201
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidProblem
from ...runtime.arguments import whole
from ...text.one_line import one_line
from .arrays import covariance_of, numbers_without_graph
from .rewards import checked_reward


@final
@dataclass(frozen=True, eq=False, repr=False)
class Planar:
    r"""A problem in the plane, $s_{t+1} = s_t + a_t + w_t$ with $w_t \sim N(0, W)$, for t = 0 … T − 1.

    The return is $\sum_{t=1}^{T} r(t, s_t) + r_T(s_T)$. Actions cost nothing by themselves; the action prior of a model
    prices them. Because an action is added to the state, exact inference is a convolution with a Gaussian for any
    reward (`infer_planar`). A related linear theory is that of [kappen2005].

        Planar(lambda s: -(s**2).sum(-1), horizon=8, noise_covariance=0.1, initial_mean=(3.0, 0.0))

    Attributes:
        reward: r, a torch function of a batch of states, (…, 2) → (…), or of time and a batch of states; time is that
            at which the state is reached, 1 … T. In reward units.
        horizon: T, the number of actions.
        noise_covariance: W, 2 × 2, in squared units of length. One variance or two are accepted for it.
        initial_mean: the mean of the start.
        initial_covariance: the covariance of the start; 0 for a start that is known.
        final_reward: $r_T$, a function of a batch of states; None for none.

    References:
        [kappen2005]
    """

    reward: Callable[..., Any]
    horizon: int
    noise_covariance: Float[Tensor, "2 2"] | Any
    initial_mean: Float[Tensor, " 2"] | Any = (0.0, 0.0)
    initial_covariance: Float[Tensor, "2 2"] | Any = 0.0
    final_reward: Callable[..., Any] | None = None
    _checked: Callable[[int, Tensor], Tensor] = field(init=False, repr=False)
    _checked_final: Callable[[int, Tensor], Tensor] | None = field(init=False, repr=False)

    __repr__ = one_line

    def __post_init__(self) -> None:
        """Check the arguments and store covariances as matrices.

        Raises:
            InvalidProblem, InvalidArgument: if one does not fit; the message names it.
        """
        mean = numbers_without_graph("initial_mean", self.initial_mean)
        if tuple(mean.shape) != (2,) or not bool(mean.isfinite().all()):
            raise InvalidProblem(f"`initial_mean` must be 2 finite numbers, but is {mean.tolist()}.")
        steps, end = whole("horizon", self.horizon), self.final_reward
        stored = {
            "horizon": steps,
            "noise_covariance": covariance_of("noise_covariance", self.noise_covariance, 2),
            "initial_mean": mean.clone(),
            "initial_covariance": covariance_of("initial_covariance", self.initial_covariance, 2, may_be_zero=True),
            "_checked": checked_reward("reward", self.reward, (2,), steps),
            "_checked_final": None if end is None else checked_reward("final_reward", end, (2,), steps),
        }
        for name, value in stored.items():
            object.__setattr__(self, name, value)

    @property
    def has_known_start(self) -> bool:
        """Whether the start has no spread."""
        return not bool(self.initial_covariance.any())

    def reward_at(self, t: int, state: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
        """The reward of reaching states at time t, 1 … T, without the final reward."""
        return self._checked(t, state)

    def final_reward_at(self, state: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
        """The final reward of states; 0 if there is none."""
        final = self._checked_final
        return torch.zeros_like(state[..., 0]) if final is None else final(self.horizon, state)

    def returns(self, states: Float[Tensor, "*batch time_and_last 2"]) -> Float[Tensor, "*batch"]:
        """The return of paths, in reward units."""
        total = self.final_reward_at(states[..., -1, :])
        for t in range(1, self.horizon + 1):
            total = total + self.reward_at(t, states[..., t, :])
        return total
