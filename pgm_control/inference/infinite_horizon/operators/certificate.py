"""Bounds on the distance of a value from the fixed point of a contraction, from the changes of one sweep.

Sources:
    [macqueen1966] J. MacQueen, A modified dynamic programming method for Markovian decision problems. Journal of
        Mathematical Analysis and Applications 14(1):38–43, 1966.
    [porteus1971] E. L. Porteus, Some bounds for discounted sequential decision processes. Management Science
        18(1):7–11, 1971.
"""

import math
from typing import NamedTuple

from .share import Change


class Certificate(NamedTuple):
    """Every entry of T v + `shift` is within `bound` of the fixed point, in reward units."""

    shift: float
    bound: float


def span_certificate(change: Change, discount: float, slack: float, rounding: float) -> Certificate:
    r"""MacQueen's and Porteus's bounds, with the midpoint of the interval as the value.

    $$T v + \tfrac{\gamma}{1-\gamma} \min \Delta \le v^* \le T v + \tfrac{\gamma}{1-\gamma} \max \Delta,
        \qquad \Delta = T v - v$$

    hold because T is monotone and T(v + c) = T v + γ c. Both ends are widened for the rounding of Δ and of T v. They
    are also widened for rows of probabilities that sum to one only within `slack`, as if γ changed by that factor.

    Args:
        change: Δ, in reward units.
        discount: γ. At 1 the bound is inf.
        slack: the largest |Σ p − 1|.
        rounding: a bound on the error of an entry of the computed T v, in reward units.

    References:
        [macqueen1966], [porteus1971]
    """
    if not change.whole or discount * (1 + slack) >= 1:
        return Certificate(0.0, math.inf)
    if change.least > change.largest:  # only dead ends
        return Certificate(0.0, 0.0)
    low = _ahead(change.least - rounding, discount, slack, -1)
    high = _ahead(change.largest + rounding, discount, slack, 1)
    return Certificate(0.5 * (low + high), 0.5 * (high - low) + rounding)


def sup_norm_certificate(change: Change, discount: float, slack: float, rounding: float) -> Certificate:
    r"""Banach's bound, $\lVert T v - v^* \rVert \le \frac{\gamma}{1-\gamma} \lVert \Delta \rVert$. Its shift is 0.

    The arguments are those of `span_certificate`.
    """
    gamma = discount * (1 + slack)
    if not change.whole or gamma >= 1:
        return Certificate(0.0, math.inf)
    return Certificate(0.0, gamma / (1 - gamma) * (change.size + rounding) + rounding)


def _ahead(c: float, discount: float, slack: float, sign: int) -> float:
    """γ/(1 − γ) c, with γ within `slack` chosen to move the result furthest in the direction of `sign`."""
    gamma = discount * (1 + slack if sign * c > 0 else 1 - slack)
    return gamma / (1 - gamma) * c
