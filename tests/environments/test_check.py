"""`check_against_env`: correct tables pass, planted errors are found, and the statistic has the stated distribution."""

from collections import Counter

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from pgm_control import EnvironmentCheck, EnvironmentFailure, InvalidArgument, TabularMDP, check_against_env
from pgm_control.environments.check import ImpossibleStart, ImpossibleTransition, _p_value, _row

ENVIRONMENTS = {
    "frozen lake": lambda: gymnasium.make("FrozenLake-v1"),
    "frozen lake 8x8, few slips": lambda: gymnasium.make("FrozenLake-v1", map_name="8x8", success_rate=0.9),
    "cliff": lambda: gymnasium.make("CliffWalking-v1"),
    "slippery cliff": lambda: gymnasium.make("CliffWalkingSlippery-v1"),
    "taxi": lambda: gymnasium.make("Taxi-v4"),
    "taxi in the rain": lambda: gymnasium.make("Taxi-v4", is_rainy=True),
}


@pytest.fixture
def lake():
    return gymnasium.make("FrozenLake-v1")


@pytest.fixture
def mdp(lake):
    return TabularMDP.from_gymnasium(lake)


def transitions(check):
    return [found for found in check.impossible if isinstance(found, ImpossibleTransition)]


def altered(table, index, value):
    copy = table.clone()
    copy[index] = torch.as_tensor(value, dtype=table.dtype)
    return copy


@pytest.mark.statistical
@pytest.mark.parametrize("make", ENVIRONMENTS.values(), ids=ENVIRONMENTS.keys())
def test_the_tables_of_gymnasium_pass(make):
    """False alarm: 1e-4 per environment, by the definition of `ok`."""
    env = make()
    check = check_against_env(TabularMDP.from_gymnasium(env, horizon=20), env, seed=0)
    assert check.ok, str(check)
    assert check.impossible == ()
    assert str(check).startswith("The table agrees with the environment, in 10000 random steps.")


def test_events_that_occurred_are_tested(lake, mdp):
    """Eleven states, with four actions of two or three outcomes each: nearly all are visited often enough."""
    assert check_against_env(mdp, lake, seed=0).degrees_of_freedom >= 60
    assert check_against_env(mdp, lake, total_steps=10, seed=0).degrees_of_freedom == 0


@pytest.mark.slow
@pytest.mark.statistical
def test_p_values_are_uniform_for_a_correct_table(lake, mdp):
    """False alarm: 80 p-values, 16 expected in each fifth; fewer than 3 or more than 35 in any of them, 3e-5."""
    p = [check_against_env(mdp, lake, total_steps=1500, seed=seed).p_value for seed in range(80)]
    fifths, _ = np.histogram(p, bins=5, range=(0, 1))
    assert fifths.min() >= 3
    assert fifths.max() <= 35


def test_a_wrong_successor_is_impossible_and_named(lake, mdp):
    """Going left from the start may go down to state 4; a table with state 8 instead is found."""
    k = mdp.successor[0, 0].tolist().index(4)
    check = check_against_env(mdp.replace(successor=altered(mdp.successor, (0, 0, k), 8)), lake, seed=0)
    assert not check.ok
    (found,) = check.impossible
    assert isinstance(found, ImpossibleTransition)
    assert (found.state, found.action, found.next_state, found.reward) == (0, 0, 4, 0.0)
    assert found.count > 50
    for words in (
        "contradicts the environment",
        f"{found.count} times action 0 'left' in state 0 '(0, 0)' led to state 4 '(1, 0)' with reward 0",
        "the table lists state 0 '(0, 0)' with reward 0 (probability 0.6667), state 8 '(2, 0)' with reward 0",
        "Correct `successor`, `reward` or `initial` there",
    ):
        assert words in str(check)


def test_a_wrong_reward_is_impossible(lake, mdp):
    check = check_against_env(mdp.replace(reward=altered(mdp.reward, (0, 1), 0.001)), lake, seed=0)
    assert {(found.state, found.action, found.reward) for found in transitions(check)} == {(0, 1, 0.0)}


