"""Which of the states a process holds, and what it agrees on with the processes that hold the others."""

import math
from typing import Literal, NamedTuple, Protocol, final, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from .dead_ends import DeadEnds, HasOutcomes, dead_ends

Form = Literal["padded", "rows", "dense"]


class Change(NamedTuple):
    """The smallest and the largest change of a value in one sweep, in reward units, and whether none is nan or +inf."""

    least: float
    largest: float
    whole: bool

    @property
    def span(self) -> float:
        """The largest minus the smallest change; 0 if all states are dead ends."""
        return max(self.largest - self.least, 0.0) if self.least < math.inf else 0.0

    @property
    def middle(self) -> float:
        """The midpoint of the smallest and the largest change; 0 if all states are dead ends."""
        return 0.5 * (self.largest + self.least) if self.least < math.inf else 0.0

    @property
    def size(self) -> float:
        """The supremum norm of the change; 0 if all states are dead ends."""
        return max(-self.least, self.largest) if self.least < math.inf else 0.0


@runtime_checkable
class Share(Protocol):
    """Some of the states, whose process agrees with the others on what depends on all states."""

    def largest(self, *numbers: float) -> list[float]:
        """The largest of each number over all shares."""
        ...

    def form(self, mdp: HasOutcomes, optimism: float, compiled: bool, possible: int) -> Form:
        """The form of the tables of every share; see `best_form`."""
        ...

    def dead_ends(self, mdp: HasOutcomes, allowed: Bool[Tensor, "state action"], optimist: bool) -> DeadEnds | None:
        """The dead ends among all successors of this share; see `dead_ends`."""
        ...

    def finish(self, out: Float[Tensor, " successor"], change: Change) -> Change:
        """The change over all shares in the sweep that has written `out`; `out` receives the values of others."""
        ...

    def size(self, v: Float[Tensor, " successor"]) -> float:
        """The largest |v| over all shares."""
        ...


@final
class AllStates:
    """The share of a process that holds all states."""

    def largest(self, *numbers: float) -> list[float]:
        """The numbers."""
        return list(numbers)

    def form(self, mdp: HasOutcomes, optimism: float, compiled: bool, possible: int) -> Form:
        """That of `best_form`."""
        return best_form(mdp, optimism, compiled, possible)

    def dead_ends(self, mdp: HasOutcomes, allowed: Bool[Tensor, "state action"], optimist: bool) -> DeadEnds | None:
        """The dead ends."""
        return dead_ends(mdp, allowed, optimist)

    def finish(self, out: Float[Tensor, " successor"], change: Change) -> Change:
        """The change."""
        return change

    def size(self, v: Float[Tensor, " successor"]) -> float:
        """The largest |v|."""
        return float(v.abs().max())


ALL_STATES = AllStates()


def best_form(mdp: HasOutcomes, optimism: float, compiled: bool, possible: int) -> Form:
    """The form by rule: dense if β = 0 and a row has enough outcomes; otherwise rows if over half is padding.

    A matrix product reads every state. A gather reads only the possible ones, but takes about twice as long for each in
    compiled loops and ten times as long in torch. "Enough" is therefore a half or a tenth of all states.

    Args:
        mdp: the problem.
        optimism: β.
        compiled: whether the gathers are compiled loops.
        possible: the number of outcomes of positive probability.
    """
    states, _, outcomes = mdp.probability.shape
    enough = 2 * outcomes >= states if compiled else 10 * outcomes >= states
    if optimism == 0 and states >= 32 and enough:
        return "dense"
    return "rows" if 2 * possible < mdp.probability.numel() else "padded"
