"""The exact ELBO of a Markov guide, its gradient, and a step along its natural gradient."""

import numpy as np

from .bundles import Plain
from .compiling import compiled, entry
from .rows import BLOCK, log_softmax
from .vector_math import exp

Array = np.ndarray
_LEAST, _LOWEST = 5e-324, -745.13  # the least number above 0, and its logarithm
Pair = tuple[float, float]  # a number for the start, and one for the dynamics


@entry
def elbo_to_go(guide: Plain, model: Plain, discount: float, horizon: int, weights: Pair) -> tuple[float, Array, Array]:
    """The backward pass: the ELBO, and `ToGo`, the ELBO to go and the advantage G − log π/ρ of each action, in nats.

    `guide` is `GuideTables` and `model` is `ModelTables`, as plain tuples. Start and dynamics are charged `weights`
    times their KL. Outcomes and actions of probability zero contribute nothing, even where their value is infinite; nan
    propagates.
    """
    log_start, log_policy, log_dynamics = guide
    log_initial, log_prior, log_p, reward, successor, last = model
    states, actions, outcomes = successor.shape
    pairs = states * actions, outcomes
    ahead = np.empty((horizon + 1, states), dtype=last.dtype)
    advantage = np.empty((horizon, states, actions), dtype=last.dtype)
    x, q = np.empty(pairs, dtype=last.dtype), np.empty(pairs, dtype=last.dtype)
    gain, policy = np.empty((states, actions), dtype=last.dtype), np.empty((states, actions), dtype=last.dtype)
    truth = reward.reshape(pairs), successor.reshape(pairs), log_p.reshape(pairs)
    for s in range(states):
        ahead[horizon, s] = last[s]
    for t in range(horizon - 1, -1, -1):
        begin = t == horizon - 1
        log_q, log_pi = _at(log_dynamics, t, begin, q).reshape(pairs), _at(log_policy, t, begin, policy)
        _worth(truth, ahead[t + 1], discount, x)
        _gains((q, log_q, truth[2]), x, weights[1], gain)
        _values(gain, (policy, log_pi, log_prior), advantage[t], ahead[t])
    return _at_start(log_start, log_initial, ahead[0], weights[0]), ahead, advantage


@entry
def elbo_gradients(
    slope: float, guide: Plain, model: Plain, to_go: Plain, discount: float, weights: Pair, wants_dynamics: bool
) -> tuple[Array, Array, Array]:
    """The forward pass: `slope` times the derivatives of the ELBO by log q(s_0), log π (T, S, A), log q (T, S, A, K).

    The derivatives are occupancies times values, and include the −1 and the −weight that normalisation cancels. Without
    `wants_dynamics` the last array is empty.
    """
    log_start, log_policy, log_dynamics = guide
    log_initial, _, log_p, reward, successor, _ = model
    ahead, advantage = to_go
    states, actions, outcomes = successor.shape
    pairs, horizon = (states * actions, outcomes), advantage.shape[0]
    by_start = np.empty(states, dtype=ahead.dtype)
    by_policy = np.empty(advantage.shape, dtype=ahead.dtype)
    by_dynamics = np.empty((horizon if wants_dynamics else 0, *pairs), dtype=ahead.dtype)
    # of each outcome apart: sums for one state would wait for each other
    here, arrived = np.empty(states, dtype=ahead.dtype), np.empty((outcomes, states), dtype=ahead.dtype)
    happens, x = np.empty(pairs, dtype=ahead.dtype), np.empty(pairs, dtype=ahead.dtype)
    q, policy = np.empty(pairs, dtype=ahead.dtype), np.empty((states, actions), dtype=ahead.dtype)
    truth = reward.reshape(pairs), successor.reshape(pairs), log_p.reshape(pairs)
    for s in range(states):
        here[s] = slope * np.exp(log_start[s])
        worth = ahead[0, s] - weights[0] * (log_start[s] - log_initial[s]) - weights[0]
        by_start[s] = here[s] * worth if here[s] != 0 else 0.0
    for t in range(horizon):
        log_q, _ = _at(log_dynamics, t, t == 0, q).ravel(), _at(log_policy, t, t == 0, policy)
        arrived[:] = 0.0
        for s in range(states):
            for a in range(actions):
                visit = here[s] * policy[s, a]
                by_policy[t, s, a] = visit * (advantage[t, s, a] - 1) if visit != 0 else 0.0
                for k in range(outcomes):
                    each = visit * q[s * actions + a, k]
                    happens[s * actions + a, k] = each
                    arrived[k, successor[s, a, k]] += discount * each
        if wants_dynamics:
            _worth(truth, ahead[t + 1], discount, x)
            flat, out = happens.ravel(), by_dynamics[t].ravel()
            gain, log_true = x.ravel(), truth[2].ravel()
            for j in range(flat.size):
                product = flat[j] * (gain[j] - weights[1] * (log_q[j] - log_true[j]) - weights[1])
                out[j] = product if flat[j] != 0 else 0.0
        here[:] = 0.0
        for k in range(outcomes):
            for s in range(states):
                here[s] += arrived[k, s]
    return by_start, by_policy, by_dynamics.reshape((by_dynamics.shape[0], states, actions, outcomes))


