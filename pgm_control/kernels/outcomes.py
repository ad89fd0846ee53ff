"""One step through the outcomes: backwards for values, and forwards for probability mass.

The pairs (action, state) are sorted by their number of outcomes, so that outcome k is a line over the pairs that have
it: the padding of the MDP's tables is left out. An outcome that leads to the same state from every pair, as in a dense
table, needs no look-up.
"""

from typing import Any

import numpy as np

from .compiling import compiled, compiled_in_any_order
from .vector_math import exp, log

Array = np.ndarray

NARROW = 500.0  # nats: e^−500 leaves room for probabilities of 1e-90 before numbers lose digits
_LARGEST = 1e15  # nats: above, β r/τ − top, which the compiler computes in one rounding, is not 0 for the largest r
_TINY = 1e-40  # smaller probabilities do not go into the products of one setting
_CLEAR = 0.01  # nats: below this spread the plain sum of exponentials loses digits that exp − 1 keeps


@compiled
def lookahead(x: Array, reward: Array, ahead: Array, successor: Array, count: Array) -> None:
    """Write x = r + V(s') of every outcome and lane; `reward` is (outcome, lane), `ahead` is (state, setting)."""
    settings = ahead.shape[1]
    for k in range(successor.shape[0]):
        target = successor[k]
        if settings == 1:
            xk, rk, v = x[k], reward[k], ahead.reshape(ahead.shape[0])
            for j in range(count[k]):
                xk[j] = rk[j] + v[target[j]]
        else:
            into, pay = x[k].reshape(target.shape[0], settings), reward[k].reshape(target.shape[0], settings)
            for j in range(count[k]):
                there = ahead[target[j]]
                for b in range(settings):
                    into[j, b] = pay[j, b] + there[b]


@compiled
def mix(total: Array, factor: Array, z: Array, successor: Array, count: Array, common: Array) -> None:
    """Write Σ_k factor · z(s') of every lane into `total`; z is (state, setting).

    An outcome of factor 0 contributes nothing, even where z is −inf.
    """
    settings = z.shape[1]
    total[:] = 0.0
    sums = total.reshape(successor.shape[1], settings)
    for k in range(successor.shape[0]):
        target = successor[k]
        if settings == 1:
            fk, line = factor[k], z.reshape(z.shape[0])
            if common[k]:
                there_one = line[target[0]]
                for j in range(target.shape[0]):
                    weight, before = fk[j], total[j]
                    total[j] = before + (0.0 if weight == 0 else weight * there_one)
            else:
                for j in range(count[k]):
                    term = fk[j] * line[target[j]]
                    total[j] += 0.0 if fk[j] == 0 else term
        else:
            rows = factor[k].reshape(target.shape[0], settings)
            for j in range(count[k]):
                there = z[target[j]]
                for b in range(settings):
                    weight, before = rows[j, b], sums[j, b]
                    term = weight * there[b]
                    sums[j, b] = before + (0.0 if weight == 0 else term)


@compiled
def carry(
    arrived: Array,
    by_reward: Array,
    mass: Array,
    factor: Array,
    z: Array,
    successor: Array,
    count: Array,
    common: Array,
) -> None:
    """Add the mass of every lane, along its outcomes, to `arrived` at the successors and, times z(s'), to `by_reward`.

    `arrived` and `z` are (state, setting), `mass` is (lane,), `factor` and `by_reward` are (outcome, lane).
    """
    settings = arrived.shape[1]
    for k in range(successor.shape[0]):
        target = successor[k]
        if settings == 1:
            fk, rk, line, sums = factor[k], by_reward[k], z.reshape(z.shape[0]), arrived.reshape(z.shape[0])
            if common[k]:
                there_one = line[target[0]]
                sums[target[0]] += dot(mass, fk)
                for j in range(target.shape[0]):
                    gain = rk[j]
                    rk[j] = gain + mass[j] * fk[j] * there_one
            else:
                for j in range(count[k]):
                    sent = mass[j] * fk[j]
                    sums[target[j]] += sent
                    rk[j] += sent * line[target[j]]
        else:
            shape = (target.shape[0], settings)
            rows, masses, gains = factor[k].reshape(shape), mass.reshape(shape), by_reward[k].reshape(shape)
            for j in range(count[k]):
                into, there = arrived[target[j]], z[target[j]]
                for b in range(settings):
                    into[b] += masses[j, b] * rows[j, b]
                for b in range(settings):
                    gains[j, b] += masses[j, b] * rows[j, b] * there[b]


@compiled_in_any_order
def dot(x: Array, y: Array) -> float:
    """The sum Σ x y; the compiler chooses the order of summation."""
    total = 0.0
    for i in range(x.shape[0]):
        total += x[i] * y[i]
    return total


