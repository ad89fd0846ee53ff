"""iLQG, and the averages over points that local approximations are made of."""

import math

import pyro.distributions as dist
import pytest
import torch
from ledge import ledge

from pgm_control import InvalidArgument, InvalidProblem, LinearQuadratic, LinearQuadraticModel, infer
from pgm_control.guides import ClampedGaussianGuide
from pgm_control.inference.local.expectations import Points
from pgm_control.inference.local.ilqg import ILQGStatus, ilqg
from pgm_control.inference.variational.gaussian_natural_gradient import GaussianNaturalGradient
from pgm_control.models.continuous import ContinuousModel
from pgm_control.models.gusty_ledge import gusty_ledge
from pgm_control.models.planar import PlanarModel

PROBLEM = LinearQuadratic.from_cost(0.9, 0.5, 1.0, 0.2, 0.3, horizon=6, initial_mean=1.0, initial_covariance=0.5)
EXACT = LinearQuadraticModel(PROBLEM, 1.0, 1.0)


def normal(mean, variance):
    return dist.Normal(mean, torch.tensor(variance, dtype=torch.float64).sqrt()).to_event(1)


def vectors(dynamics=lambda t, s, a: normal(0.9 * s + 0.5 * a, 0.3)):
    one = torch.ones(1, dtype=torch.float64)
    return ContinuousModel(
        normal(one, 0.5),
        dynamics,
        lambda t, s, a, ahead: -0.5 * (s**2 + 0.2 * a**2).sum(-1),
        6,
        action_prior=normal(0.0 * one, 1.0),
    )


@pytest.mark.parametrize("beta", [0.0, 1.0, 0.5, -0.2])
def test_ilqg_solves_a_linear_quadratic_problem(beta):
    found = ilqg(vectors(), beta)
    assert found.status is ILQGStatus.converged
    assert found.num_steps <= 4
    due = infer(EXACT, beta).blocks()
    for name in ("gain", "offset", "policy_covariance", "transition", "noise", "initial_mean", "initial_covariance"):
        torch.testing.assert_close(getattr(found.guide, name), getattr(due, name), atol=1e-7, rtol=1e-7)


def test_ilqg_reaches_a_stationary_path_of_curved_dynamics():
    def dynamics(t, state, action):
        return normal(state + 0.3 * (2.0 * state).sin() + 0.5 * action, 0.1)

    found = ilqg(vectors(dynamics), tolerance=1e-12)
    assert found.status is ILQGStatus.converged
    assert bool((found.history.diff() >= -1e-9).all())
    actions = found.guide.marginals().action_mean.detach().requires_grad_()
    state, total = torch.ones(1, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for t in range(6):
        total = total - 0.5 * (state**2 + 0.2 * actions[t] ** 2 + actions[t] ** 2).sum()
        state = state + 0.3 * (2.0 * state).sin() + 0.5 * actions[t]
    total.backward()
    assert total.item() == pytest.approx(found.objective, abs=1e-11)
    assert float(actions.grad.abs().max()) <= 1e-6


def test_ilqg_does_not_see_a_pit_beside_its_path():
    model = ledge()
    found = ilqg(model)
    assert found.status is ILQGStatus.converged
    height = found.guide.marginals().state_mean[8, 1]
    assert float(height) == pytest.approx(0.541, abs=0.01)  # the exact policy passes at 1.08
    guide = ClampedGaussianGuide(model)
    guide.assign(found.guide)
    reached = GaussianNaturalGradient(model, guide, 1.0).remeasured()
    assert -91.5 <= reached <= -88.5  # the best Gaussian guide has −22.4 nats


def test_the_plane_is_a_model_over_vectors():
    one, other = ilqg(PlanarModel(gusty_ledge(), 0.5, 0.64), 1.0, num_steps=5), ilqg(ledge(), 1.0, num_steps=5)
    assert one.objective == pytest.approx(other.objective, abs=1e-4)
    assert one.status is ILQGStatus.out_of_steps
    assert "out" not in repr(one)


def test_a_model_in_single_precision_has_the_same_path():
    def model(dtype):
        one = torch.ones(1, dtype=dtype)

        def wide(mean, deviation):
            return dist.Normal(mean, deviation).to_event(1)

        return ContinuousModel(
            wide(one, 0.5),
            lambda t, s, a: wide(s + 0.3 * (2.0 * s).sin() + 0.5 * a @ one[:, None], 0.3),
            lambda t, s, a, ahead: -0.5 * (s**2 + 0.2 * a**2).sum(-1),
            6,
            action_prior=wide(0.0 * one, 1.0),
        )

    single, double = ilqg(model(torch.float32), tolerance=1e-4), ilqg(model(torch.float64))
    assert single.objective == pytest.approx(double.objective, abs=1e-4)
    assert single.guide.gain.dtype == torch.float64
    torch.testing.assert_close(single.guide.gain, double.guide.gain, atol=1e-2, rtol=1e-2)


def test_bounds_are_refused():
    model, bounded = vectors(), dist.Uniform(-torch.ones(1).double(), 1.0).to_event(1)
    problem = model.problem
    model = ContinuousModel(problem.start, problem.dynamics, problem.reward, 6, 1.0, bounded)
    with pytest.raises(InvalidProblem, match=r"`action_prior` must be a distribution without bounds.*ClampedNeural"):
        ilqg(model)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InvalidArgument, match="`model` must be over vectors, such as ContinuousModel or PlanarModel"):
        ilqg(EXACT)
    with pytest.raises(InvalidArgument, match="`tolerance` must be a number of nats"):
        ilqg(vectors(), tolerance=-1.0)
    with pytest.raises(InvalidArgument, match="`step_size`"):
        ilqg(vectors(), step_size=0.0)