def test_a_wrong_destination_of_termination_is_impossible():
    """Trap 11: termination leads to the goal instead of the absorbing state."""
    env = gymnasium.make("FrozenLake-v1", is_slippery=False)
    mdp = TabularMDP.from_gymnasium(env)
    holes = mdp.successor.clone()
    holes[holes == 16] = 15
    check = check_against_env(mdp.replace(successor=holes), env, seed=0)
    assert {found.next_state for found in transitions(check)} == {16}
    assert all("'ended'" in found.text for found in check.impossible)


def test_a_wrong_start_is_impossible(lake, mdp):
    check = check_against_env(mdp.replace(initial=torch.eye(17, dtype=torch.float64)[2]), lake, seed=0)
    (found,) = check.impossible
    assert found == ImpossibleStart(0, check.num_episodes, found.text)
    assert f"{check.num_episodes} episodes began in state 0 '(0, 0)', where `initial` is 0" in str(check)


def test_a_wrong_frequency_is_improbable(lake, mdp):
    """Action right in the start state: the true probabilities are (1/3, 1/3, 1/3); (.45, .10, .45) is off by 10 σ."""
    check = check_against_env(
        mdp.replace(probability=altered(mdp.probability, (0, 2), [0.45, 0.1, 0.45])), lake, seed=0
    )
    assert check.impossible == ()
    assert check.p_value < 1e-10
    assert not check.ok
    for words in ("worst row: action 2 'right' in state 0 '(0, 0)', seen ", "expected", "Correct `probability`"):
        assert words in str(check)


def test_wrong_start_frequencies_are_improbable():
    env = Spinner(outcomes=2, weights=(0.5, 0.5), episode=1)
    mdp = spinner_table(start=(0.6, 0.4))
    check = check_against_env(mdp, env, total_steps=4000, seed=0)
    assert check.p_value < 1e-10
    assert check.worst.startswith("the start of an episode, seen 4000 times")


def test_an_environment_that_changes_state_outside_its_table_is_found():
    """The table of the default taxi fails with `fickle_passenger`, which is therefore refused."""
    steady = TabularMDP.from_gymnasium(gymnasium.make("Taxi-v4"))
    check = check_against_env(steady, gymnasium.make("Taxi-v4", fickle_passenger=True), total_steps=30_000, seed=0)
    assert check.impossible


def test_truncation_is_not_termination():
    env = gymnasium.make("FrozenLake-v1", max_episode_steps=2)
    check = check_against_env(TabularMDP.from_gymnasium(env), env, total_steps=2000, seed=0)
    assert check.ok
    assert check.num_episodes == 1000


def test_single_precision_tables_are_accepted():
    env = Spinner(outcomes=2, weights=(0.5, 0.5), reward=0.1)
    double = spinner_table(reward=0.1)
    assert check_against_env(double, env, total_steps=1000, seed=0).ok
    assert check_against_env(double.to(dtype=torch.float32), env, total_steps=1000, seed=0).ok
    off = double.to(dtype=torch.float32).replace(reward=1.001 * double.reward.float())
    assert not check_against_env(off, env, total_steps=50, seed=0).ok


def test_only_the_most_frequent_contradictions_are_listed(lake, mdp):
    check = check_against_env(mdp.replace(reward=mdp.reward + 1), lake, seed=0)
    assert len(check.impossible) > 20
    assert f"and {len(check.impossible) - 5} more kinds" in str(check)
    assert len(str(check).splitlines()) == 9
    counts = [found.count for found in check.impossible]
    assert counts == sorted(counts, reverse=True)


def test_the_seed_determines_the_check_and_the_global_generator_does_not_change(lake, mdp):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (check_against_env(mdp, lake, total_steps=500, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_the_environment_stays_open():
    env = Spinner(outcomes=2, weights=(0.5, 0.5))
    check_against_env(spinner_table(), env, total_steps=10, seed=0)
    assert not env.closed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"total_steps": 0}, ["`total_steps`", "at least 1", "is 0"]),
        ({"total_steps": True}, ["`total_steps`", "is True"]),
        ({"seed": -1}, ["`seed`", "at least 0", "is -1"]),
        ({"env": gymnasium.make("CartPole-v1")}, ["`env.observation_space`", "Discrete", "Box("]),
        ({"env": gymnasium.make("CliffWalking-v1")}, ["`env.observation_space`", "16 elements", "has 48", "from_gymn"]),
    ],
)
def test_errors_name_the_argument_and_the_remedy(lake, mdp, change, words):
    with pytest.raises(InvalidArgument) as caught:
        check_against_env(**({"mdp": mdp, "env": lake} | change))
    for word in words:
        assert word in str(caught.value)


