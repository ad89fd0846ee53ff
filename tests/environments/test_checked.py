"""Environments and vectors of them that do not keep to Gymnasium's interface fail in words, wherever they are used."""

import enum

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorWrapper

from pgm_control import EnvironmentFailure, InvalidArgument, TabularMDP, check_against_env, rollout
from pgm_control.environments.checked import Checked, CheckedVector
from pgm_control.environments.discretise import discretise
from pgm_control.environments.membership import Membership
from pgm_control.guides import SimulatedGuide
from pgm_control.inverse_rl import record
from pgm_control.learners import SAC, MaxEntPolicyGradient, SoftQLearning
from pgm_control.models import SimulatorModel

TINY = {"hidden": (4,), "batch_size": 4, "capacity": 200, "learning_starts": 5, "seed": 0}


class Told(gymnasium.Env):
    """An environment of two states and two actions, whose answers are changed by a function."""

    def __init__(self, reset=lambda seen, info: (seen, info), step=lambda *answer: answer, states=None):
        self.observation_space, self.action_space = states or spaces.Discrete(2), spaces.Discrete(2)
        self.answers = reset, step
        self.time = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self.answers[0](self.seen(), {})

    def step(self, action):
        self.time += 1
        return self.answers[1](self.seen(), float(action), False, self.time >= 4, {"score": 1})

    def seen(self):
        if isinstance(self.observation_space, spaces.Discrete):
            return self.time % 2
        return np.full(self.observation_space.shape or (), 0.5, np.float32)


