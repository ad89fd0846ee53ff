"""Samples and marginal probabilities of a distribution over trajectories."""

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from ..runtime.memory import require_room
from ..text.one_line import one_line


class Trajectories(NamedTuple):
    """A batch of trajectories. After an episode has ended (discount < 1), the state is S, action and outcome are 0."""

    states: Int[Tensor, "batch time_and_last"]
    actions: Int[Tensor, "batch time"]
    outcomes: Int[Tensor, "batch time"]

    __repr__ = one_line


class Trajectory(NamedTuple):
    """One trajectory and its log-probability, in nats."""

    states: Int[Tensor, " time_and_last"]
    actions: Int[Tensor, " time"]
    outcomes: Int[Tensor, " time"]
    log_probability: float

    __repr__ = one_line


class Occupancy(NamedTuple):
    """Marginal probabilities of a distribution over trajectories: q(s_t), t = 0 … T, and q(s_t, a_t, k_t).

    With a discount each time step sums to the probability that the episode has not ended.
    """

    state: Float[Tensor, "time_and_last state"]
    outcome: Float[Tensor, "time state action outcome"]

    __repr__ = one_line

    @property
    def state_action(self) -> Float[Tensor, "time state action"]:
        """The marginal probabilities q(s_t, a_t)."""
        return self.outcome.sum(-1)


def require_room_for(name: str, count: int, steps: int) -> int:
    """Return a number of trajectories of so many steps, checked to fit into memory.

    Raises:
        InvalidArgument: if they do not; the message calls the number `name`.
    """
    entries = count * (3 * steps + 1)
    require_room(name, f"{count:,} trajectories of {steps:,} steps", entries, 8, "Draw fewer at a time.")
    return count