def test_a_table_without_the_absorbing_state_is_refused(lake, mdp):
    bare = TabularMDP(
        mdp.initial[:-1], mdp.probability[:-1], mdp.successor[:-1].clamp(max=15), mdp.reward[:-1], mdp.horizon
    )
    with pytest.raises(InvalidArgument, match="must have 15 elements, the states but the last of `mdp`, but has 16"):
        check_against_env(bare, lake, seed=0)


def test_other_actions_are_refused(lake, mdp):
    fewer = TabularMDP(mdp.initial, mdp.probability[:, :3], mdp.successor[:, :3], mdp.reward[:, :3], mdp.horizon)
    with pytest.raises(InvalidArgument, match=r"`env\.action_space` must have 3 elements.* but has 4"):
        check_against_env(fewer, lake, seed=0)


def test_an_environment_that_leaves_its_own_space_is_refused():
    with pytest.raises(EnvironmentFailure, match=r"observation of Spinner must be .* Discrete\(2\), but is 2 at reset"):
        check_against_env(spinner_table(), Spinner(outcomes=3, weights=(0.0, 0.0, 1.0), claims=2), seed=0)


def test_the_statistic_by_hand():
    """60 heads and 40 tails: χ² = 4. Cells expected below 5 are pooled, then joined with the smallest other cell."""
    fair = {"heads": 0.5, "tails": 0.5}
    row = _row("a coin", fair, Counter(heads=60, tails=40), str)
    assert (row.statistic, row.freedom) == (pytest.approx(4.0), 1)
    rare = {"a": 0.5, "b": 0.44, "c": 0.03, "d": 0.03}
    assert _row("", rare, Counter(a=50, b=44, c=3, d=3), str).freedom == 2
    rarer = {"a": 0.5, "b": 0.48, "c": 0.02}
    row = _row("", rarer, Counter(a=60, b=40, c=0), str)
    assert (row.statistic, row.freedom) == (pytest.approx(4.0), 1)
    assert _row("", fair, Counter(heads=5, tails=3), str).freedom == 0
    assert _row("", {"sure": 1.0}, Counter(sure=9), str).freedom == 0


@pytest.mark.parametrize(("statistic", "freedom"), [(3.841459, 1), (18.307038, 10), (124.342113, 100)])
def test_p_values_agree_with_tables(statistic, freedom):
    """The 5 % points of the χ² distribution."""
    assert _p_value(statistic, freedom) == pytest.approx(0.05, abs=1e-7)


def test_the_text_mentions_missing_degrees_of_freedom():
    check = EnvironmentCheck(5, 1, (), 0.0, 0, 1.0, "")
    assert check.ok
    assert "no row was visited often enough to be tested. If any is random, raise `total_steps`" in str(check)


class Spinner(gymnasium.Env):
    """A wheel that every action spins. Every step has the same reward; episodes start at a random outcome."""

    def __init__(self, outcomes, weights, reward=1.0, claims=None, episode=10):
        self.observation_space = spaces.Discrete(claims or outcomes)
        self.action_space = spaces.Discrete(1)
        self.weights, self.reward, self.episode, self.closed = weights, reward, episode, False

    def spin(self):
        return int(self.np_random.choice(len(self.weights), p=self.weights))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self.spin(), {}

    def step(self, action):
        self.time += 1
        return self.spin(), self.reward, False, self.time >= self.episode, {}

    def close(self):
        self.closed = True


def spinner_table(start=(0.5, 0.5), reward=1.0):
    probability = np.array([[[0.5, 0.5]], [[0.5, 0.5]], [[1.0, 0.0]]])
    successor = np.array([[[0, 1]], [[0, 1]], [[2, 2]]])
    return TabularMDP([*start, 0.0], probability, successor, reward * (successor < 2), horizon=10)
