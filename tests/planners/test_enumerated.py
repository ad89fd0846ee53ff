"""Plans of small tables against all plans and all outcomes: times, masked actions, final rewards, terminal values."""

import itertools
import math

import numpy as np
import pytest
import torch

from pgm_control import TabularMDP, TabularModel
from pgm_control.planners import MPPI

STATES, ACTIONS, STEPS = 4, 3, 3


def tables():
    """Numbers at random: p(s'|s, a) and r by time, the final reward, the action prior, and a terminal value."""
    random = np.random.default_rng(1)
    p = random.dirichlet(np.ones(STATES), (STEPS, STATES, ACTIONS))
    prior = random.dirichlet(np.ones(ACTIONS), STATES)
    prior[0, 1] = 0.0  # which forbids it
    prior /= prior.sum(1, keepdims=True)
    r = 2 * random.normal(size=(STEPS, STATES, ACTIONS, STATES))
    return p, r, random.normal(size=STATES), prior, 2 * random.normal(size=(STEPS + 1, STATES))


def enumerated(start, beta, tau, horizon, value):
    """log w of every plan, by its paths: L_β/τ of the return with τ log ρ."""
    p, r, final, prior, _ = tables()
    found = {}
    for plan in itertools.product(range(ACTIONS), repeat=horizon):
        paths = [(1.0, 0.0, start)]
        for t, a in enumerate(plan):
            paths = [
                (m * p[t, s, a, n], x + r[t, s, a, n] + tau * math.log(prior[s, a]) if prior[s, a] else -math.inf, n)
                for m, x, s in paths
                for n in range(STATES)
            ]
        end = final if horizon == STEPS else np.zeros(STATES) if value is None else value[horizon]
        mass, x = np.array([m for m, _, _ in paths]), np.array([x + end[s] for _, x, s in paths])
        if beta == 0:
            found[plan] = (mass * x).sum() / tau
        else:
            tilted = beta * x / tau
            top = tilted.max()
            found[plan] = (top + np.log((mass * np.exp(tilted - top)).sum())) / beta if np.isfinite(top) else -math.inf
    return found


def model(tau):
    p, r, final, prior, _ = tables()
    ahead = np.broadcast_to(np.arange(STATES), (STATES, ACTIONS, STATES)).copy()
    mdp = TabularMDP(np.full(STATES, 0.25), p, ahead, r, STEPS, final_reward=final)
    return TabularModel(mdp, tau, torch.as_tensor(prior))


@pytest.mark.parametrize("beta", [1.0, 0.5, 0.0, -0.5])
@pytest.mark.parametrize(("horizon", "has_value"), [(3, False), (9, True), (2, True), (1, False)])
def test_the_first_action_is_that_of_all_plans_and_all_outcomes(beta, horizon, has_value):
    tau = 20.0 if has_value else 1.0
    value = tables()[-1] if has_value else None
    given = {"num_plans": 600, "num_noise_samples": 128, "terminal_value": value, "seed": 0}
    for start in (0, 2):
        weights = enumerated(start, beta, tau, min(horizon, STEPS), value)
        exact = np.zeros(ACTIONS)
        for plan, weight in weights.items():
            exact[plan[0]] += math.exp(weight - max(weights.values()))
        exact /= exact.sum()
        found = MPPI(model(tau), optimism=beta, horizon=horizon, **given).plan([start] * 4)
        played = torch.zeros(4, ACTIONS).double().scatter_add(1, found.plans[:, :, 0], found.log_weights.exp())
        assert played.mean(0).numpy() == pytest.approx(exact, abs=0.04)
        assert float(played[:, exact == 0].sum()) == 0.0
