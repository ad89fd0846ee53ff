"""exp and log that a compiler can vectorise, for the compiled loops: numba calls libm for one number at a time.

They use polynomials and bit patterns only, without branches, so that a loop over contiguous numbers becomes vector
instructions on any machine. Each result is within 2 units in the last place of the exact answer.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from .compiling import compiled

_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # their sum is ln 2 to 86 bits
_ROUND = 6755399441055744.0  # 1.5 · 2^52: adding it leaves the nearest integer in the low bits
_ROUND_BITS = np.int64(0x4338000000000000)
_SQRT_HALF_BITS = np.int64(0x3FE6A09E667F3BCD)
_ONE_BITS = np.int64(0x3FF0000000000000)
_TINY = 2.2250738585072014e-308  # the smallest number with all its digits


def _to_bits(typing_context: Any, x: Any) -> Any:
    """The 64 bits of a float64, as an int64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.int64))

    return types.int64(types.float64), generate


def _to_float(typing_context: Any, n: Any) -> Any:
    """The float64 that has these 64 bits."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.float64))

    return types.float64(types.int64), generate


_bits: Any = intrinsic(_to_bits)
_from_bits: Any = intrinsic(_to_float)


@compiled
def exp_and_expm1(x: float) -> tuple[float, float]:
    r"""$e^x$ and $e^x - 1$ for x up to 709, both with all their digits; below −708 they are 0 and −1.

    $x = n \ln 2 + r$ with $|r| \le \tfrac12 \ln 2$, where the series of $e^r - 1$ needs 13 terms.
    """
    y = max(x, -708.0)
    shifted = y * _LOG2_E + _ROUND
    n = shifted - _ROUND
    r = (y - n * _LN2_HIGH) - n * _LN2_LOW
    p = 1.0 / 6227020800
    p = p * r + 1.0 / 479001600
    p = p * r + 1.0 / 39916800
    p = p * r + 1.0 / 3628800
    p = p * r + 1.0 / 362880
    p = p * r + 1.0 / 40320
    p = p * r + 1.0 / 5040
    p = p * r + 1.0 / 720
    p = p * r + 1.0 / 120
    p = p * r + 1.0 / 24
    p = p * r + 1.0 / 6
    p = p * r + 0.5
    p = r + (r * r) * p
    power = _from_bits((_bits(shifted) << np.int64(52)) + _ONE_BITS)
    grown = power + power * p
    return (0.0 if x < -708.0 else grown), power * p + (power - 1.0)


@compiled
def exp(x: float) -> float:
    """The exponential, for x up to 709; 0 below −708."""
    return exp_and_expm1(x)[0]


@compiled
def log(x: float) -> float:
    r"""The natural logarithm of x ≥ 0, finite; −inf at 0.

    $x = 2^e m$ with $m$ around 1, and $\log m = 2 \operatorname{artanh} s$ with $s = (m-1)/(m+1)$.
    """
    small = x < _TINY
    bits = _bits(x * 18014398509481984.0 if small else x)  # 2^54
    above = bits + (_ONE_BITS - _SQRT_HALF_BITS)
    # The exponent is positive, biased by 1023: a logical shift, which every vector machine has, suffices.
    exponent = np.int64(np.uint64(above) >> np.uint64(52)) - np.int64(1023)
    f = _from_bits(bits - (exponent << np.int64(52))) - 1.0
    e = (_from_bits(_ROUND_BITS + exponent) - _ROUND) - (54.0 if small else 0.0)
    s = f / (2.0 + f)
    z = s * s
    p = 2.0 / 21
    p = p * z + 2.0 / 19
    p = p * z + 2.0 / 17
    p = p * z + 2.0 / 15
    p = p * z + 2.0 / 13
    p = p * z + 2.0 / 11
    p = p * z + 2.0 / 9
    p = p * z + 2.0 / 7
    p = p * z + 2.0 / 5
    p = p * z + 2.0 / 3
    half = 0.5 * f * f
    value = e * _LN2_HIGH - ((half - (s * (half + z * p) + e * _LN2_LOW)) - f)
    value = -np.inf if x == 0.0 else value
    return x if x != x else value  # nan propagates


@compiled
def log1p(x: float) -> float:
    """log(1 + x) for x above −1/2, with all its digits near 0."""
    u = 1.0 + x
    return log(u) + (x - (u - 1.0)) / u
