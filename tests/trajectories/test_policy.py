"""Tests of `TabularPolicy`: the tables it accepts, the actions it samples, and Stable-Baselines3's `predict`."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from problems import random_mdp

from pgm_control import FreeGuide, InvalidArgument, TabularModel, TabularPolicy, infer

STATIONARY = np.array([[0.5, 0.3, 0.2], [0.0, 1.0, 0.0]])
TIMED = np.stack([np.eye(3)[[0, 1]], np.eye(3)[[1, 2]], np.eye(3)[[2, 0]]])  # the action is time + state, modulo 3


def test_shapes_and_sizes():
    stationary, timed = TabularPolicy(STATIONARY), TabularPolicy(TIMED)
    assert (stationary.horizon, stationary.num_states, stationary.num_actions) == (None, 2, 3)
    assert (timed.horizon, timed.num_states, timed.num_actions) == (3, 2, 3)
    assert repr(stationary) == "TabularPolicy(2 states, 3 actions, stationary)"
    assert repr(timed) == "TabularPolicy(2 states, 3 actions, 3 steps)"


def test_it_copies_its_table():
    given = STATIONARY.copy()
    policy = TabularPolicy(given)
    given[:] = 0
    assert torch.equal(policy.probability, torch.as_tensor(STATIONARY))


def test_floating_tensors_keep_their_dtype_and_the_rest_becomes_float64():
    assert TabularPolicy(torch.as_tensor(STATIONARY, dtype=torch.float32)).probability.dtype == torch.float32
    assert TabularPolicy(STATIONARY.astype(np.float32)[1:]).probability.dtype == torch.float64
    assert TabularPolicy(np.eye(3, dtype=int)).probability.dtype == torch.float64


REFUSED = {
    "nan": ([[np.nan, 1.0]], ["`probability[0, 0]`", "is nan", "Replace it"]),
    "negative": ([[1.5, -0.5]], ["`probability[0, 1]`", "-0.5", "exponentials"]),
    "sum": ([[[1.0, 0.0]], [[0.5, 0.4]]], ["`probability[1, 0]`", "sums to 0.9", "Divide by the sum"]),
    "axes": ([1.0], ["`probability`", "2 axes (state, action) or 3 axes (time, state, action)", "(1,)", "Reshape"]),
    "empty": (np.ones((0, 2)), ["`probability`", "empty", "(0, 2)"]),
}


@pytest.mark.parametrize(("table", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals_name_the_entry_its_value_and_the_remedy(table, words):
    with pytest.raises(InvalidArgument) as caught:
        TabularPolicy(np.asarray(table, dtype=float))
    for word in words:
        assert word in str(caught.value)


def test_logits_are_refused():
    """A guide's log-probabilities are a likely mistake."""
    with pytest.raises(InvalidArgument, match="if these are log-probabilities, pass their exponentials"):
        TabularPolicy(infer(TabularModel(random_mdp(0)), 1.0).blocks().log_policy)


# TabularPolicy.of


def test_of_a_posterior_a_guide_a_model_and_a_table():
    model = TabularModel(random_mdp(1))
    posterior, guide = infer(model, 1.0), FreeGuide(model)
    torch.testing.assert_close(TabularPolicy.of(posterior).probability, posterior.policy, rtol=1e-14, atol=0)
    of_guide = TabularPolicy.of(guide).probability
    assert not of_guide.requires_grad
    torch.testing.assert_close(of_guide, guide.blocks().log_policy.exp().detach(), rtol=1e-14, atol=0)
    assert torch.equal(TabularPolicy.of(model).probability, torch.full((3, 3, 2), 0.5, dtype=torch.float64))
    assert torch.equal(TabularPolicy.of(TIMED).probability, torch.as_tensor(TIMED))
    assert torch.equal(TabularPolicy.of(torch.as_tensor(TIMED)).probability, torch.as_tensor(TIMED))


