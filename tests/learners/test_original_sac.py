"""Soft actor-critic as first published: a network for each message, and exact optimism in a box too."""

import math

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.wrappers import TimeLimit
from learned import TABLE, compare, learn
from problems import gamble, random_mdp

from pgm_control import InvalidArgument, TabularModel, to_gymnasium
from pgm_control.learners import SAC, OriginalSAC
from pgm_control.models import lottery, restaurant, risky_path

pytestmark = pytest.mark.slow


def twin(mdp, temperature=1.0, **options):
    """A learner of the problem whose networks are tables."""
    settings = {"learning_starts": 3000, "discount": mdp.discount, "seed": 0, "num_updates": 3, **TABLE, **options}
    return OriginalSAC(to_gymnasium(mdp, observe_time=True), temperature=temperature, **settings)


@pytest.mark.parametrize(("optimism", "apart"), [(0.0, 0.1), (0.5, 0.3)])
def test_it_finds_the_optimum_of_its_optimism(optimism, apart):
    """Within .01 nats of the best policy and .15 nats of its value; other β differ by `apart`. Rewards are in 20 τ."""
    mdp = risky_path(horizon=3)
    mdp = mdp.replace(reward=mdp.reward / 20)
    learner = learn(twin(mdp, optimism=optimism), 4_300)
    found = compare(learner, TabularModel(mdp), optimism)
    other = compare(learner, TabularModel(mdp), 1.0 if optimism == 0 else 0.0)
    assert found.divergence < 0.01
    assert abs(found.value) < 0.15
    assert other.divergence > apart + found.divergence


def test_adversarial_dynamics_reverse_a_preference():
    """At β = −1.5 a certain 1 is better than 5 with probability .3; clamped it is not. Within .01 nats and .2 units."""
    mdp = gamble(jackpot=5.0, probability=0.3)
    learner, model = learn(twin(mdp, optimism=-1.5), 4_300), TabularModel(mdp)
    found, clamped = compare(learner, model, -1.5), compare(learner, model, 0.0)
    assert found.divergence < 0.01
    assert abs(found.value) < 0.2
    assert clamped.divergence > 0.1


def test_the_restaurant_at_another_temperature():
    """V differs from the free one by several units; it is found within .3."""
    learner, model = learn(twin(restaurant(), 2.0), 4_300), TabularModel(restaurant(), 2.0)
    found, free = compare(learner, model, 0.0), compare(learner, model, 1.0)
    assert found.divergence < 0.01
    assert abs(found.value) < 0.3
    assert abs(free.value) > 1.5


def test_a_prior_that_is_not_uniform_and_masks_an_action():
    mdp, prior = random_mdp(3, states=2, actions=3, horizon=2, discount=0.9), [0.8, 0.2, 0.0]
    learner = learn(twin(mdp, 0.5, action_prior=prior), 4_300)
    found = compare(learner, TabularModel(mdp, 0.5, torch.tensor(prior, dtype=torch.float64).expand(2, 3).clone()), 0.0)
    assert found.divergence < 0.01
    assert abs(found.value) < 0.06
    assert compare(learner, TabularModel(mdp, 0.5), 0.0).divergence > 0.1
    assert not (learner._experience.batch().action == 2).any()


