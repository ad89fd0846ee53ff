r"""One setting of one MDP whose blocks are clamped or free, β = 0 or 1: the most frequent case, in loops of its own.

Where every block is free, the messages are kept, not their logarithms, as long as their range fits into a float64:

$$z = e^{\gamma V_{t+1}/\tau - c}, \qquad e^{Q_t/\tau} \propto \sum_k p\, e^{r/\tau} z(s'), \qquad
    e^{V_t/\tau} = \sum_a \rho\, e^{Q_t/\tau}.$$

A step then takes one exponential for each state, and its posterior is made of products. Other steps, and those of
clamped dynamics, use the certainty equivalents of `lanes`. The pairs (action, state) have the order of `Outcomes`;
impossible outcomes lead to an additional state S of value 0, so that no loop asks for their probability.
"""

import numpy as np

from .bundles import Logs, Messages, Outcomes, Plain, Single
from .compiling import compiled, entry
from .lanes import Chances, Room, soften
from .outcomes import dot
from .vector_math import exp, log

Array = np.ndarray

_NARROW = 500.0  # nats: e^−500, times a probability of an outcome and one of an action, keeps all its digits
_TINY = 1e-40  # the smallest of these probabilities
_CLEAR = 0.01  # nats: below this spread the plain sum of exponentials loses digits that exp − 1 keeps


