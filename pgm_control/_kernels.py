"""Compiled loops over one MDP, by numba. Only `_backend.py` imports this module; the torch recursion is its reference.

Each function is compiled at its first call for a dtype (a second or two) and cached on disk after that.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

Array = np.ndarray


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile the bare function: the shape checker of the tests wraps it, and a wrapper cannot be compiled."""
    return numba.njit(cache=True, error_model="numpy")(inspect.unwrap(function))


@_compiled
def elbo_to_go(
    policy: Array,
    log_policy: Array,
    log_prior: Array,
    dynamics: Array,
    log_dynamics: Array,
    log_probability: Array,
    reward: Array,
    successor: Array,
    last: Array,
    discount: float,
    horizon: int,
) -> tuple[Array, Array]:
    """Backwards: the ELBO still to come, W (T+1, S), and the advantage G − log π/ρ of each action (T, S, A), in nats.

    Policy and dynamics come with their logarithms; tables whose first axis is 1 hold for all times. The reward is in
    nats. Faces and actions of probability zero contribute nothing, even where their value is infinite; nan spreads.
    """
    states, actions, outcomes = successor.shape
    ahead = np.empty((horizon + 1, states), dtype=last.dtype)
    advantage = np.empty((horizon, states, actions), dtype=last.dtype)
    ahead[horizon] = last
    for t in range(horizon - 1, -1, -1):
        tq = t if dynamics.shape[0] > 1 else 0
        tp = t if policy.shape[0] > 1 else 0
        for s in range(states):
            value = last.dtype.type(0.0)
            for a in range(actions):
                gain = last.dtype.type(0.0)
                for k in range(outcomes):
                    q = dynamics[tq, s, a, k]
                    if q != 0:
                        price = log_dynamics[tq, s, a, k] - log_probability[s, a, k]
                        gain += q * (reward[s, a, k] - price + discount * ahead[t + 1, successor[s, a, k]])
                if policy[tp, s, a] != 0:
                    gain -= log_policy[tp, s, a] - log_prior[s, a]
                    value += policy[tp, s, a] * gain
                advantage[t, s, a] = gain
            ahead[t, s] = value
    return ahead, advantage


@_compiled
def elbo_gradients(
    weight: Array,
    policy: Array,
    dynamics: Array,
    log_dynamics: Array,
    log_probability: Array,
    reward: Array,
    successor: Array,
    discount: float,
    ahead: Array,
    advantage: Array,
    wants_dynamics: bool,
) -> tuple[Array, Array]:
    """Forwards: the derivatives of Σ weight · W_0 by log π (T, S, A) and log q (T, S, A, K): occupancies times values.

    The −1 that normalisation cancels is part of them. Without `wants_dynamics` the second is empty.
    """
    states, actions, outcomes = successor.shape
    horizon = advantage.shape[0]
    by_policy = np.zeros(advantage.shape, dtype=ahead.dtype)
    by_dynamics = np.zeros((horizon if wants_dynamics else 0, states, actions, outcomes), dtype=ahead.dtype)
    here, arrived = weight.copy(), np.zeros(states, dtype=ahead.dtype)
    for t in range(horizon):
        tq = t if dynamics.shape[0] > 1 else 0
        tp = t if policy.shape[0] > 1 else 0
        arrived[:] = 0
        for s in range(states):
            if here[s] == 0:
                continue
            for a in range(actions):
                visit = here[s] * policy[tp, s, a]
                if visit == 0:
                    continue
                by_policy[t, s, a] = visit * (advantage[t, s, a] - 1)
                for k in range(outcomes):
                    happens = visit * dynamics[tq, s, a, k]
                    if happens != 0:
                        target = successor[s, a, k]
                        arrived[target] += discount * happens
                        if wants_dynamics:
                            price = log_dynamics[tq, s, a, k] - log_probability[s, a, k]
                            value = reward[s, a, k] - price + discount * ahead[t + 1, target]
                            by_dynamics[t, s, a, k] = happens * (value - 1)
        here[:] = arrived
    return by_policy, by_dynamics


@_compiled
def corrected(value: float, x: Array, weight: Array, scale: float) -> float:
    """One step of the exact identity L[x] = c + L[x − c]: it gives back the digits that a far face takes at small β."""
    if abs(scale * value) >= 1:
        return value
    total = 0.0
    for k in range(len(x)):
        if weight[k] > 0:
            total += weight[k] * np.expm1(scale * (x[k] - value))
    return value + np.log1p(total) / scale if abs(total) < 0.5 else value


@_compiled
def certain(x: Array, weight: Array, log_weight: Array, scale: float) -> float:
    """`certainty_equivalent` of one row, with scale = β/τ; 0 is the mean."""
    mean = 0.0
    for k in range(len(x)):
        if weight[k] > 0:
            mean += weight[k] * x[k]
    if scale == 0:
        return mean
    centre = mean if np.isfinite(mean) else 0.0
    widest = 0.0
    for k in range(len(x)):
        if weight[k] > 0:
            widest = max(widest, abs(scale * (x[k] - centre)))
    total = 0.0
    if widest < 0.5:
        for k in range(len(x)):
            if weight[k] > 0:
                total += weight[k] * np.expm1(scale * (x[k] - centre))
        return centre + np.log1p(total) / scale
    top = -np.inf
    for k in range(len(x)):
        if weight[k] > 0:
            top = max(top, log_weight[k] + scale * x[k])
    if not np.isfinite(top):
        return top / scale
    for k in range(len(x)):
        if weight[k] > 0:
            total += np.exp(log_weight[k] + scale * x[k] - top)
    return corrected((top + np.log(total)) / scale, x, weight, scale)


