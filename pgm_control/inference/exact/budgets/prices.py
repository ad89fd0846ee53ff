"""The price of a nat at which a block spends its budget."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

_FACTOR = 16.0  # by which the search for a bracket changes the price
_STEPS = 400  # the most steps of a root search; bisection alone needs fewer than 100
_COARSE, _MOST = 33, 20_000  # points of the first scan, and of all scans, of an adversary's prices
_SURE = 1e-5  # the share of what chance is worth to the adversary up to which the scan excludes better prices


Bracket = tuple[float, float]  # equal prices, or neighbours of which the lower one spends more and the higher one less


def price_that_spends(spent: Callable[[float], float], budget: float, eps: float, scale: float) -> Bracket | None:
    """The price at which `spent`, which does not rise with the price, is the budget; None if no price is so high.

    Args:
        spent: the KL at a price above 0, in nats.
        budget: ε in nats, above 0 and below what is spent at price 0.
        eps: the rounding of `spent`, relative.
        scale: the largest difference of values. At a price of scale/eps² only the KL that avoids −inf is left.
    """
    low = high = scale
    at_low = at_high = spent(scale)
    while at_low < budget:
        high, at_high = low, at_low
        low /= _FACTOR
        at_low = spent(low)
    while at_high > budget:
        low, at_low = high, at_high
        high *= _FACTOR
        if high > scale / eps**2:
            return None
        at_high = spent(high)
    return root(spent, budget, eps, (low, at_low), (high, at_high))


def root(
    spent: Callable[[float], float], budget: float, eps: float, low: tuple[float, float], high: tuple[float, float]
) -> Bracket:
    """The price between two, given with what they spend, at which the budget is spent; or neighbouring numbers.

    By the secant of log KL over log λ, which is straight where little is spent (KL ∝ 1/λ²), and by bisection.
    """
    (a, at_a), (b, at_b) = low, high
    for step in range(_STEPS):
        middle = math.sqrt(a) * math.sqrt(b)
        if step % 3 < 2 and at_b > 0:
            share = math.log(at_a / budget) / math.log(at_a / at_b) if at_a > at_b else 0.5
            middle = a * (b / a) ** min(max(share, 1e-3), 1 - 1e-3)
        if not a < middle < b:
            middle = 0.5 * (a + b)
            if not a < middle < b:
                break
        found = spent(middle)
        if abs(found - budget) <= 8 * eps * budget:
            return middle, middle
        if found > budget:
            a, at_a = middle, found
        else:
            b, at_b = middle, found
    return a, b


def adversary_price(
    scan: Callable[[Float[Tensor, " price"]], tuple[Float[Tensor, " price"], Float[Tensor, " price"]]],
    budget: float,
    clamped: float,
    eps: float,
) -> float:
    r"""The price λ ≥ 0 that maximises $J_{-1/\lambda} - \lambda \varepsilon$, which may have several local maxima.

    J rises with λ, so that between two prices a < b the maximum is at most J(b) − a ε. Intervals that cannot hold a
    better price than the best one known are dropped, the others are halved. Then every local maximum in what is left,
    where the KL that is spent falls through the budget, is refined.

    Args:
        scan: for prices, J in nats and the KL that is spent.
        budget: ε in nats, above 0.
        clamped: J at β = 0, the limit of high prices, in nats.
        eps: the rounding of `scan`, relative.
    """
    worst, at_zero = (float(each[0]) for each in scan(torch.zeros(1, dtype=torch.float64)))
    range_ = clamped - worst
    if not range_ > eps * (abs(clamped) + abs(worst)):  # chance makes no difference
        return 0.0
    price = torch.linspace(0.0, range_ / budget, _COARSE, dtype=torch.float64)  # J − λ ε < J(0) above
    value, spent = scan(price)
    while True:
        merit = value - budget * price
        bound = value[1:] - budget * price[:-1]
        hopeful = bound > merit.max() + _SURE * range_
        if not bool(hopeful.any()) or len(price) > _MOST:
            break
        more = (0.5 * (price[1:] + price[:-1]))[hopeful]
        more_value, more_spent = scan(more)
        price, order = torch.cat([price, more]).sort()
        value, spent = torch.cat([value, more_value])[order], torch.cat([spent, more_spent])[order]

    def spent_at(each: float) -> float:
        return float(scan(torch.tensor([each], dtype=torch.float64))[1])

    candidates = [0.0] if at_zero <= budget else []
    falls = (spent[:-1] > budget) & (spent[1:] <= budget) & (bound >= merit.max())
    for i in falls.nonzero()[:, 0].tolist():
        a, b = float(price[i]), float(price[i + 1])
        low = a if a > 0 else _lowest(spent_at, budget, b)
        candidates.append(root(spent_at, budget, eps, (low, spent_at(low)), (b, float(spent[i + 1])))[1])
    merits = [float(scan(torch.tensor([each], dtype=torch.float64))[0]) - budget * each for each in candidates]
    scanned = int(merit.argmax())
    if not merits or float(merit[scanned]) > max(merits) + _SURE * range_:
        return float(price[scanned])  # a maximum that two scanned prices enclose without a sign of it
    return candidates[merits.index(max(merits))]


def _lowest(spent: Callable[[float], float], budget: float, price: float) -> float:
    """A positive price below this one that spends more than the budget, as price 0 does."""
    while spent(price) <= budget:
        price /= _FACTOR
    return price