@entry
def natural_step(
    guide: Plain, model: Plain, discount: float, horizon: int, betas: Pair, step_size: float
) -> tuple[float, Array, Array, Array]:
    """The ELBO of the old blocks, and the logarithms of start, policy and dynamics after a step, in one backward sweep.

    `guide` and `model` are as in `elbo_to_go`. A block with β = 0 is the model's, and is returned empty.
    """
    log_start, log_policy, log_dynamics = guide
    log_initial, log_prior, log_p, reward, successor, last = model
    states, actions, outcomes = successor.shape
    pairs, row = (states * actions, outcomes), (1, states)
    new_start = np.empty((0 if betas[0] == 0 else 1, states))
    new_policy = np.empty((horizon, states, actions))
    new_dynamics = np.empty((0 if betas[1] == 0 else horizon, *pairs))
    x, q, policy = np.empty(pairs), np.empty(pairs), np.empty((states, actions))
    gain, advantage = np.empty((states, actions)), np.empty((states, actions))
    ahead, after = np.empty(states), last.copy()
    truth = reward.reshape(pairs), successor.reshape(pairs), log_p.reshape(pairs)
    for t in range(horizon - 1, -1, -1):
        begin = t == horizon - 1
        log_q, log_pi = _at(log_dynamics, t, begin, q).reshape(pairs), _at(log_policy, t, begin, policy)
        _worth(truth, after, discount, x)
        if betas[1] != 0:
            _stepped((log_q, truth[2]), x, betas[1], step_size, new_dynamics[t])
        _gains((q, log_q, truth[2]), x, _price(betas[1]), gain)
        _values(gain, (policy, log_pi, log_prior), advantage, ahead)
        _stepped((log_pi, log_prior), gain, 1.0, step_size, new_policy[t])
        ahead, after = after, ahead
    if betas[0] != 0:
        logs = log_start.reshape(row), log_initial.reshape(row)
        _stepped(logs, after.reshape(row), betas[0], step_size, new_start)
    return _at_start(log_start, log_initial, after, _price(betas[0])), new_start, new_policy, new_dynamics


@compiled
def _at(table: Array, t: int, begin: bool, probability: Array) -> Array:
    """The log-probabilities at time t; stores their exponentials. A first axis of 1 holds for all times: only at first.

    What is possible stays above 0, as in `np.exp`: an infinite loss counts however improbable it is.
    """
    found, out = table[t if table.shape[0] > 1 else 0], probability.ravel()
    given = found.ravel()
    if table.shape[0] == 1 and not begin:
        return found
    for j in range(out.size):
        x = given[j]
        y = exp(x)
        y = y if y != 0 else (_LEAST if x > _LOWEST else 0.0)
        out[j] = y if x == x else x
    return found


@compiled
def _price(beta: float) -> float:
    """The price of a nat of change; 0 where β = 0, because the block is the model's there."""
    return 0.0 if beta == 0 else 1.0 / beta


@compiled
def _worth(truth: tuple[Array, Array, Array], ahead: Array, discount: float, x: Array) -> None:
    """Set x (pair, outcome) to r + γ W(s'). The gathering is apart, so that the second loop can be vectorised."""
    gain, target, out = truth[0].ravel(), truth[1].ravel(), x.ravel()
    for j in range(out.size):
        out[j] = ahead[target[j]]
    for j in range(out.size):
        out[j] = gain[j] + discount * out[j]


