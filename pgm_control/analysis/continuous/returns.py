r"""The distribution of the return of an affine-Gaussian policy, by inversion of its characteristic function.

The return is a quadratic form of independent standard normal noises, $R = k - \sum_j (\tfrac12 \lambda_j y_j^2 + g_j
y_j)$, so that

$$\log \varphi(u) = iuk - \sum_j \Bigl[\tfrac12 \log(1 + iu\lambda_j) + \frac{u^2 g_j^2}{2(1 + iu\lambda_j)}\Bigr]$$

[imhof1961] inverts it by quadrature, [davies1973] with bounds of both errors, that of the step Δ and that of the end.
With nodes $u_k = (k + \tfrac12)\Delta$,

$$P(R \le r) \approx \tfrac12 - \tfrac1\pi \sum_k \frac{\mathrm{Im}\, \varphi(u_k) e^{-iu_k r}}{k + 1/2}, \qquad
E|R - r| \approx \frac{\pi}{\Delta} - \frac{2\Delta}{\pi} \sum_k \frac{\mathrm{Re}\, \varphi(u_k) e^{-iu_k r}}{u_k^2}$$

are exact for a square wave and a triangle wave in the place of the sign and the modulus, of half period $2\pi/\Delta$:
the error of the step is at most the probability, or the mean modulus, beyond $2\pi/\Delta$ from r, which Chernoff's
bound limits. The terms that are left out are at most |φ| at the last node times a factor.

Sources:
    [davies1973] R. B. Davies, Numerical inversion of a characteristic function. Biometrika 60(2):415–417, 1973.
        doi:10.1093/biomet/60.2.415
    [imhof1961] J. P. Imhof, Computing the distribution of quadratic forms in normal variables. Biometrika
        48(3/4):419–426, 1961. doi:10.1093/biomet/48.3-4.419
    [rockafellar2002] R. T. Rockafellar and S. Uryasev, Conditional value-at-risk for general loss distributions.
        Journal of Banking & Finance 26(7):1443–1471, 2002. doi:10.1016/S0378-4266(02)00271-6
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ...problems.continuous.arrays import root
from ...problems.continuous.linear_quadratic import LinearQuadratic
from ...runtime.arguments import finite, ordered
from ...text.tables import grid, html_grid
from ...text.wording import amount
from ...trajectories.gaussian.blocks import GaussianBlocks
from ..scores.share import require_share

_BEYOND = 1e-13  # the probability beyond half a half-period, which chooses the step
_ENOUGH = 1e-13  # the bound of the terms that are left out at which the sum stops
_MOST = 1 << 17  # nodes
_AT_ONCE = 1 << 20  # pairs of a node and a noise that are computed at a time
_SHARES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@final
@dataclass(frozen=True, eq=False, repr=False)
class GaussianReturns:
    r"""The distribution of $G = \sum_t \gamma^t r_t$ of an affine-Gaussian policy, in the true world.

    $$G = k - \sum_j (\tfrac12 \lambda_j y_j^2 + g_j y_j), \qquad y_j \sim N(0, 1) \text{ independent}$$

    Mean and variance are exact. Probabilities and the means of tails come from [imhof1961]'s inversion of the
    characteristic function with the bounds of [davies1973]: `probability_error` and `shortfall_error` are bounds, not
    estimates, up to rounding. They are large only if very few noises act on the return.

    Attributes:
        curvatures: λ_j, in reward units.
        slopes: g_j, in reward units.
        constant: k, the return without noise.

    References:
        [davies1973], [imhof1961]
    """

    curvatures: Float[np.ndarray, " noise"]
    slopes: Float[np.ndarray, " noise"]
    constant: float

    @property
    def mean(self) -> float:
        """The mean, E G, in reward units."""
        return self.constant - 0.5 * float(self.curvatures.sum())

    @property
    def variance(self) -> float:
        """The variance, E (G − E G)², in squared reward units."""
        return float((0.5 * self.curvatures**2 + self.slopes**2).sum())

    @property
    def probability_error(self) -> float:
        """A bound of the error of P(G ≤ g), for every g."""
        return 0.0 if self._is_sure else self._inverted.beyond + self._inverted.left_out

    @property
    def shortfall_error(self) -> float:
        """A bound of the error of E (q − G)⁺, in reward units, for every q; that of a CVaR is it over the level."""
        return 0.0 if self._is_sure else 0.5 * self._inverted.modulus_error

    def below(self, target: float) -> float:
        """The probability P(G ≤ target).

        Raises:
            InvalidArgument: if `target` is not a number; it may be infinite.
        """
        target = ordered("target", target, "return")
        if self._is_sure or not math.isfinite(target):
            return float(target >= self.constant)
        return self._inverted.below(target - self.mean)

    def at_least(self, target: float) -> float:
        """The probability P(G ≥ target).

        Raises:
            InvalidArgument: if `target` is not a number; it may be infinite.
        """
        if self._is_sure:
            return float(ordered("target", target, "return") <= self.constant)
        return 1.0 - self.below(target)

    def quantile(self, level: float) -> float:
        """The return g with P(G ≤ g) = level, in reward units; the largest possible one at level 1.

        Raises:
            InvalidArgument: unless 0 < level ≤ 1.
        """
        level = require_share("level", level)
        if self._is_sure:
            return self.constant
        if level == 1.0:
            return self._largest()
        from scipy.optimize import brentq  # slow to import

        reach = 0.5 * self._inverted.reach
        if not self._inverted.below(-reach) < level < self._inverted.below(reach):
            return self.mean + math.copysign(reach, level - 0.5)
        found = brentq(lambda g: self._inverted.below(g) - level, -reach, reach, xtol=1e-13 * reach)
        return min(self.mean + found, self._largest())

    def cvar(self, level: float) -> float:
        r"""The conditional value at risk, the mean of the worst `level` share of returns, in reward units.

        $$\mathrm{CVaR}_\alpha = \max_q\, q - \tfrac1\alpha E (q - G)^+$$

        An error of the quantile q does not count to first order. At level 1 it is the mean.

        Raises:
            InvalidArgument: unless 0 < level ≤ 1.

        References:
            [rockafellar2002]
        """
        level = require_share("level", level)
        if self._is_sure or level == 1.0:
            return self.mean
        q = self.quantile(level) - self.mean
        short = 0.5 * (self._inverted.modulus(q) + q)
        return self.mean + q - short / level

    def to_dict(self) -> dict[str, Any]:
        """Return the form as lists of Python numbers, with the bounds of the errors."""
        return {
            "curvatures": self.curvatures.tolist(),
            "slopes": self.slopes.tolist(),
            "constant": self.constant,
            "probability_error": self.probability_error,
            "shortfall_error": self.shortfall_error,
        }

    @cached_property
    def _is_sure(self) -> bool:
        return self.variance <= (1e-14 * max(abs(self.constant), 1.0)) ** 2

    @cached_property
    def _inverted(self) -> "_Inverted":
        return _Inverted.of(self.curvatures, self.slopes)

    def _largest(self) -> float:
        if bool((self.curvatures < 0).any()) or bool(((self.curvatures == 0) & (self.slopes != 0)).any()):
            return math.inf
        curved = self.curvatures > 0
        return self.constant + float((0.5 * self.slopes[curved] ** 2 / self.curvatures[curved]).sum())

    def _rows(self) -> list[tuple[str, str]]:
        rows = [("mean", amount(self.mean)), ("standard deviation", amount(math.sqrt(self.variance)))]
        rows += [(f"{100 * share:g} % quantile", amount(self.quantile(share))) for share in _SHARES]
        return [*rows, ("CVaR 10 %", amount(self.cvar(0.1)))]

    def __str__(self) -> str:
        """The table as text, for a terminal."""
        return grid([("return", "reward")], self._rows())

    def _repr_html_(self) -> str:
        """The table as HTML, for a notebook."""
        return html_grid([("return", "reward")], self._rows())

    def __repr__(self) -> str:
        """The number of noises, the mean, the CVaR and the bound of its error."""
        return (
            f"GaussianReturns({len(self.slopes)} noises, mean {self.mean:.6g}, 10 % CVaR {self.cvar(0.1):.6g}, error "
            f"at most {amount(10 * self.shortfall_error)})"
        )


@dataclass(frozen=True, eq=False)
class _Inverted:
    """φ at the nodes, of the return less its mean.

    Attributes:
        nodes, phi: u_k and φ(u_k).
        reach: 2π/Δ.
        beyond: a bound of P(|G − r| > 2π/Δ), for |r| up to half of it.
        left_out: a bound of the terms of the probability that are left out.
        modulus_error: a bound of the error of E |G − r|.
    """

    nodes: Float[np.ndarray, " node"]
    phi: Complex[np.ndarray, " node"]
    reach: float
    beyond: float
    left_out: float
    modulus_error: float

    @classmethod
    def of(cls, curvatures: np.ndarray, slopes: np.ndarray) -> "_Inverted":
        """The nodes, as many as are needed up to the most."""
        counts = (curvatures != 0) | (slopes != 0)
        curvatures, slopes = curvatures[counts], slopes[counts]
        largest, flat = float(np.abs(curvatures).max()), float((slopes[curvatures == 0] ** 2).sum())
        half = 8.0 * math.sqrt(float((0.5 * curvatures**2 + slopes**2).sum()))
        while (tail := sum(_chernoff(side * curvatures, slopes, half)[0] for side in (1, -1))) > _BEYOND:
            half *= 1.25
        far = sum(_chernoff(side * curvatures, slopes, half)[1] for side in (1, -1)) + half * tail
        step = math.pi / half  # 2π/Δ = 2 half
        size, done, parts = min(max(_AT_ONCE // len(slopes), 64), 4096), 0, list[np.ndarray]()
        while True:
            u = (np.arange(done, done + size) + 0.5) * step
            parts.append(_phi(u, curvatures, slopes))
            done += size
            last = (done + 0.5) * step
            tail_factor = _factor(last, curvatures, largest, flat) + 1.0 / (done + 0.5)
            here = float(np.abs(_phi(np.array([last]), curvatures, slopes))[0])
            if here * tail_factor <= _ENOUGH or done >= _MOST:
                break
        phi = np.concatenate(parts)
        left = here * tail_factor / math.pi
        return cls(
            nodes=(np.arange(done) + 0.5) * step,
            phi=phi,
            reach=2.0 * half,
            beyond=tail,
            left_out=left,
            modulus_error=far + 2.0 / math.pi * here / (last - 0.5 * step),
        )

    def below(self, r: float) -> float:
        """P(G − E G ≤ r)."""
        if abs(r) > 0.5 * self.reach:
            return float(r > 0)
        turned = (self.phi * np.exp(-1j * self.nodes * r)).imag
        found = 0.5 - float((turned / np.arange(0.5, len(turned))).sum()) / math.pi
        return min(max(found, 0.0), 1.0)

    def modulus(self, r: float) -> float:
        """E |G − E G − r|."""
        step = 2.0 * math.pi / self.reach
        turned = (self.phi * np.exp(-1j * self.nodes * r)).real
        return math.pi / step - 2.0 * step / math.pi * float((turned / self.nodes**2).sum())


def return_law(world: LinearQuadratic, blocks: GaussianBlocks) -> GaussianReturns:
    """The distribution of the return of the policy in the world, as a quadratic form of independent noises.

    The states are written as affine functions of the noises of the start, of the actions and of the steps; the form is
    diagonalised by the eigenvectors of its matrix.

    Args:
        world: one linear-quadratic problem.
        blocks: the policy, with the start and the dynamics of the world.
    """
    n, m, T = world.num_states, world.num_actions, world.horizon
    own, wind = root(blocks.policy_covariance), root(world.W)
    size = n + T * (m + n)
    mean, slope = world.initial_mean, world.W.new_zeros(n, size)
    slope[:, :n] = root(world.initial_covariance)
    H, h, k, weight = world.W.new_zeros(size, size), world.W.new_zeros(size), 0.0, 1.0
    for t in range(T):
        used = n + t * (m + n)
        action = -blocks.gain[t] @ slope
        action[:, used : used + m] = own[t]
        z, at = torch.cat((slope, action)), torch.cat((mean, -blocks.gain[t] @ mean - blocks.offset[t]))
        C, c = world.C[t], world.c[t]
        part, kept = z[:, : used + m], slice(0, used + m)
        H[kept, kept] += weight * part.T @ C @ part
        h[kept] += weight * part.T @ (C @ at + c)
        k += weight * float(0.5 * at @ C @ at + c @ at + world.k[t])
        mean, slope = world.F[t] @ at + world.d[t], world.F[t] @ z
        slope[:, used + m : used + m + n] = wind[t]
        weight *= world.discount
    H += weight * slope.T @ world.final_P @ slope
    h += weight * slope.T @ (world.final_P @ mean + world.final_p)
    k += weight * float(0.5 * mean @ world.final_P @ mean + world.final_p @ mean + world.final_v)
    acts = (slope != 0).any(0) | (h != 0) | (H != 0).any(0)
    curvatures, vectors = torch.linalg.eigh(H[acts][:, acts])
    found: tuple[Tensor, Tensor] = curvatures, vectors.T @ h[acts]
    return GaussianReturns(found[0].numpy(force=True), found[1].numpy(force=True), finite("return", -k))


def _phi(u: np.ndarray, curvatures: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """The characteristic function of G − E G."""
    one = 1.0 + 1j * np.multiply.outer(u, curvatures)
    log = -0.5 * (np.log(one) + (u**2)[:, None] * slopes**2 / one).sum(1)
    return np.exp(log + 0.5j * u * curvatures.sum())


def _chernoff(curvatures: np.ndarray, slopes: np.ndarray, half: float) -> tuple[float, float]:
    """Bounds of P(X > half) and of E[X; X > half], X = G − E G for these signs of λ: the best of a few exponents."""
    lowest = float(curvatures.min())  # 1 + sλ > 0
    limit = -1.0 / lowest if lowest < 0 else math.inf
    spread = math.sqrt(float((0.5 * curvatures**2 + slopes**2).sum()))
    best = 1.0, math.inf
    for share in (0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97):
        for s in (share * limit, 20.0 * share / spread):
            if not (0 < s < limit and s * half > 1):
                continue
            one = 1.0 + s * curvatures
            log = 0.5 * (s * curvatures.sum() - np.log(one).sum() + (s**2 * slopes**2 / one).sum()) - s * half
            bound = math.exp(min(float(log), 0.0))
            best = min(best[0], bound), min(best[1], half * bound)
    return best


def _factor(u: float, curvatures: np.ndarray, largest: float, flat: float) -> float:
    r"""A bound of $\int_u^\infty |\varphi(v)| / |\varphi(u)|\, dv/v$."""
    options = [1.0 / (u**2 * flat)] if flat > 0 else []
    if largest > 0:
        many = max(int((u * np.abs(curvatures) >= 1).sum()), 1)
        options.append(max(-math.log(u * largest), 0.0) + 4.0 / many)
    return min(options)
