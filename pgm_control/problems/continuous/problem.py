"""A problem with vectors for states and actions: its start, dynamics and rewards as batched functions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, final, runtime_checkable

from torch import Tensor

Start = Any | Callable[[], Any]
Dynamics = Callable[[int, Tensor, Tensor], Any]
Reward = Callable[[int, Tensor, Tensor, Tensor], Tensor]
FinalReward = Callable[[Tensor], Tensor]


@runtime_checkable
class HasMembers(Protocol):
    """Dynamics that are one of several, drawn once, before the first step: an ensemble, such as `LearnedDynamics`."""

    @property
    def num_members(self) -> int:
        """The number of members."""
        ...

    def __call__(self, t: int, state: Tensor, action: Tensor) -> Any:
        """The distribution of the next state, with a member drawn anew: the dynamics if there is one member."""
        ...

    def given(self, member: Tensor) -> Dynamics:
        """The dynamics of one member, or in a batch those of one member for each element."""
        ...


@final
@dataclass(frozen=True, eq=False)
class ContinuousProblem:
    r"""A start, dynamics and rewards over vectors, without inference: what a `ContinuousModel` is made of.

    $$s_0 \sim p(s_0), \qquad s_{t+1} \sim p_t(\cdot \mid s_t, a_t), \qquad
    R = \sum_{t=0}^{T-1} r_t(s_t, a_t, s_{t+1}) + r_T(s_T)$$

    Attributes:
        start: a distribution of Pyro over vectors, or a function that returns one.
        dynamics: a function of t, states (…, n) and actions (…, m) that returns a distribution with batch shape (…) and
            event shape (n,), from which draws are reparameterised.
        reward: a function of t, states, actions and next states that returns rewards (…).
        horizon: T, the number of actions.
        final_reward: a function of the last states that returns rewards (…), or None.
        num_state_coordinates, num_action_coordinates: n and m.
    """

    start: Start
    dynamics: Dynamics
    reward: Reward
    horizon: int
    final_reward: FinalReward | None
    num_state_coordinates: int
    num_action_coordinates: int

    def __repr__(self) -> str:
        """The sizes."""
        end = " and a final reward" if self.final_reward is not None else ""
        return (
            f"ContinuousProblem({self.num_state_coordinates} state and {self.num_action_coordinates} action "
            f"coordinates, horizon {self.horizon}{end})"
        )
