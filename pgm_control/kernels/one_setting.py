r"""One setting of one MDP whose blocks are clamped or free, β = 0 or 1: the most frequent case, in loops of its own.

Where every block is free, the messages are kept, not their logarithms, as long as their range fits into a float64:

$$z = e^{\gamma V_{t+1}/\tau - c}, \qquad e^{Q_t/\tau} \propto \sum_k p\, e^{r/\tau} z(s'), \qquad
    e^{V_t/\tau} = \sum_a \rho\, e^{Q_t/\tau}.$$

A step then takes one exponential for each state, and its posterior is made of products. Other steps, and those of
clamped dynamics, use certainty equivalents. The pairs (action, state) have the order of `Outcomes`;
impossible outcomes lead to additional states of value 0, so that no loop asks for their probability.
"""

import numpy as np

from .bundles import SPARE, Logs, Messages, Outcomes, Plain, Single, ValuesOfOne
from .compiling import entry
from .lanes import soft_maximum
from .outcomes import NARROW, carry_of_one, lookahead_of_one, mix_of_one, weights_of_one
from .vector_math import exp, log

Array = np.ndarray

_CLEAR = 0.1  # nats: below this spread the plain sum of exponentials loses digits that exp − 1 keeps


@entry
def solve_one(
    single: Plain,
    reward: Array,
    discount: float,
    temperature: float,
    free: bool,
    free_start: bool,
    values: Plain,
    messages: Plain,
) -> None:
    """The backward sweep: write `values`, and `messages` for the forward sweep.

    Args:
        single: `Single`, as a plain tuple, like all bundles here.
        reward: (state action outcome,).
        discount: γ.
        temperature: τ > 0.
        free: whether the dynamics are free.
        free_start: whether the start is.
        values: `ValuesOfOne`.
        messages: `Messages`; the tables by time have length 1 if there is no forward sweep.
    """
    outcomes, weight, prior, log_mass, initial = Single(*single)
    successor, place, counts, common, lane, ordered = Outcomes(*outcomes)
    q, v, value, objective = ValuesOfOne(*values)
    factor, narrow, message, inverse, policy, start = Messages(*messages)
    (num_outcomes, pairs), (actions, states), horizon = weight.shape, prior.shape, q.shape[0]
    per_nat, keeps = 1.0 / temperature, policy.shape[0] > 1
    # The loops index whole tables by time, since a slice costs atomic counts of references.
    ahead, mean, total, here = np.zeros(states + SPARE), np.zeros(pairs), np.empty(pairs), np.empty(states)
    natural = total if ordered else np.empty(pairs)  # in the order of the tables
    options, y, shares = natural.reshape((actions, states)), np.empty((actions, states)), np.empty((actions, states))
    lines, norm, everywhere = np.empty((3, states)), np.empty(states), np.full(actions, states)
    many = pairs if free else 0
    x, share = np.empty((num_outcomes, many)), np.empty((num_outcomes, many))
    event_lines, event_norm = np.empty((3, many)), np.empty(many)
    high, spread = 0.0, np.inf
    if free:
        high, spread = weights_of_one(reward, weight, place, counts, prior, per_nat, factor)
    else:
        for k in range(num_outcomes):
            for j in range(counts[k]):
                factor[k, j] = weight[k, j]
                mean[j] += weight[k, j] * reward[place[k, j]] if weight[k, j] > 0 else 0.0
    for t in range(horizon - 1, -1, -1):
        now = t if message.shape[0] > 1 else 0
        for s in range(states):
            ahead[s] = discount * v[t + 1, s]
        most, least = -np.inf, np.inf
        for s in range(states if free else 0):
            most = max(most, ahead[s])
            least = min(least, ahead[s] if ahead[s] > -np.inf else np.inf)
        shift, width = most * per_nat, max(most - least, 0.0) * per_nat
        fits = _CLEAR < width + spread < NARROW and -np.inf < shift < np.inf
        narrow[t] = fits
        if fits or not free:
            for s in range(states):
                message[now, s] = exp(ahead[s] * per_nat - shift) if free else ahead[s]
            for s in range(states, ahead.shape[0]):
                message[now, s] = 0.0
            mix_of_one(total, mean, factor, message, now, successor, counts, common)
        else:
            lookahead_of_one(x, reward, ahead, successor, place, counts)
            soft_maximum(x, weight, counts, per_nat, x, share, event_lines, event_norm)
            for j in range(pairs):
                total[j] = event_lines[0, j] + temperature * event_norm[j]
        if not ordered:
            for j in range(pairs):
                natural[lane[j]] = total[j]
        if fits:
            shift += high * per_nat
            for s in range(states):
                here[s] = prior[0, s] * options[0, s]
            for a in range(1, actions):
                for s in range(states):
                    here[s] += prior[a, s] * options[a, s]
            for s in range(states):
                inverse[now, s] = 1.0 / here[s] if here[s] > 0 else 0.0
            for s in range(states):
                v[t, s] = temperature * (log(here[s]) + (log_mass[s] + shift))
            for j in range(pairs):
                q[t, j] = temperature * (log(natural[j]) + shift)
        else:
            soft_maximum(options, prior, everywhere, per_nat, y, shares, lines, norm)
            for s in range(states):
                v[t, s] = lines[0, s] + temperature * (norm[s] + log_mass[s])
            for j in range(pairs):
                q[t, j] = natural[j]
            for a in range(actions if keeps else 0):
                for s in range(states):
                    policy[t, a * states + s] = shares[a, s] * lines[1, s]
    if free_start:
        x, share, one = np.empty((states, 1)), np.empty((states, 1)), np.full(states, 1)
        for s in range(states):
            x[s, 0] = v[0, s]
        soft_maximum(x, initial.reshape((states, 1)), one, per_nat, x, share, lines, norm)
        for s in range(states):
            start[s] = share[s, 0] * lines[1, 0]
        value[()] = lines[0, 0] + temperature * norm[0]
    else:
        mean_value = 0.0
        for s in range(states):
            mean_value += initial[s] * v[0, s] if initial[s] > 0 else 0.0
            start[s] = initial[s]
        value[()] = mean_value
    objective[()] = value[()] / temperature


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
    ahead, y, shares = np.zeros(v.shape[1] + SPARE), np.empty((actions, states)), np.empty((actions, states))
    lines, norm, everywhere = np.empty((3, states)), np.empty(states), np.full(actions, states)
    log_prior = np.empty((actions, states))
    for a in range(actions):
        for s in range(states):
            log_prior[a, s] = log(prior[a, s])
    many, size = (pairs, log_dynamics.shape[1]) if wants_dynamics else (0, 0)
    x, share = np.empty((num_outcomes, many)), np.empty((num_outcomes, many))
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
            lookahead_of_one(x, reward, ahead, successor, place, counts)
            soft_maximum(x, weight, counts, per_nat, x, share, event_lines, event_norm)
            for k in range(num_outcomes):
                for j in range(counts[k]):
                    log_dynamics[t, place[k, j]] = base[place[k, j]] + (x[k, j] - event_norm[j])
    if log_start.shape[0] > 0:
        z, share, one = np.empty((states, 1)), np.empty((states, 1)), np.full(states, 1)
        for s in range(states):
            z[s, 0] = v[0, s]
        soft_maximum(z, initial.reshape((states, 1)), one, per_nat, z, share, lines, norm)
        for s in range(states):
            log_start[s] = log(initial[s]) + (z[s, 0] - norm[0])