@compiled
def _gains(tables: tuple[Array, Array, Array], x: Array, weight: float, gain: Array) -> None:
    """Store Σ q (x − weight log q/p) of each pair."""
    q, log_q, log_p = tables
    total, outcomes, block = gain.ravel(), x.shape[1], np.empty(x.size, dtype=x.dtype)
    flat, log_flat, log_true, worth = q.ravel(), log_q.ravel(), log_p.ravel(), x.ravel()
    for j in range(block.size):
        product = flat[j] * (worth[j] - weight * (log_flat[j] - log_true[j]))
        block[j] = product if flat[j] != 0 else 0.0
    terms = block.reshape((total.size, outcomes))
    for i in range(total.size):
        total[i] = 0.0
    for k in range(outcomes):
        for i in range(total.size):
            total[i] += terms[i, k]


@compiled
def _values(gain: Array, tables: tuple[Array, Array, Array], advantage: Array, ahead: Array) -> None:
    """Store G − log π/ρ of each action, and its mean under the policy."""
    policy, log_policy, log_prior = tables
    for s in range(ahead.size):
        value = ahead.dtype.type(0.0)
        for a in range(gain.shape[1]):
            found = gain[s, a]
            if log_policy[s, a] != -np.inf:  # also where the policy itself underflows to 0
                found -= log_policy[s, a] - log_prior[s, a]
            if policy[s, a] != 0:
                value += policy[s, a] * found
            advantage[s, a] = found
        ahead[s] = value


@compiled
def _at_start(log_start: Array, log_initial: Array, ahead: Array, weight: float) -> float:
    """The mean of W − weight log q/p over the start."""
    total = 0.0
    for s in range(ahead.size):
        share = np.exp(log_start[s])
        if share != 0:
            total += share * (ahead[s] - weight * (log_start[s] - log_initial[s]))
    return total


@compiled
def _stepped(logs: tuple[Array, Array], x: Array, beta: float, step_size: float, out: Array) -> None:
    """Store log q^(1−η) (p exp βx)^η, normalised, for each row (row, outcome). A row of forbidden outcomes stays q.

    An infinite βx, of an adversary, is chosen with certainty. A full step discards q, so that 0^0 is 1.
    """
    rows, outcomes = x.shape
    width = min(BLOCK, rows)
    y, share, top, total = np.empty((outcomes, width)), np.empty((outcomes, width)), np.empty(width), np.empty(width)
    line = np.empty(width * outcomes)
    for start in range(0, rows, BLOCK):
        block = min(BLOCK, rows - start)
        # slices, since the sum of two indices could be negative, for which each access has a branch
        log_q, log_p = logs[0][start : start + block], logs[1][start : start + block]
        kept, true, gain = log_q.ravel(), log_p.ravel(), x[start : start + block].ravel()
        found_here = out[start : start + block]
        for j in range(kept.size):
            line[j] = _tilt(kept[j], true[j], beta * gain[j], step_size)
        for i in range(block):
            top[i] = -np.inf
        for k in range(outcomes):
            for i in range(block):
                found = line[i * outcomes + k]
                y[k, i] = found
                top[i] = found if found > top[i] else top[i]
        sure, lost = 0, 0  # rare rows, which loops of their own treat, so that the others need no branch
        for i in range(block):
            sure += top[i] == np.inf
        for i in range(block if sure > 0 else 0):
            if top[i] == np.inf:
                for k in range(outcomes):
                    even = _tilt(log_q[i, k], log_p[i, k], 0.0, step_size)
                    y[k, i] = even if y[k, i] == np.inf else -np.inf
        log_softmax(y, share, top, total, block)
        for i in range(block):
            lost += top[i] != top[i]
        for k in range(outcomes):
            for i in range(block):
                found_here[i, k] = y[k, i]
        for i in range(block if lost > 0 else 0):
            if top[i] != top[i]:
                for k in range(outcomes):
                    found_here[i, k] = log_q[i, k]


@compiled
def _tilt(log_q: float, log_p: float, gain: float, step_size: float) -> float:
    """(1 − η) log q + η (log p + gain), or −inf where it stays impossible."""
    full = log_p + gain
    if step_size == 1.0:
        return full if log_p > -np.inf else -np.inf
    return (1.0 - step_size) * log_q + step_size * full if log_q > -np.inf else -np.inf
