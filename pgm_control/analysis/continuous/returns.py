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
bound limits. The terms that are left out are at most |φ| at the last node times a factor. Of one or two noises |φ|
decays too slowly: `few_noises` has the normal probabilities of one, and integrates over the other.

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
from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidArgument
from ...problems.continuous.arrays import root
from ...problems.continuous.linear_quadratic import LinearQuadratic
from ...runtime.arguments import finite, ordered
from ...text.wording import amount
from ...trajectories.gaussian.blocks import GaussianBlocks
from ..scores.returns_table import SHARES, ReturnsTable
from ..scores.share import require_share
from .few_noises import FewNoises
from .inversion import Inverted

_PRECISION = 1e-13  # of a quantile, in deviations
_FEW = 2  # noises that are not inverted
_ROUNDING = 4e-16  # of the eigenvalues of a form, whose noises do not act on the return


@final
@dataclass(frozen=True, eq=False, repr=False)
class GaussianReturns(ReturnsTable):
    r"""The distribution of $G = \sum_t \gamma^t r_t$ of an affine-Gaussian policy, in the true world.

    $$G = k - \sum_j (\tfrac12 \lambda_j y_j^2 + g_j y_j), \qquad y_j \sim N(0, 1) \text{ independent}$$

    Mean and variance are exact. Probabilities and the means of tails come from [imhof1961]'s inversion of the
    characteristic function with the bounds of [davies1973]: `probability_error` and `shortfall_error` are bounds, not
    estimates, up to rounding. They are of some 1e-6 for three noises, and less for more of similar sizes. For one noise
    the probabilities are normal ones, and for two an integral over one of them, with errors of some 1e-14; that of the
    integral is 10 times the change from fewer points. Rounding comes on top: within some 1e-15 deviations of the
    largest or smallest return of one squared noise, where the density is infinite, it is up to 1e-8.

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
        return self._deviation * self._deviation

    @property
    def probability_error(self) -> float:
        """A bound of the error of P(G ≤ g), for every g."""
        return 0.0 if self._is_sure else self._law.probability_error

    @property
    def shortfall_error(self) -> float:
        """A bound of the error of E (q − G)⁺, in reward units, for every q; that of a CVaR is it over the level."""
        return 0.0 if self._is_sure else self._unit * self._law.shortfall_error

    def below(self, target: float) -> float:
        """The probability P(G ≤ target).

        Raises:
            InvalidArgument: if `target` is not a number; it may be infinite.
        """
        target = ordered("target", target, "return")
        if self._is_sure or not math.isfinite(target):
            return float(target >= self.constant)
        if target >= self._largest():
            return 1.0
        return self._law.below((target - self._centre) / self._unit)

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
            InvalidArgument: unless 0 < level ≤ 1, or if the level is within `probability_error` of 0 or of 1, and not 1
                itself, where the quantile is not known.
        """
        level = require_share("level", level)
        if self._is_sure:
            return self.constant
        if level == 1.0:
            return self._largest()
        if not self._is_known(level):
            error = amount(self.probability_error)
            raise InvalidArgument(
                f"`level` must be further from 0 and 1 than the error of probabilities, at most {error}, but is "
                f"{level:g}. return_distribution(model, guide, num_samples=…) draws episodes."
            )
        return self._near(level)

    def _is_known(self, level: float) -> bool:
        """Whether the quantile of a level between 0 and 1 is not anywhere beyond some number."""
        return self.probability_error < min(level, 1.0 - level)

    def _near(self, level: float) -> float:
        """The quantile of the computed probabilities, within the reach of the inversion."""
        from scipy.optimize import brentq  # slow to import

        reach, spread = 0.5 * self._law.reach, self._deviation / self._unit
        if not self._law.below(-reach) < level < self._law.below(reach):
            return self._centre + self._unit * math.copysign(reach, level - 0.5)
        found: Any = brentq(lambda g: self._law.below(g) - level, -reach, reach, xtol=_PRECISION * spread)
        return min(self._centre + self._unit * found, self._largest())

    def cvar(self, level: float) -> float:
        r"""The conditional value at risk, the mean of the worst `level` share of returns, in reward units.

        $$\mathrm{CVaR}_\alpha = \max_q\, q - \tfrac1\alpha E (q - G)^+$$

        An error of the quantile q does not count to first order. At level 1 it is the mean.

        Raises:
            InvalidArgument: unless 0 < level ≤ 1, or if the bound of the error, `shortfall_error` over the level, is a
                standard deviation or more.

        References:
            [rockafellar2002]
        """
        level = require_share("level", level)
        if self._is_sure or level == 1.0:
            return self.mean
        least = self.shortfall_error / self._deviation
        if level <= least:
            raise InvalidArgument(
                f"`level` must be more than {amount(least)}, below which the error of the mean may be a standard "
                f"deviation, but is {level:g}. return_distribution(model, guide, num_samples=…) draws episodes."
            )
        q = (self._near(level) - self._centre) / self._unit
        return self._centre + self._unit * (q - self._law.shortfall(q) / level)

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
        return self._deviation <= 1e-14 * abs(self.constant)

    @cached_property
    def _unit(self) -> float:
        """The largest curvature or slope, in reward units; 1 where all are 0."""
        return float(max(np.abs(self.curvatures).max(initial=0.0), np.abs(self.slopes).max(initial=0.0))) or 1.0

    @property
    def _deviation(self) -> float:
        """The standard deviation, in reward units."""
        return self._unit * math.sqrt(
            float((0.5 * (self.curvatures / self._unit) ** 2 + (self.slopes / self._unit) ** 2).sum())
        )

    @property
    def _centre(self) -> float:
        """The return from which those of the law count: its edge may be at the constant, where digits matter."""
        return self.constant if isinstance(self._law, FewNoises) else self.mean

    @cached_property
    def _law(self) -> Inverted | FewNoises:
        """The law of the return less its centre, over the unit."""
        curvatures, slopes = self.curvatures / self._unit, self.slopes / self._unit
        flat = curvatures == 0.0
        slope = float(np.linalg.norm(slopes[flat]))  # noises without curvature are one
        curvatures, slopes = np.append(curvatures[~flat], 0.0), np.append(slopes[~flat], slope)
        acts = np.maximum(np.abs(curvatures), np.abs(slopes)) > _ROUNDING * len(slopes)
        few = int(acts.sum()) <= _FEW
        return (FewNoises if few else Inverted).of(curvatures[acts], slopes[acts])

    def _largest(self) -> float:
        if bool((self.curvatures < 0).any()) or bool(((self.curvatures == 0) & (self.slopes != 0)).any()):
            return math.inf
        curved = self.curvatures > 0
        slopes = self.slopes[curved]
        with np.errstate(over="ignore"):
            return self.constant + float((0.5 * slopes * (slopes / self.curvatures[curved])).sum())

    def _rows(self) -> list[tuple[str, str]]:
        rows = [("mean", amount(self.mean)), ("standard deviation", amount(self._deviation))]
        for each in SHARES:
            is_known = self._is_sure or self._is_known(each)
            rows.append((f"{100 * each:g} % quantile", amount(self.quantile(each)) if is_known else "not known"))
        return [*rows, ("CVaR 10 %", amount(self.cvar(0.1)))]

    def __repr__(self) -> str:
        """The number of noises, the mean, the CVaR and the bound of its error."""
        return (
            f"GaussianReturns({len(self.slopes)} noises, mean {self.mean:.6g}, 10 % CVaR {self.cvar(0.1):.6g}, error "
            f"at most {amount(10 * self.shortfall_error)})"
        )


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
