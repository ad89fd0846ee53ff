"""The tables that a sweep reads, in the form that suits their size and branching, with dead ends removed."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, final

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from ...kernels.backend import sweeps_for
from ...problems.dense import dense_of_outcomes
from ...problems.mdp import TabularMDP
from . import sweeps as torch_sweeps

Form = Literal["padded", "rows", "dense"]
_ROUNDING = 1e-12  # by which the sums of rows of float64 may differ from 1


@final
@dataclass(frozen=True, eq=False)
class Tables:
    """The tables of a sweep. Forbidden outcomes and masked actions are already handled, so that values stay finite.

    Attributes:
        form: "padded", the outcomes as the MDP stores them; "rows", only those of positive probability, delimited by
            `rows`; or "dense", one matrix (state action, next_state).
        probability, successor, reward: flat, or the matrix. The reward is empty if `pay` contains it.
        pay: the mean reward if β = 0, otherwise 0 or empty. An action with −inf is not allowed.
        rows: the offset of each (state, action) in the flat tables, and the end; empty in the other forms.
        longest: the number of outcomes of the longest row.
        prior: ρ(a|s), or one row for all states.
        dead: the states of value −inf, or None.
        slack: the largest |Σ p − 1| of a row, where that matters (β = 0).
        largest_reward: the largest |reward| among the finite ones, for the bound on rounding.
        loses_mass: whether forbidden outcomes may take probability out of a row.
    """

    form: Form
    probability: Shaped[Tensor, "..."]
    successor: Int[Tensor, "..."]
    reward: Shaped[Tensor, "..."]
    pay: Float[Tensor, "state_or_none action_or_none"]
    rows: Int[Tensor, "..."]
    longest: int
    prior: Float[Tensor, "state_or_one action"]
    dead: Shaped[Tensor, " state"] | None
    slack: float
    largest_reward: float
    loses_mass: bool


def best_form(mdp: TabularMDP, optimism: float, compiled: bool, possible: int) -> Form:
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


def tables(
    mdp: TabularMDP, prior: Float[Tensor, "state_or_one action"], optimism: float, form: Form | None = None
) -> Tables:
    """Prepare an MDP for sweeps with optimism β.

    Args:
        mdp: the problem. Its arrays are shared, not copied, unless the form or a dead end requires a copy; successors
            become 32-bit integers.
        prior: ρ(a|s), or one row for all states.
        optimism: β; if it is 0, rewards are averaged over the outcomes.
        form: the form of the dynamics; default: that of `best_form`.
    """
    kernels: Any = sweeps_for(mdp.probability) or torch_sweeps
    compiled = kernels is not torch_sweeps
    p, reward, successor = mdp.probability.detach(), mdp.reward.detach(), mdp.successor.to(torch.int32)
    states, actions, outcomes = p.shape
    one = outcomes == 1 or reward.stride(-1) == 0  # r(s, a)
    pay = reward[..., 0].double() if one else torch.empty(states, actions, dtype=torch.float64, device=p.device)
    flat = p.reshape(-1), (reward[..., 0] if one else reward).reshape(-1), pay
    slack, largest, possible, forbidden = kernels.survey(*(t.numpy() for t in flat) if compiled else flat)
    if one and slack > _ROUNDING:
        pay = pay * p.sum(-1, dtype=torch.float64)
    form = form or best_form(mdp, optimism, compiled, possible)
    allowed = (prior > 0).expand(states, actions)
    lost = dead_ends(mdp, allowed, optimist=optimism > 0) if forbidden else None
    banned = ~allowed if lost is None else ~allowed | lost.action
    some_banned = bool(banned.any())
    if some_banned:
        pay = pay.masked_fill(banned, -torch.inf)  # a copy, since the rewards may be shared with the problem
    if optimism == 0:
        reward = p.new_empty(0)
    else:
        slack = 0.0  # L_β of a constant is the constant plus a log Σ p that does not depend on it
        pay = torch.zeros_like(pay).masked_fill_(banned, -torch.inf) if some_banned else pay.new_empty(0, 0)
        if lost is not None and bool(lost.state.any()):
            reward = torch.where(lost.state[mdp.successor], torch.full_like(reward, -torch.inf), reward)
    rows = torch.empty(0, dtype=torch.int64, device=p.device)
    longest = outcomes
    if form == "dense":
        p, successor = _dense(mdp), successor.new_empty(0)
    else:
        p, successor, reward = p.reshape(-1), successor.reshape(-1), reward.reshape(-1)
    if form == "rows":
        kept = p > 0
        counts = kept.reshape(-1, outcomes).sum(-1)
        rows = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
        longest = int(counts.max())
        p, successor = p[kept], successor[kept]
        reward = reward[kept] if len(reward) else reward
    dead = None if lost is None or not bool(lost.state.any()) else lost.state
    return Tables(form, p, successor, reward, pay, rows, longest, prior, dead, slack, largest, lost is not None)


def _dense(mdp: TabularMDP) -> Tensor:
    states, actions, outcomes = mdp.probability.shape
    everything = torch.arange(states, device=mdp.successor.device)
    if outcomes == states and bool((mdp.successor == everything).all()):
        return mdp.probability.detach().double().reshape(states * actions, states)
    return dense_of_outcomes(mdp.probability.detach().double(), mdp.successor, states).flatten(0, 1)


class DeadEnds(NamedTuple):
    """States and actions of value −inf, from which a forbidden outcome cannot be avoided.

    Attributes:
        state: the states in which every allowed action is lost.
        action: the actions after which a forbidden outcome can (β ≤ 0) or must (β > 0) follow, at once or later.
    """

    state: Bool[Tensor, " state"]
    action: Bool[Tensor, "state action"]


def dead_ends(mdp: TabularMDP, allowed: Bool[Tensor, "state action"], optimist: bool) -> DeadEnds | None:
    """Propagate the forbidden outcomes backwards until nothing changes, one layer of states at a time.

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
    states, actions, outcomes = mdp.probability.shape
    possible = (mdp.probability > 0).flatten()
    order = mdp.successor.flatten()[possible].argsort()
    sorted_outcomes = possible.nonzero()[:, 0][order]  # the possible outcomes, sorted by successor
    arrivals = torch.searchsorted(
        mdp.successor.flatten()[sorted_outcomes].contiguous(), torch.arange(states + 1, device=sorted_outcomes.device)
    )
    left = possible.reshape(states * actions, outcomes).sum(-1)  # outcomes that are not lost yet
    if not optimist:
        left = torch.ones_like(left)
    lost_outcome = torch.zeros_like(forbidden)
    lost_action, lost_state = torch.zeros_like(left, dtype=torch.bool), allowed.sum(-1) == 0
    open_actions = allowed.sum(-1)
    found = (forbidden & possible).nonzero()[:, 0]
    while len(found):
        found = found[~lost_outcome[found]]
        lost_outcome[found] = True
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
        ahead = torch.arange(int(spans.sum()), device=sorted_outcomes.device) - (
            spans.cumsum(0) - spans
        ).repeat_interleave(spans)
        found = sorted_outcomes[first.repeat_interleave(spans) + ahead]
    return DeadEnds(lost_state, lost_action.reshape(states, actions))
