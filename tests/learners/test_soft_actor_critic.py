"""Soft actor-critic agrees with the exact optimum of its tabular twin, quadrature and closed forms."""

import math

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.wrappers import TimeLimit
from learned import TABLE, compare, learn, soft_value
from problems import gamble, random_mdp

from pgm_control import InvalidArgument, Risk, TabularMDP, TabularModel, to_gymnasium
from pgm_control.environments.action_prior import ActionPrior
from pgm_control.environments.spaces import Actions, Observations
from pgm_control.learners import SAC
from pgm_control.learners.losses.soft_policy_loss import SoftPolicyLoss
from pgm_control.models import frozen_lake, lottery, restaurant, risky_path, slippery_cliff
from pgm_control.networks.mlp import Network
from pgm_control.networks.policies import BoxPolicy, DiscretePolicy

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
SEEN = Observations(Box(-1.0, 1.0, (2,)))


def twin(mdp, temperature=1.0, **options):
    """A learner of the problem whose networks are tables."""
    settings = {"learning_starts": 3000, "discount": mdp.discount, "seed": 0, "num_updates": 3, **TABLE, **options}
    return SAC(to_gymnasium(mdp, observe_time=True), temperature=temperature, **settings)


def in_nats(mdp, temperature):
    """The same problem at τ = 1."""
    return mdp.replace(reward=mdp.reward / temperature)


class Bandit(gymnasium.Env):
    """An environment with the reward `reward(action)` in each step; the last step terminates, or none does."""

    observation_space = Discrete(2)

    def __init__(self, action_space, reward, ends_after=1):
        self.action_space, self._reward, self._ends_after = action_space, reward, ends_after

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._time = 0
        return 0, {}

    def step(self, action):
        pay, self._time = self._reward(self._time, action), self._time + 1
        ends = self._ends_after is not None and self._time == self._ends_after
        return min(self._time, 1) if self._ends_after else 0, pay, ends, False, {}


