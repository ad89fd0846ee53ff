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

_RANGE = 1e-11  # an eigenvalue of a correlation matrix that is 0 but for rounding
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


def has_density(blocks: GaussianBlocks) -> bool:
    """Whether the policy draws every action from a density, which at temperature 0 it does not."""
    return not bool(torch.linalg.cholesky_ex(blocks.policy_covariance.detach()).info.any())


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
    still = torch.zeros_like(problem.initial_covariance)
    step = blocks.transition - problem.F, blocks.drift - problem.d, blocks.noise, problem.W
    start = still, blocks.initial_mean - problem.initial_mean, blocks.initial_covariance, problem.initial_covariance
    return GaussianTerms(
        expected_rewards(problem, found),
        policy_divergence(model, blocks, found),
        _moved(*step, found.mean, found.covariance),
        _moved(*start, problem.initial_mean, still),
    )


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


def policy_divergence(
    model: GaussianModel, blocks: GaussianBlocks, found: GaussianMarginals
) -> Float[Tensor, "*batch time"]:
    """The KL of the policy from the prior by step; with Lebesgue measure minus the entropy of the policy.

    It is infinite for a policy without density, as at temperature 0.
    """
    if not has_density(blocks):
        return torch.full_like(blocks.offset[..., 0], math.inf)
    prior, m = timed_prior(model), blocks.offset.shape[-1]
    if prior is None:
        return -0.5 * (log_det(blocks.policy_covariance) + m * (1 + math.log(2 * math.pi)))
    G, g, U = prior
    n = G.shape[-1]
    factor = torch.linalg.cholesky(U)
    states, spread = found.mean[..., :n], found.covariance[..., :n, :n]
    both = torch.cat((-blocks.gain - G, (-blocks.offset - g)[..., None]), -1)
    units = torch.linalg.solve_triangular(factor, both, upper=False)
    return gaussian_kl(_whitened(factor, blocks.policy_covariance), _mean_square(units, states, spread))


def _moved(slope: Tensor, shift: Tensor, noise: Tensor, W: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """The KL of N(Fz + d + slope z + shift, noise) from N(Fz + d, W), on average over z; W may be singular.

    It is infinite where the former leaves the range of W. The range is that of the correlation matrix, so that the
    units of the components of the state do not matter.
    """
    scale = W.diagonal(dim1=-2, dim2=-1).sqrt()
    scale = torch.where(scale > 0, scale, 1.0)
    both = torch.cat((slope, shift[..., None]), -1) / scale[..., None]
    noise, W = (each / (scale[..., None] * scale[..., None, :]) for each in (noise, W))
    factor, failed = torch.linalg.cholesky_ex(W)
    if not bool(failed.any()) and bool((factor.diagonal(dim1=-2, dim2=-1).square() > _RANGE).all()):
        units = torch.linalg.solve_triangular(factor, both, upper=False)
        return gaussian_kl(_whitened(factor, noise), _mean_square(units, mean, covariance))
    eigenvalues, vectors = torch.linalg.eigh(W)
    inside = eigenvalues > _RANGE
    flat = torch.where(inside, torch.where(inside, eigenvalues, 1.0).rsqrt(), 0.0)[..., None] * vectors.mT
    S = flat @ noise @ flat.mT + torch.diag_embed((~inside).to(W))
    kl = gaussian_kl(S, _mean_square(flat @ both, mean, covariance))
    beyond = torch.where(inside[..., None], 0.0, vectors.mT)
    leaves = (beyond @ noise @ beyond.mT).abs().amax((-2, -1))
    moved = _mean_square(beyond @ both, mean, covariance)
    reach = mean.square().sum(-1) + covariance.diagonal(dim1=-2, dim2=-1).sum(-1) + 1.0
    return torch.where((leaves > _RANGE) | (moved > _RANGE * reach), torch.inf, kl)


def _whitened(factor: Tensor, covariance: Tensor) -> Tensor:
    """L⁻¹ Σ L⁻ᵀ."""
    half = torch.linalg.solve_triangular(factor, covariance, upper=False)
    found = torch.linalg.solve_triangular(factor, half.mT, upper=False)
    return 0.5 * (found + found.mT)


def _mean_square(both: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """E|slope z + shift|² over z of this mean and covariance; `both` is the slope with the shift as a last column."""
    slope, shift = both[..., :-1], both[..., -1]
    centre = (slope @ mean[..., None])[..., 0] + shift
    return centre.square().sum(-1) + ((slope @ covariance) * slope).sum((-2, -1))
