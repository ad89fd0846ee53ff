"""Compiled sweeps over all states of an infinite-horizon problem; the sweeps in torch are their reference.

States are processed in blocks that are small enough to stay in the nearest cache. Everything but the gathers is then a
loop over contiguous lanes: lane i of a block that begins at b is state b + i. No table is allocated, and the
interpreter lock is not held. Rows of outcomes either all have one width, or are delimited by `rows`. Values are finite,
since dead ends have been removed from the tables.
"""

from typing import Any

import numpy as np

from . import components as _components
from .bundles import Chain, Plain, SweepNumbers, SweepTables, SweepValues
from .compiling import compiled, entry
from .infinite_horizon_blocks import best_actions, equivalents, means, soft_policy, soften, tilted

Array = np.ndarray

BLOCK = 256


@compiled
def settle(top: Array, v: Array, out: Array, low: Array, high: Array) -> None:
    """Write a block of values into `out`, and widen the interval of each lane by its change.

    Dead ends, at −inf, become 0 and do not count.
    """
    for i in range(v.size):
        value, least, most = top[i], low[i], high[i]
        alive = value > -np.inf
        change = value - v[i]
        low[i] = change if alive & (change < least) else least
        high[i] = change if alive & (change > most) else most
        top[i] = value if alive else 0.0
    for i in range(v.size):
        out[i] = top[i]


@compiled
def harden(
    tables: SweepTables, discount: float, values: SweepValues, first: int, last: int
) -> tuple[float, float, bool]:
    """`sweep` at temperature 0 for rows of one width, one state at a time, since a maximum needs no lanes."""
    p, successor, _, pay, _, width, _, _ = tables
    v, out, _, choice, _ = values
    actions, outcomes, chooses = pay.shape[1], len(width), choice.shape[0] > 0
    lo, hi, whole = np.inf, -np.inf, True
    for s in range(first, last):
        best, leader = -np.inf, 0
        for a in range(actions):
            j = (s * actions + a) * outcomes
            total = 0.0
            for k in range(outcomes):
                total += p[j + k] * v[successor[j + k]]
            q = pay[s, a] + discount * total
            if chooses:
                leader = a if q > best else leader
            best = q if q > best else best
        alive = best > -np.inf
        change = best - v[s]
        whole = whole & (change < np.inf)
        lo = change if alive & (change < lo) else lo
        hi = change if alive & (change > hi) else hi
        out[s] = best if alive else 0.0
        if chooses:
            choice[s] = leader
    return lo, hi, whole


@entry
def sweep(
    tables: Plain, numbers: Plain, values: Plain, bonus: Array, first: int, last: int, block: int, backwards: bool
) -> tuple[float, float, bool]:
    """Apply the operator to states first … last − 1; return the least and largest change, and if none is nan or +inf.

    If `out` is the same array as `v`, this is a Gauss–Seidel sweep by blocks.

    Args:
        tables: `SweepTables`; this and the next two are plain tuples.
        numbers: `SweepNumbers`.
        values: `SweepValues`.
        bonus: what is added to the soft maximum of each state; may be empty.
        first, last: the range of states.
        block: the number of states processed at once.
        backwards: whether to begin with the last block.
    """
    problem, operator = SweepTables(*tables), SweepNumbers(*numbers)
    discount, temperature, scale = numbers
    v, out, q_out, choice, policy = values
    prior, longest = problem.prior, problem.longest
    simple = scale == 0 and temperature == 0 and problem.rows.shape[0] == 0
    if simple and q_out.shape[0] == 0 and block == BLOCK:
        return harden(problem, discount, SweepValues(*values), first, last)
    actions = prior.shape[1]
    q, weight, top = np.empty((actions, block)), np.empty((actions, block)), np.empty(block)
    grown, growth = np.empty(block), np.empty(block)
    scratch = (longest, actions * block if scale != 0 else 0)
    x, w = np.empty(scratch), np.empty(scratch)
    for a in range(actions):
        weight[a, :] = prior[0, a]
    low, high, whole = np.full(block, np.inf), np.full(block, -np.inf), True
    blocks = (last - first + block - 1) // block
    for turn in range(blocks):
        b = first + block * (blocks - 1 - turn if backwards else turn)
        n = min(block, last - b)
        if scale == 0:
            means(q, v, problem, discount, b, n)
        else:
            equivalents(q, v, problem, operator, b, n, x, w)
        if q_out.shape[0] > 0:
            for a in range(actions):
                for i in range(n):
                    q_out[b + i, a] = q[a, i]
        if temperature == 0:
            best_actions(q, top, n)
            if choice.shape[0] > 0:
                for i in range(n):
                    choice[b + i] = 0
                for a in range(1, actions):
                    for i in range(n):
                        choice[b + i] = a if q[a, i] > q[choice[b + i], i] else choice[b + i]
        else:
            if prior.shape[0] > 1:
                for a in range(actions):
                    for i in range(n):
                        weight[a, i] = prior[b + i, a]
            soften(q, weight, top, grown, growth, temperature, n)
            if policy.shape[0] > 0:
                soft_policy(q, weight, grown, temperature, policy[b : b + n])
            for i in range(n if bonus.shape[0] > 0 else 0):
                top[i] += bonus[b + i]
        bad = 0
        for i in range(n):
            bad += not (top[i] < np.inf)
        whole = whole and bad == 0
        settle(top, v[b : b + n], out[b : b + n], low, high)
    return low.min(), high.max(), whole


