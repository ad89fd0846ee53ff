"""The stationary policy by the Riccati equation is the limit of the policy of long horizons."""

import numpy as np
import pytest
import torch
from linear_quadratics import random_model, scalar

from pgm_control import (
    InvalidArgument,
    LinearQuadratic,
    LinearQuadraticModel,
    OptimismBreakdown,
    infer,
    stationary_policy,
)

VALUES = {0.0: 1.413836350, 1.0: 1.353929581, -0.5: 1.452956310, -2.0: 1.643678949}


@pytest.mark.parametrize("beta", VALUES)
def test_the_scalar_problem(beta):
    found = stationary_policy(LinearQuadraticModel(scalar()), beta)
    assert round(float(found.value_hessian), 9) == VALUES[beta]
    longer, long = (infer(LinearQuadraticModel(scalar(steps)), beta).objective for steps in (201, 200))
    assert found.rate == pytest.approx(longer - long, rel=1e-9)
    assert abs(found.poles[0]) < 1
    assert found.residual < 1e-12


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("beta", [1.0, 0.0, -0.1])
def test_the_limit_of_long_horizons(seed, beta):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(4, 4))
    A *= 0.9 / np.abs(np.linalg.eigvals(A)).max()
    L, X = 0.3 * rng.normal(size=(4, 2)), rng.normal(size=(6, 6))
    problem = LinearQuadratic(
        A, rng.normal(size=(4, 2)), L @ L.T, X @ X.T / 3 + 0.1 * np.eye(6), horizon=200, initial_mean=np.zeros(4),
        c=rng.normal(size=6), d=0.3 * rng.normal(size=4), k=0.3, discount=(1.0, 0.95)[seed % 2],
    )  # fmt: skip
    model = LinearQuadraticModel(problem, 0.7, (None, np.eye(2))[seed // 2])
    found, long = stationary_policy(model, beta), infer(model, beta)
    for name in ("gain", "offset", "policy_covariance", "transition", "drift", "noise"):
        assert torch.allclose(getattr(found, name), getattr(long, name)[0], rtol=1e-9, atol=1e-9), name
    assert torch.allclose(found.value_gradient, long.value_gradient[0], rtol=1e-9, atol=1e-9)
    if seed % 2 == 0:
        shorter = infer(LinearQuadraticModel(problem.replace(horizon=199), 0.7, model.action_prior), beta)
        assert found.rate == pytest.approx(long.objective - shorter.objective, rel=1e-8, abs=1e-8)
        if beta == 0:  # with a flat prior the objective is the reward and the entropy
            far = long.true_marginals()
            reward = -0.5 * (problem.C[0] * far.covariance[100]).sum()
            z = far.mean[100]
            reward = reward - 0.5 * z @ problem.C[0] @ z - problem.c[0] @ z - problem.k[0]
            assert found.true_reward == pytest.approx(float(reward), rel=1e-6)


def test_beyond_the_limit_there_is_no_policy():
    with pytest.raises(OptimismBreakdown, match="no stationary policy"):
        stationary_policy(LinearQuadraticModel(scalar()), -2.03)
    unstable = LinearQuadratic.from_cost(1.2, 0.0, 1.0, 1.0, 0.1, horizon=1, initial_mean=0.0)
    with pytest.raises(OptimismBreakdown, match="no stationary policy"):
        stationary_policy(LinearQuadraticModel(unstable), 0.0)


def test_a_model_that_depends_on_time_is_refused():
    timed = scalar().replace(k=torch.arange(6.0))
    with pytest.raises(InvalidArgument, match="its k, or its action prior, does"):
        stationary_policy(LinearQuadraticModel(timed), 0.0)


def test_random_models_agree_with_their_own_equation():
    """P of an independent fixed-point iteration in numpy, with the noise regular."""
    model = random_model(5, discounted=False, largest=(3, 2, 1))
    problem, tau = model.problem.replace(W=0.2 * np.eye(model.problem.num_states)), model.temperature
    model = LinearQuadraticModel(problem, tau, 2 * np.eye(problem.num_actions))
    A, B, C, W = (getattr(problem, name)[0].numpy() for name in ("A", "B", "C", "W"))
    n, P = len(A), np.zeros_like(A)
    C = C + np.diag([0.0] * n + [tau / 2.0] * B.shape[1])
    for _ in range(3000):
        ahead = P @ np.linalg.inv(np.eye(n) + W @ P / tau)
        Has = C[n:, :n] + B.T @ ahead @ A
        P = C[:n, :n] + A.T @ ahead @ A - Has.T @ np.linalg.solve(C[n:, n:] + B.T @ ahead @ B, Has)
    assert np.allclose(stationary_policy(model, 1.0).value_hessian.numpy(), P, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("beta", [-0.5, -1.0, -5.0])
def test_beyond_the_breakdown_another_solution_of_the_equation_is_no_policy(beta):
    """The Riccati equation has a stabilising solution there with P < 0, although the cost is positive."""
    problem = LinearQuadratic.from_cost(1.2, 0.2, 1.0, 1.0, 0.3, horizon=100, initial_mean=0.0)
    with pytest.raises(OptimismBreakdown):
        infer(LinearQuadraticModel(problem), beta)
    with pytest.raises(OptimismBreakdown, match="beyond the breakdown"):
        stationary_policy(LinearQuadraticModel(problem), beta)
