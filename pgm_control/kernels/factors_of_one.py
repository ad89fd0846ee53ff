"""The optimal factors of one setting whose blocks are clamped or free, from its values."""

import numpy as np

from .bundles import SPARE, Logs, Outcomes, Plain, Single
from .compiling import entry
from .lanes import soft_maximum
from .one_setting import look_ahead
from .vector_math import log

Array = np.ndarray


@entry
def factors_of_one(
    single: Plain, reward: Array, discount: float, temperature: float, q: Array, v: Array, narrow: Array, logs: Plain
) -> None:
    r"""Write the log-probabilities of the policy, and of dynamics and start where these tables of `logs` are not empty.

    $$\log \pi_t = \log\rho + (Q_t - V_t)/\tau, \qquad \log q_t(k) = \log p + (r + \gamma V_{t+1}(s') - Q_t)/\tau$$

    Where the messages of a step were not `narrow` the certainty equivalents are computed again, whose exponents keep
    the digits that these differences lose. The arguments are those of `solve_one`, and what it wrote.
    """
    outcomes, weight, prior, log_mass, initial = Single(*single)
    successor, place, counts, _, lane, _ = Outcomes(*outcomes)
    log_policy, log_dynamics, _, log_start = Logs(*logs)
    (num_outcomes, pairs), (actions, states), horizon = weight.shape, prior.shape, q.shape[0]
    per_nat, wants_dynamics = 1.0 / temperature, log_dynamics.shape[0] > 0
    ahead, y, shares = np.zeros(v.shape[1] + SPARE), np.empty((actions, states)), np.empty((2, actions, states))
    lines, norm, everywhere = np.empty((3, states)), np.empty(states), np.full(actions, states)
    log_prior = np.empty((actions, states))
    for a in range(actions):
        for s in range(states):
            log_prior[a, s] = log(prior[a, s])
    many, size = (pairs, log_dynamics.shape[1]) if wants_dynamics else (0, 0)
    x, share = np.empty((num_outcomes, many)), np.empty((2, num_outcomes, many))
    event_lines, event_norm = np.empty((3, many)), np.empty(many)
    base, target, pair = np.full(size, -np.inf), np.full(size, states, np.uint32), np.zeros(size, np.uint32)
    for k in range(num_outcomes if wants_dynamics else 0):
        for j in range(counts[k]):
            base[place[k, j]] = log(weight[k, j])
            target[place[k, j]], pair[place[k, j]] = successor[k, j], lane[j]
    for t in range(horizon):
        if not narrow[t]:
            soft_maximum(q[t].reshape((actions, states)), prior, everywhere, per_nat, y, shares, lines, norm)
        for a in range(actions):
            for s in range(states):
                gain = y[a, s] - norm[s]
                if narrow[t]:
                    gain = (q[t, a * states + s] - v[t, s]) * per_nat + log_mass[s] if v[t, s] > -np.inf else 0.0
                log_policy[t, a * states + s] = log_prior[a, s] + gain
        for s in range(states if wants_dynamics else 0):
            ahead[s] = discount * v[t + 1, s]
        if narrow[t]:
            for n in range(size):
                before = q[t, pair[n]]
                gain = per_nat * (reward[n] + ahead[target[n]] - before) if before > -np.inf else 0.0
                log_dynamics[t, n] = base[n] + (gain if base[n] > -np.inf else 0.0)
        elif wants_dynamics:
            for n in range(size):
                log_dynamics[t, n] = -np.inf
            look_ahead(x, reward, ahead, successor, place, counts)
            soft_maximum(x, weight, counts, per_nat, x, share, event_lines, event_norm)
            for k in range(num_outcomes):
                for j in range(counts[k]):
                    log_dynamics[t, place[k, j]] = base[place[k, j]] + (x[k, j] - event_norm[j])
    if log_start.shape[0] > 0:
        z, share, one = np.empty((states, 1)), np.empty((2, states, 1)), np.full(states, 1)
        for s in range(states):
            z[s, 0] = v[0, s]
        soft_maximum(z, initial.reshape((states, 1)), one, per_nat, z, share, lines, norm)
        for s in range(states):
            log_start[s] = log(initial[s]) + (z[s, 0] - norm[0])