@entry
def linearise(
    tables: Plain, numbers: Plain, values: Plain, weight: Array, successor: Array, first: int, last: int
) -> None:
    """Write the weights of the outcomes of states first … last − 1 under the best policy and the tilted dynamics.

    The policy is `values.choice` at temperature 0, and `values.policy` otherwise. With a `successor` to fill, only the
    rows of the chosen actions are written, side by side.
    """
    problem, operator = SweepTables(*tables), SweepNumbers(*numbers)
    p, target, _, _, rows, width, _, prior = tables
    _, temperature, scale = numbers
    v, _, _, choice, policy = values
    actions, packed, hard = prior.shape[1], successor.shape[0] > 0, temperature == 0
    shares, outcomes, begin = policy.ravel(), len(width), first * actions
    if scale == 0 and rows.shape[0] == 0:  # the most frequent case, in loops without branches
        for row in range(begin, begin if hard else last * actions):
            share, start = shares[row], row * outcomes
            for k in range(len(width)):
                weight[start + k] = share * p[start + k]
        for s in range(first, last if hard else first):
            start, to = (s * actions + choice[s]) * outcomes, s * outcomes
            for k in range(len(width)):
                weight[to + k], successor[to + k] = p[start + k], target[start + k]
        return
    for each in range(first if hard else begin, last if hard else last * actions):
        row = each * actions + choice[each] if hard else each
        share = 1.0 if hard else shares[row]
        start = rows[row] if rows.shape[0] > 0 else row * outcomes
        stop = rows[row + 1] if rows.shape[0] > 0 else start + outcomes
        to = each * outcomes if packed else start
        if scale != 0:
            tilted(weight, problem, operator, v, share, start, stop, to)
        else:
            for k in range(stop - start):
                weight[to + k] = share * p[start + k]
        if packed:
            for k in range(len(width)):
                successor[to + k] = target[start + k]


@compiled
def relaxed(chain: Chain, discount: float, change: Array, d: Array, out: Array, first: int, last: int) -> None:
    """Write change + γ W d into `out`."""
    weight, successor, begin, end, width = chain
    if begin.shape[0] > 0:
        for s in range(first, last):
            total = 0.0
            for j in range(begin[s], end[s]):
                total += weight[j] * d[successor[j]]
            out[s] = change[s] + discount * total
        return
    for s in range(first, last):
        total = 0.0
        j = s * len(width)
        for k in range(len(width)):
            total += weight[j + k] * d[successor[j + k]]
        out[s] = change[s] + discount * total


@entry
def relax(
    chain: Plain, discount: float, change: Array, d: Array, out: Array, first: int, last: int, sweeps: int
) -> None:
    """Replace d by change + γ W d for states first … last − 1 `sweeps` times; `d` and `out` in turn hold the result."""
    for _ in range(sweeps):
        relaxed(Chain(*chain), discount, change, d, out, first, last)
        d, out = out, d


@entry
def survey(p: Array, reward: Array, pay: Array) -> tuple[Any, Any, Any, Any]:
    """One pass over the flat tables, which writes the mean rewards into `pay`, unless there is one reward per row.

    Returns the largest |Σ p − 1|, the largest finite |reward|, and the numbers of possible and of forbidden outcomes.
    """
    outcomes, one = p.shape[0] // pay.size, reward.shape[0] == pay.size
    slack, largest, possible, forbidden = 0.0, 0.0, 0, 0
    for row in range(pay.size):
        total, mean = 0.0, 0.0
        for j in range(row * outcomes, (row + 1) * outcomes):
            weight, r = np.float64(p[j]), np.float64(reward[row if one else j])
            total += weight
            mean += weight * r
            possible += weight > 0
            finite = r > -np.inf
            forbidden += not finite
            size = abs(r) if finite else 0.0
            largest = size if size > largest else largest
        if not one:
            pay[row // pay.shape[1], row % pay.shape[1]] = mean
        slack = max(slack, abs(total - 1.0))
    return slack, largest, possible, forbidden


strong_components = entry(_components.strong_components)
best_reachable = entry(_components.best_reachable)
