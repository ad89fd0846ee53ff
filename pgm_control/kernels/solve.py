"""Solve several settings of one MDP: values, objectives and derivatives, from tables to tables."""

from typing import NamedTuple

import numpy as np

from .bundles import Cotangents, Logs, Outcomes, Plain, Problem, Settings, Solved
from .compiling import compiled, entry
from .lanes import Chances, Room, everywhere, normalise, outcomes_of, priors_of, soften
from .pullback import Gradients, add_slopes, by_spread, divergence, pullback
from .sweep import Lanes, Scales, Values, sweep
from .vector_math import log

Array = np.ndarray


@entry
def solve(problem: Plain, settings: Plain, wants: int, cotangents: Plain, solved: Plain, logs: Plain) -> None:
    """Solve several settings side by side; write the values and what `wants` selects into `solved` and `logs`.

    `wants` is 0 for values, 1 to add the derivatives with respect to the rewards, 2 to add those with respect to
    temperature, optimism and prior. Those with respect to probabilities are added if `solved` has room for them. Tables
    that are not wanted are empty.

    Args:
        problem: `Problem`, with `Outcomes`; all bundles are plain tuples.
        settings: `Settings`.
        wants: which results are written.
        cotangents: `Cotangents`, which define the scalar that is differentiated.
        solved: `Solved`.
        logs: `Logs`.
    """
    mdp, given, costs, found = Problem(*problem), Settings(*settings), Cotangents(*cotangents), Solved(*solved)
    outcomes, temperature = Outcomes(*mdp.outcomes), given.temperature
    place, counts, initial, v, by_numbers = outcomes.place, outcomes.counts, mdp.initial, found.v, found.by_numbers
    many, horizon, states, pairs = temperature.shape[0], v.shape[1] - 1, initial.shape[1], place.shape[1]
    by_probability, by_initial = found.by_probability, found.by_initial
    rewards = given.reward.reshape(given.reward.shape[0], mdp.probability.shape[1])
    weight, gains = outcomes_of(mdp.probability, place, counts, many), outcomes_of(rewards, place, counts, many)
    prior = priors_of(given.action_prior, many)
    log_mass = normalise(prior)
    lanes = Lanes(weight, gains, prior, log_mass)
    q, v_lanes = found.q.reshape(many, horizon, pairs), np.empty((horizon + 1, states, many))
    policy = np.empty((horizon if wants > 0 else 1, pairs * many))
    dynamics_scale, survival_scale = np.zeros(many), np.zeros(many)
    last, optimism, survival, optimism_start = given.final_reward, given.dynamics, given.survival, given.initial
    for b in range(many):
        unit = temperature[b] if temperature[b] > 0 else 1.0
        for s in range(states):
            v_lanes[horizon, s, b] = last[b if last.shape[0] > 1 else 0, s]
        if optimism[b] != 0:
            dynamics_scale[b] = optimism[b] / unit
        if survival != 0:
            survival_scale[b] = survival / unit
    folds = wants == 1 and costs.q.shape[1] == 0 and by_initial.shape[0] == 0
    scales, values = Scales(mdp.discount, temperature, dynamics_scale, survival_scale), Values(q, v_lanes, policy)
    tilts = Logs(*logs)
    swept = sweep(outcomes, lanes, scales, folds, values, tilts)
    visits, nothing, log_start = np.empty((states, many)), np.empty(0), tilts.start
    objective, by_objective = found.objective, costs.objective
    for b in range(many):
        for t in range(horizon + 1):
            for s in range(states):
                v[b, t, s] = v_lanes[t, s, b]
        slope, by_start = by_numbers[b] if wants > 0 else nothing, by_initial[b] if by_initial.shape[0] > 0 else nothing
        start = Start(initial[b if initial.shape[0] > 1 else 0], temperature[b], optimism_start[b])
        objective[b] = begin(v[b, 0], start, visits[:, b], log_start, slope, by_start)
        for s in range(states if wants > 0 else 0):
            visits[s, b] *= by_objective[b]
        for p in range(slope.shape[0]):
            slope[p] *= by_objective[b]
        for s in range(by_start.shape[0]):
            by_start[s] *= by_objective[b]
    if wants == 0:
        return
    sent, by_priors = np.zeros(gains.shape), np.zeros(pairs * many if wants > 1 else 0)
    moved = np.zeros((gains.shape[0] if by_initial.shape[0] > 0 else 0, gains.shape[1]))
    gradients = Gradients(visits, sent, by_numbers[:, :2], by_priors, moved)
    pullback(outcomes, lanes, scales, values, swept, costs, gradients)
    by_reward, by_last, by_log_prior = found.by_reward, found.by_final_reward, found.by_log_prior
    by_rewards = by_reward.reshape(many, mdp.probability.shape[1])
    by_chances = by_probability.reshape(by_probability.shape[0], mdp.probability.shape[1])
    for b in range(many):
        for s in range(states):
            by_last[b, s] = visits[s, b]
        for k in range(sent.shape[0]):
            for j in range(counts[k]):
                by_rewards[b, place[k, j]] = sent[k, j * many + b]
        for k in range(moved.shape[0]):
            for j in range(counts[k]):
                by_chances[b, place[k, j]] = moved[k, j * many + b]
        for j in range(pairs if wants > 1 else 0):
            by_log_prior[b, j // states, j % states] = by_priors[j * many + b]


class Start(NamedTuple):
    """The start of one setting."""

    initial: Array  # (state,)
    temperature: float
    optimism: float


@compiled
def begin(values: Array, start: Start, visits: Array, log_start: Array, slope: Array, by_initial: Array) -> float:
    """The objective of one setting, L over the start distribution divided by τ; where τ = 0, L itself.

    Its derivatives with respect to the values are written into `visits`, and those with respect to temperature,
    optimism of the dynamics and optimism of the start into `slope`, unless `slope` is empty; those with respect to the
    probabilities into `by_initial` in the same way.
    """
    initial, temperature, optimism = start
    states = values.shape[0]
    tau = temperature if temperature > 0 else 1.0
    x, weight, share = np.empty((states, 1)), np.empty((states, 1)), np.empty((states, 1))
    scale, value, norm, here = np.empty(1), np.empty(1), np.empty(1), np.empty(1)
    scale[0], here[0], spread = optimism / tau, 1.0 / tau, np.zeros((1, 1))
    for s in range(states):
        x[s, 0], weight[s, 0] = values[s], initial[s]
    chances = Chances(weight, everywhere(states, 1), scale, np.full(1, tau))
    if optimism == 0:
        value[0] = 0.0
        for s in range(states):
            value[0] += initial[s] * values[s] if initial[s] > 0 else 0.0
        for s in range(states if slope.shape[0] > 0 else 0):
            spread[0, 0] += 0.5 * initial[s] * (values[s] - value[0]) ** 2 if initial[s] > 0 else 0.0
        share[:] = weight
    else:
        soften(x, chances, value, share, Room(norm, x, np.empty((3, 1))))
        for s in range(states if log_start.shape[0] > 0 else 0):
            log_start[s] = log(initial[s]) + (x[s, 0] - norm[0])
        if slope.shape[0] > 0:
            divergence(spread, x, norm, share, weight, chances.counts)
        for s in range(states):
            x[s, 0] = values[s]
    for s in range(states):
        visits[s] = share[s, 0] / tau
    if slope.shape[0] > 0:
        by_numbers = np.zeros((1, 2))
        if np.isfinite(value[0]):
            by_spread(spread, here, value.reshape((1, 1)), scale, chances.temperature, by_numbers)
            by_numbers[0, 0] -= value[0] / tau**2
        slope[0], slope[1], slope[2] = by_numbers[0, 0], 0.0, by_numbers[0, 1]
    if by_initial.shape[0] > 0:
        by_initial[:] = 0.0
        add_slopes(x, chances, here, value, by_initial.reshape((states, 1)))
    return value[0] / tau