@entry
def solve_one(
    single: Plain,
    reward: Array,
    discount: float,
    temperature: float,
    free: bool,
    free_start: bool,
    q: Array,
    v: Array,
    objective: Array,
    messages: Plain,
    logs: Plain,
) -> None:
    """The backward sweep: write all Q and V, the objective, `messages` for the forward sweep, and `logs` if not empty.

    Args:
        single: `Single`, as a plain tuple like all bundles.
        reward: (state action outcome,).
        discount: γ.
        temperature: τ > 0.
        free: whether the dynamics are free.
        free_start: whether the start is.
        q: (time, action state).
        v: (time and last, state); the last is an input.
        objective: (1,), in nats.
        messages: `Messages`; the tables by time have length 1 if there is no forward sweep.
        logs: `Logs`, where survival is left out.
    """
    outcomes, weight, prior, log_mass, initial = Single(*single)
    successor, place, counts, common, lane, ordered = Outcomes(*outcomes)
    factor, narrow, message, inverse, policy, start = Messages(*messages)
    log_policy, log_dynamics, _, log_start = Logs(*logs)
    (num_outcomes, pairs), (actions, states), horizon = weight.shape, prior.shape, q.shape[0]
    per_nat = 1.0 / temperature
    ahead, scratch, sums = np.zeros(states + 1), np.empty(pairs), np.empty(states)
    heat, scale = np.full(pairs, temperature), np.full(pairs, per_nat)
    choices = Chances(prior, np.full(actions, states), scale[:states], heat[:states])
    room = Room(np.empty(states), np.empty((actions, states)), np.empty((3, states)))
    events, event_room, x, share = choices, room, room.y, room.y
    mean, high, spread = np.zeros(pairs), 0.0, np.inf
    if free:
        x, share = np.empty((num_outcomes, pairs)), np.empty((num_outcomes, pairs))
        events, event_room = Chances(weight, counts, scale, heat), Room(np.empty(pairs), x, np.empty((3, pairs)))
        high, spread = factors_of(reward, weight, place, counts, prior, per_nat, factor)
    else:
        for k in range(num_outcomes):
            for j in range(counts[k]):
                factor[k, j] = weight[k, j]
                mean[j] += weight[k, j] * reward[place[k, j]] if weight[k, j] > 0 else 0.0
    log_prior, base, target, pair = np.empty((0, 0)), np.empty(0), np.empty(0, np.uint32), np.empty(0, np.uint32)
    if log_policy.shape[0] > 0:
        log_prior = np.empty((actions, states))
        for a in range(actions):
            for s in range(states):
                log_prior[a, s] = log(prior[a, s])
    if log_dynamics.shape[0] > 0:
        many = log_dynamics.shape[1]
        base, target, pair = np.full(many, -np.inf), np.full(many, states, np.uint32), np.zeros(many, np.uint32)
        for k in range(num_outcomes):
            for j in range(counts[k]):
                base[place[k, j]] = log(weight[k, j])
                target[place[k, j]], pair[place[k, j]] = successor[k, j], lane[j]
    for t in range(horizon - 1, -1, -1):
        kept = t if message.shape[0] > 1 else 0
        row, here, after, shares = q[t], v[t], v[t + 1], policy[t if policy.shape[0] > 1 else 0]
        total = row if ordered else scratch
        for s in range(states):
            ahead[s] = discount * after[s]
        shift, fits = 0.0, False
        if free:
            shift, fits = scaled(ahead, per_nat, spread, message[kept])
        narrow[t] = fits
        if fits or not free:
            for j in range(pairs):
                total[j] = mean[j]
            for k in range(num_outcomes):
                add(total, factor[k], message[kept] if fits else ahead, successor[k], common[k], counts[k])
        else:
            look_ahead(x, reward, ahead, successor, place, counts)
            soften(x, events, total, share, event_room)
            for n in range(log_dynamics.shape[1] if log_dynamics.shape[0] > 0 else 0):
                log_dynamics[t, n] = -np.inf
            for k in range(num_outcomes if log_dynamics.shape[0] > 0 else 0):
                for j in range(counts[k]):
                    log_dynamics[t, place[k, j]] = base[place[k, j]] + (x[k, j] - event_room.norm[j])
        if not ordered:
            for j in range(pairs):
                row[lane[j]] = total[j]
        options = row.reshape((actions, states))
        if fits:
            under, constant = inverse[kept], shift + high * per_nat
            for s in range(states):
                sums[s] = 0.0
            for a in range(actions):
                for s in range(states):
                    sums[s] += prior[a, s] * options[a, s]
            for s in range(states):
                under[s] = 1.0 / sums[s] if sums[s] > 0 else 0.0
                sums[s] = log(sums[s])
            for s in range(states):
                here[s] = temperature * (sums[s] + constant)
            for j in range(pairs):
                row[j] = log(row[j])
            for a in range(actions if log_policy.shape[0] > 0 else 0):
                for s in range(states):
                    gain = options[a, s] - sums[s] if sums[s] > -np.inf else 0.0
                    log_policy[t, a * states + s] = log_prior[a, s] + gain
            for j in range(pairs):
                row[j] = temperature * (row[j] + constant)
            for n in range(log_dynamics.shape[1] if log_dynamics.shape[0] > 0 else 0):
                before = row[pair[n]]
                gain = per_nat * (reward[n] + ahead[target[n]] - before) if before > -np.inf else 0.0
                log_dynamics[t, n] = base[n] + (gain if base[n] > -np.inf else 0.0)
        else:
            soften(options, choices, here, shares.reshape((actions, states)), room)
            for a in range(actions if log_policy.shape[0] > 0 else 0):
                for s in range(states):
                    log_policy[t, a * states + s] = log_prior[a, s] + (room.y[a, s] - room.norm[s])
        for s in range(states):
            here[s] += temperature * log_mass[s]
    objective[0] = begin(v[0], initial, temperature, free_start, start, log_start)


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
    visits, arrived, ahead = np.empty(states), np.empty(states + 1), np.zeros(states + 1)
    mass, scratch, total = np.empty(pairs), np.empty(pairs), np.zeros(pairs)
    gains = np.zeros((num_outcomes if free else 0, pairs))
    x, share, wide = np.empty((0, 0)), np.empty((0, 0)), False
    for t in range(horizon):
        wide = wide or (free and not narrow[t])
    norm, value = np.empty(pairs if wide else 0), np.empty(pairs if wide else 0)
    if wide:
        x, share = np.empty((num_outcomes, pairs)), np.empty((num_outcomes, pairs))
    events = Chances(weight, counts, np.full(norm.shape[0], per_nat), np.full(norm.shape[0], temperature))
    room = Room(norm, x, np.empty((3, norm.shape[0])))
    for s in range(states):
        visits[s] = start[s] * (cost * per_nat)
    for t in range(horizon):
        here = mass if ordered else scratch
        if narrow[t]:
            under = inverse[t]
            for s in range(states):
                visits[s] *= under[s]
            for a in range(actions):
                for s in range(states):
                    here[a * states + s] = visits[s] * prior[a, s]
        else:
            shares = policy[t]
            for a in range(actions):
                for s in range(states):
                    here[a * states + s] = visits[s] * shares[a * states + s]
        if not ordered:
            for j in range(pairs):
                mass[j] = here[lane[j]]
        for s in range(states + 1):
            arrived[s] = 0.0
        if narrow[t] or not free:
            for k in range(num_outcomes):
                carry(mass, factor[k], successor[k], common[k], counts[k], arrived)
        else:
            for s in range(states):
                ahead[s] = discount * v[t + 1, s]
            look_ahead(x, reward, ahead, successor, place, counts)
            soften(x, events, value, share, room)
            for k in range(num_outcomes):
                carry(mass, share[k], successor[k], common[k], counts[k], arrived)
                for j in range(counts[k]):
                    by_reward[place[k, j]] += mass[j] * share[k, j]
        if narrow[t]:
            line = message[t]
            for k in range(num_outcomes):
                add(gains[k], mass, line, successor[k], common[k], counts[k])
            for s in range(states):
                visits[s] = discount * arrived[s] * line[s]
        else:
            for j in range(pairs):
                total[j] += mass[j]
            for s in range(states):
                visits[s] = discount * arrived[s]
    for k in range(num_outcomes):
        for j in range(counts[k]):
            by_reward[place[k, j]] += factor[k, j] * (gains[k, j] if free else total[j])
    for s in range(states):
        by_last[s] = visits[s]


