"""Conversion of demonstrations: imitation's layout in both directions, live environments, and invalid input."""

from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
import torch
from demonstrated import corridor
from problems import random_mdp

from pgm_control import InvalidArgument, TabularMDP, TabularModel, infer
from pgm_control.exchange import discretise
from pgm_control.inverse_rl import Demonstrations, Episode, from_episodes, inverse, record, to_episodes


def same(one, other):
    for name in ("moves", "ends"):
        for a, b in zip(getattr(one, name), getattr(other, name), strict=True):
            torch.testing.assert_close(a, b)
    torch.testing.assert_close(one.starts, other.starts)
    return True


@pytest.fixture(scope="module")
def lake():
    env = gymnasium.make("FrozenLake-v1", max_episode_steps=12)
    return TabularMDP.from_gymnasium(env, 12), env


def test_samples_round_trip_through_the_layout_of_imitation():
    mdp = random_mdp(0, horizon=5)
    sample = infer(TabularModel(mdp), 0.0).sample(20, torch.Generator().manual_seed(0))
    episodes = to_episodes(mdp, sample)
    expected = Demonstrations.from_trajectories(mdp, sample)
    as_objects = [SimpleNamespace(**each.to_imitation()) for each in episodes]
    for layout in (episodes, [each.to_imitation() for each in episodes], as_objects):
        assert same(from_episodes(mdp, layout), expected)
    first = episodes[0]
    assert set(first.to_imitation()) == {"obs", "acts", "rews", "infos", "terminal"}
    assert len(first.obs) == len(first.acts) + 1 == len(first.rews) + 1 == len(first.infos) + 1 == 6
    s, a, k = (each[0] for each in sample)
    np.testing.assert_allclose(first.rews, mdp.reward[s[:-1], a, k])
    assert (first.terminated, first.truncated, first.terminal) == (False, True, True)


def test_episodes_that_fall_into_a_hole_lead_to_ended_and_truncated_ones_do_not(lake):
    mdp, env = lake
    episodes = record(env, infer(TabularModel(mdp, 0.1), 0.0), 60, seed=1)
    fell = [each for each in episodes if each.terminated]
    cut = [each for each in episodes if each.truncated and not each.terminated]
    assert len(fell) + len(cut) == 60
    assert fell
    assert cut
    assert all(len(each.acts) == 12 for each in cut)
    found = from_episodes(mdp, episodes)
    ended = mdp.num_states - 1
    assert float(found.ends.weight[found.ends.state == ended].sum()) == len(fell)
    assert same(from_episodes(mdp, [each.to_imitation() for each in episodes]), found)
    assert "60 of at most 12 steps" in repr(found)
    result = inverse(TabularModel(mdp, 0.1), found, "state", prior=1.0)
    assert result.occupancy_error < 1.0


def test_terminal_without_a_time_limit_in_infos_counts_as_terminated(lake):
    """A plain trajectory of imitation has no infos; with `TimeLimit.truncated` in its infos it is truncated."""
    mdp, _ = lake
    acts, obs = [1, 1], [0, 4, 5]
    over, cut = (
        {"obs": obs, "acts": acts, "terminal": True, "infos": each}
        for each in (None, [{}, {"TimeLimit.truncated": True}])
    )
    assert from_episodes(mdp, [over]).ends.state.tolist() == [16]
    with pytest.raises(InvalidArgument, match=r"action . leads from state 4 to state 5, which has probability 0"):
        from_episodes(mdp, [cut])


def test_equal_seeds_give_equal_episodes_and_their_mean_return_is_that_of_the_policy(lake):
    mdp, env = lake
    policy = infer(TabularModel(mdp, 0.05), 0.0)
    one, other = (record(env, policy, 400, seed=3) for _ in range(2))
    assert all(np.array_equal(a.obs, b.obs) and np.array_equal(a.acts, b.acts) for a, b in zip(one, other, strict=True))
    from pgm_control import evaluate

    earned = np.array([each.rews.sum() for each in one])
    error = max(earned.std(), 0.05) / 20
    assert abs(earned.mean() - evaluate(TabularModel(mdp, 0.05), policy).true_return) < 5 * error


def test_a_discretised_environment_is_recorded_by_cells():
    """States are cells, the end is the last state, and actions are numbered.

    `from_episodes` is not tested here: it would refuse live transitions that are impossible in the cells."""
    found = discretise("CartPole-v1", bins=(1, 2, 6, 4), num_samples=8, horizon=30, seed=0)
    best = infer(TabularModel(found.mdp, 1.0), 0.0)
    episodes = record("CartPole-v1", found.player(best, seed=0), 5, seed=0)
    for each in episodes:
        assert each.obs.max() <= found.cells.count
        assert each.terminated == (each.obs[-1] == found.cells.count)
        assert len(each.acts) <= 30
        assert set(each.acts) <= {0, 1}


BAD = [
    ({"obs": [0]}, "must be a list of trajectories"),
    ([{"obs": [0, 1]}], r"`episodes\[0\]` must have acts"),
    ([{"obs": [0], "acts": [0], "terminal": False}], "one observation more than actions, but has 1 and 1"),
    ([{"obs": [0.5, 1.0], "acts": [0], "terminal": False}], r"`episodes\[0\].obs` must be a row of whole numbers"),
    ([{"obs": np.zeros((2, 4)), "acts": [0], "terminal": False}], r"shape \(2, 4\)"),
    ([{"obs": [0, 1], "acts": [0]}], r"`episodes\[0\]` must have terminal"),
]


@pytest.mark.parametrize(("given", "message"), BAD, ids=range(len(BAD)))
def test_malformed_episodes_are_refused(lake, given, message):
    with pytest.raises(InvalidArgument, match=message):
        from_episodes(lake[0], given)


def test_bad_arguments_of_record_are_refused(lake):
    policy = infer(TabularModel(lake[0]), 0.0)
    with pytest.raises(InvalidArgument, match="`num_episodes` must be a whole number"):
        record(lake[1], policy, 0, seed=0)
    with pytest.raises(InvalidArgument, match="`env` must have discrete states and actions"):
        record("CartPole-v1", policy, 1, seed=0)


def test_an_episode_of_a_discounted_problem_ends_where_the_discount_ends_it():
    mdp = random_mdp(0, horizon=6).replace(discount=0.5)
    sample = infer(TabularModel(mdp), 0.0).sample(50, torch.Generator().manual_seed(0))
    episodes = to_episodes(mdp, sample)
    assert any(each.terminated and len(each.acts) < 6 for each in episodes)
    assert all(isinstance(each, Episode) and each.obs.max() < mdp.num_states for each in episodes)


@pytest.mark.parametrize("wrong", [-5, -2, 4])
def test_successors_that_are_no_state_are_refused(wrong):
    """Only −1 means that the state was not observed."""
    mdp = corridor(1)
    with pytest.raises(ValueError, match=f"`successors` must be numbers from 0 to 3, or -1 .*number 1 is {wrong}"):
        Demonstrations.from_transitions(mdp, [0, 0], [0, 0], [0, wrong])
    assert Demonstrations.from_transitions(mdp, [0, 0], [0, 0], [0, -1]).has_outcomes
    assert not Demonstrations.from_transitions(mdp, [0], [0], [-1]).has_outcomes
