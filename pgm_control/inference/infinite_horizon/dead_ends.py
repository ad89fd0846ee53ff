"""States from which a forbidden outcome cannot be avoided: their value is −inf, whatever is done."""

from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from ...problems.mdp import TabularMDP


class DeadEnds(NamedTuple):
    """What a forbidden outcome spoils.

    Attributes:
        state: no allowed action is left.
        action: a forbidden outcome can (β ≤ 0) or must (β > 0) follow, at once or later.
    """

    state: Bool[Tensor, " state"]
    action: Bool[Tensor, "state action"]


def dead_ends(mdp: TabularMDP, allowed: Bool[Tensor, "state action"], optimist: bool) -> DeadEnds | None:
    """Spread the forbidden outcomes backwards until nothing changes, a wave of states at a time.

    Args:
        mdp: the problem; outcomes of reward −inf are forbidden.
        allowed: actions of positive prior.
        optimist: β > 0: an action is lost only if every possible outcome is. Else one lost outcome is enough.

    Returns:
        What is lost, or None where nothing is forbidden and every state has an action.
    """
    forbidden = (mdp.reward == -torch.inf).flatten()
    if not bool(forbidden.any()):
        return None
    states, actions, outcomes = mdp.probability.shape
    possible = (mdp.probability > 0).flatten()
    order = mdp.successor.flatten()[possible].argsort()
    faces = possible.nonzero()[:, 0][order]  # the possible faces, sorted by where they lead
    arrivals = torch.searchsorted(
        mdp.successor.flatten()[faces].contiguous(), torch.arange(states + 1, device=faces.device)
    )
    left = possible.reshape(states * actions, outcomes).sum(-1)  # faces that are not lost yet
    if not optimist:
        left = torch.ones_like(left)
    lost_face = torch.zeros_like(forbidden)
    lost_action, lost_state = torch.zeros_like(left, dtype=torch.bool), allowed.sum(-1) == 0
    open_actions = allowed.sum(-1)
    found = (forbidden & possible).nonzero()[:, 0]
    while len(found):
        found = found[~lost_face[found]]
        lost_face[found] = True
        rows = torch.div(found, outcomes, rounding_mode="floor")
        left.index_add_(0, rows, -torch.ones_like(rows))
        rows = rows.unique()
        rows = rows[(left[rows] <= 0) & ~lost_action[rows]]
        lost_action[rows] = True
        rows = rows[allowed.flatten()[rows]]
        owners = torch.div(rows, actions, rounding_mode="floor")
        open_actions.index_add_(0, owners, -torch.ones_like(owners))
        owners = owners.unique()
        owners = owners[(open_actions[owners] <= 0) & ~lost_state[owners]]
        lost_state[owners] = True
        first, last = arrivals[owners], arrivals[owners + 1]
        spans = last - first
        ahead = torch.arange(int(spans.sum()), device=faces.device) - (spans.cumsum(0) - spans).repeat_interleave(spans)
        found = faces[first.repeat_interleave(spans) + ahead]
    return DeadEnds(lost_state, lost_action.reshape(states, actions))