def test_of_a_foreign_class_with_blocks():
    class Stubborn:
        def blocks(self):
            blocks = TabularModel(random_mdp(1, states=2, actions=2, horizon=4)).blocks()
            return blocks.replace(log_policy=torch.tensor([0.0, -torch.inf]).expand(4, 2, 2))

    assert TabularPolicy.of(Stubborn()).predict(np.array([0, 1]))[0].tolist() == [0, 0]


def test_of_a_policy_is_itself_unless_a_seed_asks_for_a_copy():
    policy = TabularPolicy(STATIONARY, seed=1)
    assert TabularPolicy.of(policy) is policy
    copy = TabularPolicy.of(policy, seed=1)
    assert copy is not policy
    zeros = np.zeros(20, dtype=int)
    assert copy.predict(zeros)[0].tolist() == policy.predict(zeros)[0].tolist()


@pytest.mark.parametrize("thing", ["FrozenLake-v1", None, [[0.5, 0.5]], lambda state: 0])
def test_of_anything_else_is_refused(thing):
    with pytest.raises(InvalidArgument, match=r"guide or a posterior.* but is .+\. Pass infer"):
        TabularPolicy.of(thing)


def test_table_repeats_a_stationary_policy_and_refuses_another_length():
    repeated = TabularPolicy(STATIONARY).table(4)
    assert repeated.shape == (4, 2, 3)
    assert all(torch.equal(row, torch.as_tensor(STATIONARY)) for row in repeated)
    assert torch.equal(TabularPolicy(TIMED).table(3), torch.as_tensor(TIMED))
    with pytest.raises(InvalidArgument, match=r"`horizon` must be 3, .* but is 4\. Solve the problem"):
        TabularPolicy(TIMED).table(4)


# predict, as in Stable-Baselines3


def test_time_advances_with_the_state_and_restarts_with_an_episode():
    policy = TabularPolicy(TIMED)
    action, state = policy.predict(np.array([0, 1]))
    assert isinstance(action, np.ndarray)
    assert (action.tolist(), state[0].tolist()) == ([0, 1], [1, 1])
    action, state = policy.predict(np.array([1, 1]), state)
    assert (action.tolist(), state[0].tolist()) == ([2, 2], [2, 2])
    action, state = policy.predict(np.array([1, 1]), state, np.array([True, False]))
    assert (action.tolist(), state[0].tolist()) == ([1, 0], [1, 3])


def test_the_loop_of_stable_baselines3s_documentation():
    """`states = None; episode_starts = ones` at the start, then the returned states, over several episodes."""
    policy, states, starts, seen = TabularPolicy(TIMED), None, np.ones(2, dtype=bool), []
    for step in range(9):
        actions, states = policy.predict(np.zeros(2, int), state=states, episode_start=starts, deterministic=True)
        seen.append(np.asarray(actions).tolist())
        starts = np.array([step % 3 == 2, step % 2 == 1])  # the first has episodes of three steps, the second of two
    assert [first for first, _ in seen] == [0, 1, 2] * 3
    assert [second for _, second in seen] == [0, 1] * 4 + [0]


def test_a_single_state_gives_a_single_action_that_environments_take():
    for observation in (1, np.int64(1), np.array(1)):
        action, state = TabularPolicy(TIMED).predict(observation)
        assert isinstance(action, np.int64)
        assert action == 1
        assert state[0].tolist() == [1]
        action, state = TabularPolicy(TIMED).predict(observation, state, np.array([False]))
        assert (action, state[0].tolist()) == (2, [2])
        assert TabularPolicy(TIMED).predict(observation, state, True)[1][0].tolist() == [1]


def test_predict_does_not_change_its_state_argument():
    before = (np.array([1, 1]),)
    TabularPolicy(TIMED).predict(np.array([0, 1]), before)
    assert before[0].tolist() == [1, 1]


