"""Dead ends: the states and actions from which a forbidden outcome cannot be avoided."""

from typing import NamedTuple, Protocol, final, runtime_checkable

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor


@runtime_checkable
class HasOutcomes(Protocol):
    """Tables of outcomes, such as a `TabularMDP` has."""

    @property
    def probability(self) -> Shaped[Tensor, "state action outcome"]:
        """p(k|s, a)."""
        ...

    @property
    def successor(self) -> Int[Tensor, "state action outcome"]:
        """The states that the outcomes lead to."""
        ...

    @property
    def reward(self) -> Shaped[Tensor, "state action outcome"]:
        """The rewards; −inf is forbidden."""
        ...


class DeadEnds(NamedTuple):
    """States and actions of value −inf, from which a forbidden outcome cannot be avoided.

    Attributes:
        state: the states in which every allowed action is lost.
        action: the actions after which a forbidden outcome can (β ≤ 0) or must (β > 0) follow, at once or later.
    """

    state: Bool[Tensor, " successor"]
    action: Bool[Tensor, "state action"]


def dead_ends(mdp: HasOutcomes, allowed: Bool[Tensor, "state action"], optimist: bool) -> DeadEnds | None:
    """The states and actions from which a forbidden outcome cannot be avoided.

    Args:
        mdp: the problem; outcomes of reward −inf are forbidden.
        allowed: actions of positive prior.
        optimist: whether β > 0. Then an action is lost only if every possible outcome is; otherwise if any one is.

    Returns:
        The lost states and actions, or None if nothing is forbidden.
    """
    forbidden = (mdp.reward == -torch.inf).flatten()
    if not bool(forbidden.any()):
        return None
    search = BackwardSearch(mdp, allowed, optimist, len(allowed))
    search.lose(forbidden.nonzero()[:, 0])
    return search.found


@final
class BackwardSearch:
    """The search for dead ends from lost outcomes backwards, one layer of states at a time."""

    def __init__(
        self, mdp: HasOutcomes, allowed: Bool[Tensor, "state action"], optimist: bool, num_successors: int
    ) -> None:
        """Sort the possible outcomes by their successor.

        Args:
            mdp, allowed, optimist: as for `dead_ends`.
            num_successors: the number of states that the outcomes lead to: those of the tables, then perhaps others.
        """
        states, actions, self._num_outcomes = mdp.probability.shape
        self._possible = (mdp.probability > 0).flatten()
        order = mdp.successor.flatten()[self._possible].argsort()
        self._sorted = self._possible.nonzero()[:, 0][order]  # the possible outcomes, sorted by successor
        self._arrivals = torch.searchsorted(
            mdp.successor.flatten()[self._sorted].contiguous(),
            torch.arange(num_successors + 1, device=self._sorted.device),
        )
        left = self._possible.reshape(states * actions, self._num_outcomes).sum(-1)  # outcomes that are not lost yet
        self._left = left if optimist else torch.ones_like(left)
        self._allowed, self._open = allowed, allowed.sum(-1)
        self._lost_outcome = torch.zeros_like(self._possible)
        self._lost_action, self._lost_state = torch.zeros_like(left, dtype=torch.bool), self._open == 0

    @property
    def found(self) -> DeadEnds:
        """The dead ends so far."""
        return DeadEnds(self._lost_state, self._lost_action.reshape(self._allowed.shape))

    def arrivals(self, states: Int[Tensor, " some"]) -> Int[Tensor, " outcome"]:
        """The possible outcomes that lead to some states, as indices of the flat tables."""
        first, last = self._arrivals[states], self._arrivals[states + 1]
        spans = last - first
        ahead = torch.arange(int(spans.sum()), device=spans.device) - (spans.cumsum(0) - spans).repeat_interleave(spans)
        return self._sorted[first.repeat_interleave(spans) + ahead]

    def lose(self, outcomes: Int[Tensor, " outcome"]) -> None:
        """Mark outcomes as lost, with all actions, states and outcomes that are lost because of them."""
        actions = self._allowed.shape[1]
        found = outcomes[self._possible[outcomes]]
        while len(found):
            found = found[~self._lost_outcome[found]]
            self._lost_outcome[found] = True
            rows = torch.div(found, self._num_outcomes, rounding_mode="floor")
            self._left.index_add_(0, rows, -torch.ones_like(rows))
            rows = rows.unique()
            rows = rows[(self._left[rows] <= 0) & ~self._lost_action[rows]]
            self._lost_action[rows] = True
            rows = rows[self._allowed.flatten()[rows]]
            owners = torch.div(rows, actions, rounding_mode="floor")
            self._open.index_add_(0, owners, -torch.ones_like(owners))
            owners = owners.unique()
            owners = owners[(self._open[owners] <= 0) & ~self._lost_state[owners]]
            self._lost_state[owners] = True
            found = self.arrivals(owners)
