"""Some settings of one MDP, solved: values, objectives, derivatives, from tables to tables."""

import numpy as np

from .lanes import dice_of, everywhere, lanes_of, soften
from .pull import moments, pull
from .sweep import sweep
from .vector_math import compiled, entry, log

Array = np.ndarray


@entry
def solve(
    dice: tuple[Array, Array, Array, Array, Array, bool],
    probability: Array,
    reward: Array,
    prior: Array,
    last: Array,
    initial: Array,
    discount: float,
    temperature: Array,
    optimism: Array,
    optimism_start: Array,
    optimism_survival: float,
    wants: int,
    by_objective: Array,
    by_q: Array,
    by_v: Array,
    q: Array,
    v: Array,
    objective: Array,
    log_policy: Array,
    log_dynamics: Array,
    log_survival: Array,
    log_start: Array,
    by_reward: Array,
    by_last: Array,
    by_parameters: Array,
    by_log_prior: Array,
) -> None:
    """Some settings side by side: q (setting, T, A S), v (setting, T+1, S), objectives, and what `wants` asks for.

    `wants` is 0 for values, 1 for the derivatives by the rewards too, 2 for those by all else too. `dice` is as `sweep`
    has it. `reward` is (setting or 1, S A K), `prior` (…, S, A, 1), `last` (…, 1, S, 1). `by_parameters` holds the
    derivatives by temperature, optimism of the dice and optimism of the start. Tables that are not wanted are empty;
    logs are of one setting.
    """
    settings, horizon = temperature.shape[0], q.shape[1]
    states = initial.shape[0]
    place, count = dice[1], dice[2]
    weight, gains = dice_of(probability, place, count, settings), dice_of(reward, place, count, settings)
    priors = lanes_of(prior, settings).reshape(prior.shape[2], states * settings)
    lanes = gains.shape[1]
    v_lanes = np.empty((horizon + 1, states, settings))
    policy = np.empty((horizon if wants > 0 else 1, lanes))
    dice_scale, survival_scale = np.zeros(settings), np.zeros(settings)
    for b in range(settings):
        if optimism[b] != 0:
            dice_scale[b] = optimism[b] / temperature[b]
        if optimism_survival != 0:
            survival_scale[b] = optimism_survival / temperature[b]
    v_lanes[horizon] = lanes_of(last, settings).reshape(states, settings)
    folds = wants == 1 and by_q.shape[1] == 0
    scales = (temperature, dice_scale, survival_scale, folds)
    logs = (log_policy, log_dynamics, log_survival)
    swept = sweep(dice, weight, gains, priors, discount, *scales, q, v_lanes, policy, *logs)
    visits = np.empty((states, settings))
    for b in range(settings):
        for t in range(horizon + 1):
            for s in range(states):
                v[b, t, s] = v_lanes[t, s, b]
        begin(v[b, 0], initial, temperature[b], optimism_start[b], b, objective, visits, log_start, by_parameters)
        for s in range(states if wants > 0 else 0):
            visits[s, b] *= by_objective[b]
        for p in range(3 if wants > 0 else 0):
            by_parameters[b, p] *= by_objective[b]
    if wants == 0:
        return
    sent, by_priors = np.zeros(gains.shape), np.zeros(lanes if wants > 1 else 0)
    found = (q, v_lanes, policy, swept, visits, by_q, by_v, sent, by_parameters[:, :2], by_priors)
    pull(dice, weight, gains, discount, *scales, *found)
    for b in range(settings):
        for s in range(states):
            by_last[b, s] = visits[s, b]
        for k in range(gains.shape[0]):
            for j in range(count[k]):
                by_reward[b, place[k, j]] = sent[k, j * settings + b]
        for j in range(q.shape[2] if wants > 1 else 0):
            by_log_prior[b, j] = by_priors[j * settings + b]


@compiled
def begin(
    value: Array,
    initial: Array,
    temperature: float,
    optimism: float,
    b: int,
    objective: Array,
    visits: Array,
    log_start: Array,
    by_parameters: Array,
) -> None:
    """The objective of setting b, L of the start over τ, and its derivatives; where τ = 0, the mean value itself."""
    states = value.shape[0]
    heat = temperature if temperature > 0 else 1.0
    x, weight, share = np.empty((states, 1)), np.empty((states, 1)), np.empty((states, 1))
    scale, found, norm, here = np.empty(1), np.empty(1), np.empty(1), np.empty(1)
    scale[0], here[0] = optimism / heat, 1.0 / heat
    for s in range(states):
        x[s, 0], weight[s, 0] = value[s], initial[s]
    if optimism == 0:
        found[0] = 0.0
        for s in range(states):
            found[0] += initial[s] * value[s] if initial[s] > 0 else 0.0
        share[:] = weight
    else:
        soften(x, weight, everywhere(states, 1), scale, np.full(1, heat), found, norm, share, x, np.empty((3, 1)))
        for s in range(states if log_start.shape[0] > 0 else 0):
            log_start[s] = log(initial[s]) + (x[s, 0] - norm[0])
            x[s, 0] = value[s]
        for s in range(states):
            x[s, 0] = value[s]
    objective[b] = found[0] / heat
    for s in range(states):
        visits[s, b] = share[s, 0] / heat
    if by_parameters.shape[0] > 0:
        by_numbers, heats = np.zeros((1, 2)), np.full(1, heat)
        if np.isfinite(found[0]):
            moments(x, weight, share, everywhere(states, 1), scale, heats, here, found, by_numbers)
            by_numbers[0, 0] -= found[0] / heat**2
        by_parameters[b, 0], by_parameters[b, 1], by_parameters[b, 2] = by_numbers[0, 0], 0.0, by_numbers[0, 1]