@entry
def visits_of_one(
    single: Plain,
    reward: Array,
    discount: float,
    temperature: float,
    free: bool,
    v: Array,
    messages: Plain,
    cost: float,
    by_reward: Array,
    by_last: Array,
) -> None:
    """The forward sweep: `cost` times the derivatives of the objective by the rewards, which are visits over τ.

    `by_reward` is (state action outcome,), filled with 0 by the caller; `by_last` is (state,). The other arguments are
    those of `solve_one`.
    """
    outcomes, weight, prior, _, _ = Single(*single)
    successor, place, counts, common, lane, ordered = Outcomes(*outcomes)
    factor, narrow, message, inverse, policy, start = Messages(*messages)
    (num_outcomes, pairs), (actions, states), horizon = weight.shape, prior.shape, narrow.shape[0]
    per_nat = 1.0 / temperature
    visits, arrived, ahead = np.empty(states), np.empty(states + SPARE), np.zeros(states + SPARE)
    mass, visited = np.empty(pairs), np.zeros(pairs)
    natural = mass if ordered else np.empty(pairs)
    gains = np.zeros((num_outcomes if free else 0, pairs))
    wide = 0
    for t in range(horizon if free else 0):
        wide = wide if narrow[t] else pairs
    x, share = np.empty((num_outcomes, wide)), np.empty((num_outcomes, wide))
    lines, norm = np.empty((3, wide)), np.empty(wide)
    for s in range(states):
        visits[s] = start[s] * (cost * per_nat)
    for t in range(horizon):
        if narrow[t]:
            for s in range(states):
                visits[s] *= inverse[t, s]
            for a in range(actions):
                for s in range(states):
                    natural[a * states + s] = visits[s] * prior[a, s]
        else:
            for a in range(actions):
                for s in range(states):
                    natural[a * states + s] = visits[s] * policy[t, a * states + s]
        if not ordered:
            for j in range(pairs):
                mass[j] = natural[lane[j]]
        for s in range(arrived.shape[0]):
            arrived[s] = 0.0
        if free and not narrow[t]:
            for s in range(states):
                ahead[s] = discount * v[t + 1, s]
            lookahead_of_one(x, reward, ahead, successor, place, counts)
            soft_maximum(x, weight, counts, per_nat, x, share, lines, norm)
            for k in range(num_outcomes):
                for j in range(counts[k]):
                    x[k, j] = share[k, j] * lines[1, j]
            carry_of_one(mass, x, successor, counts, common, arrived)
            for k in range(num_outcomes):
                for j in range(counts[k]):
                    by_reward[place[k, j]] += mass[j] * x[k, j]
        else:
            carry_of_one(mass, factor, successor, counts, common, arrived)
        if narrow[t]:
            for k in range(num_outcomes):
                if common[k]:
                    there = message[t, successor[k, 0]]
                    for j in range(pairs):
                        gains[k, j] += mass[j] * there
                else:
                    for j in range(counts[k]):
                        gains[k, j] += mass[j] * message[t, successor[k, j]]
            for s in range(states):
                visits[s] = discount * arrived[s] * message[t, s]
        else:
            for j in range(pairs):
                visited[j] += mass[j]
            for s in range(states):
                visits[s] = discount * arrived[s]
    for k in range(num_outcomes):
        for j in range(counts[k]):
            by_reward[place[k, j]] += factor[k, j] * (gains[k, j] if free else visited[j])
    for s in range(states):
        by_last[s] = visits[s]