@_compiled
def tilt_into(out: Array, x: Array, weight: Array, log_weight: Array, scale: float) -> None:
    """`tilt` of one row, with scale = β/τ."""
    highest = -np.inf
    for k in range(len(x)):
        if weight[k] > 0:
            highest = max(highest, scale * x[k])
    top = -np.inf
    for k in range(len(x)):
        out[k] = -np.inf
        if weight[k] > 0:
            y = scale * x[k]
            if np.isfinite(highest):
                out[k] = log_weight[k] + (y - highest)
            elif y == highest:
                out[k] = log_weight[k]
        top = max(top, out[k])
    total = 0.0
    for k in range(len(x)):
        if out[k] > -np.inf:
            total += np.exp(out[k] - top)
    norm = top + np.log(total)
    for k in range(len(x)):
        if out[k] > -np.inf:
            out[k] -= norm


@_compiled
def certain_and_tilt(out: Array, x: Array, weight: Array, log_weight: Array, scale: float) -> float:
    """Both of one row, with one exponential a face; scale is not 0."""
    mean, highest = 0.0, -np.inf
    for k in range(len(x)):
        if weight[k] > 0:
            mean += weight[k] * x[k]
            highest = max(highest, scale * x[k])
    if not np.isfinite(highest):  # an adversary's choice, or nothing to choose
        tilt_into(out, x, weight, log_weight, scale)
        return certain(x, weight, log_weight, scale)
    centre = mean if np.isfinite(mean) else 0.0
    widest, total = 0.0, 0.0
    for k in range(len(x)):
        if weight[k] > 0:
            widest = max(widest, abs(scale * (x[k] - centre)))
    if widest < 0.5:
        for k in range(len(x)):
            if weight[k] > 0:
                out[k] = scale * (x[k] - centre)
                total += weight[k] * np.expm1(out[k])
        norm = np.log1p(total)
        for k in range(len(x)):
            out[k] = log_weight[k] + (out[k] - norm) if weight[k] > 0 else -np.inf
        return centre + norm / scale
    top = -np.inf
    for k in range(len(x)):
        out[k] = log_weight[k] + (scale * x[k] - highest) if weight[k] > 0 else -np.inf
        top = max(top, out[k])
    for k in range(len(x)):
        if weight[k] > 0:
            total += np.exp(out[k] - top)
    norm = top + np.log(total)
    for k in range(len(x)):
        out[k] -= norm
    return corrected((highest + norm) / scale, x, weight, scale)


@_compiled
def share_best_into(out: Array, x: Array, weight: Array, log_weight: Array) -> float:
    """The hard maximum of one row, τ = 0; the best share in proportion to their weight. Gives the maximum."""
    best = -np.inf
    for k in range(len(x)):
        if weight[k] > 0:
            best = max(best, x[k])
    total = 0.0
    for k in range(len(x)):
        if weight[k] > 0 and x[k] == best:
            total += weight[k]
    for k in range(len(x)):
        out[k] = log_weight[k] - np.log(total) if weight[k] > 0 and x[k] == best else -np.inf
    return best


@_compiled
def backward_messages(
    reward: Array,
    probability: Array,
    log_probability: Array,
    successor: Array,
    prior: Array,
    log_prior: Array,
    survival: Array,
    last: Array,
    horizon: int,
    temperature: float,
    dice_scale: float,
    survival_scale: float,
) -> tuple[Array, Array, Array, Array, Array]:
    """Q (T, S, A), V (T+1, S), log π, log q (empty unless tilted) and the log-probability of surviving (T, S).

    Scales are β/τ; 0 takes the mean. `survival` holds γ and 1 − γ.
    """
    states, actions, outcomes = successor.shape
    kind = reward.dtype
    q, v = np.empty((horizon, states, actions), kind), np.empty((horizon + 1, states), kind)
    log_policy = np.empty((horizon, states, actions), kind)
    log_dynamics = np.empty((horizon if dice_scale != 0 else 0, states, actions, outcomes), kind)
    log_survival = np.empty((horizon, states), kind)
    x, fate, lived = np.empty(outcomes, kind), np.zeros(2, kind), np.empty(2, kind)
    ahead, log_fate = np.empty(states, kind), np.log(survival)
    v[horizon] = last
    for t in range(horizon - 1, -1, -1):
        for s in range(states):
            fate[0] = v[t + 1, s]
            ahead[s] = fate[0] if survival[0] == 1 else certain(fate, survival, log_fate, survival_scale)
            if survival_scale != 0:
                tilt_into(lived, fate, survival, log_fate, survival_scale)
                log_survival[t, s] = lived[0]
            else:
                log_survival[t, s] = log_fate[0]
        for s in range(states):
            for a in range(actions):
                for k in range(outcomes):
                    x[k] = reward[s, a, k] + ahead[successor[s, a, k]]
                if dice_scale != 0:
                    out, log_p = log_dynamics[t, s, a], log_probability[s, a]
                    q[t, s, a] = certain_and_tilt(out, x, probability[s, a], log_p, dice_scale)
                else:
                    q[t, s, a] = certain(x, probability[s, a], log_probability[s, a], 0.0)
            if temperature == 0:
                v[t, s] = share_best_into(log_policy[t, s], q[t, s], prior[s], log_prior[s])
            else:
                v[t, s] = certain_and_tilt(log_policy[t, s], q[t, s], prior[s], log_prior[s], 1.0 / temperature)
    return q, v, log_policy, log_dynamics, log_survival
