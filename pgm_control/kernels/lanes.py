"""Certainty equivalents of many random events side by side, in lanes, so that every loop is over contiguous numbers.

Lane `(a S + s) B + b` belongs to action a, state s and setting b of the B settings that are solved at once; state lane
`s B + b` belongs to state s and setting b. The outcomes, or the actions, are the axis before. All arithmetic is in
float64.
"""

from typing import NamedTuple

import numpy as np

from .bundles import MASS_ROUNDING
from .compiling import compiled
from .vector_math import exp_and_expm1, log

Array = np.ndarray


class Chances(NamedTuple):
    """Random events without their values, one for each lane."""

    weight: Array  # (outcome, lane): probabilities
    counts: Array  # (outcome,): the number of lanes that have this outcome; they are the first lanes
    scale: Array  # (lane,): β/τ
    temperature: Array  # (lane,): τ


class Room(NamedTuple):
    """The scratch space of `soften`. log share/weight is y − norm, with y = scale · (x − best)."""

    norm: Array  # (lane,)
    y: Array  # (outcome, lane), may be x itself
    lines: Array  # (3, lane)


@compiled
def soften(x: Array, chances: Chances, value: Array, share: Array, room: Room) -> None:
    """Write `certainty_equivalent` of each lane over its outcomes into `value`, for β other than 0.

    `x` and `share` have shape (outcome, lane); the tilt is written into `share`. Each lane is shifted by its own
    maximum. The loops are short, because only loops over few arrays are vectorised: each checks at its start that they
    do not overlap. Bundles are made once for many calls, since making one costs a few atomic reference counts.
    """
    weight, count, scale, temperature = chances
    norm, y, work = room
    outcomes, lanes = x.shape
    best, sum_exp, sum_expm1, astray = work[0], work[1], work[2], 0
    for i in range(lanes):
        best[i] = -np.inf
        norm[i] = -np.inf
    for f in range(outcomes):
        for i in range(count[f]):
            xi, highest, leader = x[f, i], norm[i], best[i]  # read before any write, to be vectorised
            scaled = scale[i] * xi
            better = (scaled > highest) & (weight[f, i] > 0)
            norm[i] = scaled if better else highest
            best[i] = xi if better else leader
    for i in range(lanes):
        sum_exp[i] = 0.0
        sum_expm1[i] = 0.0
    for f in range(outcomes):
        for i in range(count[f]):
            xi, leader = x[f, i], best[i]
            gap = scale[i] * (xi - leader) if weight[f, i] > 0 else -np.inf
            # The best outcome has y = 0 even where x is infinite: an adversary's choice, or all are forbidden.
            y[f, i] = 0.0 if xi == leader else gap
        for i in range(count[f]):
            grown, growth = exp_and_expm1(y[f, i])
            share[f, i] = weight[f, i] * grown
            sum_expm1[i] += weight[f, i] * growth
        for i in range(count[f]):
            sum_exp[i] += share[f, i]
    for i in range(lanes):
        near = sum_expm1[i] > -0.5  # then Σ w (e^y − 1) holds the digits, as in log1p
        u = 1.0 + sum_expm1[i] if near else sum_exp[i]
        rest = (sum_expm1[i] - (u - 1.0)) * (2.0 - u) if near else 0.0  # 2 − u is close to 1/u, and the term is small
        norm[i] = log(u) + rest
    for i in range(lanes):
        value[i] = best[i] + norm[i] / scale[i]
    for i in range(lanes):
        size = abs(value[i])
        far = abs(best[i]) > 100.0 * max(size, temperature[i])
        astray += far & (sum_expm1[i] <= -0.5) & (abs(scale[i]) * size < 1)
    if astray > 0:
        for i in range(lanes):
            value[i] = _corrected(y, weight, count, scale[i], best[i], value[i], i)
    for i in range(lanes):
        best[i] = 1.0 / sum_exp[i]
    for f in range(outcomes):
        for i in range(count[f]):
            share[f, i] *= best[i]


@compiled
def _corrected(y: Array, weight: Array, count: Array, scale: float, best: float, value: float, i: int) -> float:
    """One step of the exact identity L[x] = c + L[x − c]: it restores digits lost to a far best outcome at small β."""
    if abs(scale * value) >= 1 or not np.isfinite(best):
        return value
    total = 0.0
    for f in range(y.shape[0]):
        if i < count[f] and weight[f, i] > 0:
            total += weight[f, i] * np.expm1(y[f, i] - scale * (value - best))
    return value + np.log1p(total) / scale if abs(total) < 0.5 else value