class TestTwins:
    """On one-hot observations that contain the time, with tables as networks, SAC is a stochastic `infer`."""

    @pytest.mark.parametrize(
        ("mdp", "temperature", "apart"), [(in_nats(risky_path(horizon=3), 20.0), 1.0, 0.3), (restaurant(), 2.0, 0.1)]
    )
    def test_it_finds_the_clamped_optimum_and_not_the_free_one(self, mdp, temperature, apart):
        """It is within .01 nats of the best objective and .2 τ of its value; the free policy differs by `apart`."""
        learner, model = learn(twin(mdp, temperature), 4_300), TabularModel(mdp, temperature)
        clamped, free = compare(learner, model, 0.0), compare(learner, model, 1.0)
        assert clamped.divergence < 0.01
        assert abs(clamped.value) < 0.2 * temperature
        assert free.divergence > apart
        assert abs(free.value) > 0.4 * temperature

    @pytest.mark.parametrize(
        ("mdp", "optimism"),
        [
            (restaurant(), 0.5),
            (gamble(jackpot=5.0, probability=0.3), -1.5),
            (in_nats(risky_path(horizon=3), 20.0), 0.5),
        ],
        ids=["dinner", "gamble in fear", "path"],
    )
    def test_optimism_is_that_of_exact_inference(self, mdp, optimism):
        """The tolerances are as above. At β = 0 the policy differs: in the gamble the preference reverses."""
        learner, model = learn(twin(mdp, optimism=optimism), 4_300), TabularModel(mdp)
        found, plain = compare(learner, model, optimism), compare(learner, model, 0.0)
        assert found.divergence < 0.01
        assert abs(found.value) < 0.25
        assert plain.divergence > 0.1

    def test_a_prior_that_is_not_uniform_and_masks_an_action(self):
        mdp = random_mdp(3, states=2, actions=3, horizon=2, discount=0.9)
        prior = torch.tensor([0.8, 0.2, 0.0], dtype=torch.float64)
        model = TabularModel(mdp, 0.5, prior.expand(2, 3).clone())
        learner = twin(mdp, 0.5, action_prior=lambda features: prior.expand(len(features), -1))
        learn(learner, 4_300)
        found = compare(learner, model, 0.0)
        assert found.divergence < 0.01
        assert abs(found.value) < 0.06
        assert compare(learner, TabularModel(mdp, 0.5), 0.0).divergence > 0.1
        taken = learner._experience.batch().action
        assert not (taken == 2).any()
        assert set(taken.tolist()) == {0, 1}
        assert (learner.actor(torch.eye(6))[:, 2] == -torch.inf).all()
        assert (
            twin(mdp, 0.5, action_prior=prior.tolist()).actor(torch.eye(6)).exp().double() - prior
        ).abs().max() < 1e-6

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", [1])
    @pytest.mark.parametrize(
        ("mdp", "steps"),
        [
            (in_nats(frozen_lake("4x4", horizon=6), 0.1), 8_000),
            (in_nats(slippery_cliff(horizon=3), 10.0), 5_000),
        ],
        ids=["lake", "cliff"],
    )
    def test_larger_twins(self, mdp, steps, seed):
        """For five seeds and more steps see `benchmarks/twins_of_learners.py`."""
        learner, model = learn(twin(mdp, seed=seed, learning_starts=steps // 3), steps), TabularModel(mdp)
        clamped, free = compare(learner, model, 0.0), compare(learner, model, 1.0)
        assert clamped.divergence < 0.1
        assert abs(clamped.value) < 0.1
        assert free.divergence > 2 * clamped.divergence + 0.02


class TestTruncation:
    """A reward of 1 in every step, truncated after four: V = 1 / (1 − γ). With termination after each step, V = 1."""

    @pytest.mark.parametrize(
        ("actions", "ends_after", "value"),
        [(Discrete(2), None, 2.0), (Discrete(2), 1, 1.0), (Box(-1.0, 1.0, (1,)), None, 2.0)],
    )
    def test_truncation_bootstraps_and_termination_does_not(self, actions, ends_after, value):
        def make():
            return TimeLimit(Bandit(actions, lambda *_: 1.0, ends_after), 4)

        fixed = {} if isinstance(actions, Discrete) else {"policy": uniform_policy}
        learner = SAC(
            make, temperature=0.5, discount=0.5, seed=0, learning_starts=64, num_updates=3, **{**TABLE, **fixed}
        )
        learn(learner, 64 + 16 * 50, rate=0.1, last=0.02)
        features = torch.tensor([[1.0, 0.0]]).expand(64, 2)
        with torch.no_grad():
            found = learner._policy_loss.value(learner.critics, features, 0.5).mean()
        assert float(found) == pytest.approx(value, abs=0.1)


def uniform_policy(features, actions, hidden):
    """A Gaussian whose squashed distribution stays nearly uniform: σ = .95, 6e-3 nats off."""

    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.policy = BoxPolicy(features, actions.size, ())
            self.policy.network.biases[0][:, 1] = math.log(0.88)

        def forward(self, x):
            found = self.policy(x)
            return type(found)(found.loc.detach() * 0 + 0.0 * found.loc, found.log_scale * 0 + math.log(0.88))

        def act(self, x, deterministic):
            return self(x).sample()

    return Fixed()


class TestBox:
    """In a box densities and the uniform prior are with respect to [−1, 1]^d: the log-volume matters."""

    @pytest.mark.parametrize(("low", "high"), [(-2.0, 2.0), (0.0, 10.0)])
    def test_the_soft_value_is_that_of_quadrature(self, low, high):
        r"""V = τ log ∫ ρ exp(r/τ) over the box, and γ V one step earlier, within .1.

        The policy is a squashed Gaussian, which approximates the truncated one of the optimum up to some hundredths.
        Without the prior V would be τ log 2 = .35 higher, and γ V at the start .35 (1 + γ).
        """
        middle, width = low + 0.7 * (high - low), (high - low) / 8
        temperature, discount = 0.5, 0.5

        def reward(time, action):
            return -0.25 * ((float(action[0]) - middle) / width) ** 2 if time == 1 else 0.0

        def make():
            return Bandit(Box(low, high, (1,)), reward, ends_after=2)

        learner = SAC(
            make, temperature=temperature, discount=discount, hidden=(64, 64), learning_rate=3e-3, seed=0,
            batch_size=128, num_envs=16, learning_starts=2000, target_rate=0.05, num_updates=2,
        )  # fmt: skip
        learner.learn(2000 + 16 * 170)
        nodes = np.linspace(low, high, 20001)
        terms = np.exp([reward(1, [a]) / temperature for a in nodes])
        v_last = temperature * math.log(terms.mean())
        torch.manual_seed(0)
        with torch.no_grad():
            features = torch.eye(2).repeat_interleave(2000, 0)
            found = learner._policy_loss.value(learner.critics, features, temperature).reshape(2, 2000).mean(1)
        assert float(found[1]) == pytest.approx(v_last, abs=0.1)
        assert float(found[0]) == pytest.approx(discount * v_last, abs=0.1)
        median = learner.predict(1, deterministic=True)[0]
        assert float(median[0]) == pytest.approx(middle, abs=0.1 * (high - low))

    @pytest.mark.parametrize("scale", [1e-3, 0.3, 1.0])
    def test_the_entropy_is_that_of_the_closed_form(self, scale):
        """Within five standard errors of quadrature (false alarm 6e-7); narrow: of ½ log 2πe σ² + log(1 − tanh² μ)."""
        actions = Actions(Box(-1.0, 1.0, (2,), np.float64))
        policy, mean = BoxPolicy(1, 2, ()), torch.tensor([0.4, -0.8])
        policy.network.biases[0].copy_(torch.cat((mean, torch.full((2,), math.log(scale))))[:, None])
        loss = SoftPolicyLoss(policy, ActionPrior(None, actions, SEEN, CPU), False)
        torch.manual_seed(0)
        features, critics = torch.zeros(20_000, 1), Network(3, 1, (4,), copies=2)
        _, entropy = loss(critics, features, 1.0)
        distribution = policy(features[:1].detach())
        spread = float(distribution.rsample_with_log_prob((20_000,))[1].detach().std())
        assert float(entropy) == pytest.approx(float(distribution.entropy().detach()), abs=5 * spread / 20_000**0.5)
        if scale < 0.01:
            closed = float((0.5 * math.log(2 * math.pi * math.e * scale**2) + (1 - mean.tanh() ** 2).log()).sum())
            assert float(entropy) == pytest.approx(closed, abs=5 * spread / 20_000**0.5)

    def test_a_prior_in_a_box(self):
        """Without reward the policy becomes the prior, which is a squashed Gaussian here, and V is 0."""
        from pgm_control.networks.squashed_gaussian import SquashedGaussian

        def prior(features):
            shape = (len(features), 1)
            return SquashedGaussian(torch.full(shape, 0.5), torch.full(shape, math.log(0.4)))

        def make():
            return Bandit(Box(-1.0, 1.0, (1,)), lambda *_: 0.0)

        learner = SAC(
            make, temperature=1.0, action_prior=prior, hidden=(16,), learning_rate=1e-2, seed=0, batch_size=128,
            num_envs=8, learning_starts=64, num_updates=2,
        )  # fmt: skip
        learner.learn(64 + 8 * 100)
        with torch.no_grad():
            found = learner.actor(torch.eye(2)[:1])
        assert float(found.loc) == pytest.approx(0.5, abs=0.1)
        assert float(found.scale) == pytest.approx(0.4, abs=0.06)


class TestTemperature:
    def test_discrete_policies_reach_the_target_entropy(self):
        """π = softmax(r / τ) has an entropy of .9 nats at one τ: bisection finds it, and SAC too, within a tenth."""
        pay = torch.tensor([0.0, 1.0, 2.0])

        def entropy(temperature):
            log_policy = torch.log_softmax(pay / temperature, 0)
            return -float((log_policy.exp() * log_policy).sum())

        low, high = 0.1, 10.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if entropy(middle) < 0.9 else (low, middle)

        def make():
            return Bandit(Discrete(3), lambda _, action: float(pay[action]))

        learner = SAC(make, temperature="auto", target_entropy=0.9, seed=0, learning_starts=64, num_updates=3, **TABLE)
        learn(learner, 64 + 16 * 100, rate=0.1)
        log_policy = learner.actor(torch.eye(2)[:1]).detach()
        assert -float((log_policy.exp() * log_policy).sum()) == pytest.approx(0.9, abs=0.02)
        assert learner.temperature == pytest.approx(low, rel=0.1)

    def test_policies_in_a_box_reach_the_target_entropy(self):
        def make():
            return Bandit(Box(-1.0, 1.0, (1,)), lambda _, action: -4 * (float(action[0]) - 0.2) ** 2)

        learner = SAC(
            make, target_entropy=-0.3, hidden=(32,), learning_rate=1e-2, seed=0, batch_size=128, num_envs=16,
            learning_starts=640, num_updates=2,
        )  # fmt: skip
        learner.learn(640 + 16 * 130)
        assert float(learner.actor(torch.eye(2)[:1]).entropy().detach()) == pytest.approx(-0.3, abs=0.1)
        # a Gaussian of that entropy and the density exp(−4 (a − .2)² / τ): σ² = τ / 8
        sigma = math.exp(-0.3) / math.sqrt(2 * math.pi * math.e)
        assert learner.temperature == pytest.approx(8 * sigma**2, rel=0.35)


@pytest.mark.parametrize("theta", [-1.0, 0.5])
def test_with_a_risk_the_temperature_can_be_learned(theta):
    """After the last step nothing follows, so Q is the certainty equivalent of the reward whatever the temperature."""
    learner = learn(twin(gamble(), "auto", optimism=Risk(theta)), 4_300)
    assert learner.temperature != 1.0
    q = learner.critics(torch.eye(2)[:1]).amin(0)[0].tolist()
    assert q[0] == pytest.approx(1.0, abs=0.01)
    assert q[1] == pytest.approx(math.log(0.2 * math.exp(3 * theta) + 0.8) / theta, abs=0.05)


def test_a_risk_is_saved_and_loaded(tmp_path):
    env, settings = to_gymnasium(gamble()), {"hidden": (), "seed": 0, "learning_starts": 8, "batch_size": 8}
    learner = SAC(env, optimism=Risk(-0.5), **settings)
    learner.learn(20)
    learner.save(tmp_path / "learner.pt")
    again = SAC.load(tmp_path / "learner.pt", env=env)
    assert again.config == learner.config
    assert again.config["optimism"] == {"theta": -0.5}
    for each in (learner, again):
        each.learn(30)
    assert all(map(torch.equal, learner.critics.parameters(), again.critics.parameters()))


def test_without_optimism_it_is_plain_soft_actor_critic_bit_for_bit():
    """With the squared loss in place of the certainty equivalent the floats are the same."""
    env, settings = to_gymnasium(restaurant(), observe_time=True), {"temperature": 1.0, "seed": 5, "batch_size": 32}
    dialled, plain = (SAC(env, hidden=(16,), **settings, **extra) for extra in ({"optimism": 0.0}, {}))
    vars(plain)["_loss"] = lambda q, y: 0.5 * (y - q).square().mean(-1).sum()
    for learner in (dialled, plain):
        learner.learn(200)
    pairs = zip(
        [*dialled.actor.parameters(), *dialled.critics.parameters()],
        [*plain.actor.parameters(), *plain.critics.parameters()],
        strict=True,
    )
    assert all(torch.equal(a, b) for a, b in pairs)


def test_the_policy_loss_of_discrete_actions_is_the_sum_by_hand():
    """−V̂ and the entropy agree with sums by hand; a masked action contributes 0 for any Q."""
    actions, prior = Actions(Discrete(3)), torch.tensor([0.7, 0.3, 0.0])
    policy = DiscretePolicy(2, 3, (8,), ActionPrior(prior, actions, SEEN, CPU))
    critics, features = Network(2, 3, (8,), copies=2), torch.randn(6, 2)
    with torch.no_grad():
        pi, q = policy(features).exp()[:, :2], critics(features).amin(0)[:, :2]
        value = (pi * (q - 0.3 * (pi / prior[:2]).log())).sum(-1)
    loss = SoftPolicyLoss(policy, ActionPrior(prior, actions, SEEN, CPU), True)
    given, entropy = loss(critics, features, 0.3)
    assert torch.allclose(given, -value, atol=1e-6)
    assert torch.allclose(loss.value(critics, features, 0.3), value, atol=1e-6)
    assert float(entropy) == pytest.approx(-float((pi * pi.log()).sum(-1).mean()), abs=1e-6)
    given.mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in policy.parameters())
    assert all(p.grad is None for p in critics.parameters())


def test_targets_follow_slowly():
    """After one update at rate κ they have moved that fraction of the way; the backup uses them, not the critics."""
    learner = SAC(to_gymnasium(restaurant(), observe_time=True), temperature=1.0, target_rate=0.25, hidden=(), seed=0)
    learner.learn(100)
    start = [each.clone() for each in learner._targets.parameters()]
    learner.learn(101)
    for before, now, there in zip(start, learner._targets.parameters(), learner.critics.parameters(), strict=True):
        assert torch.allclose(now, before + 0.25 * (there - before))
    mdp = TabularMDP([1.0], [[[1.0]]], [[[0]]], [[[1.0]]], 2)
    still = SAC(
        to_gymnasium(mdp, observe_time=True), temperature=1.0, seed=0, discount=1.0,
        **{**TABLE, "target_rate": 1e-6}, learning_starts=64, num_updates=3,
    )  # fmt: skip
    learn(still, 64 + 16 * 40)
    assert float(soft_value(still, mdp, 1.0)[0, 0]) == pytest.approx(1.0, abs=0.05)  # its second step has no effect yet


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"temperature": -1.0},
            r'`temperature` must be a positive number of reward units per nat, or 0 .*, or "auto", but is -1.0',
        ),
        ({"temperature": 1.0, "target_entropy": 1.0}, r"`target_entropy` is for .*Leave one of them out"),
        (
            {"optimism": 0.5},
            r"`optimism` must be 0 or a Risk while .* learned, but is 0.5.*Risk\(theta\)",
        ),
        ({"optimism": Risk(torch.tensor([0.1, 0.2]))}, r"`optimism` must be a finite number"),
        ({"discount": 1.5}, r"`discount` must be a probability, but is 1.5"),
        ({"num_updates": 0}, r"`num_updates` must be a whole number, at least 1, but is 0"),
        ({"learning_rate": 0.0}, r"`learning_rate` must be a number above 0 and at most 1, but is 0.0"),
        ({"target_rate": 2.0}, r"`target_rate` must be a number above 0"),
        ({"action_prior": [0.5, 0.6]}, r"`action_prior` must be probabilities that sum to 1"),
    ],
)
def test_invalid_arguments_are_refused(given, message):
    with pytest.raises(InvalidArgument, match=message):
        SAC(to_gymnasium(lottery(), observe_time=True), **given)
