"""Settings of learners: numbers of numpy and torch are taken, others are refused by name; learners can be pickled."""

import copy
import io
import math
import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from pyro.distributions import Normal
from small_environments import Noisy, equal, whole

from pgm_control import InvalidArgument, InvalidGuide, LearningDiverged, PrintEvery, Risk
from pgm_control.guides import SimulatedGuide
from pgm_control.learners import SAC, MaxEntPolicyGradient, OriginalSAC, SoftQLearning
from pgm_control.models import SimulatorModel

TINY = {"hidden": (4,), "batch_size": 4, "capacity": 200, "learning_starts": 5, "seed": 0}
ALL = [SAC, SoftQLearning, OriginalSAC, MaxEntPolicyGradient]


def settings_of(kind):
    return {"hidden": (4,), "seed": 0} if kind is MaxEntPolicyGradient else TINY


@pytest.mark.parametrize("target", [math.nan, math.inf, -math.inf, "auto", "1", [0.5], True, 2.0, math.log(2), -0.1])
def test_a_target_entropy_that_no_policy_has_is_refused(target):
    with pytest.raises(InvalidArgument, match="`target_entropy` must be"):
        SAC("CartPole-v1", target_entropy=target, **TINY)


def test_the_bound_of_the_target_entropy_knows_masks_and_boxes():
    SAC("CartPole-v1", target_entropy=np.float32(0.69), **TINY)
    with pytest.raises(InvalidArgument, match="at least 0 and below 0 nats"):
        SAC("CartPole-v1", target_entropy=0.1, action_prior=[1.0, 0.0], **TINY)
    SAC("Pendulum-v1", target_entropy=0.69, **TINY)
    with pytest.raises(InvalidArgument, match=r"`target_entropy` must be below 0.693147 nats"):
        SAC("Pendulum-v1", target_entropy=0.7, **TINY)


def prior_by_state(features):
    """One action in most states, and a strong preference in the others."""
    p = torch.tensor([[1.0, 0.0, 0.0], [0.98, 0.01, 0.01]])
    return p[(features[:, 0] > 0).long()]


@pytest.mark.parametrize("prior", [[1.0, 0.0, 0.0], [0.98, 0.01, 0.01], prior_by_state])
def test_the_default_target_is_half_of_the_entropy_of_the_action_prior(prior):
    def made():
        return Noisy(spaces.Discrete(3))

    learner = SAC(made, action_prior=prior, **TINY)
    features = torch.linspace(-1, 1, 5)[:, None]
    chosen = learner.prior.log_probabilities(features).exp().double().numpy()
    plain = -(chosen * np.log(np.where(chosen > 0, chosen, 1.0))).sum(-1).mean()
    assert float(learner.prior.entropy(features)) == pytest.approx(plain, abs=1e-6)
    assert float(learner._target(features)) == pytest.approx(plain / 2, abs=1e-6)


def test_the_temperature_stays_where_only_one_action_is_possible():
    learner = SAC("CartPole-v1", action_prior=[0.0, 1.0], **TINY)
    learner.learn(60)
    assert learner.temperature == pytest.approx(1.0)


def test_the_default_targets_of_uniform_priors():
    assert SAC("CartPole-v1", **TINY)._target_entropy == 0.5 * math.log(2)
    assert SAC("Pendulum-v1", **TINY)._target_entropy == -1.0


def test_a_temperature_without_end_names_the_target():
    def only_left(features):
        return torch.tensor([[1.0, 0.0]]).expand(len(features), 2)

    learner = SAC("CartPole-v1", target_entropy=0.6, action_prior=only_left, **{**TINY, "learning_rate": 1.0})
    with pytest.raises(LearningDiverged, match=r"temperature has grown to .*Lower `target_entropy`"):
        learner.learn(300)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("hidden", [(0,), (4, -1), (2.5,), ("4",), 4, None, "44", (True,), (math.nan,)])
def test_impossible_hidden_layers_are_refused(kind, hidden):
    with pytest.raises(InvalidArgument, match=r"`hidden.* must be a"):
        kind("CartPole-v1", **{**settings_of(kind), "hidden": hidden})


