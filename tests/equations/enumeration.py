"""A small random problem, and expectations by a plain sum over all of its trajectories. Only numpy is used here."""

import itertools
from dataclasses import dataclass
from functools import cache

import numpy as np

STATES, ACTIONS, OUTCOMES, STEPS = 3, 2, 2, 3
TAU = 0.7


@dataclass(frozen=True)
class Trajectory:
    """States 0 … T, actions and outcomes 0 … T − 1, the log-probability under model and prior, and the return."""

    states: tuple
    actions: tuple
    outcomes: tuple
    log_prior: float
    gain: float


@dataclass(frozen=True)
class Tables:
    """The tables of the problem: p(s_0), ρ(a|s), p(k|s,a), s'(s,a,k), r(s,a,k)."""

    initial: np.ndarray
    prior: np.ndarray
    p: np.ndarray
    successor: np.ndarray
    r: np.ndarray


@cache
def tables():
    """The problem of the table of equations: three states, two actions, two outcomes."""
    rng = np.random.default_rng(7)
    shape = (STATES, ACTIONS, OUTCOMES)
    rows = [rng.permutation(STATES)[:OUTCOMES] for _ in range(STATES * ACTIONS)]  # outcomes of a row differ
    return Tables(
        initial=rng.dirichlet(np.ones(STATES)),
        prior=rng.dirichlet(2 * np.ones(ACTIONS), STATES),
        p=rng.dirichlet(2 * np.ones(OUTCOMES), (STATES, ACTIONS)),
        successor=np.array(rows).reshape(shape),
        r=rng.normal(size=shape),
    )


@cache
def trajectories():
    """All trajectories of T steps."""
    w, found = tables(), []
    for s0 in range(STATES):
        for choices in itertools.product(itertools.product(range(ACTIONS), range(OUTCOMES)), repeat=STEPS):
            states, log_prior, gain = [s0], np.log(w.initial[s0]), 0.0
            for a, k in choices:
                s = states[-1]
                log_prior += np.log(w.prior[s, a] * w.p[s, a, k])
                gain += w.r[s, a, k]
                states.append(int(w.successor[s, a, k]))
            actions, outcomes = zip(*choices, strict=True)
            found.append(Trajectory(tuple(states), actions, outcomes, log_prior, gain))
    return found


def log_target(path):
    """log p~ of a trajectory, in nats."""
    return path.log_prior + path.gain / TAU


def log_evidence():
    """log Σ p~ over all trajectories."""
    return np.log(sum(np.exp(log_target(path)) for path in trajectories()))


def posterior(path):
    """p(trajectory | O)."""
    return np.exp(log_target(path) - log_evidence())


def log_q(path, policy, dynamics=None, initial=None):
    """log q of a trajectory; dynamics and start are those of the model if not given."""
    w = tables()
    dynamics = np.broadcast_to(w.p, (STEPS, *w.p.shape)) if dynamics is None else dynamics
    total = np.log((w.initial if initial is None else initial)[path.states[0]])
    for t, (s, a, k) in enumerate(steps(path)):
        total += np.log(policy[t, s, a]) + np.log(dynamics[t, s, a, k])
    return total


def steps(path):
    """The triples (s, a, k) of a trajectory, by time."""
    return zip(path.states[:-1], path.actions, path.outcomes, strict=True)


def expect(value, policy, dynamics=None, initial=None):
    """E_q of a function of trajectories."""
    return sum(np.exp(log_q(path, policy, dynamics, initial)) * value(path) for path in trajectories())


def kl(q, p):
    """KL(q ‖ p) over the last axis, in nats."""
    return (q * np.log(q / p)).sum(-1)


def operator(x, weight, beta):
    """L_β[x] over the last axis: (τ/β) log Σ w exp(βx/τ), the mean at β = 0."""
    return (weight * x).sum(-1) if beta == 0 else TAU / beta * np.log((weight * np.exp(beta * x / TAU)).sum(-1))


def recursion(beta, survival=1.0, free_survival=False, hard=False, theta=None):
    """V of shape (T + 1, S) and Q of shape (T, S, A), backwards from 0, straight from the equations of the dial."""
    w, v, q = tables(), [np.zeros(STATES)], []
    for _ in range(STEPS):
        freed = TAU * np.log(survival * np.exp(v[0] / TAU) + 1 - survival)
        ahead = freed if free_survival else survival * v[0]
        x = w.r + ahead[w.successor]
        now = operator(x, w.p, beta if theta is None else theta * TAU)
        q.insert(0, now)
        v.insert(0, now.max(-1) if hard else operator(now, w.prior, 1.0))
    return np.stack(v), np.stack(q)


def policy_of(v, q):
    """ρ exp((Q − V)/τ)."""
    return tables().prior * np.exp((q - v[:-1, :, None]) / TAU)


def dynamics_of(v, beta):
    """p exp(β(r + V')/τ), normalised."""
    w = tables()
    tilted = np.stack([w.p * np.exp(beta * (w.r + each[w.successor]) / TAU) for each in v[1:]])
    return tilted / tilted.sum(-1, keepdims=True)


def start_of(v, beta):
    """p(s_0) exp(β V_0/τ), normalised."""
    tilted = tables().initial * np.exp(beta * v[0] / TAU)
    return tilted / tilted.sum()


def conditional(event, given):
    """p(event | given, O) by sums over trajectories; both are functions of a trajectory to a truth value."""
    both = sum(posterior(path) for path in trajectories() if given(path) and event(path))
    return both / sum(posterior(path) for path in trajectories() if given(path))


def random_event():
    """Five values, in reward units, and their probabilities."""
    rng = np.random.default_rng(11)
    return rng.normal(size=5), rng.dirichlet(np.ones(5))
