"""Planners that are wrong in known ways, which others will write again."""

import numpy as np
import open_loop_plans as open_loop
import pytest
import torch
from linear_quadratics import scalar

from pgm_control import LinearQuadraticModel, evaluate, infer
from pgm_control.models.gusty_ledge import gusty_ledge
from pgm_control.models.planar import PlanarModel
from pgm_control.planners import MPPI

MODEL = LinearQuadraticModel(scalar())


def test_mppi_with_one_draw_is_free_whatever_the_optimism_is_called():
    given = {"num_plans": 64, "num_noise_samples": 1, "seed": 0}
    free = MPPI(MODEL, optimism=1.0, **given).plan([1.0])
    for beta in (0.0, 0.5, -0.2):
        other = MPPI(MODEL, optimism=beta, **given).plan([1.0])
        assert torch.equal(other.log_weights, free.log_weights)
        assert torch.equal(other.action, free.action)


def averaged_over_common_worlds(seed, particles=20_000, worlds=16):
    """The mean first action of SMC whose step weights are averaged over worlds that all particles share."""
    rng = np.random.default_rng(seed)
    deviation = 5**0.5
    P = [0.0]
    for _ in range(6):
        P.append(1 + 0.81 * P[-1] - (0.45 * P[-1]) ** 2 / (0.2 + 0.25 * P[-1]))
    P = P[::-1]  # the clamped values
    s, log_w, first = np.ones((particles, worlds)), np.zeros(particles), np.zeros(particles)
    for t in range(6):
        a = deviation * rng.normal(size=particles)
        first = a if t == 0 else first
        ahead = 0.9 * s + 0.5 * a[:, None] + 0.3**0.5 * rng.normal(size=worlds)
        x = -0.5 * s**2 - 0.1 * a[:, None] ** 2 - 0.5 * P[t + 1] * ahead**2 + 0.5 * P[t] * s**2
        log_w += np.log(np.mean(np.exp(x), 1)) + 0.5 * (a / deviation) ** 2
        s, w = ahead, np.exp(log_w - log_w.max())
        if w.sum() ** 2 / (w**2).sum() < particles / 2:
            chosen = rng.choice(particles, particles, p=w / w.sum())
            s, first, log_w = s[chosen], first[chosen], np.zeros(particles)
    w = np.exp(log_w - log_w.max())
    return float((w * first).sum() / w.sum())


def test_averaging_step_weights_over_common_worlds_does_not_clamp_smc():
    found = np.array([averaged_over_common_worlds(seed) for seed in range(40)])
    error = found.std() / 40**0.5
    clamped = -float(infer(MODEL, 0.0).gain[0])
    assert found.mean() - clamped > max(4 * error, 0.08)


def test_a_planner_that_copies_the_random_state_earns_more_than_the_free_posterior_imagines():
    """With the noises in its hand it maximises the return itself, by one linear system."""
    M, linear, constant = open_loop.form(
        np.array([[0.9]]), np.array([[0.5]]), np.array([[0.3**0.5]]), np.diag([1.0, 0.2]), [1.0], 6
    )
    w = np.random.default_rng(0).normal(size=(6, 20_000))
    Maa, Maw, Mww = M[:6, :6], M[:6, 6:], M[6:, 6:]
    slope = Maw @ w + linear[:6, None]
    plan = -np.linalg.solve(Maa, slope)
    earned = -(0.5 * (plan * slope).sum(0) + 0.5 * (w * (Mww @ w)).sum(0) + linear[6:] @ w + constant)
    imagined = evaluate(MODEL, infer(MODEL, 1.0)).imagined_return
    assert imagined == pytest.approx(-3.92494606, abs=1e-6)
    assert earned.mean() - 4 * earned.std() / 20_000**0.5 > imagined + 2


def test_the_planner_knows_nothing_of_the_noise_to_come():
    """Its action does not depend on the global generator, from which an environment may draw."""
    found = []
    for state in range(3):
        torch.manual_seed(state)
        found.append(MPPI(MODEL, num_plans=64, num_noise_samples=2, seed=0).act([1.0]))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def ledge_returns(planner, model, episodes, seed):
    """The returns of episodes on the gusty ledge, with gusts of a generator of their own."""
    gusts = torch.Generator().manual_seed(seed)
    state, total = torch.zeros(episodes, 2, dtype=torch.float64), torch.zeros(episodes, dtype=torch.float64)
    planner.reset()
    for t in range(model.problem.horizon):
        gust = 0.4 * torch.randn(episodes, 2, generator=gusts, dtype=torch.float64)
        state = state + planner.act(state) + gust
        total = total + model.problem.reward_at(t + 1, state)
    return total + model.problem.final_reward_at(state)


@pytest.mark.slow
def test_one_draw_falls_off_the_ledge_and_the_mean_does_not():
    model = PlanarModel(gusty_ledge(), 0.5, 0.64)
    given = {"num_plans": 256, "num_sweeps": 2, "spread": 0.4}
    free = ledge_returns(MPPI(model, optimism=1.0, num_noise_samples=1, seed=0, **given), model, 128, 1)
    clamped = ledge_returns(MPPI(model, num_noise_samples=16, seed=0, **given), model, 64, 1)
    assert float(clamped.mean()) > -5.0
    assert float(free.mean()) < float(clamped.mean())