NUMBERS = {
    "capacity": np.int64(100), "batch_size": np.int64(8), "learning_starts": np.int32(5), "num_updates": np.int64(1),
    "discount": np.float32(0.99), "temperature": np.float32(0.1), "learning_rate": np.float32(1e-3),
    "target_rate": np.float64(0.01), "num_envs": np.int64(2), "hidden": np.array([4, 4]), "seed": np.int64(3),
    "optimism": np.float64(0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("kind", ALL)
def test_numbers_of_numpy_are_taken_and_saved(tmp_path, kind, name):
    if kind is MaxEntPolicyGradient and name not in ("discount", "temperature", "learning_rate", "hidden", "seed"):
        return
    learner = kind("CartPole-v1", **{**settings_of(kind), name: NUMBERS[name]})
    learner.learn(10)
    learner.save(tmp_path / "one.pt")
    found = kind.load(tmp_path / "one.pt").config[name]
    assert found == NUMBERS[name].tolist()
    assert type(found) in (int, float, list)


@pytest.mark.parametrize("number", [4, 7, 200])
def test_more_copies_than_capacity_keep_the_latest_transitions(number):
    learner = SAC(Noisy, num_envs=6, **{**TINY, "capacity": number})
    learner.learn(60)
    replay = learner._experience.replay
    assert (len(replay), replay.count) == (min(number, 60), 60)
    reached = learner.observations(learner.worlds.observations)
    rows: Any = replay.state()["rows"]
    assert {float(each) for each in reached[-min(number, 6) :]} <= {float(each) for each in rows[:, 1]}


@pytest.mark.parametrize("env", ["Pendulum-v1", "CartPole-v1", "FrozenLake-v1"])
@pytest.mark.parametrize("deterministic", [True, False])
def test_predict_refuses_what_is_not_finite_or_not_a_state(env, deterministic):
    learner = SAC(env, **TINY)
    width = {"Pendulum-v1": (3,), "CartPole-v1": (4,), "FrozenLake-v1": ()}[env]
    wrong = [np.full(width, each) for each in (np.nan, np.inf, -np.inf, 1e39)]
    wrong += [16, -1, 1.7, [16], [-1], [1.7]] if env == "FrozenLake-v1" else [np.stack([wrong[0], np.zeros(width)])]
    for each in wrong:
        with pytest.raises(InvalidArgument, match=r"`observation` must be of .* and finite in float32, or a batch"):
            learner.predict(each, deterministic=deterministic)


def test_predict_takes_observations_beyond_the_bounds():
    action, _ = SAC("CartPole-v1", **TINY).predict(np.full(4, 100.0), deterministic=True)
    assert action in (0, 1)


class Outside(torch.nn.Module):
    """A policy that leaves the box [−1, 1]^d."""

    def __init__(self):
        super().__init__()
        self.shift = torch.nn.Parameter(torch.tensor(5.0))

    def forward(self, features):
        return Normal(self.shift.expand(len(features), 1), 0.1).to_event(1)

    def act(self, features, deterministic):
        return self.shift.detach().expand(len(features), 1)


def test_a_policy_that_leaves_the_box_is_named():
    model = SimulatorModel("Pendulum-v1", horizon=3, seed=0)
    with pytest.raises(InvalidGuide, match=r"`action_0` must be in \[−1, 1\]\^1, .* a coordinate of .*Squash it"):
        model.run(Outside())
    learner = SAC("Pendulum-v1", policy=lambda features, actions, hidden: Outside(), **{**TINY, "learning_starts": 0})
    with pytest.raises(InvalidArgument, match="Actions must be rows of"):
        learner.learn(3)


@pytest.mark.parametrize("kind", ALL)
def test_a_pickled_learner_continues_as_the_original(tmp_path, kind):
    learner = kind("CartPole-v1", **settings_of(kind))
    learner.learn(37)
    twins = [pickle.loads(pickle.dumps(learner)), copy.deepcopy(learner)]
    for each in (learner, *twins):
        each.learn(70)
    first, *others = (whole(each, tmp_path / "one.pt")[0] for each in (learner, *twins))
    assert all(equal(first, each) for each in others)


def test_a_learner_that_cannot_be_pickled_says_how_to_save_it():
    with pytest.raises(
        InvalidArgument, match=r"can only be pickled if .*save\(path\) here and load\(path, env=…\) there"
    ):
        pickle.dumps(SAC(lambda: Noisy(), **TINY))


def test_a_learner_saved_by_a_callback_continues_as_the_original(tmp_path):
    def keep(info):
        if info.step == 20:
            info.learner.save(tmp_path / "one.pt")

    learner = SAC("Pendulum-v1", **TINY)
    learner.learn(40, callbacks=[keep], log_every=10)
    found = SAC.load(tmp_path / "one.pt")
    found.learn(40, log_every=10)
    assert equal(whole(found, tmp_path / "two.pt")[0], whole(learner, tmp_path / "three.pt")[0])


@pytest.mark.parametrize("number", [1, 7, 16])
def test_lines_are_printed_whenever_a_multiple_was_passed(number):
    file = io.StringIO()
    SAC(Noisy, num_envs=number, **{**TINY, "learning_starts": 10**6}).learn(1000, progress=PrintEvery(100, file))
    steps = [int(line.split()[0]) for line in file.getvalue().splitlines()]
    assert [each // 100 for each in steps] == list(range(1, 11))
    assert all(each % 100 < number for each in steps)


def test_print_every_begins_anew_with_each_run():
    file = io.StringIO()
    show = PrintEvery(np.int64(10), file)
    for step in (*range(1, 21), *range(1, 11), *range(5, 11)):
        show(step, {})
    assert [int(line) for line in file.getvalue().split()] == [10, 20, 10, 10]
    assert repr(show).startswith("PrintEvery(every=10, file=")
    for wrong in (0, -1, 2.5, True, None):
        with pytest.raises(InvalidArgument, match="`every` must be a whole number"):
            PrintEvery(wrong)


def test_a_remedy_for_unbounded_actions_works():
    def made():
        env = Noisy(spaces.Box(-np.inf, np.inf, (1,)))
        return gymnasium.wrappers.TransformAction(env, lambda a: 10 * a, spaces.Box(-1, 1, (1,)))

    SAC(made, **TINY).learn(10)
    SimulatedGuide(SimulatorModel(made, horizon=3, seed=0), hidden=())()


def test_a_learner_with_a_risk_is_pickled():
    learner = SoftQLearning("CartPole-v1", optimism=Risk(-0.5), hidden=(8,))
    assert pickle.loads(pickle.dumps(learner)).config == learner.config
