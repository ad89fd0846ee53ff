"""Slow, obvious reference answers to infinite-horizon problems in plain numpy, sharing no code with the library."""

import itertools

import numpy as np

LONG = np.longdouble


def bellman(p, successor, reward, prior, temperature, beta, discount, v):
    """Q and V by the definitions, in long doubles, one (state, action) at a time."""
    states, actions, _ = p.shape
    q = np.full((states, actions), -np.inf, dtype=LONG)
    new = np.full(states, -np.inf, dtype=LONG)
    for s in range(states):
        for a in range(actions):
            possible = [k for k in range(p.shape[2]) if p[s, a, k] > 0]
            x = np.array([LONG(reward[s, a, k]) + LONG(discount) * v[successor[s, a, k]] for k in possible], dtype=LONG)
            w = np.array([LONG(p[s, a, k]) for k in possible], dtype=LONG)
            q[s, a] = (w * x).sum() if beta == 0 else equivalent(x, w, LONG(temperature) / LONG(beta))
        choices = [a for a in range(actions) if prior[s, a] > 0]
        x, w = q[s, choices], np.array([LONG(prior[s, a]) for a in choices], dtype=LONG)
        new[s] = x.max() if temperature == 0 else equivalent(x, w, LONG(temperature))
    return q, new


def equivalent(x, w, unit):
    """The certainty equivalent unit · log Σ w exp(x/unit)."""
    best = x.max() if unit > 0 else x.min()
    if not np.isfinite(best):
        return best
    with np.errstate(invalid="ignore"):
        return best + unit * np.log((w * np.exp((x - best) / unit)).sum())


def fixed_point(p, successor, reward, prior, temperature, beta, discount, accuracy=1e-13):
    """Plain iteration from zeros until no value can change by more than `accuracy`."""
    v = np.zeros(len(p), dtype=LONG)
    while True:
        q, new = bellman(p, successor, reward, prior, temperature, beta, discount, v)
        with np.errstate(invalid="ignore"):
            change = np.where(new == v, LONG(0), np.abs(new - v)).max()
        v = new
        if change <= accuracy * (1 - discount):
            return q, v


def transition_of_policy(p, successor, reward, policy):
    """The transition matrix P_π (S, S) and the mean rewards r_π (S,) of a policy."""
    states, actions, outcomes = p.shape
    matrix, pay = np.zeros((states, states)), np.zeros(states)
    for s, a, k in itertools.product(range(states), range(actions), range(outcomes)):
        weight = policy[s, a] * p[s, a, k]
        if weight > 0:
            matrix[s, successor[s, a, k]] += weight
            pay[s] += weight * reward[s, a, k]
    return matrix, pay


def policy_iteration(p, successor, reward, discount):
    """The hard optimum for finite rewards, by Howard's policy iteration with linear solves."""
    states, actions, _ = p.shape
    choice = np.zeros(states, dtype=int)
    while True:
        matrix, pay = transition_of_policy(p, successor, reward, np.eye(actions)[choice])
        v = np.linalg.solve(np.eye(states) - discount * matrix, pay)
        q = (p * (reward + discount * v[successor])).sum(-1)
        better = np.where(q.max(-1) > q[np.arange(states), choice] + 1e-12, q.argmax(-1), choice)
        if (better == choice).all():
            return v
        choice = better