@compiled
def soft_maximum(
    x: Array, weight: Array, counts: Array, per_nat: float, y: Array, share: Array, lines: Array, norm: Array
) -> None:
    """The certainty equivalent of every lane at β = 1, as `soften` computes it, in one loop over the exponentials.

    It is `lines[0]` plus τ times `norm`. The tilt is `share` times `lines[1]`; its logarithm is y − norm plus that of
    the weight. Tables are (outcome, lane), lines (lane,), with an axis before; y may be x.
    """
    outcomes, lanes = x.shape
    for i in range(lanes):
        lines[0, i] = -np.inf
        lines[1, i] = 0.0
        lines[2, i] = 0.0
    for k in range(outcomes):
        for i in range(counts[k]):
            each, leader = x[k, i], lines[0, i]
            lines[0, i] = each if (each > leader) & (weight[k, i] > 0) else leader
    for k in range(outcomes):
        for i in range(counts[k]):
            each, leader, w = x[k, i], lines[0, i], weight[k, i]
            gap = per_nat * (each - leader) if w > 0 else -np.inf
            gap = 0.0 if each == leader else gap  # also where x is infinite: all outcomes are forbidden
            grown, growth = exp_and_expm1(gap)
            y[k, i] = gap
            share[k, i] = w * grown
            lines[1, i] += w * grown
            lines[2, i] += w * growth
    for i in range(lanes):
        total, more = lines[1, i], lines[2, i]
        near = more > -0.5  # then Σ w (e^y − 1) holds the digits, as in log1p
        u = 1.0 + more if near else total
        rest = (more - (u - 1.0)) * (2.0 - u) if near else 0.0
        norm[i] = log(u) + rest
        lines[1, i] = 1.0 / total


@compiled
def harden(x: Array, weight: Array, value: Array, share: Array) -> None:
    """Write the hard maximum of each lane, τ = 0; the best outcomes share in proportion to their weight."""
    for i in range(x.shape[1]):
        best, total = -np.inf, 0.0
        for f in range(x.shape[0]):
            best = max(best, x[f, i]) if weight[f, i] > 0 else best
        for f in range(x.shape[0]):
            total += weight[f, i] if x[f, i] == best else 0.0
        for f in range(x.shape[0]):
            share[f, i] = weight[f, i] / total if x[f, i] == best else 0.0
        value[i] = best


@compiled
def everywhere(outcomes: int, lanes: int) -> Array:
    """The `counts` for `soften` if every lane has all outcomes."""
    return np.full(outcomes, lanes)


@compiled
def priors_of(prior: Array, settings: int) -> Array:
    """The prior (setting or 1, state, action), rearranged to (action, state lane)."""
    given, states, actions = prior.shape
    lanes = np.empty((actions, states * settings))
    for a in range(actions):
        for s in range(states):
            for b in range(settings):
                lanes[a, s * settings + b] = prior[b if given > 1 else 0, s, a]
    return lanes


@compiled
def normalise(prior: Array) -> Array:
    """Divide each state lane of the prior (action, state lane) by its sum; return the logarithms of the sums.

    A lane that sums to 1 up to rounding is left as it is.
    """
    log_mass = np.zeros(prior.shape[1])
    for i in range(prior.shape[1]):
        total = 0.0
        for a in range(prior.shape[0]):
            total += prior[a, i]
        if total > 0 and abs(total - 1.0) > MASS_ROUNDING:
            log_mass[i] = log(total)
            for a in range(prior.shape[0]):
                prior[a, i] /= total
    return log_mass


@compiled
def outcomes_of(table: Array, place: Array, count: Array, settings: int) -> Array:
    """The flat table (setting or 1, everything), rearranged to (outcome, lane) by the indices `place`.

    Lanes without the outcome hold 0.
    """
    lanes = np.zeros((place.shape[0], place.shape[1] * settings))
    for k in range(place.shape[0]):
        for j in range(count[k]):
            for b in range(settings):
                lanes[k, j * settings + b] = table[b if table.shape[0] > 1 else 0, place[k, j]]
    return lanes


@compiled
def spread_out(each: Array, lanes: int) -> Array:
    """A number for each setting, repeated over all lanes of the setting."""
    out = np.empty(lanes)
    for i in range(0, lanes, each.shape[0]):
        out[i : i + each.shape[0]] = each
    return out
