"""Analysis of a guide of an ensemble's joint problem: its beliefs, policies and true returns by member."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidGuide, InvalidProblem
from ..problems.ensemble import Ensemble
from ..runtime.arguments import shown, whole_number
from ..trajectories.blocks import Blocks, HasBlocks, blocks_of
from .evaluate import true_return


def believed_weights(ensemble: Ensemble, guide: HasBlocks) -> Float[Tensor, " member"]:
    r"""The probabilities that a guide of the joint problem assigns to the members, $q(m) = \sum_s q(m, s_0 = s)$."""
    _require(ensemble)
    return _of_joint(ensemble, guide).log_initial.detach().exp().unflatten(0, (len(ensemble.members), -1)).sum(-1)


def member_blocks(ensemble: Ensemble, guide: HasBlocks, member: int | str) -> Blocks:
    """The blocks of a guide of the joint problem, conditional on one member.

    Args:
        ensemble: the members.
        guide: a guide or a posterior of `ensemble.joint()`.
        member: the name or the index of a member.

    Returns:
        The conditional blocks, over the member's own states and outcomes. If the guide gives the member probability 0,
        the start distribution is the member's own.

    Raises:
        InvalidProblem: if the member does not exist.
    """
    _require(ensemble)
    members, names = ensemble.members, ensemble.names
    given = whole_number(names.index(member) if isinstance(member, str) and member in names else member)
    if given is None or not 0 <= given < len(members):
        raise InvalidProblem(f"`member` must be one of {', '.join(names)}, or its index, but is {shown(member)}.")
    blocks, states = _of_joint(ensemble, guide), members[0].num_states
    here = slice(given * states, (given + 1) * states)
    start = blocks.log_initial[here]
    start = members[given].initial.log() if start.isneginf().all() else start.log_softmax(-1)
    alive = None if blocks.log_survival is None else blocks.log_survival[:, here]
    num_outcomes = members[given].num_outcomes
    return Blocks(
        members[given], start, blocks.log_policy[:, here], blocks.log_dynamics[:, here, :, :num_outcomes], alive
    )


def member_returns(ensemble: Ensemble, guide: HasBlocks) -> Float[Tensor, "member member"]:
    """The true return of the policy for each member (rows) in each member (columns), in reward units.

    An agent that draws the member it plans for from `believed_weights(ensemble, guide)` earns
    `believed_weights @ member_returns @ ensemble.weights` on average.
    """
    _require(ensemble)
    plans = [member_blocks(ensemble, guide, i).log_policy.detach() for i in range(len(ensemble.members))]
    return torch.tensor(
        [[true_return(each, plan) for each in ensemble.members] for plan in plans], dtype=ensemble.weights.dtype
    )


def _require(ensemble: object) -> None:
    if not isinstance(ensemble, Ensemble):
        raise InvalidProblem(f"`ensemble` must be an Ensemble, but is {shown(ensemble)}.")


def _of_joint(ensemble: Ensemble, guide: HasBlocks) -> Blocks:
    """The blocks of a guide of the joint problem."""
    blocks, states = blocks_of(guide), len(ensemble.members) * ensemble.members[0].num_states
    if len(blocks.log_initial) != states:
        raise InvalidGuide(
            f"`guide` must be one of the joint problem, which has {states} states, but has {len(blocks.log_initial)}. "
            "Build it from TabularModel(ensemble.joint())."
        )
    return blocks
