"""Policies as networks: their densities, their masks, and the several modes that only a flow can have."""

import math

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from torch import nn

from pgm_control import InvalidArgument
from pgm_control.environments.action_prior import ActionPrior
from pgm_control.environments.spaces import Actions, Observations
from pgm_control.learners import SAC
from pgm_control.networks.flow import FlowPolicy, SquashedFlow
from pgm_control.networks.policies import BoxPolicy, DiscretePolicy, policy_of
from pgm_control.networks.squashed_gaussian import SquashedGaussian

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
SEEN = Observations(Box(-1.0, 1.0, (2,)))
BOX, CHOICES = Actions(Box(-1.0, 1.0, (2,), np.float64)), Actions(Discrete(3))


def flow(size, seed=0, features=2, wild=1.5):
    """A flow far from its initialisation: every parameter is larger by a factor, so that the splines are curved."""
    torch.manual_seed(seed)
    policy = FlowPolicy(features, size, (16, 16)).double()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(wild)
    return policy


def grid(size, number):
    """The midpoint rule in u = artanh a, which reaches the edges of the box: the actions, and da for each."""
    u = torch.linspace(-9.0, 9.0, number, dtype=torch.float64)
    points = torch.cartesian_prod(*[u] * size).reshape(-1, size)
    weight = (1 - points.tanh().square()).log().sum(-1) + size * math.log(float(u[1] - u[0]))
    return points.tanh(), weight.exp()


@pytest.mark.parametrize(("size", "number"), [(1, 4000), (2, 300)])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_flow_is_a_density(size, number, seed):
    """It integrates to 1 over the box for every observation; the inverse of Pyro's spline is accurate to about 1e-3."""
    policy = flow(size, seed)
    for features in torch.tensor([[0.0, 0.0], [1.5, -2.0]], dtype=torch.float64):
        actions, weight = grid(size, number)
        with torch.no_grad():
            log_prob = policy(features[None]).log_prob(actions[:, None])[:, 0]
        assert float((log_prob.exp() * weight).sum()) == pytest.approx(1, abs=5e-3)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_samples_come_with_their_density(size):
    distribution = flow(size)(torch.randn(64, 2, dtype=torch.float64))
    with torch.no_grad():
        actions, log_prob = distribution.rsample_with_log_prob((5,))
        again = distribution.log_prob(actions)
    assert actions.shape == (5, 64, size)
    assert log_prob.shape == (5, 64)
    close = (log_prob - again).abs() < 1e-3 * (1 + log_prob.abs())
    assert close.double().mean() > 0.99  # the rest: near a knot Pyro's spline and its inverse use different pieces


@pytest.mark.parametrize("size", [1, 2])
def test_the_density_of_a_sample_is_that_of_its_noise_over_the_jacobian(size):
    """The determinant comes from autograd, which shares no code with the formulas."""
    policy, features = flow(size), torch.randn(1, 2, dtype=torch.float64)
    for seed in range(5):
        z = torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        action, log_prob = policy(features)._push(z[None])
        jacobian = torch.autograd.functional.jacobian(lambda x: policy(features)._push(x[None])[0][0], z)
        noise = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum()
        assert float(log_prob.detach()) == pytest.approx(
            float(noise - torch.linalg.slogdet(jacobian).logabsdet), abs=1e-5
        )
        assert action.abs().max() < 1


def test_every_coordinate_depends_on_the_observation_and_the_coordinates_before_it():
    policy, features = flow(2), torch.tensor([[0.0, 0.0], [3.0, -3.0]], dtype=torch.float64)
    z = torch.zeros(2, 2, dtype=torch.float64)
    moved = [policy.spline.condition(features)(each) for each in (z, z + torch.tensor([1.0, 0.0]), z + 1.0)]
    assert (moved[0][0] != moved[0][1]).all()
    depends = [bool((moved[1][0, i] != moved[0][0, i]).all()) for i in (0, 1)]
    both = [bool(torch.isclose(moved[2][0, i], moved[1][0, i]).all()) for i in (0, 1)]
    assert True in depends
    assert both.count(True) <= 1
    for parameter in policy.network.parameters():  # the remaining parameters are those of the spline
        parameter.data.zero_()
    assert (policy(features).median[0] != policy(features).median[1]).all()


@pytest.mark.parametrize("size", [1, 2])
def test_deterministic_actions_are_the_same_every_time_and_likely(size):
    policy, features = flow(size), torch.randn(7, 2, dtype=torch.float64)
    first, again = policy.act(features, True), policy.act(features, True)
    assert torch.equal(first, again)
    assert not first.requires_grad
    one_by_one = torch.cat([policy.act(each[None], True) for each in features])
    assert torch.allclose(first, one_by_one)
    with torch.no_grad():
        distribution = policy(features)
        drawn = distribution.log_prob(distribution.sample((200,)))
        assert (distribution.log_prob(first) > drawn.median(0).values).all()
        if size == 1:
            below = (distribution.sample((4000,)) < distribution.median).double().mean(0)
            assert (below - 0.5).abs().max() < 5 * 0.5 / 4000**0.5


def test_shapes_of_distributions():
    policy = flow(2)
    distribution = policy(torch.randn(4, 2, dtype=torch.float64))
    assert isinstance(distribution, SquashedFlow)
    assert distribution.batch_shape == (4,)
    assert distribution.event_shape == (2,)
    wider = distribution.expand((3, 4))
    assert wider.sample((5,)).shape == (5, 3, 4, 2)
    assert wider.log_prob(torch.zeros(2, dtype=torch.float64)).shape == (3, 4)
    assert not distribution.sample().requires_grad
    assert distribution.rsample().requires_grad
    edge = distribution.log_prob(torch.ones(4, 2, dtype=torch.float64))
    assert torch.isfinite(edge).all()


