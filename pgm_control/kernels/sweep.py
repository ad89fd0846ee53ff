"""The backward sweep: all Q and V of some settings side by side."""

import numpy as np

from .dice import factors, meet, mix, narrow_range, undo
from .lanes import everywhere, harden, soften, spread_out
from .vector_math import compiled, log

Array = np.ndarray

SMALL = 0.1  # optimism below which exponentials of values lose digits that are multiplied by τ/β afterwards


@compiled
def sweep(
    dice: tuple[Array, Array, Array, Array, Array, bool],
    weight: Array,
    reward: Array,
    prior: Array,
    discount: float,
    temperature: Array,
    dice_scale: Array,
    survival_scale: Array,
    folds: bool,
    q: Array,
    v: Array,
    policy: Array,
    log_policy: Array,
    log_dynamics: Array,
    log_survival: Array,
) -> tuple[Array, Array, Array, Array, Array]:
    """All Q (setting, T, A S) and V (T+1, state, setting) backwards from the last; also what of the rest is not empty.

    `dice` are: the successors, where a face stands in the MDP, the number of dice that have it, whether it leads to one
    state, the lane (action, state) of each die, and whether these are in order.
    Scales are β/τ, one a setting; dice whose first is 0 are averaged. Gives what `pull` needs too: the factors of the
    dice; whether a step was narrow enough for exponentials of values, these, and the inverse of their mixtures, which
    multiply the policy already where it `folds`; and the derivatives of the discounted values, if survival is free.
    """
    successor, place, count, common, lane, ordered = dice
    horizon, states, settings = v.shape[0] - 1, v.shape[1], v.shape[2]
    faces, lanes, many = successor.shape[0], reward.shape[1], states * settings
    averages, frees, cold = dice_scale[0] == 0, survival_scale[0] != 0 and discount < 1, temperature[0] == 0
    keep = 1 if averages or policy.shape[0] == 1 else horizon
    narrow, z, inverse = np.zeros(horizon, np.bool_), np.empty((keep, states, settings)), np.empty((1, lanes))
    if keep > 1 and not folds:
        inverse = np.empty((horizon, lanes))
    alive = np.empty((horizon if frees else 0, states, settings))
    scale, heat = spread_out(dice_scale, lanes), spread_out(temperature, lanes)
    inverse_heat = 1.0 / heat[:many]
    factor, top, shift = np.empty((faces, lanes)), np.empty(lanes), np.empty(many)
    spread, widest = np.empty(settings), np.empty(settings)
    x, sharing, norm, work = np.empty((faces, lanes)), np.empty((faces, lanes)), np.empty(lanes), np.empty((3, lanes))
    choice, choice_norm, room = np.empty(prior.shape), np.empty(many), np.empty((3, many))
    scratch, in_place = np.empty(lanes), ordered and settings == 1
    mean, total, beyond = np.zeros(lanes), np.empty(lanes), np.empty((states, settings))
    counts, all_actions = count * settings, everywhere(prior.shape[0], many)
    if averages:
        factor[:] = weight
        for k in range(faces):
            for i in range(lanes):
                mean[i] += weight[k, i] * reward[k, i] if weight[k, i] > 0 else 0.0
    log_weight, log_prior = np.empty((0, lanes)), np.empty((0, many))
    if log_policy.shape[0] > 0:
        log_weight, log_prior = logs(weight), logs(prior)
    usable = not averages and factors(reward, weight, scale, top, factor, spread, widest)
    for b in range(settings):
        usable = usable and abs(dice_scale[b] * temperature[b]) >= SMALL
    for t in range(horizon - 1, -1, -1):
        now, before = (t if keep > 1 else 0), (q[0, t] if in_place else scratch)
        if frees:
            live(v[t + 1], discount, survival_scale, temperature, beyond, alive[t], log_survival[t])
        else:
            discounted(v[t + 1], discount, beyond)
        if usable:
            narrow[t] = narrow_range(beyond, dice_scale, spread, widest, shift, z[now])
        if averages:
            mix(total, factor, beyond, successor, count, common)
            for i in range(lanes):
                before[i] = mean[i] + total[i]
        elif narrow[t]:
            mix(total, factor, z[now], successor, count, common)
            for i in range(0, lanes, many):
                undo(before[i : i + many], total[i : i + many], top[i : i + many], shift, scale[i : i + many])
            inverse_now = inverse[t if inverse.shape[0] > 1 else 0]
            for i in range(lanes):
                inverse_now[i] = 1.0 / total[i] if total[i] > 0 else 0.0
            if log_dynamics.shape[0] > 0:
                meet(x, reward, beyond, successor, count)
                for k in range(faces):
                    for i in range(count[k]):
                        gain = scale[i] * (x[k, i] - before[i]) if before[i] > -np.inf else 0.0
                        log_dynamics[t, place[k, i]] = log_weight[k, i] + gain
        else:
            meet(x, reward, beyond, successor, count)
            soften(x, weight, counts, scale, heat, before, norm, sharing, x, work)
            if log_dynamics.shape[0] > 0:
                for k in range(faces):
                    for i in range(count[k]):
                        log_dynamics[t, place[k, i]] = log_weight[k, i] + (x[k, i] - norm[i])
        for b in range(0 if in_place else settings):
            for j in range(lane.shape[0]):
                q[b, t, lane[j]] = before[j * settings + b]
        options = before.reshape(prior.shape) if ordered else choice
        if not ordered:
            choices = choice.reshape(lanes)
            for j in range(lane.shape[0]):
                at = lane[j] * settings
                for b in range(settings):
                    choices[at + b] = before[j * settings + b]
        flat = policy[t if policy.shape[0] > 1 else 0]
        value, share = v[t].reshape(many), flat.reshape(prior.shape)
        if cold:
            harden(options, prior, value, share)
            for i in range(lanes if log_policy.shape[0] > 0 else 0):
                log_policy[t, i] = log(flat[i])
        else:
            soften(options, prior, all_actions, inverse_heat, heat, value, choice_norm, share, choice, room)
            for a in range(prior.shape[0] if log_policy.shape[0] > 0 else 0):
                for n in range(many):
                    log_policy[t, a * many + n] = log_prior[a, n] + (choice[a, n] - choice_norm[n])
        if folds and narrow[t] and ordered:
            for i in range(lanes):
                flat[i] *= inverse[0, i]
        elif folds and narrow[t]:
            for j in range(lane.shape[0]):
                at = lane[j] * settings
                for b in range(settings):
                    flat[at + b] *= inverse[0, j * settings + b]
    return factor, narrow, z, inverse, alive


