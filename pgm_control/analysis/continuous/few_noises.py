r"""The law of a quadratic form of one or two normal noises, whose characteristic function decays too slowly to invert.

Of one noise, $X = \tfrac12 \lambda y^2 + gy$ is at least c on two half-lines or on an interval between the roots of a
quadratic equation, so that probabilities and means of tails are normal ones. Of two, the one of the smaller variance is
integrated over by Gauss's rule. The integrand has the singularity of a square root where the roots for the other one
meet; the panels shrink towards these points by powers of two, and towards the vertex of the parabola, where two of them
are near each other.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, final

import numpy as np
from jaxtyping import Float

_FAR = 38.0  # deviations of a noise that are integrated over: beyond, the density is less than the smallest number
_REACH = 1000.0  # above the largest X of noises within them
_HALVINGS = 46  # of the panels towards a singularity
_POINTS = 20, 14  # of Gauss's rule on a panel; the error is 10 times the change from the second, and at least
_ROUNDING = 1e-14
_PROBES = 41  # values of c at which the error is measured


class Tail(NamedTuple):
    """P(X ≥ c) and E (X − c)⁺ of a form X, for many c."""

    probability: Float[np.ndarray, "*c"]
    excess: Float[np.ndarray, "*c"]


@final
@dataclass(frozen=True, eq=False)
class FewNoises:
    """The law of the return less its constant, −X, of one or two noises, in units in which the largest λ or g is 1.

    Attributes:
        curvatures, slopes: λ and g of the noise that is treated exactly, and of the one that is integrated over.
    """

    curvatures: Float[np.ndarray, " noise"]
    slopes: Float[np.ndarray, " noise"]

    @classmethod
    def of(cls, curvatures: np.ndarray, slopes: np.ndarray) -> "FewNoises":
        """The law, with the noises in the order of their variances."""
        order = np.argsort(-(0.5 * curvatures**2 + slopes**2), kind="stable")
        return cls(curvatures[order], slopes[order])

    @property
    def reach(self) -> float:
        """Twice the largest distance of a return from the constant at which a quantile is sought."""
        return 2.0 * _REACH

    @cached_property
    def probability_error(self) -> float:
        """The error of probabilities: rounding for one noise; for two, that of the quadrature too."""
        return self._errors[0]

    @cached_property
    def shortfall_error(self) -> float:
        """The error of E (q − G)⁺."""
        return self._errors[1]

    def below(self, r: float) -> float:
        """P(G − k ≤ r)."""
        return min(max(float(self._tail(r).probability[0]), 0.0), 1.0)

    def shortfall(self, r: float) -> float:
        """E (r − G + k)⁺."""
        return max(float(self._tail(r).excess[0]), 0.0)

    def _tail(self, r: float) -> Tail:
        return self._of(np.array([-r]), _POINTS[0])

    def _of(self, c: np.ndarray, points: int) -> Tail:
        if len(self.curvatures) == 1:
            return _one_noise(float(self.curvatures[0]), float(self.slopes[0]), c)
        found = [_two_noises(self.curvatures.tolist(), self.slopes.tolist(), float(each), points) for each in c]
        return Tail(*(np.array(column) for column in zip(*found, strict=True)))

    @cached_property
    def _errors(self) -> tuple[float, float]:
        if len(self.curvatures) == 1:
            return _ROUNDING, 10.0 * _ROUNDING
        spread = math.sqrt(float((0.5 * self.curvatures**2 + self.slopes**2).sum()))
        c = 0.5 * float(self.curvatures.sum()) + spread * np.linspace(-6.0, 6.0, _PROBES)
        fine, rough = (self._of(c, points) for points in _POINTS)
        change = [10.0 * float(np.abs(one - other).max()) for one, other in zip(fine, rough, strict=True)]
        return change[0] + _ROUNDING, change[1] + 10.0 * _ROUNDING


def _one_noise(curvature: float, slope: float, c: Float[np.ndarray, "*c"]) -> Tail:
    """The tail of ½ λ y² + g y for one normal noise."""
    from scipy.special import ndtr  # slow to import

    if curvature == 0.0:
        size = abs(slope)
        if size == 0.0:
            return Tail((c <= 0).astype(float), np.maximum(-c, 0.0))
        z = c / size
        return Tail(ndtr(-z), size * _density(z) - c * ndtr(-z))
    inside = slope * slope + 2.0 * curvature * c
    real = inside > 0
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        half = -(slope + math.copysign(1.0, slope) * np.sqrt(np.where(real, inside, 0.0)))
        roots = np.stack((half / curvature, np.where(half == 0.0, 0.0, -2.0 * c / half)))
    low, high = roots.min(0), roots.max(0)
    mean, at_low, at_high = 0.5 * curvature - c, _density(low), _density(high)
    tilted_low, tilted_high = (
        (0.5 * curvature * np.nan_to_num(y) + slope) * at for y, at in ((low, at_low), (high, at_high))
    )
    if curvature > 0:  # beyond both roots, or everywhere
        outside = ndtr(low) + ndtr(-high)
        excess = mean * outside + tilted_high - tilted_low
        return Tail(np.where(real, outside, 1.0), np.where(real, excess, mean))
    between = np.where(low > 0, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low))
    excess = mean * between + tilted_low - tilted_high
    return Tail(np.where(real, between, 0.0), np.where(real, np.maximum(excess, 0.0), 0.0))


def _two_noises(curvatures: list[float], slopes: list[float], c: float, points: int) -> tuple[float, float]:
    """The tail of the sum of two forms, by a rule of so many points on each panel of the second noise."""
    (exact, other), (slope, other_slope) = curvatures, slopes
    edges = _edges(exact, slope, other, other_slope, c)
    nodes, weights = np.polynomial.legendre.leggauss(points)
    middle, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
    y = (middle[:, None] + half[:, None] * nodes).ravel()
    weight = (half[:, None] * weights).ravel() * _density(y)
    found = _one_noise(exact, slope, c - (0.5 * other * y + other_slope) * y)
    return float(weight @ found.probability), float(weight @ found.excess)


def _edges(exact: float, slope: float, other: float, other_slope: float, c: float) -> Float[np.ndarray, " edge"]:
    """The ends of the panels: small ones near where the integrand is not smooth."""
    special = list[float]()
    if other != 0.0:
        special.append(-other_slope / other)
    if exact != 0.0:  # where the roots meet: ½ λ y² + g y = c + g²/2λ of the other noise
        level = c + 0.5 * slope * slope / exact
        inside = other_slope * other_slope + 2.0 * other * level
        if other == 0.0:
            special += [level / other_slope] if other_slope != 0.0 else []
        elif inside > 0:
            half = -(other_slope + math.copysign(math.sqrt(inside), other_slope))
            special += [half / other, -2.0 * level / half if half != 0.0 else 0.0]
    steps = np.concatenate(([0.0], 2.0 ** np.arange(-_HALVINGS, 1.0)))
    whole = np.arange(-_FAR, _FAR + 1.0)
    near = [y + sign * steps for y in special if abs(y) < _FAR + 1.0 for sign in (1.0, -1.0)]
    edges = np.unique(np.concatenate([whole, *near]))
    return edges[np.abs(edges) <= _FAR]


def _density(y: np.ndarray) -> np.ndarray:
    """The density of the standard normal law."""
    with np.errstate(over="ignore"):
        return np.exp(-0.5 * y * y) / math.sqrt(2.0 * math.pi)
