"""Identification of dynamics: least squares against numpy's own, its deviations, and what never varied."""

import math

import numpy as np
import pytest
import torch
from linear_quadratics import double_integrator, scalar

from pgm_control import InvalidArgument, LinearQuadraticModel, infer
from pgm_control.inverse_rl import identify_dynamics
from pgm_control.trajectories.gaussian.blocks import ContinuousTrajectories


def test_the_estimates_are_least_squares():
    problem = double_integrator()
    seen = infer(LinearQuadraticModel(problem), 0.0).sample(100, seed=0)
    found = identify_dynamics(problem, seen)
    X = torch.cat((seen.states[:, :-1], seen.actions, torch.ones(100, 20, 1)), -1).reshape(-1, 4).numpy()
    y = seen.states[:, 1:].reshape(-1, 2).numpy()
    F, squares, *_ = np.linalg.lstsq(X, y, rcond=None)
    both = np.concatenate((found.A, found.B, found.d[:, None]), 1)
    np.testing.assert_allclose(both, F.T, atol=1e-12)
    np.testing.assert_allclose(found.W.diagonal(), squares / (2000 - 4), rtol=1e-10)
    np.testing.assert_allclose(found.covariance, np.linalg.inv(X.T @ X), rtol=1e-8)
    assert len(found.unidentified) == 0
    assert found.number == 2000
    likelihood = torch.distributions.MultivariateNormal(torch.zeros(2).double(), found.W * (2000 - 4) / 2000)
    expected = likelihood.log_prob(torch.from_numpy(y - X @ F)).sum()
    assert found.log_likelihood == pytest.approx(float(expected))
    assert torch.equal(found.problem.A[3], found.A)
    assert torch.equal(found.problem.C, problem.C)


def test_the_estimates_converge_to_the_truth_with_their_deviations():
    problem = double_integrator()
    errors = []
    for seed in range(20):
        seen = infer(LinearQuadraticModel(problem), 0.0).sample(50, seed=seed)
        found = identify_dynamics(problem, seen, drift=False)
        errors.append(((torch.cat((found.A, found.B), 1) - problem.F[0]) / found.deviations).numpy())
        np.testing.assert_allclose(found.W, problem.W[0], atol=0.012)
        assert torch.equal(found.d, problem.d[0])
    spread = np.std(errors, axis=0)
    assert bool(((spread > 0.7) & (spread < 1.4)).all())
    assert float(np.abs(np.mean(errors, axis=0)).max()) < 0.85  # in standard errors over √20: 3.8


def test_a_demonstrator_without_noise_hides_what_its_actions_do():
    model = LinearQuadraticModel(scalar(), 0.0)
    seen = infer(model, 0.0).blocks().replace(gain=torch.full((6, 1, 1), 1.1).double()).sample(500, seed=0)
    found = identify_dynamics(model.problem, seen, drift=False)
    direction = found.unidentified
    assert direction.shape == (1, 2)
    assert abs(float(direction[0] @ torch.tensor([1.0, -1.1]).double())) < 1e-9  # a = −1.1 s always
    assert found.deviations.tolist() == [[math.inf, math.inf]]
    closed = found.A - 1.1 * found.B
    assert float(closed) == pytest.approx(0.9 - 0.55, abs=0.06)
    assert "never vary" in str(found)


def test_a_component_without_noise_has_an_infinite_likelihood():
    problem = scalar().replace(W=[[0.0]])
    seen = infer(LinearQuadraticModel(problem), 0.0).sample(20, seed=0)
    found = identify_dynamics(problem, seen)
    torch.testing.assert_close(torch.cat((found.A, found.B), 1), problem.F[0], atol=1e-9, rtol=0)
    assert float(found.W) < 1e-20


def test_what_does_not_fit_is_refused():
    problem = scalar()
    seen = infer(LinearQuadraticModel(problem), 0.0).sample(1, seed=0)
    few = ContinuousTrajectories(seen.states[:, :3], seen.actions[:, :2])
    with pytest.raises(InvalidArgument, match="must have more steps than the 3"):
        identify_dynamics(problem, few)
    with pytest.raises(InvalidArgument, match="`trajectories`"):
        identify_dynamics(problem, ContinuousTrajectories(seen.states[0], seen.actions[0]))
