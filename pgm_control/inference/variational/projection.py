"""The moment projection: the blocks of a guide that are nearest to given blocks in forward KL.

Sources:
    [minka2005] T. Minka, Divergence measures and message passing. Microsoft Research, technical report MSR-TR-2005-173,
        2005.
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.log_space import expect, relative, weighted
from ...problems.mdp import TabularMDP
from ...trajectories.blocks import Blocks, HasBlocks
from ...trajectories.samples import Occupancy
from .optimisers import LBFGS


def forward_kl(target: Blocks, visits: Occupancy, blocks: Blocks) -> Float[Tensor, ""]:
    r"""The KL of a target from other blocks, p first, in nats: each row weighs as often as the target visits it.

    $$KL(p \| q) = KL(p(s_0) \| q(s_0)) + \sum_t E_p\bigl[KL(p_t(a \mid s) \| \pi_t) + KL(p_t(k \mid s, a) \| q_t)
        + KL(p_t(\mathrm{survive}) \| q_t(\mathrm{survive}))\bigr]$$

    It is the sum of one term per block, so that the best block of one kind does not depend on the others: the policy is
    fitted to the actions of p in the states that p visits, by weighted maximum likelihood [minka2005].

    Args:
        target: p.
        visits: the marginals of p, `target.marginals()`.
        blocks: q. It is infinite where q excludes what p does.

    References:
        [minka2005]
    """
    terms = [_divergence(*table) for _, *table in _tables(target, blocks, visits)]
    return torch.stack(terms).sum()


def move_towards(
    target: Blocks, visits: Occupancy, guide: HasBlocks, parameters: Sequence[Tensor], steps: int = 20
) -> None:
    """Lower the KL of the target from a guide by L-BFGS, started afresh, so that the result depends only on the guide.

    Blocks without parameters are left out, and so are targets that the guide excludes, such as an action that one state
    masks, for a guide that ignores the state: no parameter lowers their KL, which is infinite.

    Args:
        target: the blocks to move to.
        visits: how often each row counts.
        guide: its blocks depend on the parameters, which are changed in place.
        parameters: those to change.
        steps: the most iterations.
    """
    optimiser = LBFGS(
        parameters, max_iter=steps, tolerance_grad=1e-12, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def distance() -> Tensor:
        optimiser.zero_grad()
        terms = [
            _divergence(log_target, log_q, weight)
            for log_target, log_q, weight in _within_support(_tables(target, guide.blocks(), visits))
            if log_q.requires_grad
        ]
        total = torch.stack(terms).sum()
        total.backward()
        return total

    optimiser.step(distance)  # pyright: ignore[reportArgumentType]  it takes tensors too
    optimiser.zero_grad()


def excluded(target: Blocks, visits: Occupancy, blocks: Blocks) -> tuple[str, tuple[int, ...]] | None:
    """The name and index of the first entry that the target visits and these blocks exclude; None if there is none."""
    for name, log_target, log_q, weight in _tables(target, blocks, visits):
        missing = torch.isneginf(log_q) & (log_target > -torch.inf) & (weight > 0)[..., None]
        if bool(missing.any()):
            return name, tuple(missing.nonzero()[0].tolist())
    return None


def _divergence(
    log_target: Float[Tensor, "*row outcome"], log_q: Float[Tensor, "*row outcome"], weight: Float[Tensor, "*row"]
) -> Float[Tensor, ""]:
    return weighted(weight, expect(log_target, relative(log_target, log_q))).sum()


def _tables(
    target: Blocks, now: Blocks, visits: Occupancy
) -> Iterator[tuple[str, Float[Tensor, "*row outcome"], Float[Tensor, "*row outcome"], Float[Tensor, "*row"]]]:
    """For each block: its name, the target's table, that of now, and how often each row is visited."""
    yield "log_initial", target.log_initial, now.log_initial, now.log_initial.new_ones(())
    yield "log_policy", target.log_policy, now.log_policy, visits.state[:-1]
    yield "log_dynamics", target.log_dynamics, now.log_dynamics, visits.outcome.sum(-1)
    if target.log_survival is not None or now.log_survival is not None:
        yield "log_survival", _continuation(target), _continuation(now), _arrivals(target.mdp, visits)


def _within_support(
    tables: Iterable[tuple[str, Tensor, Tensor, Tensor]],
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The tables without the targets that the guide excludes."""
    for _, log_target, log_q, weight in tables:
        yield torch.where(torch.isneginf(log_q), -torch.inf, log_target), log_q, weight


def _arrivals(mdp: TabularMDP, visits: Occupancy) -> Float[Tensor, "time next_state"]:
    """How often each state is where the outcome of a step leads, before survival is drawn."""
    arrived = torch.zeros_like(visits.state[1:])
    return arrived.index_add_(1, mdp.successor.flatten(), visits.outcome.flatten(1))


def _continuation(blocks: Blocks) -> Float[Tensor, "time next_state 2"]:
    """Log-probabilities of surviving a step and of ending."""
    log_survival = blocks.survival.log() if blocks.log_survival is None else blocks.log_survival
    return torch.stack((log_survival, torch.log1p(-log_survival.exp())), -1)
