r"""The objective of an affine-Gaussian distribution over trajectories, term by term, without sampling.

$$J_\beta = \sum_t \gamma^t \Bigl[\tfrac1\tau E\,r_t - E\,KL(\pi_t \| \rho) - \tfrac1\beta E\,KL(q_t \| p)\Bigr]
    + \tfrac{\gamma^T}\tau E\,r_T - \tfrac1{\beta_0} KL(q(s_0) \| p(s_0))$$

Each KL is between Gaussians whose means differ by an affine function of $z = (s, a)$.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.gaussian import gaussian_kl
from ...problems.continuous.linear_quadratic import LinearQuadratic
from .blocks import GaussianBlocks, GaussianMarginals
from .model import GaussianModel, log_det, timed_prior

_RANGE = 1e-9  # of a noise that has no density, relative to its size: what is outside of its range by rounding
_SAME = 1e-12  # relative difference of matrices that are the same but for rounding


class GaussianTerms(NamedTuple):
    """Expected rewards and divergences from the model by step, not weighed by the discount.

    Attributes:
        reward: the expected reward of each step and of the last state, in reward units.
        policy: the KL of the policy from the action prior, in nats; with Lebesgue measure minus its entropy.
        dynamics: the KL of the dynamics from the model's, in nats.
        initial: the KL of the start from the model's, in nats.
    """

    reward: Float[Tensor, "*batch time_and_last"]
    policy: Float[Tensor, "*batch time"]
    dynamics: Float[Tensor, "*batch time"]
    initial: Float[Tensor, "*batch"]


def true_blocks(model: GaussianModel, blocks: GaussianBlocks) -> GaussianBlocks:
    """The policy of the blocks with the start and the dynamics of the model."""
    problem = model.problem
    return blocks.replace(
        initial_mean=problem.initial_mean, initial_covariance=problem.initial_covariance,
        transition=problem.F, drift=problem.d, noise=problem.W,
    )  # fmt: skip


def expected_rewards(problem: LinearQuadratic, found: GaussianMarginals) -> Float[Tensor, "*batch time_and_last"]:
    """The expected reward of each step and of the last state, in reward units."""
    steps = -(_quadratic(problem.C, problem.c, found.mean, found.covariance) + problem.k)
    last = -(_quadratic(problem.final_P, problem.final_p, found.last_mean, found.last_covariance) + problem.final_v)
    return torch.cat((steps, last[..., None]), -1)


def expected_return(problem: LinearQuadratic, found: GaussianMarginals) -> Float[Tensor, "*batch"]:
    r"""$E \sum_t \gamma^t r_t$, in reward units."""
    return (expected_rewards(problem, found) * discounts(problem)).sum(-1)


def discounts(problem: LinearQuadratic) -> Float[Tensor, " time_and_last"]:
    """γ^t for t = 0 … T."""
    return problem.discount ** torch.arange(problem.horizon + 1, dtype=torch.float64)


def gaussian_terms(model: GaussianModel, blocks: GaussianBlocks) -> GaussianTerms:
    """The terms of the objective of these blocks, exactly."""
    problem, found = model.problem, blocks.marginals()
    n = problem.num_states
    return GaussianTerms(
        expected_rewards(problem, found),
        _policy(model, blocks, found),
        _moved(blocks.transition - problem.F, blocks.drift - problem.d, blocks.noise, problem.W, problem.noise_root,
               found.mean, found.covariance),
        _moved(torch.zeros_like(problem.initial_covariance), blocks.initial_mean - problem.initial_mean,
               blocks.initial_covariance, problem.initial_covariance, None, problem.initial_mean,
               torch.zeros_like(problem.initial_covariance)[..., :n, :n]),
    )  # fmt: skip


def objective_of(
    model: GaussianModel, blocks: GaussianBlocks, dynamics: float, initial: float, terms: GaussianTerms | None = None
) -> Float[Tensor, "*batch"]:
    """$J_β$ of the blocks, in nats; −∞ where β is 0 and the block is not the model's.

    Args:
        model: the model.
        blocks: the distribution.
        dynamics: β of the dynamics.
        initial: β₀ of the start.
        terms: those of the blocks, if they are known.
    """
    found = gaussian_terms(model, blocks) if terms is None else terms
    weight = discounts(model.problem)
    total = (weight * found.reward).sum(-1) / float(model.temperature) - (weight[:-1] * found.policy).sum(-1)
    total = total - _priced((weight[:-1] * found.dynamics).sum(-1), dynamics, keeps_dynamics(model, blocks))
    return total - _priced(found.initial, initial, keeps_start(model, blocks))


def keeps_dynamics(model: GaussianModel, blocks: GaussianBlocks) -> bool:
    """Whether the dynamics are those of the model, but for rounding."""
    problem = model.problem
    pairs = (blocks.transition, problem.F), (blocks.drift, problem.d), (blocks.noise, problem.W)
    return all(_is_same(*pair) for pair in pairs)


def keeps_start(model: GaussianModel, blocks: GaussianBlocks) -> bool:
    """Whether the start is that of the model, but for rounding."""
    problem = model.problem
    of_mean = _is_same(blocks.initial_mean, problem.initial_mean)
    return of_mean and _is_same(blocks.initial_covariance, problem.initial_covariance)


def _is_same(one: Tensor, other: Tensor) -> bool:
    one, other = one.detach(), other.detach()
    return one is other or bool((one - other).abs().max() <= _SAME * other.abs().max())


def _priced(kl: Tensor, beta: float, is_models: bool) -> Tensor:
    """KL/β; at β = 0 it is 0 for the block of the model and infinite for another."""
    if beta != 0:
        return kl / beta
    return torch.zeros_like(kl) if is_models else torch.full_like(kl, math.inf)


def _quadratic(P: Tensor, p: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """E(½ x'Px + p'x)."""
    inner = ((0.5 * (P @ mean[..., None])[..., 0] + p) * mean).sum(-1)
    return inner + 0.5 * (P * covariance).sum((-2, -1))


def _policy(model: GaussianModel, blocks: GaussianBlocks, found: GaussianMarginals) -> Tensor:
    """The KL of the policy from the prior by step; with Lebesgue measure minus the entropy of the policy."""
    prior, m = timed_prior(model), blocks.offset.shape[-1]
    if prior is None:
        return -0.5 * (log_det(blocks.policy_covariance) + m * (1 + math.log(2 * math.pi)))
    G, g, U = prior
    n = G.shape[-1]
    factor = torch.linalg.cholesky(U)
    states, spread = found.mean[..., :n], found.covariance[..., :n, :n]
    slope = torch.linalg.solve_triangular(factor, -blocks.gain - G, upper=False)
    shift = torch.linalg.solve_triangular(factor, (-blocks.offset - g)[..., None], upper=False)[..., 0]
    return gaussian_kl(_whitened(factor, blocks.policy_covariance), _mean_square(slope, shift, states, spread))


def _moved(
    slope: Tensor, shift: Tensor, noise: Tensor, W: Tensor, L: Tensor | None, mean: Tensor, covariance: Tensor
) -> Tensor:
    """The KL of N(Fz + d + slope z + shift, noise) from N(Fz + d, W), on average over z; W may be singular."""
    factor, failed = torch.linalg.cholesky_ex(W) if L is None else (L, (L.triu(1) != 0).any((-2, -1)).long())
    if not bool(failed.any()) and bool((factor.diagonal(dim1=-2, dim2=-1) > 0).all()):
        units = torch.linalg.solve_triangular(factor, torch.cat((slope, shift[..., None]), -1), upper=False)
        return gaussian_kl(_whitened(factor, noise), _mean_square(units[..., :-1], units[..., -1], mean, covariance))
    return _moved_within(slope, shift, noise, W, mean, covariance)


def _moved_within(slope: Tensor, shift: Tensor, noise: Tensor, W: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """As `_moved` for a singular W: the KL within its range, and infinity for what leaves it."""
    eigenvalues, vectors = torch.linalg.eigh(W)
    most = eigenvalues[..., -1:]
    inside = eigenvalues > _RANGE * most
    scale = torch.where(inside, eigenvalues, 1.0).rsqrt()[..., None] * vectors.mT
    flat = torch.where(inside[..., None], scale, 0.0)
    S = flat @ noise @ flat.mT + torch.diag_embed((~inside).to(W))
    units = flat @ torch.cat((slope, shift[..., None]), -1)
    kl = gaussian_kl(S, _mean_square(units[..., :-1], units[..., -1], mean, covariance))
    beyond = torch.where(inside[..., None], 0.0, vectors.mT)
    leaves = (beyond @ noise @ beyond.mT).abs().amax((-2, -1))
    off = beyond @ torch.cat((slope, shift[..., None]), -1)
    moved = _mean_square(off[..., :-1], off[..., -1], mean, covariance)
    size = noise.abs().amax((-2, -1)) + most[..., 0]
    reach = (mean.square().sum(-1) + covariance.diagonal(dim1=-2, dim2=-1).sum(-1) + 1.0).expand_as(moved)
    return torch.where((leaves > _RANGE * size) | (moved > _RANGE**2 * reach), torch.inf, kl)


def _whitened(factor: Tensor, covariance: Tensor) -> Tensor:
    """L⁻¹ Σ L⁻ᵀ."""
    half = torch.linalg.solve_triangular(factor, covariance, upper=False)
    found = torch.linalg.solve_triangular(factor, half.mT, upper=False)
    return 0.5 * (found + found.mT)


def _mean_square(slope: Tensor, shift: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """E|slope z + shift|² over z of this mean and covariance."""
    centre = (slope @ mean[..., None])[..., 0] + shift
    return centre.square().sum(-1) + ((slope @ covariance) * slope).sum((-2, -1))
