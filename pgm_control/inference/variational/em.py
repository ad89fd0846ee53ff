"""Expectation maximisation: natural-gradient steps for guides that are not tables.

Sources:
    [abdolmaleki2018] A. Abdolmaleki et al., Maximum a posteriori policy optimisation. International Conference on
        Learning Representations, 2018. arXiv:1806.06920
    [neal1998] R. M. Neal and G. E. Hinton, A view of the EM algorithm that justifies incremental, sparse, and other
        variants. Learning in Graphical Models, pages 355–368, 1998. doi:10.1007/978-94-011-5014-9_12
"""

import math
from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.log_space import expect, relative
from ...errors import InvalidArgument
from ...problems.mdp import TabularMDP
from ...trajectories.blocks import Assignable, Blocks, HasBlocks, MarkovModel
from ...trajectories.samples import Occupancy
from .natural_gradient import improved
from .optimisers import LBFGS


def em_step(model: MarkovModel, guide: HasBlocks, step_size: float = 1.0, maximisation_steps: int = 20) -> float:
    r"""Improve the blocks of a guide as if they were tables, then fit its parameters to the improved blocks.

    Expectation: a natural-gradient step of size η (see `improved`) gives the targets $\pi^*_t$, $q^*_t$ and $q^*(s_0)$.
    Maximisation: the parameters θ are moved to lower

    $$KL(q^*(s_0) \| q_\theta(s_0))
        + \sum_t E_{old} \bigl[KL(\pi^*_t \| \pi_{\theta,t}) + KL(q^*_t \| q_{\theta,t})\bigr]$$

    by a few steps of L-BFGS, which is restarted every time, so that the next step depends only on the guide. States are
    weighted by how often the old guide visits them. Blocks that do not depend on a parameter are left out, and
    so are targets that the guide excludes: an action that one state masks, for a guide that ignores the state.

    A guide that can represent its targets (`ClampedGuide`) makes natural-gradient steps and reaches its optimum. One
    that cannot (`StationaryGuide`) ends at a compromise between its targets, slightly below its best ELBO. The loss
    falls with η², because the compromise is that of the ELBO only for small steps.

    Args:
        model: the true dynamics and the rewards.
        guide: a module whose blocks depend on its parameters, which are changed in place.
        step_size: η in (0, 1].
        maximisation_steps: the most iterations of L-BFGS.

    Returns:
        The ELBO before the step, in nats. If it is not finite, the parameters are unchanged.

    Raises:
        InvalidArgument: if the guide has no parameters, or is fitted to another objective than the ELBO.

    References:
        [abdolmaleki2018], [neal1998]
    """
    parameters = em_parameters(guide)
    with torch.no_grad():
        old = guide.blocks()
        target, before = improved(model, old, step_size)
        if not math.isfinite(before):
            return before
        visits = old.marginals()
    optimiser = LBFGS(
        parameters,
        max_iter=maximisation_steps,
        tolerance_grad=1e-12,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def distance() -> Tensor:
        optimiser.zero_grad()
        terms = [
            (weight * expect(log_target, relative(log_target, log_q))).sum()
            for log_target, log_q, weight in _within_support(_tables(target, guide.blocks(), visits, model.mdp))
            if log_q.requires_grad
        ]
        total = torch.stack(terms).sum()
        total.backward()
        return total

    optimiser.step(distance)  # pyright: ignore[reportArgumentType]  it takes tensors too
    optimiser.zero_grad()
    return before


def _tables(
    target: Blocks, now: Blocks, visits: Occupancy, mdp: TabularMDP
) -> Iterator[tuple[Tensor, Tensor, Float[Tensor, "*row"]]]:
    """For each block: the target, the guide's table, and how often the old guide visits each row."""
    yield target.log_initial, now.log_initial, now.log_initial.new_ones(())
    yield target.log_policy, now.log_policy, visits.state[:-1]
    yield target.log_dynamics, now.log_dynamics, visits.outcome.sum(-1)
    if target.log_survival is not None and now.log_survival is not None:
        arrived = torch.zeros_like(visits.state[1:])
        arrived.index_add_(1, mdp.successor.flatten(), visits.outcome.flatten(1))
        yield _continuation(target.log_survival), _continuation(now.log_survival), arrived


def _within_support(tables: Iterable[tuple[Tensor, Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The tables without targets that the guide excludes: no parameter lowers their KL, which is infinite."""
    for log_target, log_q, weight in tables:
        yield torch.where(torch.isneginf(log_q), -torch.inf, log_target), log_q, weight


def _continuation(log_survival: Float[Tensor, "time next_state"]) -> Float[Tensor, "time next_state 2"]:
    return torch.stack((log_survival, torch.log1p(-log_survival.exp())), -1)


def em_parameters(guide: object) -> list[torch.nn.Parameter]:
    """The parameters of the guide that require gradients.

    Raises:
        InvalidArgument: if there are none, or the guide is fitted to another objective than the ELBO.
    """
    name = type(guide).__name__
    found = [each for each in guide.parameters() if each.requires_grad] if isinstance(guide, torch.nn.Module) else []
    if not found:
        raise InvalidArgument(
            f'`guide` must have torch parameters for method="em", but {name} has none. A guide whose blocks can be '
            'assigned is fitted with method="natural_gradient" or "exact".'
        )
    if isinstance(guide, Assignable) and not guide.optimism.is_elbo:
        raise InvalidArgument(
            f'`guide` must be fitted to the ELBO for method="em", every β 0 or 1, but {name} has {guide.optimism}. Use '
            'method="natural_gradient" or "svi".'
        )
    return found
