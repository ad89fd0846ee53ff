"""The backward sweep: all Q and V of several settings side by side."""

from typing import NamedTuple

import numpy as np

from .bundles import Logs, Outcomes
from .compiling import compiled
from .lanes import Chances, Room, everywhere, harden, soften, spread_out
from .outcomes import factors, lookahead, mix, narrow_range, undo
from .vector_math import log

Array = np.ndarray

SMALL = 0.1  # below this |β|, exponentials of values lose digits, and τ/β multiplies the loss


class Lanes(NamedTuple):
    """The tables of all settings, in lanes."""

    weight: Array  # (outcome, lane): probabilities of the outcomes
    reward: Array  # (outcome, lane)
    prior: Array  # (action, state lane), normalised
    log_mass: Array  # (state lane,): the logarithm of the sum of the prior before it was normalised


class Scales(NamedTuple):
    """The numbers of each setting; scales are β/τ. If the first entry of `dynamics` is 0, outcomes are averaged."""

    discount: float  # the same in all settings
    temperature: Array
    dynamics: Array
    survival: Array


class Values(NamedTuple):
    """The arrays that `sweep` writes."""

    q: Array  # (setting, time, action state)
    v: Array  # (time and last, state, setting); the last is an input
    policy: Array  # (time, lane), or (1, lane) if it is not needed


class Swept(NamedTuple):
    """The results of a sweep that `pullback` needs."""

    factor: Array  # (outcome, lane): p exp(β r/τ)
    narrow: Array  # (time,): whether the values were close enough to each other to use their exponentials
    z: Array  # (time, state, setting): these exponentials
    inverse: Array  # (time, lane): the inverses of their mixtures
    alive: Array  # (time, state, setting): the derivative of the discounted values, if survival is free
    folds: bool  # whether the policy is already multiplied by the inverse


