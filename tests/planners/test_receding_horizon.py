"""Guides that are solved or fitted anew at each step, for the model that is left."""

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from linear_quadratics import double_integrator, scalar

from pgm_control import (
    ClampedGuide,
    ContinuousModel,
    GaussianPrior,
    InvalidArgument,
    LinearQuadraticModel,
    TabularModel,
    fit,
    infer,
    infer_planar,
    models,
    rollout,
    to_gymnasium,
)
from pgm_control.guides import ClampedGaussianGuide
from pgm_control.models.gusty_ledge import gusty_ledge
from pgm_control.models.planar import PlanarModel
from pgm_control.planners import RecedingHorizon
from pgm_control.planners.remaining import remaining


@pytest.mark.parametrize("beta", [1.0, 0.0, -0.5])
def test_the_exact_policy_of_what_is_left_is_that_of_the_whole(beta):
    """The gains of a finite horizon depend on the steps that are left, which a receding horizon knows."""
    prior = GaussianPrior([[-0.1, 0.2]], [0.3], [[4.0]])
    final = np.diag([2.0, 1.0])
    problem = double_integrator().replace(horizon=4, final_cost=(final, [0.1, 0.0], 0.5), initial_covariance=None)
    model = LinearQuadraticModel(problem, 0.8, prior)
    whole = infer(model, beta)
    planner = RecedingHorizon(model, lambda left, before: infer(left, beta), seed=0)
    for t, state in enumerate(torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)):
        expected = -whole.gain[t] @ state - whole.offset[t]
        assert torch.allclose(planner.act(state), expected, rtol=1e-9)
    with pytest.raises(InvalidArgument, match="reset"):
        planner.act([0.0, 0.0])
    planner.reset()
    planner.act([0.0, 0.0])


def test_tables_that_depend_on_time():
    mdp = models.windy_bridge()
    T, S, A = 4, mdp.num_states, mdp.num_actions
    generator = torch.Generator().manual_seed(0)
    reward = torch.rand(T, *mdp.reward.shape[-3:], generator=generator, dtype=torch.float64)
    prior = torch.rand(T, S, A, generator=generator, dtype=torch.float64)
    model = TabularModel(
        mdp.replace(horizon=T, reward=reward, final_reward=torch.arange(S).double()),
        0.5,
        prior / prior.sum(-1, keepdim=True),
    )
    whole = infer(model, 0.0)
    for t in range(T):
        left = remaining(model, t, torch.tensor(1), T - t)
        assert torch.allclose(infer(left, 0.0).policy[0], whole.policy[t], rtol=1e-9)
    planner = RecedingHorizon(model, lambda left, before: infer(left, 0.0), seed=0)
    assert int(planner.act(1)) == int(whole.policy[0, 1].argmax())
    assert remaining(model, 0, torch.tensor(1), 2).mdp.final_reward is None


def test_a_fitted_guide_goes_on_from_the_last():
    model, seen = TabularModel(models.windy_bridge().replace(horizon=3)), []

    def refit(left, before):
        seen.append((left.mdp.horizon, before))
        guide = ClampedGuide(left)
        fit(left, guide, method="exact")
        return guide

    planner = RecedingHorizon(model, refit, seed=0)
    found = rollout(to_gymnasium(model.mdp), planner, 1, seed=0, deterministic=True)
    assert found.lengths[0] == model.mdp.horizon
    assert [steps for steps, _ in seen] == list(range(model.mdp.horizon, 0, -1))
    assert seen[0][1] is None
    assert all(before is not None for _, before in seen[1:])


def test_models_over_vectors_and_in_the_plane():
    zero = torch.zeros(1, dtype=torch.float64)
    model = ContinuousModel(
        dist.Delta(zero).to_event(1), lambda t, s, a: dist.Normal(0.9 * s + 0.5 * a, 0.3**0.5).to_event(1),
        lambda t, s, a, ahead: (-0.5 * s**2 - 0.1 * a**2 - 0.1 * t * a).sum(-1), 3, 1.0,
        dist.Normal(zero, 2.0).to_event(1), lambda last: -(last**2).sum(-1),
    )  # fmt: skip

    def refit(left, before):
        guide = ClampedGaussianGuide(left)
        fit(left, guide, method="natural_gradient", num_steps=60, seed=0)
        return guide

    A, linear = scalar().replace(horizon=3), np.zeros((3, 2))
    linear[:, 1] = 0.1 * np.arange(3)
    exact = infer(LinearQuadraticModel(A.replace(c=linear, final_cost=2.0), 1.0, 4.0), 0.0)
    planner = RecedingHorizon(model, refit, seed=0)
    for t in range(2):
        expected = -exact.gain[t] @ torch.ones(1, dtype=torch.float64) - exact.offset[t]
        assert torch.allclose(planner.act([1.0]), expected, atol=1e-3)
    ledge = PlanarModel(gusty_ledge(horizon=3), 0.5, 0.64)
    whole = infer_planar(ledge, 0.0)
    left = remaining(ledge, 1, torch.tensor([7.0, 1.0]), 2)
    assert left.problem.horizon == 2
    law = RecedingHorizon(ledge, lambda left, before: infer_planar(left, 0.0), seed=0)
    assert law.act([7.0, 1.0], deterministic=False).shape == (2,)
    assert whole.objective != 0


def test_what_does_not_fit_is_named():
    model = LinearQuadraticModel(scalar())
    with pytest.raises(InvalidArgument, match="guide"):
        RecedingHorizon(model, ClampedGuide)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidArgument, match="guide"):
        RecedingHorizon(model, lambda left, before: None).act([1.0])
    with pytest.raises(InvalidArgument, match="state"):
        RecedingHorizon(model, lambda left, before: infer(left, 0.0)).act([[1.0], [2.0]])
