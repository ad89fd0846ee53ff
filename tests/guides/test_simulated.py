"""Policies of one's own for `SimulatedGuide`: their ELBO and its gradient are the exact ones."""

import math
from typing import Any

import gymnasium
import numpy as np
import pyro.distributions as dist
import pytest
import torch
from gymnasium import spaces
from pyro.infer import SVI
from pyro.optim import PyroOptim

from pgm_control import InvalidArgument, InvalidGuide, SimulatedGuide, SimulatorModel, ToGoELBO, fit
from pgm_control.guides.simulated import WithoutPath
from pgm_control.networks.squashed_gaussian import SquashedGaussian

pytestmark = pytest.mark.wrong_types
TAU, EPISODES = 0.7, 500


class Valley(gymnasium.Env):
    """One step; the reward is −(x² + 2y²) of the action (x, y) in [−1, 1]²."""

    observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None) -> Any:
        super().reset(seed=seed)
        return np.ones(3, np.float32), {}

    def step(self, action) -> Any:
        return np.ones(3, np.float32), -float(action[0] ** 2 + 2 * action[1] ** 2), True, False, {}


class Policy(torch.nn.Module):
    """A distribution with two parameters for each coordinate, the same for every observation."""

    def __init__(self, make, start):
        super().__init__()
        self.make = make
        self.raw = torch.nn.Parameter(torch.tensor(start))

    def forward(self, observation):
        return self.make(*self.raw.expand(len(observation), 2, 2).unbind(1))


def normal(loc, log_scale):
    return dist.Normal(loc, log_scale.exp()).to_event(1)


def beta(a, b):
    on_the_box = [dist.transforms.AffineTransform(-1.0, 2.0)]
    return dist.TransformedDistribution(dist.Beta(a.exp(), b.exp()), on_the_box).to_event(1)


def squashed_by_transform(loc, log_scale):
    tanh = [dist.transforms.TanhTransform(cache_size=1)]
    return dist.TransformedDistribution(dist.Normal(loc, log_scale.exp()), tanh).to_event(1)


def squashed(loc, log_scale):
    return SquashedGaussian(loc, log_scale)


def mixture(loc, log_scale):
    """A mixture, whose components are not marked one by one."""
    both = torch.stack((loc, -loc), -2)
    parts = dist.Normal(both, log_scale[..., None, :].exp()).to_event(1)
    return dist.MixtureSameFamily(dist.Categorical(torch.ones(both.shape[:-1])), parts)


def exact_elbo(make, raw):
    """E[r/τ + log ρ − log π] by a grid over the box, differentiable in the parameters; ρ = 1/4."""
    points = (torch.arange(800) + 0.5) / 400 - 1
    x, y = torch.meshgrid(points, points, indexing="ij")
    actions = torch.stack((x, y), -1).reshape(-1, 2)
    policy = make(*raw.expand(len(actions), 2, 2).unbind(1))
    log_pi = policy.log_prob(actions)
    reward = -(actions[:, 0] ** 2 + 2 * actions[:, 1] ** 2)
    return (log_pi.exp() * (reward / TAU - math.log(4) - log_pi)).sum() / 400**2


CASES = {
    "Normal": (normal, [[0.1, -0.2], [-2.0, -2.3]]),
    "Beta": (beta, [[0.7, 0.9], [1.1, 0.8]]),
    "transformed": (squashed_by_transform, [[0.2, -0.3], [-0.7, -0.5]]),
    "squashed": (squashed, [[0.2, -0.3], [-0.7, -0.5]]),
    "mixture": (mixture, [[0.2, -0.3], [-2.0, -2.3]]),
}


@pytest.mark.statistical
@pytest.mark.parametrize("name", CASES)
def test_any_continuous_policy_has_the_exact_elbo_and_gradient(name):
    """Within five standard errors over 40 batches."""
    make, start = CASES[name]
    model = SimulatorModel(Valley, temperature=TAU, num_envs=EPISODES, seed=0, horizon=1)
    policy = Policy(make, start)
    guide = SimulatedGuide(model, policy)
    raw = torch.tensor(start, requires_grad=True)
    exact = exact_elbo(make, raw)
    (gradient,) = torch.autograd.grad(exact, raw)
    torch.manual_seed(0)
    values, gradients = [], []
    for _ in range(40):
        guide.zero_grad()
        values.append(-ToGoELBO().loss_and_grads(model, guide))
        gradients.append(-torch.as_tensor(policy.raw.grad).clone())
    values, gradients = torch.tensor(values), torch.stack(gradients)
    assert abs(values.mean() - exact.detach()) < 5 * values.std() / 40**0.5 + 1e-3
    assert ((gradients.mean(0) - gradient).abs() < 5 * gradients.std(0) / 40**0.5 + 1e-3).all()


def test_a_policy_of_ones_own_is_fitted():
    model = SimulatorModel(Valley, temperature=TAU, num_envs=100, seed=0, horizon=1)
    policy = Policy(beta, [[0.0, 0.0], [0.7, -0.7]])
    guide = SimulatedGuide(model, policy)
    start = exact_elbo(beta, policy.raw.detach())
    fit(model, guide, ToGoELBO(), PyroOptim(torch.optim.Adam, {"lr": 0.05}), num_steps=100, seed=0)
    assert exact_elbo(beta, policy.raw.detach()) > start + 0.3


def test_samples_without_a_path_stay_so_when_expanded():
    scale = torch.ones(1, 2, requires_grad=True)
    base = dist.Normal(scale, scale).to_event(1)
    policy: Any = WithoutPath(base).expand(torch.Size([4]))
    assert (policy.batch_shape, policy.event_shape, policy.has_rsample) == ((4,), (2,), False)
    drawn = policy()
    assert drawn.shape == (4, 2)
    assert not drawn.requires_grad
    assert torch.equal(policy.log_prob(drawn), base.expand(torch.Size([4])).log_prob(drawn))
    assert policy.log_prob(drawn).requires_grad


def test_actions_outside_of_the_box_are_named():
    model = SimulatorModel(Valley, temperature=TAU, num_envs=50, seed=0, horizon=1)
    guide = SimulatedGuide(model, Policy(normal, [[0.0, 0.0], [1.0, 1.0]]))
    with pytest.raises(InvalidGuide, match=r"`action_0` must be in \[−1, 1\]\^2, .* has a coordinate of .*Squash it"):
        SVI(model, guide, PyroOptim(torch.optim.SGD, {"lr": 0.1}), ToGoELBO()).step()


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (lambda observation: None, "`policy` must be a torch.nn.Module, whose parameters are fitted, but is <function"),
        (torch.nn.Bilinear(3, 3, 2), "called with the observations, but Python says: missing a required argument"),
        (torch.nn.Linear, "`policy` must be a torch.nn.Module, whose parameters are fitted, but is the class Linear"),
    ],
)
def test_what_is_no_policy_is_refused(policy, message):
    with pytest.raises(InvalidArgument, match=message):
        SimulatedGuide(SimulatorModel(Valley, num_envs=1, horizon=1), policy)


def test_a_seed_gives_the_weights_and_leaves_the_global_generator_alone():
    model, state = SimulatorModel(Valley, num_envs=1, horizon=1), torch.get_rng_state()
    one, two, three = (next(SimulatedGuide(model, seed=seed).parameters()) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, two)
    assert not torch.equal(one, three)