@compiled
def sweep(outcomes: Outcomes, lanes: Lanes, scales: Scales, folds: bool, values: Values, logs: Logs) -> Swept:
    """Write all Q and V, backwards from the last V, and those arrays of `logs` that are not empty."""
    successor, place, count, common, lane, ordered = outcomes
    weight, reward, prior, log_mass = lanes
    discount, temperature, dynamics_scale, survival_scale = scales
    q, v, policy = values
    log_policy, log_dynamics, log_survival = logs.policy, logs.dynamics, logs.survival
    horizon, states, settings = v.shape[0] - 1, v.shape[1], v.shape[2]
    num_outcomes, width, many = successor.shape[0], reward.shape[1], states * settings
    averages, frees, cold = dynamics_scale[0] == 0, survival_scale[0] != 0 and discount < 1, temperature[0] == 0
    keep = 1 if averages or policy.shape[0] == 1 else horizon
    narrow, z, inverse = np.zeros(horizon, np.bool_), np.empty((keep, states, settings)), np.empty((1, width))
    if keep > 1 and not folds:
        inverse = np.empty((horizon, width))
    alive = np.empty((horizon if frees else 0, states, settings))
    scale, lane_temperature = spread_out(dynamics_scale, width), spread_out(temperature, width)
    factor, top, shift = np.empty((num_outcomes, width)), np.empty(width), np.empty(many)
    spread, widest = np.empty(settings), np.empty(settings)
    x, sharing, norm = np.empty((num_outcomes, width)), np.empty((num_outcomes, width)), np.empty(width)
    choice, choice_norm = np.empty(prior.shape), np.empty(many)
    scratch, in_place = np.empty(width), ordered and settings == 1
    mean, total, beyond = np.zeros(width), np.empty(width), np.empty((states, settings))
    chances, room = Chances(weight, count * settings, scale, lane_temperature), Room(norm, x, np.empty((3, width)))
    choices = Chances(prior, everywhere(prior.shape[0], many), 1.0 / lane_temperature[:many], lane_temperature)
    choice_room = Room(choice_norm, choice, np.empty((3, many)))
    if averages:
        factor[:] = weight
        for k in range(num_outcomes):
            for i in range(width):
                mean[i] += weight[k, i] * reward[k, i] if weight[k, i] > 0 else 0.0
    log_weight, log_prior = np.empty((0, width)), np.empty((0, many))
    if log_policy.shape[0] > 0:
        log_weight, log_prior = logarithms(weight), logarithms(prior)
    usable = not averages and factors(reward, weight, scale, top, factor, spread, widest)
    for b in range(settings):
        usable = usable and abs(dynamics_scale[b] * temperature[b]) >= SMALL
    for t in range(horizon - 1, -1, -1):
        now, before = (t if keep > 1 else 0), (q[0, t] if in_place else scratch)
        if frees:
            live(v[t + 1], discount, survival_scale, temperature, beyond, alive[t], log_survival[t])
        else:
            discounted(v[t + 1], discount, beyond)
        if usable:
            narrow[t] = narrow_range(beyond, dynamics_scale, spread, widest, shift, z[now])
        if averages:
            mix(total, factor, beyond, successor, count, common)
            for i in range(width):
                before[i] = mean[i] + total[i]
        elif narrow[t]:
            mix(total, factor, z[now], successor, count, common)
            for i in range(0, width, many):
                undo(before[i : i + many], total[i : i + many], top[i : i + many], shift, scale[i : i + many])
            inverse_now = inverse[t if inverse.shape[0] > 1 else 0]
            for i in range(width):
                inverse_now[i] = 1.0 / total[i] if total[i] > 0 else 0.0
            if log_dynamics.shape[0] > 0:
                lookahead(x, reward, beyond, successor, count)
                for k in range(num_outcomes):
                    for i in range(count[k]):
                        gain = scale[i] * (x[k, i] - before[i]) if before[i] > -np.inf else 0.0
                        log_dynamics[t, place[k, i]] = log_weight[k, i] + gain
        else:
            lookahead(x, reward, beyond, successor, count)
            soften(x, chances, before, sharing, room)
            if log_dynamics.shape[0] > 0:
                for k in range(num_outcomes):
                    for i in range(count[k]):
                        log_dynamics[t, place[k, i]] = log_weight[k, i] + (x[k, i] - norm[i])
        for b in range(0 if in_place else settings):
            for j in range(lane.shape[0]):
                q[b, t, lane[j]] = before[j * settings + b]
        options = before.reshape(prior.shape) if ordered else choice
        if not ordered:
            flat_choice = choice.reshape(width)
            for j in range(lane.shape[0]):
                at = lane[j] * settings
                for b in range(settings):
                    flat_choice[at + b] = before[j * settings + b]
        flat = policy[t if policy.shape[0] > 1 else 0]
        value, share = v[t].reshape(many), flat.reshape(prior.shape)
        if cold:
            harden(options, prior, value, share)
            for i in range(width if log_policy.shape[0] > 0 else 0):
                log_policy[t, i] = log(flat[i])
        else:
            soften(options, choices, value, share, choice_room)
            for n in range(many):
                value[n] += lane_temperature[n] * log_mass[n]
            for a in range(prior.shape[0] if log_policy.shape[0] > 0 else 0):
                for n in range(many):
                    log_policy[t, a * many + n] = log_prior[a, n] + (choice[a, n] - choice_norm[n])
        if folds and narrow[t] and ordered:
            for i in range(width):
                flat[i] *= inverse[0, i]
        elif folds and narrow[t]:
            for j in range(lane.shape[0]):
                at = lane[j] * settings
                for b in range(settings):
                    flat[at + b] *= inverse[0, j * settings + b]
    return Swept(factor, narrow, z, inverse, alive, folds)


@compiled
def logarithms(probability: Array) -> Array:
    """The logarithm of each entry of a table."""
    out = np.empty_like(probability)
    for f in range(probability.shape[0]):
        for i in range(probability.shape[1]):
            out[f, i] = log(probability[f, i])
    return out


@compiled
def discounted(after: Array, discount: float, beyond: Array) -> None:
    """Write γ V of every state into `beyond`."""
    for s in range(after.shape[0]):
        for b in range(after.shape[1]):
            beyond[s, b] = discount * after[s, b]


@compiled
def live(
    after: Array, discount: float, scale: Array, temperature: Array, beyond: Array, alive: Array, log_alive: Array
) -> None:
    """Write L over surviving, worth V, and ending, worth 0, into `beyond`; the tilted survival into `alive`."""
    states, settings = after.shape
    many = states * settings
    continuation, weight, share = np.zeros((2, many)), np.empty((2, many)), np.empty((2, many))
    norm, value = np.empty(many), beyond.reshape(many)
    continuation[0], weight[0], weight[1] = after.reshape(many), discount, 1.0 - discount
    scales, temperatures, work = spread_out(scale, many), spread_out(temperature, many), np.empty((3, many))
    soften(
        continuation,
        Chances(weight, everywhere(2, many), scales, temperatures),
        value,
        share,
        Room(norm, continuation, work),
    )
    for s in range(states):
        for b in range(settings):
            alive[s, b] = share[0, s * settings + b]
        if log_alive.shape[0] > 0:
            log_alive[s] = log(discount) + (continuation[0, s] - norm[s])