@compiled
def narrow_range(value: Array, scale: Array, spread: Array, widest: Array, shift: Array, z: Array) -> bool:
    """Whether exp(β V/τ − shift), written into z, can represent the values: no underflow, no loss of precision.

    `value` and `z` are (state, setting); `spread` and `widest` are those of `factors`; `shift` is written here, for
    each state lane. The best reward of a row may lead to the lowest values, or to −inf, so the two ranges are added.
    """
    states, settings = value.shape
    many = states * settings
    flat, out = value.reshape(many), z.reshape(many)
    for b in range(settings):
        high, low = -np.inf, np.inf
        for n in range(b, many, settings):
            scaled = scale[b] * flat[n]
            out[n] = scaled
            high = scaled if scaled > high else high
            finite = scaled if scaled > -np.inf else np.inf
            low = finite if finite < low else low
        width = max(high - low, 0.0)
        if not (width + widest[b] < NARROW and width + spread[b] > _CLEAR and -np.inf < high < np.inf):
            return False
        shift[b] = high
    for n in range(settings, many, settings):
        for b in range(settings):
            shift[n + b] = shift[b]
    for n in range(many):
        out[n] = exp(out[n] - shift[n])
    return True


@compiled
def factors(
    reward: Array, weight: Array, scale: Array, top: Array, factor: Array, spread: Array, widest: Array
) -> bool:
    """Write p exp(β r/τ − top) of every outcome, with top the largest β r/τ of its row; return if they are usable.

    It also writes the range of β r/τ in each setting: over all rows into `spread`, and of the widest row into `widest`.
    """
    outcomes, lanes = reward.shape
    settings = spread.shape[0]
    for b in range(settings):
        high, low = -np.inf, np.inf
        widest[b] = 0.0
        for i in range(b, lanes, settings):
            best, worst = -np.inf, np.inf
            for k in range(outcomes):
                if weight[k, i] > 0:
                    if weight[k, i] < 1e-90 or (scale[i] < 0 and reward[k, i] == -np.inf):
                        return False
                    scaled = scale[i] * reward[k, i]
                    best = max(best, scaled)
                    worst = min(worst, scaled) if scaled > -np.inf else worst
            if best > _LARGEST or -np.inf < best < -_LARGEST:
                return False
            top[i] = best if best > -np.inf else 0.0
            widest[b] = max(widest[b], best - worst)
            high, low = max(high, best), min(low, worst)
        spread[b] = max(high - low, 0.0)
    for k in range(outcomes):
        rk, wk, fk = reward[k], weight[k], factor[k]
        for i in range(lanes):
            fk[i] = wk[i] * exp(scale[i] * rk[i] - top[i]) if wk[i] > 0 else 0.0
    return True


@compiled
def undo(value: Array, total: Array, top: Array, shift: Array, scale: Array) -> None:
    """Write the values whose shifted exponentials have this total."""
    for i in range(value.shape[0]):
        value[i] = (log(total[i]) + (top[i] + shift[i])) / scale[i]


@compiled
def mix_of_one(
    total: Array, first: Array, factor: Array, line: Array, row: int, successor: Array, counts: Array, common: Array
) -> None:
    """Write first + Σ_k factor · line(s') of every pair into `total`, where line is one row of a table."""
    for j in range(total.shape[0]):
        total[j] = first[j]
    for k in range(factor.shape[0]):
        if common[k]:
            there = line[row, successor[k, 0]]
            for j in range(total.shape[0]):
                total[j] += factor[k, j] * there
        else:
            for j in range(counts[k]):
                total[j] += factor[k, j] * line[row, successor[k, j]]


@compiled
def carry_of_one(mass: Array, factor: Array, successor: Array, counts: Array, common: Array, arrived: Array) -> None:
    """Add mass · factor of every outcome of every pair to `arrived` at its successor."""
    for k in range(factor.shape[0]):
        if common[k]:
            arrived[successor[k, 0]] += dot(mass, factor[k])
        else:
            for j in range(counts[k]):
                arrived[successor[k, j]] += mass[j] * factor[k, j]


@compiled
def lookahead_of_one(x: Array, reward: Array, ahead: Array, successor: Array, place: Array, counts: Array) -> None:
    """Write x = r + ahead(s') of every outcome of every pair."""
    for k in range(x.shape[0]):
        for j in range(counts[k]):
            x[k, j] = reward[place[k, j]] + ahead[successor[k, j]]


@compiled
def weights_of_one(
    reward: Any, weight: Array, place: Array, counts: Array, prior: Array, per_nat: float, factor: Array
) -> tuple[float, float]:
    """Write p exp((r − c)/τ) of every outcome; return c, the largest reward, and the range of r/τ.

    The range is infinite where an infinite reward or a tiny probability does not allow products.
    """
    high, low, tiny = -np.inf, np.inf, False
    for k in range(factor.shape[0]):
        for j in range(counts[k]):
            r: float = reward[place[k, j]]
            factor[k, j] = r
            if weight[k, j] > 0:
                high, low = max(high, r), min(low, r)
                tiny |= weight[k, j] < _TINY or r != r
    for a in range(prior.shape[0]):
        for s in range(prior.shape[1]):
            tiny |= 0 < prior[a, s] < _TINY
    spread = (high - low) * per_nat
    if tiny or not spread < NARROW:
        spread = np.inf
    for k in range(factor.shape[0]):
        for j in range(counts[k]):
            each = weight[k, j] * exp((factor[k, j] - high) * per_nat)
            factor[k, j] = each if weight[k, j] > 0 and spread < np.inf else 0.0
    return high, spread
