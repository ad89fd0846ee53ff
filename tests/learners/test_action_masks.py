"""Action masks: exact tabular answers over allowed actions, what is refused, and the files of learners with masks."""

import gymnasium
import learned
import numpy as np
import pytest
import torch
from gymnasium import spaces
from small_environments import equal, whole

from pgm_control import EnvironmentFailure, InvalidArgument, rollout
from pgm_control.environments.action_prior import ActionPrior, mask_columns
from pgm_control.environments.spaces import Actions, Observations
from pgm_control.learners import SAC, MaxEntPolicyGradient, OriginalSAC, SoftQLearning
from pgm_control.learners.action_masks import ActionMasks

ALLOWED = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [0, 1, 0]], np.int8)
REWARD = np.array([[0.2, 0.6, 9.0], [0.5, 9.0, 0.1], [9.0, 0.3, 0.8], [9.0, 0.4, 9.0]])
TO = np.array([[1, 2, 0], [3, 0, 2], [0, 3, 1], [0, 0, 1]])
TINY = {"hidden": (4,), "batch_size": 8, "capacity": 400, "learning_starts": 10, "seed": 0, "num_envs": 2}
KINDS = [SAC, SoftQLearning, OriginalSAC, MaxEntPolicyGradient]


class Rooms(gymnasium.Env):
    """Four rooms and three actions, of which the forbidden ones would pay 9. Each step ends the episode by 1/8."""

    observation_space = spaces.Discrete(4)
    action_space = spaces.Discrete(3)

    def __init__(self, form="info", empty=False, render_mode=None):
        self.form, self.empty, self.room, self.ends = form, empty, 0, 0.125

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.room = int(self.np_random.integers(4))
        return self.room, self.info()

    def step(self, action):
        assert ALLOWED[self.room, action], "a forbidden action was taken"
        reward, self.room = float(REWARD[self.room, action]), int(TO[self.room, action])
        over = self.np_random.random() < self.ends
        return self.room, reward, bool(over), False, {} if over else self.info()

    def info(self):
        mask = np.zeros(3, np.int8) if self.empty else ALLOWED[self.room]
        return {"action_mask": mask} if self.form == "info" else {}

    def action_masks(self):
        return ALLOWED[self.room].astype(bool) if self.form == "method" else None


def exact(temperature, discount):
    """V (S) and the policy (S, A) of soft value iteration over allowed actions, with a uniform prior over these."""
    v = np.zeros(4)
    for _ in range(2000):
        q = REWARD + discount * v[TO]
        if temperature == 0:
            v = np.where(ALLOWED, q, -np.inf).max(-1)
        else:
            weight = np.where(ALLOWED, np.exp((q - 50) / temperature), 0.0)
            v = 50 + temperature * np.log(weight.sum(-1) / ALLOWED.sum(-1))
    q = REWARD + discount * v[TO]
    if temperature == 0:
        return v, (np.where(ALLOWED, q, -np.inf) == v[:, None]).astype(float)
    return v, np.where(ALLOWED, np.exp((q - v[:, None]) / temperature), 0) / ALLOWED.sum(-1, keepdims=True)


def rows():
    """The features of all rooms, with their masks."""
    return torch.cat((torch.from_numpy(ALLOWED).float(), torch.eye(4)), -1)


def made(kind, env=Rooms, **given):
    settings = {"hidden": (4,), "num_envs": 2, "seed": 0, "horizon": 30} if kind is MaxEntPolicyGradient else TINY
    return kind(env, action_masks=True, **{**settings, **given})


def limited(**given):
    return lambda: gymnasium.wrappers.TimeLimit(Rooms(**given), 30)


# Exact answers


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [1.0, 0.0])
@pytest.mark.parametrize("kind", [SoftQLearning, SAC])
def test_values_and_policies_are_those_over_allowed_actions(kind, temperature):
    """The environment refuses any other action; with the forbidden rewards of 9 V would be 20 or more."""
    learner = kind(
        Rooms, action_masks=True, temperature=temperature, discount=0.8, exploration=0.2, seed=0,
        **{**learned.TABLE, "num_envs": 8},
    )  # fmt: skip
    learned.learn(learner, 6_000)
    v, policy = exact(temperature, 0.8 * 0.875)
    with torch.no_grad():
        log_policy = learner.log_policy(rows()) if kind is SoftQLearning else learner.actor(rows())
        if kind is SoftQLearning:
            found = learner.soft_value(rows())
        else:
            found = learner._policy_loss.value(learner.critics, rows(), temperature)
    np.testing.assert_allclose(found.numpy(), v, atol=0.12)
    np.testing.assert_allclose(log_policy.exp().numpy(), policy, atol=0.06)
    assert (log_policy.exp().numpy()[ALLOWED == 0] == 0).all()