# Averages over points


def covariance(size, seed):
    root = torch.randn(size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return root @ root.mT


def test_quadratic_functions_are_averaged_exactly():
    H, g = covariance(3, 0) - torch.eye(3), torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    mean, spread = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64), covariance(3, 1)
    for points in (Points.quasi_random(32, 3, 0), Points(None)):
        found = points.quadratic(lambda y: 0.5 * ((y @ H) * y).sum(-1) + y @ g, mean, spread)
        torch.testing.assert_close(found.hessian, H, atol=1e-9, rtol=1e-9)
        torch.testing.assert_close(found.gradient, H @ mean + g, atol=1e-9, rtol=1e-9)
        due = 0.5 * mean @ H @ mean + mean @ g + (0.0 if points.normals is None else 0.5 * (H * spread).sum())
        assert float(found.value) == pytest.approx(float(due), abs=1e-9)


def test_averages_of_an_exponential_are_known():
    """E exp(c'y) and its expected gradient and curvature have closed forms."""
    c, mean, spread = torch.tensor([0.5, -0.3], dtype=torch.float64), torch.zeros(2).double(), covariance(2, 3)
    due = math.exp(0.5 * float(c @ spread @ c))
    found = Points.quasi_random(4096, 2, 0).quadratic(lambda y: (y @ c).exp(), mean, spread)
    assert float(found.value) == pytest.approx(due, rel=1e-2)
    torch.testing.assert_close(found.gradient, due * c, atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(found.hessian, due * torch.outer(c, c), atol=2e-2, rtol=2e-2)


def test_the_curvature_is_the_gradient_of_the_average_itself():
    """½ H is the derivative of the average over the points in the covariance, at few points too."""

    def step(y):
        return 50.0 * torch.sigmoid(-(y[:, 0] + 0.3) / 0.1) * torch.sigmoid(y[:, 1] / 0.1)

    points, mean, spread = Points.quasi_random(40, 3, 0), torch.tensor([0.2, 0.1, 0.5]).double(), covariance(3, 5)
    found = points.quadratic(step, mean, spread)
    direction = covariance(3, 6)
    h = 1e-6
    plus = points.quadratic(step, mean, spread + h * direction).value
    minus = points.quadratic(step, mean, spread - h * direction).value
    slope = float(plus - minus) / (2 * h)
    assert 0.5 * float((found.hessian * direction).sum()) == pytest.approx(slope, rel=1e-5)


def test_points_have_moments_of_a_normal_and_are_repeatable():
    before = torch.random.get_rng_state()
    points = Points.quasi_random(256, 6, 1)
    assert torch.equal(torch.random.get_rng_state(), before)
    normals = points.normals
    assert float(normals.mean(0).abs().max()) <= 1e-12
    torch.testing.assert_close(normals.mT @ normals / len(normals), torch.eye(6).double(), atol=1e-12, rtol=0.0)
    assert torch.equal(normals, Points.quasi_random(256, 6, 1).normals)
    assert not torch.equal(normals, Points.quasi_random(256, 6, 2).normals)


def test_a_coordinate_without_variance_stays_where_it_is():
    spread = torch.tensor([[1.0, 0.0, 0.5], [0.0, 0.0, 0.0], [0.5, 0.0, 1.0]], dtype=torch.float64)
    mean = torch.tensor([0.0, 3.0, 0.0], dtype=torch.float64)
    points = Points.quasi_random(64, 3, 0)
    assert bool((points.at(mean, spread)[:, 1] == 3.0).all())
    found = points.quadratic(lambda y: (y[:, 0] * y[:, 2]) + y[:, 1] ** 2, mean, spread)
    due = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(found.hessian, due, atol=1e-9, rtol=0.0)
