"""The likelihood of linear-quadratic demonstrators against definitions that share no code with it, and its gradient."""

import numpy as np
import pytest
import torch
from linear_quadratics import random_model

from pgm_control import GaussianPrior, LinearQuadratic, LinearQuadraticModel, Optimism, infer
from pgm_control.inverse_rl import FullReward, SemidefiniteReward
from pgm_control.inverse_rl.continuous.objective import Demonstrated, GaussianObjective
from pgm_control.inverse_rl.continuous.statistics import recorded
from pgm_control.trajectories.gaussian.distributions import gaussian


def objective(model, beta, believed=False, reward=None, seed=0, **learns):
    """An objective at random parameters near the identity, for trajectories of the clamped optimum."""
    problem = model.problem
    drives = infer(model, 0.0).true_blocks().sample(20, seed=seed)
    record = recorded(drives, problem.num_states, problem.num_actions, problem.horizon)
    made = FullReward(problem, pays_last=True) if reward is None else reward
    found = GaussianObjective(model, made, Demonstrated(beta, believed, **learns), record)
    return found, found.start + 0.02 * np.random.default_rng(seed).normal(size=len(found.start)), drives


def constant_model(seed, prior=True):
    """A model of constant dynamics and regular noise, so that all of it can be learned."""
    rng = np.random.default_rng(seed)
    n, m = 2, 1 + seed % 2
    root = 0.4 * rng.normal(size=(n, n))
    problem = LinearQuadratic(
        0.5 * rng.normal(size=(n, n)), rng.normal(size=(n, m)), root @ root.T + 0.1 * np.eye(n), np.eye(n + m),
        horizon=5, initial_mean=rng.normal(size=n), initial_covariance=0.5 * np.eye(n), d=0.3 * rng.normal(size=n),
    )  # fmt: skip
    return LinearQuadraticModel(problem, 0.7, GaussianPrior(np.ones((m, n)), np.ones(m), np.eye(m)) if prior else None)


def central(function, x, step=1e-4):
    """A finite difference of fourth order."""
    ways = step * np.eye(len(x))
    near, far = (np.array([function(x + k * way) - function(x - k * way) for way in ways]) for k in (1, 2))
    return (8 * near - far) / (12 * step)


KINDS = [(0.0, False, False), (0.4, False, True), (1.0, True, False), (-0.02, True, True)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("beta", "believed", "learns"), KINDS)
def test_the_gradient_agrees_with_finite_differences(seed, beta, believed, learns):
    model = random_model(seed, largest=(3, 2, 6))
    found, x, _ = objective(model, beta, believed, seed=seed, learns_optimism=learns)
    value, slope = found.log_likelihood(x)
    assert np.isfinite(value)
    expected = central(lambda each: found.log_likelihood(each, slopes=False)[0], x)
    assert np.abs(slope - expected).max() <= 1e-7 * np.abs(expected).max()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("believed", [False, True])
def test_the_gradient_by_believed_dynamics_agrees_with_finite_differences(seed, believed):
    model = constant_model(seed, prior=seed > 1)
    reward = SemidefiniteReward(model.problem, pays_last=True)
    found, x, _ = objective(model, 0.3, believed, reward, seed, learns_optimism=True, learns_dynamics=True)
    value, slope = found.log_likelihood(x)
    assert np.isfinite(value)
    assert len(x) == len(found.names) == len(found.cost(found.parts(x)[0])[1][0]) + 1 + model.problem.F[0].numel()
    expected = central(lambda each: found.log_likelihood(each, slopes=False)[0], x)
    assert np.abs(slope - expected).max() <= 1e-7 * np.abs(expected).max()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("beta", "believed", "learns"), KINDS)
def test_the_likelihood_agrees_with_the_densities_of_the_optimum(seed, beta, believed, learns):
    """Densities by Pyro's distributions of the factors that `infer` finds, singular noise included."""
    model = random_model(seed, largest=(3, 2, 6))
    found, x, drives = objective(model, beta, believed, seed=seed, learns_optimism=learns)
    psi, optimism, _ = found.parts(x)
    (C, c, P, p), _ = found.cost(psi)
    problem = model.problem.replace(C=C, c=c, k=0.0, final_cost=(P, p, 0.0))
    blocks = infer(
        LinearQuadraticModel(problem, model.temperature, model.action_prior), Optimism(optimism, initial=0.0)
    ).blocks()
    total = 0.0
    for t in range(problem.horizon):
        s, a, after = drives.states[:, t], drives.actions[:, t], drives.states[:, t + 1]
        mean = -s @ blocks.gain[t].mT - blocks.offset[t]
        total += float(gaussian(mean, blocks.policy_covariance[t]).log_prob(a).sum())
        if believed:
            mean = torch.cat((s, a), -1) @ blocks.transition[t].mT + blocks.drift[t]
            total += float(gaussian(mean, blocks.noise[t]).log_prob(after).sum())
    assert found.log_likelihood(x)[0] == pytest.approx(total, rel=1e-9, abs=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_the_free_likelihood_is_that_of_an_exponential_family(seed):
    """The sum of rewards in nats and log-densities of prior and dynamics, minus the value of the start."""
    model = constant_model(seed)
    found, x, drives = objective(model, 1.0, believed=True, seed=seed)
    assert found.is_concave
    (C, c, P, p), _ = found.cost(x)
    problem = model.problem.replace(C=C, c=c, k=0.0, final_cost=(P, p, 0.0))
    posterior = infer(LinearQuadraticModel(problem, model.temperature, model.action_prior), 1.0)
    total = problem.final_reward(drives.states[:, -1]) - posterior.v(0, drives.states[:, 0])
    prior, densities = model.action_prior, 0.0
    for t in range(problem.horizon):
        s, a = drives.states[:, t], drives.actions[:, t]
        total = total + problem.reward(t, s, a)
        mean = torch.cat((s, a), -1) @ problem.F[t].mT + problem.d[t]
        densities = densities + gaussian(mean, problem.W[t]).log_prob(drives.states[:, t + 1])
        densities = densities + gaussian(s @ prior.gain[0].mT + prior.offset[0], prior.covariance[0]).log_prob(a)
    expected = (total / model.temperature + densities).sum()
    assert found.log_likelihood(x)[0] == pytest.approx(float(expected), rel=1e-11)


def test_the_likelihood_is_zero_beyond_the_breakdown():
    model = constant_model(0, prior=False)
    found, x, _ = objective(model, -0.02, learns_optimism=True)
    x[-1] = -1e3
    value, slope = found(x)
    assert (value, found.refused) == (np.inf, 1)
    assert not slope.any()


def test_a_recording_of_the_first_steps_counts_those():
    model = constant_model(1)
    found, x, drives = objective(model, 0.5, believed=True)
    first = recorded(drives._replace(states=drives.states[:, :3], actions=drives.actions[:, :2]), 2, 2, 5)
    short = GaussianObjective(model, FullReward(model.problem, pays_last=True), Demonstrated(0.5, True), first)
    assert not short.is_concave
    late = recorded(drives, 2, 2, 5)
    parts = []
    for t in range(5):
        one = late._replace(states=late.states[:, : t + 2], actions=late.actions[:, : t + 1])
        parts.append(
            GaussianObjective(
                model, FullReward(model.problem, pays_last=True), Demonstrated(0.5, True), one
            ).log_likelihood(x)[0]
        )
    assert parts[1] == short.log_likelihood(x)[0]
    assert parts[-1] == pytest.approx(found.log_likelihood(x)[0])
    assert len(set(parts)) == 5