def test_gradients_reach_every_parameter():
    policy = flow(2).float()
    action, log_prob = policy(torch.randn(64, 2)).rsample_with_log_prob()
    (action.sum() + log_prob.mean()).backward()
    assert all(parameter.grad is not None and bool(parameter.grad.abs().sum() > 0) for parameter in policy.parameters())


class Valleys(gymnasium.Env):
    """A problem of one step with an action in [−1, 1]. Two actions are equally good, those between them are bad."""

    observation_space, action_space = Box(0.0, 1.0, (1,)), Box(-1.0, 1.0, (1,))
    good = 0.6

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action):
        reward = -4 * min(abs(float(action[0]) - self.good), abs(float(action[0]) + self.good))
        return np.ones(1, np.float32), reward, True, False, {}


def valleys_lost(action, log_prob):
    """The gap of a policy of `Valleys` to the best objective at τ = .5, in nats: KL(π ‖ π*), from samples or nodes."""
    x = torch.linspace(-1, 1, 20001)
    v = math.log(2) + float(torch.logsumexp(-8 * (x.abs() - Valleys.good).abs(), 0)) - math.log(len(x))
    return log_prob + 8 * (action.abs() - Valleys.good).abs() + v


def test_a_flow_covers_two_good_actions_and_no_gaussian_can():
    """The optimum is a Laplace density around each action, with .466 of the mass within .3 of each."""
    learner = SAC(
        Valleys, policy="flow", temperature=0.5, learning_rate=1e-2, hidden=(32, 32), seed=0,
        batch_size=64, num_envs=16, learning_starts=3000,
    )  # fmt: skip
    learner.learn(3000 + 16 * 250)
    torch.manual_seed(1)
    with torch.no_grad():
        action, log_prob = learner.actor(torch.ones(4000, 1)).rsample_with_log_prob()
    near = [float(((action[:, 0] - side * Valleys.good).abs() < 0.3).double().mean()) for side in (-1, 1)]
    lost = float(valleys_lost(action[:, 0], log_prob).mean())
    best = float(learner.predict(np.ones(1, np.float32), deterministic=True)[0][0])
    assert abs(abs(best) - Valleys.good) < 0.25  # a mode, and not the median between the two

    mean, scale = torch.meshgrid(torch.linspace(0, 1.5, 61), torch.logspace(-2, 1, 121), indexing="ij")
    gaussian = SquashedGaussian(mean[..., None], scale.log()[..., None])
    z = torch.linspace(-6, 6, 401)
    u = mean[..., None] + scale[..., None] * z
    density = (torch.softmax(-0.5 * z.square(), 0) * valleys_lost(u.tanh(), 0.0)).sum(-1) - gaussian.entropy()
    assert min(near) > 0.25
    assert lost < 0.6 * float(density.min())


def test_discrete_policies_never_take_masked_actions():
    prior = ActionPrior([0.75, 0.25, 0.0], CHOICES, SEEN, CPU)
    policy = DiscretePolicy(2, 3, (8,), prior)
    log_policy = policy(torch.randn(50, 2))
    assert torch.allclose(log_policy.exp().sum(-1), torch.ones(50))
    assert (log_policy[:, 2] == -torch.inf).all()
    assert not (policy.act(torch.randn(500, 2), False) == 2).any()
    table = DiscretePolicy(2, 3, (), prior)  # the table starts at zero, so the policy is the prior
    assert torch.allclose(table(torch.eye(2)).exp(), torch.tensor([0.75, 0.25, 0.0]))


def test_the_default_in_a_box_is_a_squashed_gaussian():
    policy = policy_of("gaussian", 3, BOX, (8,), ActionPrior(None, BOX, SEEN, CPU))
    assert isinstance(policy, BoxPolicy)
    found = policy(torch.randn(4, 3))
    assert isinstance(found, SquashedGaussian)
    features = torch.randn(4, 3)
    assert torch.equal(policy.act(features, True), policy(features).median)


class Anybody(nn.Module):
    """A custom policy: uniform in a box, without learning."""

    def __init__(self, features, size):
        super().__init__()
        self.layer = nn.Linear(features, 2 * size)

    def forward(self, features):
        mean, log_scale = self.layer(features).chunk(2, -1)
        return SquashedGaussian(mean, log_scale)

    def act(self, features, deterministic):
        policy = self(features)
        return policy.median if deterministic else policy.sample()


def test_a_custom_policy():
    learner = SAC(Valleys, policy=lambda features, actions, _: Anybody(features, actions.size), seed=0, batch_size=8)
    own = learner.actor
    assert isinstance(own, Anybody)
    before = own.layer.weight.detach().clone()
    learner.learn(120)
    assert isinstance(learner.actor, Anybody)
    assert not torch.equal(before, learner.actor.layer.weight)


def test_invalid_policies_are_refused():
    box, choices = ActionPrior(None, BOX, SEEN, CPU), ActionPrior(None, CHOICES, SEEN, CPU)
    with pytest.raises(
        InvalidArgument, match=r'"gaussian", for a box "flow", .*but is \'flow\' for Discrete.*Leave it'
    ):
        policy_of("flow", 2, CHOICES, (8,), choices)
    with pytest.raises(InvalidArgument, match=r"a method act.*but made a Linear\. Write the class like BoxPolicy"):
        policy_of(lambda *_: nn.Linear(2, 2), 2, BOX, (8,), box)
    with pytest.raises(InvalidArgument, match=r"`hidden` must have at least one layer.*Take \(64, 64\)"):
        policy_of("flow", 2, BOX, (), box)
    with pytest.raises(InvalidArgument, match=r"layers of at least 2 units"):
        policy_of("flow", 2, BOX, (16, 1), box)