@compiled
def add(total: Array, factor: Array, line: Array, target: Array, common: bool, count: int) -> None:
    """Add factor · line(s') of one outcome to the total of each pair that has it."""
    if common:
        there = line[target[0]]
        for j in range(count):
            total[j] += factor[j] * there
    else:
        for j in range(count):
            total[j] += factor[j] * line[target[j]]


@compiled
def carry(mass: Array, factor: Array, target: Array, common: bool, count: int, arrived: Array) -> None:
    """Add mass · factor of each pair that has one outcome to `arrived` at its successor."""
    if common:
        arrived[target[0]] += dot(mass, factor)
    else:
        for j in range(count):
            arrived[target[j]] += mass[j] * factor[j]


@compiled
def look_ahead(x: Array, reward: Array, ahead: Array, successor: Array, place: Array, counts: Array) -> None:
    """Write x = r + ahead(s') of every outcome of every pair."""
    for k in range(x.shape[0]):
        for j in range(counts[k]):
            x[k, j] = reward[place[k, j]] + ahead[successor[k, j]]


@compiled
def factors_of(
    reward: Array, weight: Array, place: Array, counts: Array, prior: Array, per_nat: float, factor: Array
) -> tuple[float, float]:
    """Write p exp((r − c)/τ) of every outcome; return c, the largest reward, and the range of r/τ.

    The range is infinite where an infinite reward or a tiny probability does not allow products.
    """
    high, low, tiny = -np.inf, np.inf, False
    for k in range(factor.shape[0]):
        for j in range(counts[k]):
            if weight[k, j] > 0:
                r = reward[place[k, j]]
                high, low = max(high, r), min(low, r)
                tiny |= weight[k, j] < _TINY or r != r
    for a in range(prior.shape[0]):
        for s in range(prior.shape[1]):
            tiny |= 0 < prior[a, s] < _TINY
    spread = (high - low) * per_nat
    if tiny or not spread < _NARROW:
        factor[:] = 0.0
        return high, np.inf
    for k in range(factor.shape[0]):
        for j in range(counts[k]):
            r = reward[place[k, j]] if weight[k, j] > 0 else high
            factor[k, j] = weight[k, j] * exp((r - high) * per_nat)
    return high, spread


@compiled
def scaled(ahead: Array, per_nat: float, spread: float, message: Array) -> tuple[float, bool]:
    """Write exp(ahead/τ − c) into `message`; return c, their maximum before that, and whether products are exact."""
    states, high, low = ahead.shape[0] - 1, -np.inf, np.inf
    for s in range(states):
        each = ahead[s]
        high = max(high, each)
        low = min(low, each if each > -np.inf else np.inf)
    shift, width = high * per_nat, max(high - low, 0.0) * per_nat
    if not (_CLEAR < width + spread < _NARROW and -np.inf < shift < np.inf):
        return shift, False
    for s in range(states):
        message[s] = exp(ahead[s] * per_nat - shift)
    message[states] = 0.0
    return shift, True


@compiled
def begin(v: Array, initial: Array, temperature: float, free: bool, start: Array, log_start: Array) -> float:
    """The objective, L of the start over τ; write the optimal start distribution, and its logarithm if it is wanted."""
    states, value = v.shape[0], np.zeros(1)
    if free:
        x, share = np.empty((states, 1)), np.empty((states, 1))
        for s in range(states):
            x[s, 0] = v[s]
            start[s] = initial[s]
        chances = Chances(
            start.reshape((states, 1)), np.full(states, 1), np.full(1, 1.0 / temperature), np.full(1, temperature)
        )
        room = Room(np.empty(1), x, np.empty((3, 1)))
        soften(x, chances, value, share, room)
        for s in range(states if log_start.shape[0] > 0 else 0):
            log_start[s] = log(initial[s]) + (x[s, 0] - room.norm[0])
        for s in range(states):
            start[s] = share[s, 0]
    else:
        for s in range(states):
            value[0] += initial[s] * v[s] if initial[s] > 0 else 0.0
            start[s] = initial[s]
    return value[0] / temperature