def test_an_episode_longer_than_the_horizon_is_refused():
    with pytest.raises(InvalidArgument) as caught:
        TabularPolicy(TIMED).predict(np.array([0, 0]), (np.array([0, 3]),))
    for words in ("horizon, 3, but is 3", "mdp.replace(horizon=…)", "max_episode_steps=…", "episode_start=True"):
        assert words in str(caught.value)
    TabularPolicy(TIMED).predict(np.array([0, 0]), (np.array([0, 3]),), np.array([False, True]))
    TabularPolicy(STATIONARY).predict(np.array([0, 0]), (np.array([0, 10**6]),))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"observation": np.array([0, 2])}, ["`observation`", "0 to 1", "is 2", "its MDP describes"]),
        ({"observation": -1}, ["`observation`", "is -1"]),
        ({"observation": np.array([0.0])}, ["`observation`", "float64", "Discrete"]),
        ({"observation": np.zeros((2, 2), int)}, ["`observation`", "shape (2, 2)"]),
        ({"observation": np.array([0, 1]), "state": (np.zeros(3, int),)}, ["`state`", "2 observations", "holds 3"]),
        ({"observation": np.array([0, 1]), "episode_start": np.ones(1, bool)}, ["`episode_start`", "holds 1", "None"]),
    ],
)
def test_bad_calls_are_refused(call, words):
    with pytest.raises(InvalidArgument) as caught:
        TabularPolicy(STATIONARY).predict(**call)
    for word in words:
        assert word in str(caught.value)


def test_deterministic_takes_the_most_probable_action_and_the_first_of_several():
    policy = TabularPolicy([[0.2, 0.5, 0.3], [1 / 3, 1 / 3, 1 / 3], [0.1, 0.45, 0.45]] @ np.eye(3))
    for _ in range(3):
        assert np.asarray(policy.predict(np.array([0, 1, 2]), deterministic=True)[0]).tolist() == [1, 0, 1]


@pytest.mark.statistical
def test_actions_have_the_right_frequencies():
    """Each of three counts is within five standard errors: a false alarm has probability 6e-7 each."""
    n = 40_000
    actions, _ = TabularPolicy(STATIONARY, seed=0).predict(np.zeros(n, int))
    frequency = np.bincount(np.asarray(actions), minlength=3) / n
    error = np.sqrt(STATIONARY[0] * (1 - STATIONARY[0]) / n)
    assert (np.abs(frequency - STATIONARY[0]) < 5 * error).all()


def test_impossible_actions_are_never_drawn():
    class Extreme:
        """A generator that returns only its smallest and largest numbers."""

        def random(self, shape):
            return np.resize([0.0, 1.0 - 2**-53], shape)

    rows = np.array([[0.0, 0.7, 0.2, 0.1, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0]])
    rows[0] /= rows[0].sum()
    for table in (torch.as_tensor(rows), torch.as_tensor(rows, dtype=torch.float32)):
        policy = TabularPolicy(table)
        policy._random = Extreme()  # pyright: ignore[reportAttributeAccessIssue]  stands in for the generator
        assert np.asarray(policy.predict(np.array([0, 0, 1, 1]))[0]).tolist() == [1, 3, 2, 2]


def test_the_seed_determines_the_actions_and_the_global_generator_is_unchanged():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    zeros = np.zeros(50, int)
    first, again, other, fresh, fresher = (
        np.asarray(TabularPolicy(STATIONARY, seed).predict(zeros)[0]).tolist() for seed in (7, 7, 8, None, None)
    )
    assert first == again
    assert first != other
    assert fresh != fresher
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_an_environment_with_the_same_seed_has_other_random_numbers():
    """Both use PCG64; from the same stream the actions would repeat the random numbers of the transitions."""
    env = gymnasium.make("FrozenLake-v1")
    env.reset(seed=5)
    of_dynamics = env.unwrapped.np_random.random(200)
    numbers: Any = TabularPolicy(STATIONARY, seed=5)._random
    of_actions = numbers.random(201)
    assert not set(of_dynamics) & set(of_actions)
    assert set(np.random.default_rng(5).random(201)) >= set(of_dynamics)