class Doors(gymnasium.Env):
    """A random step leads to one of two rooms, where the action has a reward. The first action has no effect."""

    observation_space, action_space = Discrete(3), Box(-2.0, 2.0, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._room = 0
        return 0, {}

    def step(self, action):
        if self._room == 0:
            self._room = 1 + int(self.np_random.random() < 0.5)
            return self._room, 0.0, False, False, {}
        return 0, self.pays(self._room, float(action[0])), True, False, {}

    @staticmethod
    def pays(room, action):
        """Each room has two good actions far from each other, so no Gaussian fits; the second room's is 1 lower."""
        return -2 * min(abs(action - 1.2), abs(action + 1.2)) - (room - 1)


def in_doors(kind, optimism, gathered):
    learner = kind(
        Doors, temperature=0.5, optimism=optimism, discount=1.0, hidden=(32, 32), learning_rate=5e-3, batch_size=128,
        num_envs=16, learning_starts=2000, target_rate=0.05, num_updates=2, seed=0,
    )  # fmt: skip
    learner.learn(2000 + 16 * gathered)
    return learner


class TestBox:
    def test_the_soft_value_is_that_of_quadrature(self):
        """V = τ log ∫ ρ exp(r/τ) is an upper bound for a Gaussian; without the prior it is τ log 4 = .69 higher."""
        learner = in_doors(OriginalSAC, 0.0, 200)
        nodes = np.linspace(-2, 2, 20001)
        best = [0.5 * math.log(np.mean([math.exp(Doors.pays(room, a) / 0.5) for a in nodes])) for room in (1, 2)]
        with torch.no_grad():
            found = learner.soft_value(torch.eye(3))[0, :, 0].tolist()
        for i, v in enumerate(best):
            assert v - 0.5 < found[1 + i] < v + 0.1
        assert found[0] == pytest.approx((found[1] + found[2]) / 2, abs=0.1)

    def test_optimism_is_exact(self):
        r"""Q before the rooms is $L_β$ of V in the rooms, although the policy there is far from its optimum.

        In `SAC` it is L_β of the backup from one action, where Q − τ log π/ρ differs between actions. `SAC` treats this
        variance as randomness of the dynamics, and is off by .3 in the direction of β.
        """
        error, optimism = {}, 1.5
        for kind in (OriginalSAC, SAC):
            learner = in_doors(kind, optimism, 260)
            torch.manual_seed(0)
            with torch.no_grad():
                many = torch.eye(3)[1:].repeat_interleave(4000, 0)
                behind = learner._policy_loss.value(learner.critics, many, 0.5).reshape(2, 4000).mean(1)
                q = learner.critics(torch.tensor([[1.0, 0.0, 0.0, x] for x in (-0.9, -0.3, 0.3, 0.9)])).mean()
            scale = optimism / 0.5
            certain = float((torch.logsumexp(scale * behind, 0) - math.log(2)) / scale)
            assert certain - float(behind.mean()) > 0.2  # optimism matters here
            error[kind] = float(q) - certain
        assert abs(error[OriginalSAC]) < 0.15
        assert error[SAC] > 0.15
        assert error[SAC] > abs(error[OriginalSAC]) + 0.05


@pytest.mark.parametrize(("ends", "value"), [(False, 2.0), (True, 1.0)])
def test_truncation_bootstraps_and_termination_does_not(ends, value):
    """A reward of 1 in every step, truncated after four: V = 1 / (1 − γ). With termination after each step, V = 1."""

    class Wage(gymnasium.Env):
        observation_space, action_space = Discrete(1), Discrete(2)

        def reset(self, *, seed=None, options=None):
            return 0, {}

        def step(self, action):
            return 0, 1.0, ends, False, {}

    learner = OriginalSAC(
        lambda: TimeLimit(Wage(), 4), temperature=0.5, discount=0.5, seed=0, learning_starts=64, num_updates=3, **TABLE
    )
    learn(learner, 64 + 16 * 60, rate=0.1, last=0.02)
    with torch.no_grad():
        assert float(learner.soft_value(torch.ones(1, 1))) == pytest.approx(value, abs=0.1)


def test_backups_use_the_target_of_v_which_follows_slowly():
    learner = OriginalSAC(to_gymnasium(lottery(), observe_time=True), hidden=(), target_rate=0.25, seed=0)
    learner.learn(100)
    start = [each.clone() for each in learner._target.parameters()]
    learner.learn(101)
    for before, now, there in zip(start, learner._target.parameters(), learner.soft_value.parameters(), strict=True):
        assert torch.allclose(now, before + 0.25 * (there - before))
    mdp = risky_path(horizon=3)
    still = twin(mdp.replace(reward=torch.ones_like(mdp.reward)), target_rate=1e-6, learning_starts=320)
    learn(still, 320 + 16 * 40)
    with torch.no_grad():  # only the first of three rewards of 1 has an effect so far
        assert float(still.soft_value(torch.eye(16)[:1])) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("kind", ["gaussian", "flow"])
def test_a_resumed_learner_equals_an_uninterrupted_one(tmp_path, kind):
    settings = {"policy": kind, "hidden": (8, 8), "batch_size": 16, "learning_starts": 20, "seed": 3}
    whole, first = (OriginalSAC("Pendulum-v1", **settings) for _ in range(2))
    first.learn(31)
    first.save(tmp_path / "half")
    again = OriginalSAC.load(tmp_path / "half")
    whole.learn(31)
    for learner in (whole, again):
        learner.learn(60)
    for name in ("actor", "critics", "soft_value", "_target"):
        one, other = getattr(whole, name).state_dict(), getattr(again, name).state_dict()
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"temperature": 0.0}, r"`temperature` must be a positive number .* but is 0.0.*SAC also takes 0"),
        ({"discount": -0.1}, r"`discount` must be a probability, but is -0.1"),
        ({"num_updates": 0}, r"`num_updates` must be a whole number, at least 1, but is 0"),
        ({"optimism": math.inf}, r"`optimism` must be a finite number"),
    ],
)
def test_invalid_arguments_are_refused(given, message):
    with pytest.raises(InvalidArgument, match=message):
        OriginalSAC(to_gymnasium(lottery(), observe_time=True), **given)