TABLE = TabularMDP(
    [1.0, 0.0, 0.0],
    np.ones((3, 2, 1)),
    np.array([[[1], [1]], [[0], [0]], [[2], [2]]]),
    np.array([[[0.0], [1.0]], [[0.0], [1.0]], [[0.0], [0.0]]]),
    4,
)
UNIFORM = np.full((2, 2), 0.5)
USES = {
    "a learner": lambda made: SAC(made, **TINY).learn(20),
    "a learner of copies": lambda made: SoftQLearning(made, num_envs=2, **TINY).learn(20),
    "a learner of episodes": lambda made: MaxEntPolicyGradient(made, horizon=4, num_envs=2, hidden=(), seed=0).learn(
        20
    ),
    "a rollout": lambda made: rollout(made(), UNIFORM, num_episodes=3, seed=0, max_episode_steps=4),
    "a recording": lambda made: record(made(), UNIFORM, num_episodes=2, seed=0),
    "a check": lambda made: check_against_env(TABLE, made(), total_steps=20, seed=0),
    "a model": lambda made: SimulatorModel(made, horizon=4, seed=0)(),
}
RESETS = {
    "the observation alone": (lambda seen, info: seen, r"Told.reset must return \(observation, info\), but returned"),
    "three values": (lambda seen, info: (seen, info, 0), "but returned 3 values, of types int, dict, int"),
    "no info": (lambda seen, info: (seen, 5), r"must return \(observation, info\), but returned 2 values"),
    "another state": (
        lambda seen, info: (2, info),
        r"observation of Told must .* Discrete\(2\), but is 2 at reset\(seed=",
    ),
}
STEPS = {
    "four values": (lambda seen, paid, over, cut, info: (seen, paid, cut, info), "must return 5 values, .*returned 4"),
    "another order": (
        lambda seen, paid, over, cut, info: (seen, paid, cut, info, {}),
        "`truncated` of Told must be True",
    ),
    "no answer": (lambda *answer: None, "must return 5 values, .* but returned a NoneType"),
    "info of another kind": (lambda *answer: (*answer[:4], 0), "must return 5 values"),
    "two rewards": (
        lambda seen, paid, *rest: (seen, np.ones(2), *rest),
        "reward of Told must be one finite number, but",
    ),
    "a word for a reward": (lambda seen, paid, *rest: (seen, "1", *rest), "must be one finite number, but is '1'"),
    "no reward": (lambda seen, paid, *rest: (seen, None, *rest), "must be one finite number, but is None"),
    "a complex reward": (lambda seen, paid, *rest: (seen, 1j, *rest), "must be one finite number, but is 1j"),
    "reward nan": (lambda seen, paid, *rest: (seen, np.nan, *rest), "must be one finite number, but is nan at step 0"),
    "a word for an end": (
        lambda seen, paid, over, *rest: (seen, paid, "no", *rest),
        "`terminated` of Told must be True",
    ),
    "a state too high": (
        lambda seen, *rest: (5, *rest),
        r"in its observation space, Discrete\(2\), but is 5 at step 0",
    ),
    "a negative state": (lambda seen, *rest: (-1, *rest), "but is -1 at step 0 of an episode that began with reset"),
    "a fraction": (lambda seen, *rest: (0.7, *rest), "but is 0.7"),
    "an array": (lambda seen, *rest: (np.zeros(2, int), *rest), r"of shape \(2,\)"),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("how", RESETS)
def test_answers_of_reset_that_are_not_those_of_the_interface_fail_in_words(how, use):
    change, message = RESETS[how]
    with pytest.raises(EnvironmentFailure, match=message):
        USES[use](lambda: Told(reset=change))


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("how", STEPS)
def test_answers_of_step_that_are_not_those_of_the_interface_fail_in_words(how, use):
    change, message = STEPS[how]
    with pytest.raises(EnvironmentFailure, match=message):
        USES[use](lambda: Told(step=change))


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("form", [lambda x: np.array([x]), np.float32, np.array, torch.tensor, lambda x: int(x)])
def test_numbers_of_other_kinds_are_read(form, use):
    def change(seen, paid, over, cut, info):
        return np.int32(seen), form(paid), np.bool_(over), np.array([cut]), info

    USES[use](lambda: Told(step=change))


@pytest.mark.wrong_types
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("wrong", [None, Told, 5, object()])
def test_what_is_no_environment_is_refused(use, wrong):
    if use in ("a rollout", "a recording", "a check") or wrong is not None:
        with pytest.raises(InvalidArgument, match="`env` must be"):
            USES[use](lambda: wrong)


def test_an_error_of_the_environment_names_the_seed_that_reproduces_it():
    def fail(*answer):
        raise ZeroDivisionError("no floor")

    with pytest.raises(
        EnvironmentFailure, match=r"Told raised an error at step 0 of an episode .*reset\(seed=\d+\).*no fl"
    ):
        rollout(Told(step=fail), UNIFORM, num_episodes=1, seed=0)
    with pytest.raises(EnvironmentFailure, match=r"Told raised an error at reset\(seed=3\): ZeroDivisionError"):
        Checked(Told(reset=fail)).reset(seed=3)


def test_a_discretised_environment_is_checked_but_for_its_bounds():
    class Line(Told):
        def __init__(self, paid):
            super().__init__(states=spaces.Box(0.0, 1.0, (1,)))
            self.state, self.paid = np.zeros(1), paid

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.state = np.full(1, 0.5)
            return self.state.astype(np.float32), {}

        def step(self, action):
            return (self.state + action).astype(np.float32), self.paid, False, False, {}

    found = discretise(Line(1.0), bins=4, horizon=2, num_samples=2, num_resets=3, seed=0)
    assert found.mdp.num_states == 5
    with pytest.raises(
        EnvironmentFailure, match=r"one finite number, but is nan at a step.*put into the cell 'x0 0.125'"
    ):
        discretise(Line(np.nan), bins=4, horizon=2, num_samples=2, num_resets=3, seed=0)


BOX = spaces.Box(-1.0, 1.0, (2,))
BOTH = spaces.Dict(a=spaces.Discrete(2), b=BOX)


@pytest.mark.parametrize(
    ("space", "inside", "outside"),
    [
        (spaces.Discrete(3, start=1), [1, np.int8(3), np.array(2)], [0, 4, 1.0, True + 0.5, "1", [1], None]),
        (BOX, [np.zeros(2), [1, -1], np.ones(2) * (1 + 1e-7), np.ones(2, int)],
         [np.zeros(3), np.full(2, 1.1), [np.nan, 0], np.array([np.inf, 0]), ["a", "b"], [1j, 0], [[0, 1], [0]]]),
        (spaces.Box(-np.inf, np.inf, (1,), np.float64), [[1e38]], [[1e39], [-1e39], [np.inf]]),
        (spaces.Box(0, 9, (1,), np.int64), [[9]], [[9.0], [10]]),
        (spaces.MultiDiscrete([2, 3]), [[1, 2]], [[2, 0], [0.0, 1.0], [0]]),
        (spaces.MultiBinary(2), [[1, 0], np.array([True, False])], [[2, 0], [0]]),
        (BOTH, [{"a": 1, "b": [0, 0]}], [{"a": 1}, {"a": 1, "b": [0, 0], "c": 0}, {"a": 2, "b": [0, 0]}, (1, [0, 0])]),
        (spaces.Tuple((spaces.Discrete(2), BOX)), [(1, [0, 0])], [(1,), (2, [0, 0]), 5]),
        (spaces.Text(3), ["abc"], ["abcd", 5]),
    ],
)  # fmt: skip
def test_membership_in_a_space(space, inside, outside):
    member = Membership(space)
    assert [member.problem(each) for each in inside] == [None] * len(inside)
    assert all(member.problem(each) for each in outside)
    space.seed(0)
    assert all(member.problem(space.sample()) is None for _ in range(20))
    several = gymnasium.vector.utils.batch_space(space, 4)
    several.seed(0)
    assert member.problem(several.sample(), (4,)) is None
    assert Membership(BOX, is_bounded=False).problem([5.0, 0.0]) is None
    assert Membership(BOX, is_bounded=False).problem([1e39, 0.0]) is not None


# Vectors of environments


class Other(enum.Enum):
    """Names of the modes as another library has them."""

    SAME = "same_step"


class Saying(VectorWrapper):
    """A vector that says in its own way when it resets, and whose steps are changed by a function."""

    def __init__(self, env, says, change=lambda *answer: answer):
        super().__init__(env)
        self.change = change
        self.metadata = {} if says is None else {"autoreset_mode": says}

    def step(self, actions):
        return self.change(*self.env.step(actions))


def pair(mode):
    return SyncVectorEnv([Told] * 2, autoreset_mode=mode)


@pytest.mark.parametrize(
    ("says", "mode"),
    [("SameStep", "SAME_STEP"), ("NEXT_STEP", "NEXT_STEP"), ("next_step", "NEXT_STEP"), ("Disabled", "DISABLED"),
     (Other.SAME, "SAME_STEP"), (AutoresetMode.DISABLED, "DISABLED")],
)  # fmt: skip
def test_the_autoreset_mode_is_read_in_every_form(says, mode):
    env = Saying(pair(AutoresetMode[mode]), says)
    learner = SoftQLearning(env, **TINY)
    learner.learn(60)
    assert learner.log[-1]["length"] == 4
    assert len(learner._experience.replay) == learner.total_steps
    assert (rollout(env, UNIFORM, num_episodes=6, seed=0).lengths == 4).all()
    model = SimulatorModel(env, horizon=9, seed=0)
    SimulatedGuide(model, hidden=())()
    assert model.lengths.tolist() == [4, 4]


@pytest.mark.parametrize("says", [None, "sometimes", 3, True])
def test_a_vector_that_does_not_say_when_it_resets_is_refused(says):
    for use in (lambda env: SAC(env, **TINY), SimulatorModel, lambda env: rollout(env, UNIFORM, num_episodes=1)):
        with pytest.raises(InvalidArgument, match=r"`env.metadata\['autoreset_mode'\]` must be .*distinguished"):
            use(Saying(pair(AutoresetMode.SAME_STEP), says))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda seen, paid, over, cut, info: (seen, paid, cut, info), "step must return 5 values, .* but returned 4"),
        (lambda seen, paid, *rest: (seen, paid[:1], *rest), r"`reward` of Saying.step must be an array of 2 finite"),
        (lambda seen, paid, *rest: (seen, ["a", "b"], *rest), "`reward` of"),
        (
            lambda seen, paid, *rest: (seen, paid * np.nan, *rest),
            "reward of .* must be finite, but environment 0 gave nan",
        ),
        (lambda seen, paid, over, *rest: (seen, paid, over + 0.5, *rest), "`terminated` of"),
        (lambda seen, paid, over, *rest: (seen, paid, over + 2, *rest), "`terminated` of .* must hold truth values"),
        (lambda seen, *rest: (seen + np.array([0, 7]), *rest), r"environment 1 of .*Discrete\(2\), but is"),
        (lambda seen, *rest: (seen[:1], *rest), "observation of"),
        (lambda *answer: (*answer[:4], {}), r"info\['final_obs'\] must hold the last observation"),
    ],
)
def test_answers_of_a_vector_that_are_not_those_of_the_interface_fail_in_words(change, message):
    for use in (
        lambda env: SAC(env, **TINY).learn(40),
        lambda env: SimulatedGuide(SimulatorModel(env, horizon=9), hidden=())(),
    ):
        with pytest.raises(EnvironmentFailure, match=message.replace("Saying", ".*")):
            use(Saying(pair(AutoresetMode.SAME_STEP), AutoresetMode.SAME_STEP, change))


def test_a_vector_with_one_seed_for_all_copies_is_seeded_by_an_integer():
    def first(seed):
        env = CheckedVector(gymnasium.make_vec("CartPole-v1", num_envs=3, vectorization_mode="vector_entry_point"))
        return env.reset(seed=seed)[0]

    assert np.array_equal(first([4, 5, 6]), first(4))
    assert not np.array_equal(first(4), first(5))
    env = gymnasium.make_vec("CartPole-v1", num_envs=3)
    found = SAC(env, **TINY)
    found.learn(60)
    assert len(found.worlds.observations) == 3
    MaxEntPolicyGradient(env, hidden=(), seed=0).learn(3)
