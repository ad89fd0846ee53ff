"""Perron eigenvectors and driven dynamics: a matrix of state-action pairs against the library and a long posterior."""

import numpy as np
import pytest

from pgm_control import TabularMDP, TabularModel, average_reward, growth_rate, infer


@pytest.fixture(params=range(3))
def problem(request):
    """A random problem whose states reach one another, with its temperature and prior."""
    rng = np.random.default_rng(request.param)
    p = rng.dirichlet(np.ones(4), (4, 3))
    return p, rng.normal(size=(4, 3, 4)), rng.uniform(0.3, 3.0), rng.dirichlet(np.ones(3), 4)


@pytest.fixture
def perron(problem):
    """Root, policy, driven dynamics and occupancy by eigenvectors of the matrix of pairs."""
    p, r, tau, prior = problem
    matrix = np.einsum("sat,tb->satb", p * np.exp(r / tau), prior).reshape(12, 12)
    roots, right = np.linalg.eig(matrix)
    roots_left, left = np.linalg.eig(matrix.T)
    u = np.abs(np.real(right[:, np.real(roots).argmax()])).reshape(4, 3)
    v = np.abs(np.real(left[:, np.real(roots_left).argmax()])).reshape(4, 3)
    z = (prior * u).sum(1)
    driven = p * np.exp(r / tau) * z / (np.real(roots).max() * u[..., None])
    return np.real(roots).max(), prior * u / z[:, None], driven, u * v / (u * v).sum()


def model_of(problem, horizon=1):
    p, r, tau, prior = problem
    return TabularModel(TabularMDP.from_dense(np.full(4, 0.25), p, r, horizon), float(tau), prior)


def test_the_library_finds_root_policy_and_driven_dynamics(problem, perron):
    root, policy, driven, _ = perron
    found, rate = average_reward(model_of(problem), 1.0, 1e-12), growth_rate(model_of(problem), 1e-12)
    assert found.gain / problem[2] == pytest.approx(np.log(root), abs=1e-10)
    assert rate.rate == pytest.approx(np.log(root), abs=1e-10)
    np.testing.assert_allclose(found.policy, policy, atol=1e-9)
    np.testing.assert_allclose(found.dynamics, driven, atol=1e-9)


def test_the_middle_of_a_long_posterior_is_the_conditioned_process(problem, perron):
    _, policy, driven, occupancy = perron
    posterior = infer(model_of(problem, 200), 1.0)
    np.testing.assert_allclose(posterior.policy[100], policy, atol=1e-9)
    np.testing.assert_allclose(posterior.dynamics[100], driven, atol=1e-9)
    np.testing.assert_allclose(posterior.marginals().state_action[100], occupancy, atol=1e-9)
