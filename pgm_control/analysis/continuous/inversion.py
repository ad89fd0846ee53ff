"""Inversion of the characteristic function of a quadratic form of normal noises, with bounds of its errors.

The formulas are in `returns`; the largest curvature or slope of a form is 1 here.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Complex, Float

_BEYOND = 1e-13  # the probability beyond half a half-period, which chooses the step
_ENOUGH = 1e-13  # the bound of the terms that are left out at which the sum stops
_MOST = 1 << 17  # nodes
_AT_ONCE = 1 << 20  # pairs of a node and a noise that are computed at a time
_LARGEST = 1e100  # exponent of Chernoff's bound


@final
@dataclass(frozen=True, eq=False)
class Inverted:
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
    def of(cls, curvatures: np.ndarray, slopes: np.ndarray) -> "Inverted":
        """The nodes, as many as are needed up to the most."""
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
        turned = np.imag(self.phi * np.exp(-1j * self.nodes * r))
        found = 0.5 - float((turned / np.arange(0.5, len(turned))).sum()) / math.pi
        return min(max(found, 0.0), 1.0)

    def shortfall(self, r: float) -> float:
        """E (r − G + E G)⁺, from E |G − E G − r|."""
        step = 2.0 * math.pi / self.reach
        turned = np.real(self.phi * np.exp(-1j * self.nodes * r))
        return 0.5 * (math.pi / step - 2.0 * step / math.pi * float((turned / self.nodes**2).sum()) + r)

    @property
    def probability_error(self) -> float:
        """A bound of the error of `below`."""
        return self.beyond + self.left_out

    @property
    def shortfall_error(self) -> float:
        """A bound of the error of `shortfall`."""
        return 0.5 * self.modulus_error


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
            if not (0 < s < min(limit, _LARGEST) and s * half > 1):
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
