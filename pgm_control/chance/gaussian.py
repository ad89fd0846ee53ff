r"""The certainty equivalent of a quadratic value under Gaussian noise, and the Gaussian that attains it.

For $V(s) = -(\tfrac12 s'Ps + p's + v)$, $s \sim N(\mu, W)$, $W = LL'$ and θ = β/τ,

$$L_\beta[V](\mu) = \tfrac1\theta \log E\, e^{\theta V(s)} = -(\tfrac12 \mu'\tilde P\mu + \tilde p'\mu + \tilde v)$$

is attained by $N(\mu - \theta S(P\mu + p), S)$, $S = L (I + \theta L'PL)^{-1} L'$. It is infinite unless
$I + \theta L'PL$ is positive definite.

Sources:
    [jacobson1973] D. H. Jacobson, Optimal stochastic linear systems with exponential performance criteria and their
        relation to deterministic differential games. IEEE Transactions on Automatic Control 18(2):124–131, 1973.
        doi:10.1109/TAC.1973.1100265
    [whittle1981] P. Whittle, Risk-sensitive linear/quadratic/Gaussian control. Advances in Applied Probability
        13(4):764–777, 1981. doi:10.2307/1426972
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class GaussianEquivalent(NamedTuple):
    """The certainty equivalent $-(½ μ'P̃μ + p̃'μ + ṽ)$, the covariance that attains it, and whether it is finite."""

    P: Float[Tensor, "*batch state state"]
    p: Float[Tensor, "*batch state"]
    v: Float[Tensor, "*batch"]
    covariance: Float[Tensor, "*batch state state"]
    is_finite: Bool[Tensor, "*batch"]


def gaussian_equivalent(
    P: Float[Tensor, "*batch state state"],
    p: Float[Tensor, "*batch state"],
    v: Float[Tensor, "*batch"],
    noise_root: Float[Tensor, "*#batch state noise"],
    theta: Float[Tensor, "*#batch"],
) -> GaussianEquivalent:
    r"""The certainty equivalent of a quadratic value, for any θ.

    $$S = L (I + \theta L'PL)^{-1} L', \quad \tilde P = P - \theta PSP, \quad \tilde p = p - \theta PSp, \quad
        \tilde v = v + \frac{\log\det(I + \theta L'PL)}{2\theta} - \frac\theta2 p'Sp$$

    At θ = 0 these are P, p and $v + \tfrac12 \mathrm{tr}(WP)$. Neither W nor P is inverted, so that W may be singular.

    Args:
        P, p, v: the value $V(s) = -(½ s'Ps + p's + v)$, in reward units.
        noise_root: L with $LL' = W$.
        theta: θ = β/τ, in 1/reward.

    Returns:
        The certainty equivalent. Where it is infinite, `is_finite` is False and its numbers have no meaning.

    References:
        [jacobson1973], [whittle1981]
    """
    L, scale = noise_root, theta[..., None, None]
    X = L.mT @ P @ L
    unit = torch.eye(X.shape[-1], dtype=P.dtype, device=P.device)
    factor, failed = torch.linalg.cholesky_ex(unit + scale * X)
    half = torch.linalg.solve_triangular(factor, L.mT, upper=False)  # S = half' half
    pull = half @ P
    Y = torch.linalg.solve_triangular(factor.mT, pull, upper=True)  # M⁻¹L'P
    Sp = (half.mT @ (half @ p[..., None]))[..., 0]
    kept = torch.eye(P.shape[-1], dtype=P.dtype, device=P.device) - scale * L @ Y  # I − θSP
    return GaussianEquivalent(
        # The same matrix twice. With θ > 0 the difference cancels, and the value at the believed mean plus the price of
        # believing it does not; with θ < 0 it is the other way round.
        torch.where(scale > 0, kept.mT @ P @ kept + scale * Y.mT @ Y, P - scale * pull.mT @ pull),
        p - theta[..., None] * (P @ Sp[..., None])[..., 0],
        v + _log_det(torch.where((failed > 0)[..., None, None], 0.0, X), theta) - 0.5 * theta * (p * Sp).sum(-1),
        half.mT @ half,
        failed == 0,
    )


def _log_det(X: Tensor, theta: Tensor) -> Tensor:
    """log det(I + θX) / (2θ), to the last digits near θ = 0 too, where it is tr(X)/2."""
    x = torch.linalg.eigvalsh(X)
    limits = torch.finfo(x.dtype)
    none = (theta.abs() < limits.tiny / limits.eps)[..., None] & ((theta[..., None] * x).abs() < limits.eps)
    scale = torch.where(none, 1.0, theta[..., None])
    return 0.5 * torch.where(none, x, torch.log1p((scale * x).clamp(min=-1.0)) / scale).sum(-1)


def gaussian_kl(
    covariance: Float[Tensor, "*batch noise noise"], mean_square: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    r"""The KL divergence of $N(Lu, L\Sigma L')$ from $N(0, LL')$.

    $$\tfrac12 (\mathrm{tr}\,\Sigma - n - \log\det\Sigma + u'u)$$

    Args:
        covariance: Σ, in units of the noise.
        mean_square: u'u, in units of the noise, or its expectation over what u depends on.

    Returns:
        The divergence in nats, accurate near Σ = I; infinite if Σ is singular.
    """
    x = torch.linalg.eigvalsh(covariance) - 1.0
    return 0.5 * ((x - torch.log1p(x.clamp(min=-1.0))).sum(-1) + mean_square)