@pytest.mark.parametrize("kind", [OriginalSAC, MaxEntPolicyGradient])
def test_the_others_take_allowed_actions_only(kind):
    learner = made(kind, limited())
    learner.learn(300)
    assert learner.journal.episodes > 3
    found = rollout(ActionMasks(limited()()), learner, 5, seed=0)
    assert found.lengths.sum() > 5


def test_a_prior_is_restricted_to_allowed_actions_and_normalised():
    space = ActionMasks(Rooms()).observation_space
    observations, actions = Observations(space), Actions(Rooms.action_space)
    assert mask_columns(space, actions) == slice(0, 3)
    for given, base in ((None, np.full(3, 1 / 3)), ([0.5, 0.2, 0.3], np.array([0.5, 0.2, 0.3]))):
        prior = ActionPrior(given, actions, observations, torch.device("cpu"))
        share = ALLOWED * base
        share = share / share.sum(-1, keepdims=True)
        np.testing.assert_allclose(prior.log_probabilities(rows()).exp().numpy(), share, atol=1e-6)
        entropy = -np.where(share > 0, share * np.log(np.where(share > 0, share, 1)), 0).sum(-1).mean()
        assert float(prior.entropy(rows())) == pytest.approx(entropy, abs=1e-6)
        drawn = prior.sample(rows().repeat(200, 1)).numpy()
        assert ALLOWED[np.tile(np.arange(4), 200), drawn].all()
    none = torch.cat((torch.zeros(1, 3), torch.eye(4)[:1]), -1)
    torch.testing.assert_close(prior.log_probabilities(none).exp()[0], torch.tensor([0.5, 0.2, 0.3]))
    with pytest.raises(
        InvalidArgument, match="`action_prior` must give a probability to an action that the mask allows"
    ):
        ActionPrior([1.0, 0.0, 0.0], actions, observations, torch.device("cpu")).sample(rows())


def test_masks_of_a_box_of_numbers_and_after_the_observation():
    space = spaces.Dict([("observation", spaces.Box(-1, 1, (2,))), ("action_mask", spaces.Box(0, 1, (3,), np.int8))])
    begin = 0 if next(iter(space.spaces)) == "action_mask" else 2
    assert mask_columns(space, Actions(spaces.Discrete(3))) == slice(begin, begin + 3)
    assert mask_columns(space, Actions(spaces.Discrete(4))) is None
    assert mask_columns(space, Actions(spaces.Box(-1, 1, (3,)))) is None


# Acting


@pytest.mark.parametrize("kind", KINDS)
def test_predict_takes_masks_and_keeps_to_them(kind):
    learner = made(kind, limited())
    for _ in range(20):
        action, _ = learner.predict(1, action_masks=[True, False, False])
        assert action == 0
        several, _ = learner.predict(np.array([0, 3, 2]), action_masks=ALLOWED[[0, 3, 2]])
        assert ALLOWED[[0, 3, 2], several].all()
    both, _ = learner.predict({"action_mask": np.array([0, 0, 1], np.int8), "observation": 2})
    assert both == 2


def test_an_environment_with_masks_in_its_observations_needs_no_argument():
    learner = SAC(lambda: ActionMasks(Rooms()), **TINY)
    learner.learn(60)
    vector = gymnasium.vector.SyncVectorEnv([lambda: ActionMasks(Rooms())] * 2)
    SoftQLearning(vector, **{**TINY, "action_masks": True}).learn(60)
    plain = gymnasium.vector.SyncVectorEnv([Rooms] * 2)
    with pytest.raises(InvalidArgument, match="`env` must not be a vector of environments with `action_masks`"):
        SoftQLearning(plain, **{**TINY, "action_masks": True})


def test_a_method_gives_masks_too():
    made(SoftQLearning, lambda: Rooms("method")).learn(60)


class Masker(gymnasium.Wrapper):
    """A wrapper that knows the mask, as sb3_contrib's ActionMasker does."""

    def action_masks(self):
        return ALLOWED[self.env.room].astype(bool)  # pyright: ignore[reportAttributeAccessIssue]


def test_a_method_of_a_wrapper_gives_masks_too():
    made(SAC, lambda: gymnasium.wrappers.TimeLimit(Masker(Rooms("none")), 7)).learn(60)


