"""Normalisation of observations: its statistics, the learners that use it, and their files."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from small_environments import Noisy, equal, whole

from pgm_control import InvalidArgument, InvalidCheckpoint
from pgm_control.learners import SAC, MaxEntPolicyGradient, OriginalSAC, SoftQLearning
from pgm_control.learners.normaliser import Normaliser, measured_features

TINY = {"hidden": (4,), "batch_size": 4, "capacity": 400, "learning_starts": 5, "num_envs": 2}
KINDS = [SAC, SoftQLearning, OriginalSAC, MaxEntPolicyGradient]


def made(kind, env, seed=0, **given):
    settings = {"hidden": (4,), "num_envs": 2} if kind is MaxEntPolicyGradient else TINY
    return kind(env, normalise_observations=True, seed=seed, **settings, **given)


class Measured(gymnasium.Env):
    """A walk of three numbers in other units, a x + b, which ends after 12 steps; three actions."""

    def __init__(self, scale=1.0, shift=0.0):
        self.observation_space = spaces.Box(-np.inf, np.inf, (3,))
        self.action_space = spaces.Discrete(3)
        self.scale, self.shift, self.x, self.time = scale, shift, np.zeros(3), 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.time = self.np_random.normal(size=3), 0
        return self.seen(), {}

    def step(self, action):
        self.time += 1
        self.x = 0.9 * self.x + 0.3 * self.np_random.normal(size=3) + 0.2 * (action - 1)
        return self.seen(), -float(np.abs(self.x).sum()), self.time == 12, False, {}

    def seen(self):
        return (self.scale * self.x + self.shift).astype(np.float32)


def measured(**given):
    return lambda: gymnasium.wrappers.TimeLimit(Measured(**given), 20)


# Its numbers


def test_the_statistics_are_those_of_all_rows_also_far_from_zero():
    """Batches of several sizes, around 1e8 with a deviation of 1: the difference of squares has no digit left there."""
    rows = torch.randn(500, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows = rows * torch.tensor([1.0, 10.0, 0.0], dtype=torch.float64) + 1e8
    found = Normaliser(torch.tensor([True, True, True]))
    for part in rows.split([1, 0, 7, 92, 400]):
        found.update(part)
    assert int(found.count) == 500
    exact = rows.numpy()
    np.testing.assert_allclose(found.mean.numpy(), exact.mean(0), rtol=1e-15)
    np.testing.assert_allclose(found.variance.numpy(), exact.var(0), rtol=1e-8, atol=1e-12)
    normal = found(rows)
    np.testing.assert_allclose(
        normal[:, 0].numpy(), ((exact - exact.mean(0)) / exact.std(0).clip(1e-4))[:, 0], atol=1e-7
    )
    assert (normal[:, 2] == 0).all()
    assert (found(rows + 1e6).abs() <= 10).all()
    assert int(found.count) == 500


def test_only_measurements_are_normalised():
    space = spaces.Dict(
        {
            "b": spaces.Box(-1, 1, (2,)),
            "a": spaces.Discrete(3),
            "c": spaces.Tuple([spaces.MultiBinary(2), spaces.Box(0, 9, ())]),
        }
    )
    which = measured_features(space)
    assert which.tolist() == [False] * 3 + [True] * 2 + [False] * 2 + [True]
    one = spaces.flatten(space, {"a": np.int64(1), "b": np.full(2, 0.5), "c": (np.ones(2, np.int8), np.float32(7))})
    assert np.asarray(one).tolist() == [0, 1, 0, 0.5, 0.5, 1, 1, 7]  # the order of the features
    found = Normaliser(which)
    rows = torch.rand(50, 8)
    found.update(rows)
    assert torch.equal(found(rows)[:, ~which], rows[:, ~which])
    assert float(found(rows)[:, 3].std(correction=0)) == pytest.approx(1.0, abs=1e-3)


def test_nothing_is_normalised_before_two_rows():
    found = Normaliser(torch.ones(2, dtype=torch.bool))
    row = torch.tensor([[3.0, 4.0]])
    assert torch.equal(found(row), row)
    found.update(row)
    assert torch.equal(found(row), row)


@pytest.mark.parametrize("unit", [1e-30, 1e-9, 1e9, 1e30])
def test_units_do_not_matter_however_extreme_and_constants_are_zero(unit):
    rows = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)).double() + 3.0
    rows[:, 1] *= 1e-6
    one, other = (Normaliser(torch.ones(2, dtype=torch.bool)) for _ in range(2))
    for part in rows.split([1, 7, 42]):
        one.update(part)
        other.update(unit * part)
    torch.testing.assert_close(other(unit * rows), one(rows), rtol=1e-9, atol=1e-9)
    assert float(one(rows)[:, 0].std(correction=0)) == pytest.approx(1.0, abs=1e-9)
    single = torch.full((9, 2), 0.1)  # in float32, as learners give them
    single[:, 1] = 0.0
    never = Normaliser(torch.ones(2, dtype=torch.bool))
    for part in single.split([1, 2, 6]):
        never.update(part)
    assert torch.equal(never(single), torch.zeros(9, 2))
    assert torch.equal(never(single + 1e-20), torch.tensor([[0.0, 10.0]]).expand(9, 2))


# The learners


class Boxed(gymnasium.Env):
    """An environment that observes a mask, in a given space; it always allows the last of three actions."""

    def __init__(self, mask):
        self.observation_space = spaces.Dict({"action_mask": mask, "observation": spaces.Box(-10, 10, (2,))})
        self.action_space = spaces.Discrete(3)
        self.mask, self.actions, self.time = np.ones(3, np.int8), [], 0

    def seen(self):
        self.mask = np.array([*self.np_random.integers(0, 2, 2), 1], np.int8)
        return {"action_mask": self.mask, "observation": self.np_random.normal(size=2).astype(np.float32)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self.seen(), {}

    def step(self, action):
        assert self.mask[action] == 1
        self.actions.append(int(action))
        self.time += 1
        return self.seen(), float(action), self.time == 6, False, {}


@pytest.mark.parametrize("kind", KINDS)
def test_masks_in_a_box_are_not_normalised(kind):
    """A mask that is always 1 would become 0, and the action would be left out."""
    found = []
    for mask in (spaces.Box(0, 1, (3,), np.int8), spaces.MultiBinary(3)):
        env = Boxed(mask)
        extra = {"num_envs": 1} | ({"horizon": 6} if kind is MaxEntPolicyGradient else {})
        settings = ({"hidden": (4,)} if kind is MaxEntPolicyGradient else TINY) | extra
        kind(lambda env=env: env, normalise_observations=True, seed=0, **settings).learn(120)
        found.append(env.actions)
    assert found[0] == found[1]
    assert found[0].count(2) > 40


@pytest.mark.parametrize("kind", KINDS)
def test_the_unit_and_the_origin_of_observations_do_not_matter(kind):
    """Without it they do: the actor is then another one."""
    learners = [made(kind, measured(**given)) for given in ({}, {"scale": 1024.0, "shift": 4096.0})]
    for each in learners:
        each.learn(120)
    (one, other), name = learners, "guide" if kind is MaxEntPolicyGradient else "critics"
    name = "critic" if kind is SoftQLearning else name
    pairs = zip(one.parts()[name].parameters(), other.parts()[name].parameters(), strict=True)
    assert all(torch.allclose(here, there, atol=2e-3) for here, there in pairs)
    features = torch.randn(5, 3)
    torch.manual_seed(0)
    first = one.act(features, True)
    assert torch.equal(first, other.act(1024 * features + 4096, True))
    raw = [
        type(one)(measured(**given), **{**one.config, "normalise_observations": False})
        for given in ({}, {"scale": 1024.0})
    ]
    for each in raw:
        each.learn(120)
    pairs = zip(raw[0].parts()[name].parameters(), raw[1].parts()[name].parameters(), strict=True)
    assert not all(torch.allclose(here, there, atol=2e-3) for here, there in pairs)


@pytest.mark.parametrize("kind", [SAC, SoftQLearning, OriginalSAC])
def test_every_observation_of_a_step_counts_once_and_no_other(kind):
    learner: Any = made(kind, measured())
    learner.learn(100)
    rows = learner._experience.replay._rows[:100, :3].double().numpy()
    assert learner.normaliser is not None
    assert int(learner.normaliser.count) == 100
    np.testing.assert_allclose(learner.normaliser.mean.numpy(), rows.mean(0), atol=1e-12)
    np.testing.assert_allclose(learner.normaliser.variance.numpy(), rows.var(0), rtol=1e-10)
    before = {name: each.clone() for name, each in learner.normaliser.state_dict().items()}
    learner.evaluate(3, seed=0, env=Measured(scale=50.0))
    learner.predict(np.full(3, 1e6, np.float32))
    assert all(torch.equal(each, learner.normaliser.state_dict()[name]) for name, each in before.items())


def test_the_policy_gradient_counts_the_steps_that_were_taken():
    learner = made(MaxEntPolicyGradient, lambda: gymnasium.make("CartPole-v1"))
    learner.learn(150)
    assert learner.normaliser is not None
    assert int(learner.normaliser.count) == learner.total_steps
    before = learner.normaliser.mean.clone()
    learner.evaluate(2, seed=0, env="CartPole-v1")
    assert torch.equal(before, learner.normaliser.mean)


def test_batches_are_normalised_and_the_replay_and_rewards_of_a_function_are_not():
    learner, seen = made(SAC, measured(scale=100.0)), []
    learner.pay_by(lambda batch: seen.append(batch.observation.abs().max()) or batch.reward)
    learner.learn(60)
    batch = learner._experience.batch()
    assert float(learner._experience.replay.sample(50).observation.abs().max()) > 50
    assert float(batch.observation.abs().max()) <= 10
    assert float(max(seen)) > 50


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("env", ["Pendulum-v1", "CartPole-v1"])
def test_a_loaded_learner_continues_bit_for_bit(kind, env, tmp_path):
    steps = (150, 300) if kind is MaxEntPolicyGradient else (40, 90)
    once = made(kind, env)
    once.learn(steps[1])
    half = made(kind, env)
    half.learn(steps[0], checkpoint=tmp_path / "half")
    again = kind.load(tmp_path / "half")
    again.learn(steps[1])
    ours, theirs = whole(once, tmp_path / "a")[0], whole(again, tmp_path / "b")[0]
    assert equal(ours, theirs)
    assert "normaliser" in ours["parts"]


def test_a_file_with_a_negative_variance_is_refused(tmp_path):
    learner = made(SAC, "CartPole-v1")
    learner.learn(20)
    assert learner.normaliser is not None
    learner.normaliser.deviations.neg_()
    learner.save(tmp_path / "file")
    with pytest.raises(InvalidCheckpoint, match=r"deviations.*must be at least 0"):
        SAC.load(tmp_path / "file")


def test_what_cannot_be_normalised_is_refused_by_name():
    with pytest.raises(InvalidArgument, match=r"`normalise_observations` must be False for observations of Discrete"):
        SAC("FrozenLake-v1", normalise_observations=True)
    with pytest.raises(InvalidArgument, match=r"`action_prior` must not be a function with `normalise_observations`"):
        SAC("CartPole-v1", normalise_observations=True, action_prior=lambda x: torch.full((len(x), 2), 0.5))
    with pytest.raises(InvalidArgument, match=r"`normalise_observations` must be"):
        SAC("CartPole-v1", normalise_observations="yes")  # pyright: ignore[reportArgumentType]
    assert SAC("CartPole-v1", action_prior=[0.3, 0.7], normalise_observations=True).normaliser is not None
    space = spaces.Dict({"action_mask": spaces.Box(0, 1, (2,), np.int8), "observation": spaces.Discrete(3)})
    with pytest.raises(InvalidArgument, match=r"`normalise_observations` must be False .*no measurement"):
        SAC(lambda: Noisy(spaces.Discrete(2), space), normalise_observations=True)
    assert SAC(Noisy).normaliser is None


@pytest.mark.parametrize("kind", KINDS)
def test_truth_values_of_numpy_are_saved(kind, tmp_path):
    learner = kind("CartPole-v1", normalise_observations=np.True_, action_masks=np.False_, hidden=(4,), seed=0)
    learner.save(tmp_path / "file")
    assert kind.load(tmp_path / "file").config == learner.config


@pytest.mark.parametrize("kind", [SAC, SoftQLearning, OriginalSAC])
def test_state_values_are_those_of_normalised_observations(kind):
    """The values of the same learner without its normaliser, at observations that are normalised by hand."""
    learner: Any = made(kind, lambda: gymnasium.make("CartPole-v1"))
    learner.learn(60)
    seen = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    found, normal = learner.state_value(seen), learner.normaliser(seen)
    learner.normaliser = None
    torch.testing.assert_close(found, learner.state_value(normal))
    assert not torch.allclose(found, learner.state_value(seen))
