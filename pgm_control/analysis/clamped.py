"""Where a guide leaves the model although the block is clamped: there its objective is −inf."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..chance.factors import Number, aligned, conditionals
from ..problems.mdp import TabularMDP
from ..trajectories.betas import Betas, sizes_of
from ..trajectories.blocks import Blocks
from ..trajectories.samples import Occupancy

_SLACK = 4096  # units of rounding that a clamped block may differ from the model's


def strays(
    log_q: Float[Tensor, "*row outcome"],
    log_p: Float[Tensor, "*row outcome"],
    sizes: Sequence[int],
    weights: Sequence[Number],
) -> Bool[Tensor, "*row outcome"]:
    """Whether an outcome has another probability than in the model, in a factor whose price is 0: it is clamped."""
    total: Tensor | None = None
    for i, (q, p, weight) in enumerate(
        zip(conditionals(log_q, sizes), conditionals(log_p, sizes), weights, strict=True)
    ):
        clamped = aligned(torch.as_tensor(weight, dtype=q.dtype, device=q.device), i + 1) == 0
        foreign = (q.exp() - p.exp()).abs() > _SLACK * torch.finfo(q.dtype).eps
        each = aligned(foreign & clamped, len(sizes) - 1 - i)
        total = each if total is None else total | each
    assert total is not None
    return total.flatten(log_q.ndim - 1)


def leaves_the_model(mdp: TabularMDP, q: Blocks, p: Blocks, weights: Betas) -> bool:
    """Whether the guide, on its own trajectories, differs from the model in a clamped block."""
    visits = q.marginals()
    starts = sizes_of(mdp.initial_factors, mdp.num_states, weights.initial)
    outcomes = sizes_of(mdp.factors, mdp.num_outcomes, weights.dynamics)
    of_survival = strays(continuation(q, mdp), continuation(p, mdp), [2], [weights.survival])
    return bool(
        ((visits.state[0] > 0) & strays(q.log_initial, p.log_initial, starts, weights.initial)).any()
        or ((visits.outcome > 0) & strays(q.log_dynamics, p.log_dynamics, outcomes, weights.dynamics)).any()
        or ((arrivals(mdp, visits) > 0) & of_survival.any(-1)).any()
    )


def continuation(blocks: Blocks, mdp: TabularMDP) -> Float[Tensor, "time next_state continuation"]:
    """Log-probabilities of surviving and of ending, by the state that a step leads to."""
    alive = blocks.log_survival
    if alive is None:
        return mdp.initial.new_tensor([mdp.discount, 1.0 - mdp.discount]).log().expand(mdp.horizon, mdp.num_states, 2)
    return torch.stack((alive, torch.log1p(-alive.exp())), -1)


def arrivals(mdp: TabularMDP, visits: Occupancy) -> Float[Tensor, "time next_state"]:
    """The probability of each state that a step leads to, before the step is survived."""
    return torch.zeros_like(visits.state[1:]).index_add(1, mdp.successor.flatten(), visits.outcome.flatten(1))