@compiled
def logs(probability: Array) -> Array:
    """The logarithms of a table."""
    out = np.empty_like(probability)
    for f in range(probability.shape[0]):
        for i in range(probability.shape[1]):
            out[f, i] = log(probability[f, i])
    return out


@compiled
def discounted(after: Array, discount: float, beyond: Array) -> None:
    """γ V of every state."""
    for s in range(after.shape[0]):
        for b in range(after.shape[1]):
            beyond[s, b] = discount * after[s, b]


@compiled
def live(
    after: Array, discount: float, scale: Array, temperature: Array, beyond: Array, alive: Array, log_alive: Array
) -> None:
    """L over living on, with V, and ending with nothing; and the tilted probability of living on."""
    states, settings = after.shape
    many = states * settings
    fate, weight, share = np.zeros((2, many)), np.empty((2, many)), np.empty((2, many))
    norm, value = np.empty(many), beyond.reshape(many)
    fate[0], weight[0], weight[1] = after.reshape(many), discount, 1.0 - discount
    scales, heats, work = spread_out(scale, many), spread_out(temperature, many), np.empty((3, many))
    soften(fate, weight, everywhere(2, many), scales, heats, value, norm, share, fate, work)
    for s in range(states):
        for b in range(settings):
            alive[s, b] = share[0, s * settings + b]
        if log_alive.shape[0] > 0:
            log_alive[s] = log(discount) + (fate[0, s] - norm[s])