class EmptyLater(gymnasium.Env):
    """An environment that observes its mask, which is empty from the second episode on."""

    def __init__(self):
        self.observation_space = spaces.Dict(
            {"action_mask": spaces.MultiBinary(2), "observation": spaces.Box(-1.0, 1.0, (1,))}
        )
        self.action_space, self.episodes, self.time = spaces.Discrete(2), 0, 0

    def seen(self):
        return {"action_mask": np.full(2, self.episodes == 1, np.int8), "observation": np.zeros(1, np.float32)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episodes, self.time = self.episodes + 1, 0
        return self.seen(), {}

    def step(self, action):
        self.time += 1
        return self.seen(), 0.0, self.time == 3, False, {}


@pytest.mark.parametrize("mode", [None, *gymnasium.vector.AutoresetMode])
def test_an_empty_mask_of_a_later_episode_is_an_error_at_its_first_step(mode):
    """After the end of an episode a mask may be empty only where the next step resets."""
    env = EmptyLater if mode is None else gymnasium.vector.SyncVectorEnv([EmptyLater], autoreset_mode=mode)
    learner = SAC(env, **{**TINY, "num_envs": 1, "action_masks": mode is not None})
    with pytest.raises(EnvironmentFailure, match="must allow at least one action, but allows none"):
        learner.learn(20)
    assert learner.total_steps == 3


def test_taxi_learns_saves_and_evaluates_with_its_masks(tmp_path):
    """The mask of Taxi leaves out actions that change nothing; 30 steps, then the same learner from its file."""
    learner = SoftQLearning("Taxi-v4", action_masks=True, temperature=0.0, **{**TINY, "hidden": ()})
    learner.learn(60)
    rows, columns = learner._experience.replay._rows[:60], learner.masks
    assert columns is not None
    taken = rows[:, 2 * learner.observations.features].long()
    assert (rows[:, columns].gather(1, taken[:, None]) == 1).all()
    assert learner.evaluate(2, seed=0).lengths.sum() > 0
    learner.save(tmp_path / "taxi")
    again = SoftQLearning.load(tmp_path / "taxi")
    again.learn(90)
    learner.learn(90)
    assert equal(whole(learner, tmp_path / "a")[0], whole(again, tmp_path / "b")[0])


class Closes(Rooms):
    """It counts how many of its kind are closed."""

    closed = 0

    def close(self):
        Closes.closed += 1


def test_an_evaluation_closes_what_it_makes_and_nothing_else():
    gymnasium.register("tests/Closes-v0", Closes, max_episode_steps=5)
    try:
        learner = MaxEntPolicyGradient("tests/Closes-v0", action_masks=True, hidden=(4,), seed=0, num_envs=2)
        Closes.closed = 0
        learner.evaluate(3, seed=0)
        assert Closes.closed == 4  # three copies, and what they are copies of
        given = gymnasium.wrappers.TimeLimit(Closes(), 5)
        learner.evaluate(1, seed=0, env=given)
        assert Closes.closed == 4
    finally:
        del gymnasium.registry["tests/Closes-v0"]


# What is refused


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_or_missing_mask_of_an_environment_is_an_error_by_name(kind):
    with pytest.raises(EnvironmentFailure, match="must allow at least one action, but allows none"):
        made(kind, limited(empty=True)).learn(5)
    with pytest.raises(EnvironmentFailure, match=r"info\['action_mask'\] of .*must be 3 truth values.*but is None"):
        made(kind, limited(form="none")).learn(5)


def test_wrong_masks_are_refused_by_name():
    learner = made(SAC)
    for wrong in ([True, False], [0.5, 1, 1], "all", [[[1, 1, 1]]], [None, 1, 1]):
        with pytest.raises(
            InvalidArgument, match=r"`action_masks` must be truth values of shape \(3,\) or \(batch, 3\)"
        ):
            learner.predict(1, action_masks=wrong)
    with pytest.raises(InvalidArgument, match="`action_masks` must allow at least one action"):
        learner.predict(1, action_masks=[0, 0, 0])
    with pytest.raises(InvalidArgument, match="`action_masks` must be given"):
        learner.predict(1)
    with pytest.raises(InvalidArgument, match=r"`observation` must be of"):
        learner.predict(np.array([0, 1]), action_masks=ALLOWED[:3])
    for wrong in ([True, False], "yes"):
        with pytest.raises(InvalidArgument, match=r"`episode_start` must be 3 truth values, or None"):
            learner.predict(np.array([0, 1, 2]), episode_start=wrong, action_masks=ALLOWED[:3])  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidArgument, match="`action_masks` must be None for a learner without masks"):
        SAC(lambda: gymnasium.wrappers.TimeLimit(Rooms(), 5), **TINY).predict(1, action_masks=[1, 1, 1])
    with pytest.raises(InvalidArgument, match="`action_masks` must be False for actions that are not discrete"):
        SAC("Pendulum-v1", action_masks=True)
    with pytest.raises(InvalidArgument, match="`action_masks` must be True or False"):
        SAC("CartPole-v1", action_masks="info")  # pyright: ignore[reportArgumentType]
