"""The plane and the line as data: what they store, and what they refuse."""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

from pgm_control import InvalidArgument, InvalidProblem, Line, LineModel, Planar, PlanarModel, continuous_zoo
from pgm_control.models import gusty_ledge, hurry
from pgm_control.testing import check_model


def bowl(s):
    return -(s**2).sum(-1)


def test_variances_are_stored_as_matrices():
    problem = Planar(bowl, 3, (0.1, 0.2), np.array([1.0, 2.0]), [[0.5, 0.1], [0.1, 0.5]])
    assert torch.equal(problem.noise_covariance, torch.diag(torch.tensor([0.1, 0.2], dtype=torch.float64)))
    assert not problem.has_known_start
    assert Planar(bowl, 3, 0.1).has_known_start


def test_the_return_counts_each_state_that_is_reached():
    states = torch.arange(8.0, dtype=torch.float64).reshape(4, 2)
    timed = Planar(lambda t, s: t * s[..., 0], 3, 0.1, final_reward=lambda s: 100 * s[..., 1])
    assert float(timed.returns(states)) == 1 * 2 + 2 * 4 + 3 * 6 + 100 * 7
    line = Line(lambda t, s: t * s, 3, 0.1, final_reward=lambda s: 100 * s)
    assert float(line.returns(states[:, 0])) == 1 * 2 + 2 * 4 + 3 * 6 + 100 * 6


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("noise_covariance", -0.1),
        ("noise_covariance", [[1.0, 2.0], [2.0, 1.0]]),
        ("noise_covariance", [[1.0, 0.2], [0.1, 1.0]]),
        ("noise_covariance", 0.0),
        ("initial_mean", [1.0, float("nan")]),
        ("initial_covariance", [1.0, -1.0]),
        ("reward", lambda s: s),
        ("reward", lambda s: s.missing),
        ("final_reward", lambda s: float("nan")),
        ("horizon", 0),
    ],
)
def test_a_wrong_plane_is_named(name, value):
    with pytest.raises((InvalidProblem, InvalidArgument), match=f"`{name}`"):
        Planar(**{"reward": bowl, "horizon": 2, "noise_covariance": 0.1, name: value})


@pytest.mark.parametrize("noise", [-1.0, lambda s, a: dist.Normal(0.0, 1.0).expand([5]), lambda s: s])
def test_a_wrong_noise_is_named(noise):
    with pytest.raises(InvalidProblem, match="`noise`"):
        Line(torch.zeros_like, 2, noise)


def test_programs_have_one_factor_a_step_and_one_at_the_end():
    for model, count in (
        (PlanarModel(gusty_ledge(3)), 4),
        (LineModel(hurry(3)), 4),
        (PlanarModel(Planar(bowl, 2, 0.1)), 2),
    ):
        report = check_model(model)
        assert report.sites[:3] == ("state_0", "action_0", "state_1")
        trace = pyro.poutine.trace(model).get_trace()
        assert sum(name.startswith("optimality_") for name in trace.nodes) == count


def test_the_zoo_makes_models():
    for name, entry in continuous_zoo().items():
        model = entry.model(horizon=3)
        assert model.problem.horizon == 3
        assert model.temperature == entry.temperature
        assert name == entry.name


def test_the_sum_of_rewards_of_hurry_holds_the_start():
    assert float(hurry(2).returns(torch.tensor([0.0, 4.0, 4.0], dtype=torch.float64))) == pytest.approx(-1.6)
