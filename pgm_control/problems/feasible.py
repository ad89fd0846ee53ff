"""The feasible actions of each state, the measure that counts them, and the states without decisions."""

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from .mdp import TabularMDP


def feasible_actions(mdp: TabularMDP) -> Bool[Tensor, "*time state action"]:
    """A(s): whether an action has a possible outcome that is not forbidden by a reward of −inf.

    All actions of a state that has none: every choice there is as good as any other.
    """
    return feasible(mdp.probability, mdp.reward)


def feasible(
    probability: Shaped[Tensor, "*time state action outcome"], reward: Shaped[Tensor, "*time state action outcome"]
) -> Bool[Tensor, "*time state action"]:
    """The `feasible_actions` of tables of outcomes."""
    exists = ((probability > 0) & (reward > -torch.inf)).any(-1)
    return exists | ~exists.any(-1, keepdim=True)


def counting_measure(mdp: TabularMDP) -> Float[Tensor, "*time state action"]:
    """1 for each feasible action and 0 for the others: the action prior "count"."""
    return feasible_actions(mdp).to(mdp.probability.dtype)


def ended_states(mdp: TabularMDP) -> Bool[Tensor, " state"]:
    """The states in which an episode has ended: every feasible action stays there and pays 0.

    The actions there are no decisions any more, so that the entropy of a policy does not count them.
    """
    counts = (mdp.probability > 0) & (mdp.reward > -torch.inf)
    stays = mdp.successor == torch.arange(mdp.num_states, device=mdp.successor.device)[:, None, None]
    ended = ((stays & (mdp.reward == 0)) | ~counts).all((-1, -2))
    return ended if ended.ndim == 1 else ended.all(0)
