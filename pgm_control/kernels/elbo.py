"""The exact ELBO of a Markov guide, and its gradient."""

import numpy as np

from .bundles import Plain
from .compiling import entry

Array = np.ndarray


@entry
def elbo_to_go(guide: Plain, model: Plain, discount: float, horizon: int, weight: float) -> tuple[Array, Array]:
    """The backward pass: `ToGo`, the ELBO to go and the advantage G − log π/ρ of each action, in nats.

    `guide` is `GuideTables` and `model` is `ModelTables`, as plain tuples. The dynamics are charged `weight` times
    their KL. Outcomes and actions of probability zero contribute nothing, even where their value is infinite; nan
    propagates.
    """
    policy, log_policy, dynamics, log_dynamics = guide
    log_prior, log_probability, reward, successor, last = model
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
                        price = weight * (log_dynamics[tq, s, a, k] - log_probability[s, a, k])
                        gain += q * (reward[s, a, k] - price + discount * ahead[t + 1, successor[s, a, k]])
                if log_policy[tp, s, a] != -np.inf:  # also where the policy itself underflows to 0
                    gain -= log_policy[tp, s, a] - log_prior[s, a]
                if policy[tp, s, a] != 0:
                    value += policy[tp, s, a] * gain
                advantage[t, s, a] = gain
            ahead[t, s] = value
    return ahead, advantage


@entry
def elbo_gradients(
    start: Array, guide: Plain, model: Plain, to_go: Plain, discount: float, weight: float, wants_dynamics: bool
) -> tuple[Array, Array]:
    """The forward pass: the derivatives of Σ start · W_0 with respect to log π (T, S, A) and log q (T, S, A, K).

    W_0 is `ahead` at t = 0. The derivatives are occupancies times values, and include the −1 and the −weight that
    normalisation cancels. Without `wants_dynamics` the second array is empty.
    """
    policy, _, dynamics, log_dynamics = guide
    _, log_probability, reward, successor, _ = model
    ahead, advantage = to_go
    states, actions, outcomes = successor.shape
    horizon = advantage.shape[0]
    by_policy = np.zeros(advantage.shape, dtype=ahead.dtype)
    by_dynamics = np.zeros((horizon if wants_dynamics else 0, states, actions, outcomes), dtype=ahead.dtype)
    here, arrived = start.copy(), np.zeros(states, dtype=ahead.dtype)
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
                            price = weight * (log_dynamics[tq, s, a, k] - log_probability[s, a, k])
                            value = reward[s, a, k] - price + discount * ahead[t + 1, target]
                            by_dynamics[t, s, a, k] = happens * (value - weight)
        here[:] = arrived
    return by_policy, by_dynamics
