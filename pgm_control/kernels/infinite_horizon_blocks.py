"""The values of a block of states: Q of each row, and its aggregate over actions. See `infinite_horizon.py`."""

import numpy as np

from .bundles import SweepNumbers, SweepTables
from .compiling import compiled
from .vector_math import exp, exp_and_expm1, log

Array = np.ndarray


@compiled
def means(q: Array, v: Array, tables: SweepTables, discount: float, b: int, n: int) -> None:
    """Write q (action, lane) = mean reward + γ Σ p v(s') of a block."""
    p, successor, _, pay, rows, width, _, _ = tables
    actions = pay.shape[1]
    if rows.shape[0] > 0:
        for i in range(n):
            for a in range(actions):
                row = (b + i) * actions + a
                total = 0.0
                for j in range(rows[row], rows[row + 1]):
                    total += p[j] * v[successor[j]]
                q[a, i] = pay[b + i, a] + discount * total
        return
    outcomes = len(width)
    for i in range(n):
        for a in range(actions):
            j = ((b + i) * actions + a) * outcomes
            total = 0.0
            for k in range(outcomes):
                total += p[j + k] * v[successor[j + k]]
            q[a, i] = pay[b + i, a] + discount * total


@compiled
def equivalents(
    q: Array, v: Array, tables: SweepTables, numbers: SweepNumbers, b: int, n: int, x: Array, w: Array
) -> None:
    """Write q (action, lane) = L_β[r + γ v(s')] of a block, scale = β/τ ≠ 0; `x`, `w` (outcome, lane) are scratch."""
    p, successor, reward, pay, rows, width, _, _ = tables
    discount, _, scale = numbers
    actions, outcomes, lanes = q.shape[0], x.shape[0], n * q.shape[0]
    for a in range(actions):
        for i in range(n):
            row = (b + i) * actions + a
            start = rows[row] if rows.shape[0] > 0 else row * len(width)
            length = rows[row + 1] - start if rows.shape[0] > 0 else len(width)
            for k in range(outcomes):
                possible = k < length and p[start + k] > 0
                w[k, a * n + i] = p[start + k] if possible else 0.0
                x[k, a * n + i] = (
                    scale * (reward[start + k] + discount * v[successor[start + k]]) if possible else -np.inf
                )
    top, grown_sum, growth_sum = np.empty(lanes), np.zeros(lanes), np.zeros(lanes)
    top[:] = x[0, :lanes]
    for k in range(1, outcomes):
        xk = x[k]
        for j in range(lanes):
            top[j] = max(top[j], xk[j])
    for k in range(outcomes):
        accumulate(x[k], w[k], top, 1.0, grown_sum, growth_sum, lanes)
    finish(top, 1.0 / scale, grown_sum, growth_sum, 1.0 / scale, lanes)
    for a in range(actions):
        for i in range(n):
            # Forbidden outcomes that an optimist avoids have probability 0; `pay` bans a row that has no others.
            banned = pay[b + i, a] if pay.shape[0] > 0 else 0.0
            q[a, i] = top[a * n + i] if banned == 0 else -np.inf


@compiled
def accumulate(x: Array, w: Array, top: Array, scale: float, grown_sum: Array, growth_sum: Array, lanes: int) -> None:
    """Add w exp(scale (x − top)) to `grown_sum` and w (exp(…) − 1) to `growth_sum`; top = −inf counts as 0."""
    for i in range(lanes):
        highest = top[i]
        y = scale * (x[i] - (highest if highest > -np.inf else 0.0))
        grown, growth = exp_and_expm1(y)
        before, small = grown_sum[i], growth_sum[i]
        grown_sum[i] = before + w[i] * grown
        growth_sum[i] = small + w[i] * growth


@compiled
def finish(top: Array, unit: float, grown_sum: Array, growth_sum: Array, temperature: float, lanes: int) -> None:
    """Replace top by unit · top + temperature · log of the sum, using log1p where the sum is near 1."""
    for i in range(lanes):
        growth = growth_sum[i]
        near = growth > -0.5
        u = 1.0 + growth if near else grown_sum[i]
        rest = (growth - (u - 1.0)) / u if near else 0.0
        highest = top[i]
        top[i] = unit * highest + temperature * (log(u) + rest) if highest > -np.inf else -np.inf


@compiled
def best_actions(q: Array, top: Array, n: int) -> None:
    """Write the maximum over the actions of every lane into `top`."""
    q0 = q[0]
    for i in range(n):
        top[i] = q0[i]
    for a in range(1, q.shape[0]):
        qa = q[a]
        for i in range(n):
            x, y = qa[i], top[i]
            top[i] = x if x > y else y


@compiled
def soften(q: Array, prior: Array, top: Array, grown_sum: Array, growth_sum: Array, temperature: float, n: int) -> None:
    """Write V = τ log Σ ρ exp(Q/τ) of every lane into `top`. Actions of prior 0 have Q = −inf."""
    best_actions(q, top, n)
    grown_sum[:] = 0.0
    growth_sum[:] = 0.0
    for a in range(q.shape[0]):
        accumulate(q[a], prior[a], top, 1.0 / temperature, grown_sum, growth_sum, n)
    finish(top, 1.0, grown_sum, growth_sum, temperature, n)


@compiled
def soft_policy(q: Array, prior: Array, mass: Array, temperature: float, policy: Array) -> None:
    """Write π (lane, action), ρ exp((Q − max Q)/τ) over its sum, which is `mass` and 0 at dead ends, into `policy`."""
    n, actions = policy.shape
    best, unit, share, rate = np.empty(n), np.empty(n), np.empty(n), 1.0 / temperature
    best_actions(q, best, n)
    for i in range(n):
        highest, total = best[i], mass[i]
        best[i] = highest if highest > -np.inf else 0.0
        unit[i] = 1.0 / total if total > 0 else 0.0
    for a in range(actions):
        here, weight = q[a], prior[a]
        for i in range(n):
            share[i] = weight[i] * unit[i] * exp(rate * (here[i] - best[i]))
        for i in range(n):
            policy[i, a] = share[i]


@compiled
def tilted(
    weight: Array, tables: SweepTables, numbers: SweepNumbers, v: Array, share: float, start: int, stop: int, to: int
) -> None:
    """Write share · p exp(scale (r + γ v(s'))), normalised, of outcomes start … stop − 1 to `weight` from `to` on."""
    p, successor, reward, _, _, _, _, _ = tables
    discount, _, scale = numbers
    top, mass = -np.inf, 0.0
    for j in range(start, stop):
        x = scale * (reward[j] + discount * v[successor[j]]) if p[j] > 0 else -np.inf
        weight[to + j - start] = x
        top = max(top, x)
    share = share if top < np.inf else 0.0  # a forbidden outcome for β < 0
    for k in range(to, to + stop - start):
        weight[k] = p[start + k - to] * exp(weight[k] - top) if share > 0 and weight[k] > -np.inf else 0.0
        mass += weight[k]
    for k in range(to, to + stop - start):
        weight[k] *= share / mass if mass > 0 else 0.0
