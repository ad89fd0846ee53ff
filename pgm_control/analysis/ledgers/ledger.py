"""The ledger: the gap between a guide's ELBO and the log evidence, decomposed by block, step, state and action.

Sources:
    [howard1972] R. A. Howard and J. E. Matheson, Risk-sensitive Markov decision processes. Management Science
        18(7):356–369, 1972. doi:10.1287/mnsc.18.7.356
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
"""

import math
from typing import Any, overload

import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.factors import aligned, conditionals
from ...chance.log_space import expect, relative
from ...chance.operators import certainty_equivalent, tilt
from ...chance.optimism import Optimism, OptimismLike
from ...errors import InvalidArgument
from ...inference.exact.grid.posterior import GridPosterior
from ...inference.exact.infer import infer
from ...inference.exact.posterior import Posterior
from ...inference.variational.elbo import FREE, objective_of
from ...problems.mdp import TabularMDP, last_reward
from ...trajectories.action_measure import evidence_name
from ...trajectories.beliefs import tilted_events
from ...trajectories.betas import Betas, at_temperatures, sizes_of
from ...trajectories.blocks import Blocks, MarkovModel, require_model
from ...trajectories.gaussian.blocks import GaussianBlocks, HasGaussianBlocks
from ...trajectories.gaussian.model import GaussianModel, is_gaussian
from ...trajectories.samples import Occupancy
from ...trajectories.steps import log_likelihood, temperature_at, temperatures_of
from ...trajectories.tabulate import Tabulable, tabulate
from ..clamped import arrivals, continuation, strays
from ..continuous.meshes import HasMesh, has_mesh
from .continuous import continuous_ledger
from .continuous_ledger import ContinuousLedger
from .ledger_result import Ledger
from .on_a_mesh import ledger_on_a_mesh

_EVENTS = 5  # the number of random events that are kept


@overload
def ledger(
    model: GaussianModel, guide: HasGaussianBlocks | GaussianBlocks, optimism: OptimismLike = FREE
) -> ContinuousLedger: ...
@overload
def ledger(model: HasMesh, guide: GridPosterior, optimism: OptimismLike = FREE) -> ContinuousLedger: ...
@overload
def ledger(model: MarkovModel, guide: Tabulable, optimism: OptimismLike = FREE) -> Ledger: ...
@torch.no_grad()
def ledger(
    model: MarkovModel | GaussianModel | HasMesh,
    guide: Tabulable | HasGaussianBlocks | GaussianBlocks | Any,
    optimism: OptimismLike = FREE,
) -> Ledger | ContinuousLedger:
    r"""Decompose the gap between a guide and the exact posterior, exactly.

    $$\log p(O) - \mathrm{ELBO}(q) = KL(q(s_0) \,\|\, q^*(s_0)) + \sum_t E_q\bigl[KL(\pi_t \,\|\, \pi^*_t)
        + KL(q_t(k) \,\|\, q^*_t(k)) + KL(\text{survival}_t \,\|\, \text{survival}^*_t)\bigr]$$

    Here $q^*$ is the exact posterior with every block free, and the expectation is over the guide's own trajectories.
    Both sides are infinite if the guide reaches what the posterior cannot reach. With a discount the posterior frees
    survival too, and a guide with clamped survival pays for it. For another optimism the same identity holds for its
    objective,

    $$J_\beta^* - J_\beta(q) = \tfrac1{\beta_0} KL(q(s_0) \,\|\, q^*(s_0)) + \sum_t E_q\bigl[KL(\pi_t \,\|\, \pi^*_t)
        + \tfrac1\beta KL(q_t \,\|\, q^*_t) + \tfrac1{\beta_s} KL(\text{survival}_t \,\|\, \text{survival}^*_t)\bigr],$$

    where a block with β = 0 must be the model's: its entry is 0 if it is, and infinite if not. The entry of a block
    with β < 0 is negative or 0: the adversary of the guide is not the worst possible. Parts of blocks with their own β,
    by table or by factor, are treated in the same way. If no trajectory is possible, log p(O) = −inf, every guide is as
    good as any other, and all entries are 0.

    For a linear-quadratic model the entries are closed forms by block and step, and survival is clamped in both guides.
    For a problem in the plane or on the line they are sums over the nodes of a mesh on which the guide and the optimum
    are solved together, with a stated error.

    Args:
        model: a tabular or linear-quadratic model, or one in the plane or on the line, with a positive temperature.
        guide: anything with `blocks()`; for a tabular model also a Pyro function (see `tabulate`), or a policy, which
            comes with the true start and dynamics (see `evaluate`). In the plane and on the line, a posterior of
            `infer`.
        optimism: β of the objective, a number, a `Risk` or an `Optimism`. The first two leave survival clamped, as in
            `infer`.

    Returns:
        A `Ledger` with the entries in nats, or a `ContinuousLedger`; print it.

    Raises:
        InvalidArgument: if the temperature is 0, if parts of `optimism` do not fit the model, or if a negative β makes
            some entries +inf and others −inf.
        InvalidGuide: if the guide does not fit the model.

    References:
        [levine2018], [howard1972]
    """
    if is_gaussian(model):
        return continuous_ledger(model, guide, Optimism.of(optimism))
    if has_mesh(model):
        return ledger_on_a_mesh(model, guide, Optimism.of(optimism))
    model = require_model(model, in_nats=True, timed=True)
    beta, mdp = at_temperatures(Optimism.of(optimism), model.temperature), model.mdp
    tables: Any = guide
    blocks, truth, best = tabulate(model, tables), model.blocks(), infer(model, beta)
    optimal = best.value / temperature_at(model, 0)
    visits, betas = blocks.marginals(), Betas.of(mdp, beta, model.temperature)
    in_truth = truth.replace(log_policy=blocks.log_policy).marginals()
    entries = _entries(best, betas, blocks, truth, visits)
    reached = _reached(model, blocks, beta, entries)
    if optimal == reached == -math.inf:
        entries = [torch.zeros_like(each) for each in entries]
    return Ledger(
        mdp,
        beta,
        optimal,
        reached,
        *entries,
        delusion_by_step=_delusion(mdp, visits, in_truth),
        jensen=_jensen(best, betas),
        events=tilted_events(model, blocks, _EVENTS),
        posterior_events=tilted_events(model, best, _EVENTS),
        evidence_name=evidence_name(model),
    )


