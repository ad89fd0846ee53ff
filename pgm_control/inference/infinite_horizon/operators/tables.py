"""The tables that a sweep reads, in the form that suits their size and branching, with dead ends removed."""

from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from ....kernels.backend import sweeps_for
from ....problems.checks import LARGE
from ....problems.dense import dense_of_outcomes
from ....problems.mdp import TabularMDP
from ....trajectories.remembered import kept
from . import sweeps as torch_sweeps
from .share import Form, HasOutcomes, Share

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


def tables(
    mdp: HasOutcomes,
    prior: Float[Tensor, "state_or_one action"],
    optimism: float,
    share: Share,
    form: Form | None = None,
) -> Tables:
    """Prepare an MDP for sweeps with optimism β.

    Args:
        mdp: the problem. Its arrays are shared, not copied, unless the form or a dead end requires a copy; successors
            become 32-bit integers.
        prior: ρ(a|s), or one row for all states.
        optimism: β; if it is 0, rewards are averaged over the outcomes.
        share: which of the states these are, and what is agreed with the processes that hold the others.
        form: the form of the dynamics; default: that of the share.
    """
    kernels: Any = sweeps_for(mdp.probability) or torch_sweeps
    compiled = kernels is not torch_sweeps
    p, reward, successor = mdp.probability.detach(), mdp.reward.detach(), mdp.successor.to(torch.int32)
    states, actions, outcomes = p.shape
    one = outcomes == 1 or reward.stride(-1) == 0  # r(s, a)

    def survey() -> tuple[Any, ...]:
        pay = reward[..., 0].double() if one else torch.empty(states, actions, dtype=torch.float64, device=p.device)
        flat = p.reshape(-1), (reward[..., 0] if one else reward).reshape(-1), pay
        return pay, *kernels.survey(*(t.numpy() for t in flat) if compiled else flat)

    keeps = isinstance(mdp, TabularMDP) and p.numel() < LARGE  # it is the same for each temperature and optimism
    found = kept(mdp, (tables, compiled), (mdp.probability, mdp.reward), survey) if keeps else survey()
    pay, slack, largest, possible, forbidden = found
    slack, largest, forbidden = share.largest(float(slack), float(largest), float(forbidden))
    if one and slack > _ROUNDING:
        pay = pay * p.sum(-1, dtype=torch.float64)
    form = form or share.form(mdp, optimism, compiled, int(possible))
    allowed = (prior > 0).expand(states, actions)
    lost = share.dead_ends(mdp, allowed, optimism > 0) if forbidden else None
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
        inside = p > 0
        counts = inside.reshape(-1, outcomes).sum(-1)
        rows = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
        longest = int(share.largest(float(counts.max()))[0])
        p, successor = p[inside], successor[inside]
        reward = reward[inside] if len(reward) else reward
    dead = None if lost is None or not bool(lost.state.any()) else lost.state
    return Tables(form, p, successor, reward, pay, rows, longest, prior, dead, slack, largest, lost is not None)


def _dense(mdp: HasOutcomes) -> Tensor:
    states, actions, outcomes = mdp.probability.shape
    everything = torch.arange(states, device=mdp.successor.device)
    if outcomes == states and bool((mdp.successor == everything).all()):
        return mdp.probability.detach().double().reshape(states * actions, states)
    return dense_of_outcomes(mdp.probability.detach().double(), mdp.successor, states).flatten(0, 1)
