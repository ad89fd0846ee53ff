"""The windy pendulum: its functions, and its card against a quadrature that shares no code and against samples."""

import math
from typing import Any

import pyro.distributions as dist
import pytest
import torch
from problems import sized
from pyro.optim import ClippedAdam

from pgm_control.errors import InvalidArgument
from pgm_control.guides.continuous_neural import ClampedNeuralGuide, FreeNeuralGuide
from pgm_control.inference.sampling.estimate import estimate
from pgm_control.inference.sampling.iwae import iwae_bound
from pgm_control.inference.variational.fitting.fit import fit
from pgm_control.inference.variational.one_pass_elbo import OnePassELBO
from pgm_control.models.continuous import ContinuousModel
from pgm_control.models.continuous_zoo import ContinuousEntry, continuous_zoo
from pgm_control.models.gusty_ledge import gusty_ledge
from pgm_control.models.windy_pendulum import windy_pendulum
from pgm_control.testing import check_model

from ..windy_pendulum import solve

FREE, TILTED, CLAMPED = (-5.760, -0.570, -18.832), (-10.282, -0.985, -10.671), (-22.091, -4.610, -4.610)


def model(horizon=None):
    return continuous_zoo()["windy_pendulum"].model(horizon)


@pytest.fixture(scope="module")
def free():
    return solve(1.0)


@pytest.fixture(scope="module")
def clamped():
    return solve(0.0)


def test_its_functions_are_those_of_the_card():
    problem: Any = windy_pendulum(horizon=3, wind=0.09)
    state, action = torch.tensor([[0.5, -1.0], [4.0, 2.0]]).double(), torch.tensor([[3.0], [-6.0]]).double()
    step = problem.dynamics(0, state, action)
    moving = [-1.0 + math.sin(0.5), 2.0 + math.sin(4.0)]
    mean = [[0.5 + 0.1 * moving[0], moving[0] + 0.3], [4.0 + 0.1 * moving[1], moving[1] - 0.6]]
    assert torch.allclose(step.mean, torch.tensor(mean).double())
    assert torch.allclose(step.stddev, torch.tensor([0.05, 0.3]).double())
    reward = [-2 * (1 - math.cos(0.5)) - 0.02, -2 * (1 - math.cos(4.0)) - 0.08]
    assert torch.allclose(problem.reward(0, step.mean, action, state), torch.tensor(reward).double())
    assert problem.final_reward is None
    assert torch.equal(problem.start.sample(), torch.zeros(2).double())


def test_the_entry_makes_a_model_with_a_bounded_torque():
    made = model(horizon=3)
    assert isinstance(made, ContinuousModel)
    assert (made.horizon, made.temperature, made.problem.num_action_coordinates) == (3, 0.5, 1)
    prior = made.action_prior(0, torch.zeros(5, 2).double())
    assert prior.batch_shape == (5,)
    draws = prior.sample(torch.Size((1000,)))
    assert -6.0 <= float(draws.min()) < -5.5
    assert 5.5 < float(draws.max()) <= 6.0
    assert check_model(made, seed=0).sites[:3] == ("state_0", "action_0", "state_1")


def test_an_entry_takes_a_variance_or_a_distribution():
    normal: Any = ContinuousEntry("mine", windy_pendulum, "words", action_prior=4.0).model(horizon=2)
    assert torch.equal(normal.action_prior(0, torch.zeros(2).double()).base_dist.scale, torch.tensor([2.0]).double())
    plane = ContinuousEntry("mine", gusty_ledge, "words", action_prior=dist.Normal(torch.zeros(2), 1.0).to_event(1))
    with pytest.raises(InvalidArgument, match="`action_prior`"):
        plane.model(horizon=2)
    with pytest.raises(InvalidArgument, match="`action_prior`"):
        ContinuousEntry("mine", windy_pendulum, "words", action_prior=-1.0)
    with pytest.raises(InvalidArgument, match="`wind`"):
        windy_pendulum(wind=0.0)


def test_the_free_posterior_hopes_for_the_wind(free, clamped):
    assert free[:3] == pytest.approx(FREE, abs=0.003)
    assert clamped[:3] == pytest.approx(CLAMPED, abs=0.003)
    assert free.imagined > clamped.true > free.true


def test_the_free_posterior_pushes_with_half_of_the_torque(free, clamped):
    assert (free.torque, clamped.torque) == pytest.approx((-2.53, -5.45), abs=0.01)


@pytest.mark.slow
def test_a_finer_and_wider_mesh_has_the_digits_of_the_card():
    """The reduced form has those of β = .3 alone; the coarser mesh has two digits less of the others."""
    for optimism, known in sized(((0.3, TILTED), (1.0, FREE), (0.0, CLAMPED)), ((0.3, TILTED),)):
        assert solve(optimism, angles=144, speeds=161, torques=12, fastest=12.0)[:3] == pytest.approx(known, abs=6e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("wind", "free", "clamped"), [(0.04, -7.493, -1.216), (0.36, -25.93, -12.29)])
def test_with_less_wind_there_is_less_to_hope_for(wind, free, clamped):
    for optimism, known in ((1.0, free), (0.0, clamped)):
        assert solve(optimism, wind=wind, speeds=121, torques=12, fastest=12.0).true == pytest.approx(known, abs=0.005)


def fitted(guide_class) -> tuple[Any, Any, Any]:
    """A network after a fit, with an estimate; 20 steps as in the card, or 5 in the reduced form."""
    of = model(sized(20, 5))
    guide = guide_class(of, seed=0)
    steps, rate = sized((1000, 0.01), (300, 0.02))
    optim = ClippedAdam({"lr": rate, "lrd": 0.01 ** (1 / steps), "betas": (0.9, 0.99)})
    fit(of, guide, OnePassELBO(64), optim, num_steps=steps, tolerance=0.0, seed=0)
    return of, guide, estimate(of, guide, 10_000, seed=1)


@pytest.mark.slow
def test_a_free_network_has_the_log_evidence_of_the_mesh():
    """In the reduced form the untrained network is .22 nats below the log-evidence, and the fit comes within .03."""
    of, guide, found = fitted(FreeNeuralGuide)
    known = solve(1.0, horizon=of.horizon)
    assert known.objective - sized(0.4, 0.03) <= found.elbo.mean <= known.objective + 4 * found.elbo.standard_error
    if of.horizon == 20:
        assert found.true_return.mean < CLAMPED[2] - 10.0
    bound = iwae_bound(of, guide, 200, 50, seed=2)
    assert bound.mean == pytest.approx(known.objective, abs=0.01 + 4 * bound.standard_error)


@pytest.mark.slow
def test_a_clamped_network_earns_nearly_what_the_mesh_says():
    """In the reduced form the untrained network is .08 nats below the optimum, and the fit comes within .03."""
    of, _, found = fitted(ClampedNeuralGuide)
    known = solve(0.0, horizon=of.horizon)
    assert known.objective - sized(4.0, 0.03) <= found.elbo.mean <= known.objective + 4 * found.elbo.standard_error
    assert found.true_return.mean == pytest.approx(known.true, abs=sized(0.6, 0.02))