def _entries(best: Posterior, betas: Betas, q: Blocks, p: Blocks, visits: Occupancy) -> list[Tensor]:
    """The entries of start, policy, dynamics and survival: KL from the optimum times visits and price 1/β."""
    mdp, top, weights = best.model.mdp, best.distribution, betas.weights()
    starts = sizes_of(mdp.initial_factors, mdp.num_states, betas.initial)
    outcomes = sizes_of(mdp.factors, mdp.num_outcomes, betas.dynamics)
    of_start = _charge(q.log_initial, top.log_initial, p.log_initial, starts, weights.initial)
    of_dynamics = _charge(q.log_dynamics, top.log_dynamics, p.log_dynamics, outcomes, weights.dynamics)
    survives = continuation(q, mdp)
    of_survival = _charge(survives, _optimal_continuation(best, betas), continuation(p, mdp), [2], [weights.survival])
    return [
        _weighed(visits.state[0], of_start),
        _weighed(visits.state[:-1], expect(q.log_policy, relative(q.log_policy, top.log_policy))),
        _weighed(visits.outcome.sum(-1), expect(q.log_dynamics, of_dynamics)),
        _weighed(arrivals(mdp, visits), expect(survives, of_survival)),
    ]


def _charge(
    log_q: Float[Tensor, "*row outcome"],
    log_best: Float[Tensor, "*row outcome"],
    log_true: Float[Tensor, "*row outcome"],
    sizes: Any,
    weights: Any,
) -> Float[Tensor, "*row outcome"]:
    """log q/q* over β by outcome, summed over the factors; at β = 0, 0 if q is the model's and infinite if not."""
    total: Tensor | None = None
    for i, (q, optimal, weight) in enumerate(
        zip(conditionals(log_q, sizes), conditionals(log_best, sizes), weights, strict=True)
    ):
        price = aligned(torch.as_tensor(weight, dtype=q.dtype, device=q.device), i + 1)
        each = torch.where(price == 0, 0.0, torch.where(price == 0, 1.0, price) * relative(q, optimal))
        each = aligned(each, len(sizes) - 1 - i)
        total = each if total is None else total + each
    assert total is not None
    return torch.where(strays(log_q, log_true, sizes, weights), torch.inf, total.flatten(log_q.ndim - 1))


def _weighed(probability: Tensor, x: Tensor) -> Tensor:
    """Probability times x; 0 where the probability is 0, even if x is infinite."""
    return probability * torch.where(probability > 0, x, 0.0)


def _optimal_continuation(best: Posterior, betas: Betas) -> Float[Tensor, "time next_state continuation"]:
    """The optimal `_continuation`, computed from values: log(1 − survival) is imprecise if survival is near 1."""
    model = best.model
    return tilt(_after(best), continuation(model.blocks(), model.mdp), 1.0, betas.survival)


def _after(best: Posterior) -> Float[Tensor, "time next_state continuation"]:
    """The values of surviving and of ending, in nats."""
    v = best.v[1:] / best.v.new_tensor(temperatures_of(best.model)[1:])[:, None]
    return torch.stack((v, torch.zeros_like(v)), -1)


def _reached(model: MarkovModel, blocks: Blocks, optimism: Optimism, entries: list[Tensor]) -> float:
    """The guide's objective; −inf if it reaches what the optimum cannot, or a clamped block is not the model's."""
    undefined = bool(torch.stack([entry.sum() for entry in entries]).sum().isnan())
    found = math.nan if undefined else float(objective_of(model, blocks, optimism))
    excluded = any(bool((entry == torch.inf).any()) for entry in entries)
    if undefined or (math.isnan(found) and not excluded):
        raise InvalidArgument(
            "`guide` must stay on the support of the optimum, in blocks with β > 0 or in those with β < 0, but leaves "
            "it in both: the gap is infinity minus infinity. Give the guide the optimum's blocks in one of them."
        )
    return -math.inf if excluded else found


def _delusion(mdp: TabularMDP, imagined: Occupancy, true: Occupancy) -> Float[Tensor, " time_and_last"]:
    last = last_reward(mdp)

    def by_step(visits: Occupancy) -> Tensor:
        steps = _weighed(visits.outcome, mdp.reward.expand_as(visits.outcome)).sum((1, 2, 3))
        return torch.cat((steps, _weighed(visits.state[-1], last).sum(0, keepdim=True)))

    return _difference(by_step(imagined), by_step(true))


def _jensen(best: Posterior, betas: Betas) -> Float[Tensor, "time state action"]:
    mdp = best.model.mdp
    ahead = certainty_equivalent(_after(best), continuation(best.model.blocks(), mdp), 1.0, betas.survival)
    x, log_p = log_likelihood(best.model) + ahead[:, mdp.successor], mdp.probability.log()
    gain = _difference(certainty_equivalent(x, log_p, 1.0, 1.0), certainty_equivalent(x, log_p, 1.0, 0.0))
    return gain.clamp(min=0.0)  # rounding


def _difference(one: Tensor, other: Tensor) -> Tensor:
    """The difference; 0 where both are −inf."""
    return torch.where(one == other, 0.0, one - other)
