r"""The largest and the smallest mean of a random value over the distributions within a KL ball around its own.

    max_q E_q[x]  subject to  KL(q ‖ w) ≤ ε     =     min_{λ ≥ 0}  λ ε + λ log Σ_k w_k exp(x_k/λ)

and for the smallest mean the same of −x. The optimum is the tilt w exp(x/λ) whose KL is ε. A ball that reaches the
distribution w restricted to the best outcomes does not bind: λ = 0.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .log_space import expect
from .operators import certainty_equivalent

_ROUNDINGS = 1000  # the rounding errors by which values that count as equal may differ
_STEPS = 200  # the most steps of the root search: bisection alone needs fewer than 100


class Tilted(NamedTuple):
    """Distributions proportional to w exp(y)."""

    log_q: Float[Tensor, "*row outcome"]
    log_normaliser: Float[Tensor, "*row"]  # log Σ w exp(y), in nats
    kl: Float[Tensor, "*row"]  # from w, in nats


class Extreme(NamedTuple):
    """The best mean in the ball of each row, and what attains it."""

    value: Float[Tensor, "*row"]  # E_q[x]
    log_q: Float[Tensor, "*row outcome"]
    price: Float[
        Tensor, "*row"
    ]  # the multiplier λ, in units of x per nat: 0 where the ball does not bind, +inf at ε = 0
    kl: Float[Tensor, "*row"]  # in nats


def tilted(y: Float[Tensor, "*row outcome"], log_weight: Float[Tensor, "*#row outcome"]) -> Tilted:
    """The distributions w exp(y) / Σ w exp(y), with the digits of a small KL.

    Args:
        y: exponents, in nats; −inf forbids an outcome. A row that forbids all of them keeps its weights.
        log_weight: log w, normalised.
    """
    log_normaliser = certainty_equivalent(y, log_weight, 1.0, 1.0)
    exists = log_normaliser > -torch.inf
    ratio = torch.where(exists[..., None], y - torch.where(exists, log_normaliser, 0.0)[..., None], 0.0)
    log_q = log_weight + ratio
    # KL = Σ q (exp(−δ) − 1 + δ) + w(q = 0) with δ = log q/w: positive terms, which keep the digits of a small KL
    q, weight = log_q.exp(), log_weight.exp()
    near = (ratio > -1) & (log_weight > -torch.inf)
    terms = torch.where(
        near, q * _excess(torch.where(near, ratio, 0.0)), torch.where(q > 0, q * (ratio - 1), 0.0) + weight
    )
    return Tilted(log_q, log_normaliser, terms.sum(-1))


def _excess(x: Tensor) -> Tensor:
    """exp(−x) − 1 + x; near 0 by its series, whose first term left out is x⁷/5040."""
    series = x * x * (1 / 2 - x * (1 / 6 - x * (1 / 24 - x * (1 / 120 - x / 720))))
    return torch.where(x.abs() < 1e-2, series, torch.expm1(-x) + x)


def gaps_to_best(
    x: Float[Tensor, "*row outcome"], best: Float[Tensor, "*row"], sign: float
) -> Float[Tensor, "*row outcome"]:
    """How far each value is below the best one: at most 0; 0 if they differ by rounding, or if the best is infinite.

    Args:
        x: values.
        best: the largest (sign 1) or smallest (sign −1) possible value of each row.
        sign: 1 or −1.
    """
    known = best.isfinite()[..., None]
    centre = torch.where(known, best[..., None], 0.0)
    gaps = torch.where(known, sign * (x - centre), 0.0)
    rounding = _ROUNDINGS * torch.finfo(x.dtype).eps * (torch.where(x.isfinite(), x, 0.0).abs() + centre.abs())
    return torch.where(gaps >= -rounding, 0.0, gaps)


def extreme_mean(
    x: Float[Tensor, "*row outcome"], log_weight: Float[Tensor, "*row outcome"], radius: float, adversarial: bool
) -> Extreme:
    r"""The largest, or if adversarial the smallest, mean of x in the ball of each row, all rows at once.

    Args:
        x: values; −inf forbids an outcome. Where the weight is zero the value is ignored.
        log_weight: $\log w$, in nats, normalised over the last axis.
        radius: ε ≥ 0, in nats.
        adversarial: whether it is the smallest mean.

    Returns:
        An `Extreme`. Outcomes that are equally good share their probability in proportion to their weight. If every
        distribution in the ball has the mean −inf, the row keeps its weights.
    """
    sign, allowed = (-1.0 if adversarial else 1.0), (log_weight > -torch.inf) & (x > -torch.inf)
    best = certainty_equivalent(x, log_weight, 0.0, sign)
    gaps = gaps_to_best(x, best, sign)
    zero = torch.zeros_like(x)
    least = tilted(zero.masked_fill(~allowed, -torch.inf), log_weight)  # the weights without the forbidden outcomes
    most = tilted(zero.masked_fill(~allowed | (gaps < 0), -torch.inf), log_weight)
    hopeless = (best == -torch.inf) | (least.kl > radius)
    inside = ~hopeless & (least.kl < radius) & (radius < most.kl)
    sharpness = torch.zeros_like(best).masked_fill(~hopeless & (radius >= most.kl), torch.inf)
    if bool(inside.any()):
        rest, room = radius - least.kl, most.kl - least.kl
        found = _sharpness(gaps[inside], least.log_q[inside], rest[inside], room[inside])
        sharpness = sharpness.masked_scatter(inside, found)
    y = torch.where(gaps == 0, 0.0, sharpness[..., None] * gaps).masked_fill(~allowed, -torch.inf)
    attains = tilted(y.masked_fill(hopeless[..., None], 0.0), log_weight)
    value = torch.where(hopeless, -torch.inf, expect(attains.log_q, x))
    return Extreme(value, attains.log_q, 1.0 / sharpness, attains.kl)


def _sharpness(
    gaps: Float[Tensor, "row outcome"],
    log_weight: Float[Tensor, "row outcome"],
    radius: Float[Tensor, " row"],
    room: Float[Tensor, " row"],
) -> Float[Tensor, " row"]:
    r"""θ = 1/λ at which the tilt w exp(θ gap) has KL ε, by Newton's method on log KL over log θ, in a bracket.

    With R the largest gap, KL ≤ θ²R²/8. With δ the smallest gap but 0, w₀ the weight of the best outcomes and
    z = θδ ≥ 1, KL ≥ −log w₀ − (1/w₀ − 1)(1 + z) exp(−z). These two bounds are the bracket.

    Args:
        gaps: at most 0; 0 for the best outcomes, −inf for those that are forbidden.
        log_weight: log w of each row.
        radius: ε of each row, above 0 and below `room`.
        room: −log w₀, the KL of the limit θ → ∞.
    """
    counts = (log_weight > -torch.inf) & (gaps < 0)
    size = torch.where(counts, -gaps, torch.nan)
    widest, nearest = size.nan_to_num(0.0).amax(-1), size.nan_to_num(torch.inf).amin(-1)
    low = ((8 * radius).sqrt() / widest).log()
    decay = torch.log(1.25 * torch.expm1(room) / (room - radius))  # (1 + z) exp(−z/2) ≤ 1.25
    high = torch.maximum(((2 * decay).clamp(min=1.0) / nearest).log(), low)
    u, rounding = low, 64 * torch.finfo(gaps.dtype).eps
    for step in range(_STEPS):
        theta = u.exp()
        y = torch.where(counts, theta[:, None] * gaps, 0.0)
        at = tilted(y, log_weight)
        off = at.kl.log() - radius.log()
        low, high = torch.where(off <= 0, u, low), torch.where(off >= 0, u, high)
        if bool(((off.abs() <= rounding) | (high - low <= rounding)).all()):
            break
        q = at.log_q.exp()
        spread = (q * (y - (q * y).sum(-1, keepdim=True)) ** 2).sum(-1)  # dKL / d log θ
        newton = u - off * at.kl / spread
        middle = 0.5 * (low + high)
        u = torch.where((newton > low) & (newton < high) & (step % 4 < 3), newton, middle)
    return u.exp()
