"""Gymnasium's tables equal a separate reading of `env.P` in plain Python; unsuitable environments are refused."""

import re

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces, wrappers
from gymnasium.envs.toy_text.cliffwalking import CliffWalkingEnv
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv
from gymnasium.envs.toy_text.taxi import TaxiEnv

from pgm_control import InvalidArgument, InvalidProblem, TabularMDP, TabularModel, UnsupportedEnvironment, infer

ENVIRONMENTS = {
    "frozen lake": lambda: gymnasium.make("FrozenLake-v1"),
    "frozen lake 8x8, few slips": lambda: gymnasium.make("FrozenLake-v1", map_name="8x8", success_rate=0.9),
    "frozen lake without slips": lambda: gymnasium.make("FrozenLake-v1", is_slippery=False),
    "cliff": lambda: gymnasium.make("CliffWalking-v1"),
    "slippery cliff": lambda: gymnasium.make("CliffWalkingSlippery-v1"),
    "taxi": lambda: gymnasium.make("Taxi-v4"),
    "taxi in the rain": lambda: gymnasium.make("Taxi-v4", is_rainy=True),
}
every_environment = pytest.mark.parametrize("make", ENVIRONMENTS.values(), ids=ENVIRONMENTS.keys())


def hard_value(probability, successor, reward, initial, horizon):
    """The best expected return, by backward induction on outcome arrays, in numpy."""
    value = np.zeros(len(initial))
    for _ in range(horizon):
        value = (probability * (reward + value[successor])).sum(-1).max(-1)
    return float(initial @ value)


def hard_value_of_mdp(mdp):
    return hard_value(
        mdp.probability.numpy(), mdp.successor.numpy(), mdp.reward.numpy(), mdp.initial.numpy(), mdp.horizon
    )


def hard_value_of_raw_rows(env, horizon):
    """The best expected return from the rows of `env.P` as they are, ignoring `terminated`."""
    listed, value = env.unwrapped.P, np.zeros(len(env.unwrapped.P))
    for _ in range(horizon):
        backup = [[sum(p * (r + value[t]) for p, t, r, _ in row) for row in listed[s].values()] for s in listed]
        value = np.max(backup, axis=1)
    return float(env.unwrapped.initial_state_distrib @ value)


@every_environment
def test_outcomes_are_in_the_order_of_the_environment(make):
    env = make()
    mdp = TabularMDP.from_gymnasium(env, horizon=5)
    listed, last = env.unwrapped.P, env.observation_space.n
    assert mdp.num_states == last + 1
    assert mdp.num_actions == env.action_space.n
    p, successor, reward = mdp.probability.tolist(), mdp.successor.tolist(), mdp.reward.tolist()
    for s in range(last):
        for a in range(mdp.num_actions):
            row = listed[s][a]
            padding = [0.0] * (mdp.num_outcomes - len(row))
            assert p[s][a] == pytest.approx([each[0] for each in row] + padding, abs=1e-15)
            for k, (chance, next_state, r, terminated) in enumerate(row):
                assert successor[s][a][k] == (last if terminated else next_state)
                assert reward[s][a][k] == (r if chance > 0 else 0)


@every_environment
def test_the_added_state_is_last_and_absorbing_with_zero_reward(make):
    mdp = TabularMDP.from_gymnasium(make(), horizon=5)
    possible = mdp.probability[-1] > 0
    assert possible.sum(-1).tolist() == [1] * mdp.num_actions
    assert set(mdp.successor[-1][possible].tolist()) == {mdp.num_states - 1}
    assert not mdp.reward[-1].any()
    assert mdp.initial[-1] == 0
    assert mdp.state_name(mdp.num_states - 1) == "ended"


@every_environment
def test_the_start_is_that_of_the_environment(make):
    env = make()
    mdp = TabularMDP.from_gymnasium(env, horizon=5)
    np.testing.assert_allclose(mdp.initial[:-1].numpy(), env.unwrapped.initial_state_distrib, rtol=0, atol=1e-15)


def test_terminated_outcomes_lead_to_the_added_state():
    mdp = TabularMDP.from_gymnasium(gymnasium.make("CliffWalking-v1"), horizon=5)
    above_goal, down = 35, 2
    assert mdp.successor[above_goal, down].tolist() == [48]
    assert mdp.reward[above_goal, down].tolist() == [-1.0]


def test_outcomes_to_the_same_state_are_kept_separate():
    """A step down from the slippery start falls off the cliff for −100 or stays for −1; both lead to the start."""
    mdp = TabularMDP.from_gymnasium(gymnasium.make("CliffWalkingSlippery-v1"), horizon=5)
    start, down = 36, 2
    assert mdp.successor[start, down].tolist() == [36, 36, 36]
    assert sorted(mdp.reward[start, down].tolist()) == [-100.0, -1.0, -1.0]


def test_known_optima():
    """These optima need the absorbing state, the time limit as horizon, and every duplicate (DESIGN section 6)."""
    lake = TabularMDP.from_gymnasium(gymnasium.make("FrozenLake-v1"))
    assert lake.horizon == 100
    assert hard_value_of_mdp(lake) == pytest.approx(0.7441902878, abs=5e-11)
    large = TabularMDP.from_gymnasium(gymnasium.make("FrozenLake8x8-v1"))
    assert large.horizon == 200
    assert hard_value_of_mdp(large) == pytest.approx(0.9132201502, abs=5e-11)
    cliff = TabularMDP.from_gymnasium(gymnasium.make("CliffWalking-v1"), horizon=50)
    assert hard_value_of_mdp(cliff) == -13


def test_trap_11_terminal_rows_are_not_absorbing():
    """In the raw rows the cliff's goal keeps costing −1 per step, and the taxi drops its passenger off repeatedly."""
    cliff, taxi = gymnasium.make("CliffWalking-v1"), gymnasium.make("Taxi-v4")
    goal = 47
    rows = cliff.get_wrapper_attr("P")[goal].values()
    assert any(next_state != goal for row in rows for _, next_state, _, _ in row)
    assert hard_value_of_raw_rows(cliff, 50) == -50
    assert hard_value_of_mdp(TabularMDP.from_gymnasium(cliff, horizon=50)) == -13
    honest = hard_value_of_mdp(TabularMDP.from_gymnasium(taxi, horizon=50))
    assert honest == pytest.approx(7.93, abs=0.005)
    assert hard_value_of_raw_rows(taxi, 50) > 100


def test_the_default_horizon_is_the_time_limit():
    assert TabularMDP.from_gymnasium(gymnasium.make("Taxi-v4")).horizon == 200
    assert TabularMDP.from_gymnasium(gymnasium.make("Taxi-v4"), horizon=3).horizon == 3
    assert TabularMDP.from_gymnasium(gymnasium.make("Taxi-v4", max_episode_steps=9)).horizon == 9
    assert TabularMDP.from_gymnasium(wrappers.TimeLimit(FrozenLakeEnv(), 8)).horizon == 8
    outer = wrappers.TimeLimit(gymnasium.make("FrozenLake-v1", max_episode_steps=7), 11)
    assert TabularMDP.from_gymnasium(outer).horizon == 7


def test_without_time_limit_the_horizon_is_required():
    for env in (gymnasium.make("CliffWalking-v1"), FrozenLakeEnv()):
        with pytest.raises(InvalidProblem, match=r"`horizon` must be given.*no time limit.*Pass horizon="):
            TabularMDP.from_gymnasium(env)


def test_discount_is_passed_on():
    assert TabularMDP.from_gymnasium(gymnasium.make("FrozenLake-v1"), discount=0.9).discount == 0.9


def test_fickle_passengers_are_refused():
    with pytest.raises(UnsupportedEnvironment, match=r"^Taxi-v4 was made with fickle_.*outside its transition table"):
        TabularMDP.from_gymnasium(gymnasium.make("Taxi-v4", fickle_passenger=True))
    with pytest.raises(UnsupportedEnvironment, match="TaxiEnv was made with"):
        TabularMDP.from_gymnasium(TaxiEnv(fickle_passenger=True), horizon=3)


def test_environments_without_a_table_are_refused():
    for name in ("CartPole-v1", "Blackjack-v1"):
        with pytest.raises(UnsupportedEnvironment, match=rf"^{name} has no transition table.*build a TabularMDP"):
            TabularMDP.from_gymnasium(gymnasium.make(name))


class Stubborn(gymnasium.Wrapper):
    """A wrapper that always goes left: it changes the problem without any of Gymnasium's base classes."""

    def step(self, action):
        return self.env.step(0)


CHANGING = {
    "reward": lambda env: wrappers.TransformReward(env, lambda r: 2 * float(r)),
    "observation": wrappers.TimeAwareObservation,
    "action": lambda env: wrappers.StickyAction(env, 0.25),
    "reward scale": wrappers.NormalizeReward,
    "anything": Stubborn,
}


@pytest.mark.parametrize("wrap", CHANGING.values(), ids=CHANGING.keys())
def test_wrappers_that_may_change_the_problem_are_refused(wrap):
    env = wrap(gymnasium.make("FrozenLake-v1"))
    for outer in (env, wrappers.TimeLimit(env, 10)):
        with pytest.raises(UnsupportedEnvironment) as caught:
            TabularMDP.from_gymnasium(outer, horizon=10)
        assert type(env).__name__ in str(caught.value)
        assert "Pass env.unwrapped" in str(caught.value)
    assert TabularMDP.from_gymnasium(env.unwrapped, horizon=10).num_states == 17


def test_wrappers_that_only_observe_are_allowed():
    env = wrappers.RecordEpisodeStatistics(gymnasium.make("FrozenLake-v1"))
    assert TabularMDP.from_gymnasium(env).num_states == 17


def test_names_are_those_of_the_environment():
    lake = TabularMDP.from_gymnasium(gymnasium.make("FrozenLake-v1"))
    assert (lake.state_name(0), lake.state_name(7), lake.action_name(2)) == ("(0, 0)", "(1, 3)", "right")
    assert TabularMDP.from_gymnasium(CliffWalkingEnv(), horizon=2).state_name(13) == "(1, 1)"
    assert TabularMDP.from_gymnasium(gymnasium.make("Taxi-v4")).action_name(4) == "pick up"


@pytest.mark.parametrize("name", ["FrozenLake-v1", "FrozenLake8x8-v1", "CliffWalking-v1", "CliffWalkingSlippery-v1"])
def test_the_layout_of_a_grid_agrees_with_its_state_names(name):
    mdp = TabularMDP.from_gymnasium(gymnasium.make(name), horizon=2)
    assert mdp.layout == (*(tuple(map(int, re.findall(r"\d+", each))) for each in mdp.state_names[:-1]), None)


def test_taxi_has_a_map_for_each_passenger_place_and_destination():
    """A step moves by one cell in the same map or not at all; other transitions reach the same cell of another map."""
    env = gymnasium.make("Taxi-v4")
    mdp = TabularMDP.from_gymnasium(env)
    assert mdp.layout is not None
    assert mdp.layout.index(None) == 500
    for s in range(500):
        row, column = mdp.layout[s] or (-1, -1)
        taxi_row, taxi_column, passenger, destination = env.get_wrapper_attr("decode")(s)
        assert (row // 6, row % 6, column // 6, column % 6) == (passenger, taxi_row, destination, taxi_column)
        for a, to in enumerate(mdp.successor[s, :, 0].tolist()):
            there = mdp.layout[to]
            moved = None if there is None else (there[0] - row, there[1] - column)
            if a < 4:
                assert moved in ((0, 0), ((1, 0), (-1, 0), (0, 1), (0, -1))[a])
            else:
                assert moved is None or (moved[0] % 6, moved[1]) == (0, 0)


class RandomOutcome(gymnasium.Env):
    """A user's environment with a table: one state, one action, two outcomes; `shape` has another meaning here."""

    observation_space = gymnasium.spaces.Discrete(1)
    action_space = gymnasium.spaces.Discrete(1)
    shape = (1, 1, 1)
    P = {0: {0: [(0.5, 0, 0.0, False), (0.5, 0, 1.0, True)]}}  # noqa: RUF012  Gymnasium's own layout
    initial_state_distrib = [1.0]  # noqa: RUF012


def test_other_environments_with_a_table_are_read_too():
    mdp = TabularMDP.from_gymnasium(RandomOutcome(), horizon=2)
    assert mdp.successor[0, 0].tolist() == [0, 1]
    assert (mdp.state_name(0), mdp.action_name(0)) == ("0", "0")
    assert hard_value_of_mdp(mdp) == 0.75


def test_a_table_that_is_not_normalised_is_refused():
    broken = RandomOutcome()
    broken.P = {0: {0: [(0.5, 0, 0.0, False)]}}
    with pytest.raises(InvalidProblem, match=r"`probability\[0, 0\]` \(state '0', action '0'\) must sum to 1"):
        TabularMDP.from_gymnasium(broken, horizon=2)


class Listed(gymnasium.Env):
    """An environment that is only its table."""

    def __init__(self, table, initial=(1.0, 0.0), states=2, actions=2):
        self.P, self.initial_state_distrib = table, list(initial)
        self.observation_space, self.action_space = (
            each if isinstance(each, spaces.Space) else spaces.Discrete(each) for each in (states, actions)
        )


END = [(1.0, 1, 0.5, True)]


def both(row):
    """The table of two states with this row for each of two actions."""
    return {s: dict.fromkeys(range(2), row) for s in range(2)}


def best(mdp):
    return float(infer(TabularModel(mdp, temperature=0.0), 0.0).v[0, 0])


def test_all_actions_are_read_where_states_have_different_ones():
    """The second action of the second state pays 10; the first state does not have it."""
    table = {
        0: {0: [(1.0, 1, 0.0, False)]},
        1: {0: [(1.0, 2, 0.0, True)], 1: [(1.0, 2, 10.0, True)]},
        2: {0: [(1.0, 2, 0.0, True)], 1: [(1.0, 2, 0.0, True)]},
    }
    mdp = TabularMDP.from_gymnasium(Listed(table, (1.0, 0.0, 0.0), 3), horizon=2)
    assert mdp.num_actions == 2
    assert best(mdp) == 10.0
    assert infer(TabularModel(mdp), 0.0).policy[0, 0].tolist() == [1.0, 0.0], "a missing action is impossible"
    last_only = {0: {1: [(1.0, 1, 3.0, True)]}}
    assert best(TabularMDP.from_gymnasium(Listed(last_only), horizon=1)) == 3.0


@pytest.mark.parametrize("row", [None, {}, {0: []}])
def test_the_row_of_a_terminal_state_may_be_missing_or_empty(row):
    table = {0: {0: [(1.0, 1, 1.0, True)]}} | ({} if row is None else {1: row})
    mdp = TabularMDP.from_gymnasium(Listed(table, actions=1), horizon=2)
    assert (mdp.num_states, best(mdp)) == (3, 1.0)
    assert infer(TabularModel(mdp), 0.0).objective == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("table", "initial"),
    [({0: {0: [(1.0, 1, 1.0, False)]}}, (1.0, 0.0)), ({0: {0: [(1.0, 0, 1.0, False)]}}, (0.5, 0.5))],
)
def test_a_state_that_is_entered_must_have_a_row(table, initial):
    with pytest.raises(UnsupportedEnvironment, match=r"`P` of Listed must list an action of state 1, because"):
        TabularMDP.from_gymnasium(Listed(table, initial, actions=1), horizon=2)


@pytest.mark.parametrize(
    "row",
    [
        [(1.0, 1, 0.5, True)],
        [[1, np.int32(1), np.float32(0.5), np.bool_(True)]],
        [(np.array(1.0), np.array(1), np.array([0.5]), 1)],
    ],
)
def test_numbers_of_numpy_and_lists_are_read(row):
    listed = [[row, row], [row, row]]
    for table in (both(row), listed, {np.int64(s): listed[s] for s in range(2)}):
        assert best(TabularMDP.from_gymnasium(Listed(table), horizon=1)) == 0.5


FORM = r"must list \(probability, next state, reward, terminated\)"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (both([(*END[0], {})]), rf"`P\[0\]\[0\]\[0\]` of Listed is .*{FORM}"),
        (both([END[0][:3]]), FORM),
        (both([1.0]), FORM),
        (both([(1.0, 1.5, 0.0, True)]), FORM),
        (both([(1.0, 1, np.zeros(2), True)]), FORM),
        (both([(1.0, 1, "0", True)]), FORM),
        (both([(1.0, 1, 0.0, None)]), FORM),
        (both(None), "must list an action of state 0"),
        (both({"p": 1}), rf"is a dict, but .*{FORM}"),
        (both("word"), rf"is a str, but .*{FORM}"),
        (both([(1.0, 2, 0.0, False)]), r"next state of `P\[0\]\[0\]\[0\]` of Listed must be from 0 to 1.* but is 2"),
        (both([(1.0, -1, 0.0, False)]), "must be from 0 to 1.* but is -1"),
        (np.full((2, 2, 2), 0.5), r"`P` of Listed must be a dictionary or a list of its 2 states, but is a ndarray"),
        (
            {"a": {0: END, 1: END}, "b": {0: END, 1: END}},
            "must be numbered from 0 to 1, its states, but has the key 'a'",
        ),
        ({1: {0: END}, 2: {0: END}}, "must be numbered from 0 to 1, its states, but has the key 2"),
        ({0: {0: END, 5: END}}, r"`P\[0\]` of Listed must be numbered from 0 to 1, its actions, but has the key 5"),
        ([[END, END]] * 3, "list of its 2 states, but is a list of 3 entries"),
        ({0: [END]}, r"list of its 2 actions, but is a list of 1 entries"),
    ],
)
def test_tables_of_another_form_are_refused_in_words(table, message):
    with pytest.raises(UnsupportedEnvironment, match=f"(?s){message}"):
        TabularMDP.from_gymnasium(Listed(table), horizon=2)


@pytest.mark.parametrize("initial", [(1.0,), (1.0, 0.0, 0.0), ("a", "b"), 1.0])
def test_initial_probabilities_must_be_one_for_each_state(initial):
    env = Listed(both(END))
    env.initial_state_distrib = initial
    with pytest.raises(UnsupportedEnvironment, match=r"`initial_state_distrib` of Listed, .*must hold 2 probabilities"):
        TabularMDP.from_gymnasium(env, horizon=2)


@pytest.mark.parametrize("space", [spaces.Discrete(2, start=1), spaces.MultiDiscrete([2]), None])
def test_spaces_that_do_not_number_from_0_are_refused(space):
    env = Listed(both(END))
    env.observation_space = space
    with pytest.raises(UnsupportedEnvironment, match="must have a Discrete `observation_space` that starts at 0"):
        TabularMDP.from_gymnasium(env, horizon=2)


@pytest.mark.wrong_types
def test_what_is_neither_an_environment_nor_an_id_is_refused():
    for wrong in (None, 5, FrozenLakeEnv, [gymnasium.make("FrozenLake-v1")]):
        with pytest.raises(InvalidArgument, match="`env` must be a Gymnasium environment or the id of one, but is"):
            TabularMDP.from_gymnasium(wrong)


def test_an_id_is_read_and_an_unknown_one_is_refused():
    mdp = TabularMDP.from_gymnasium("FrozenLake-v1")
    assert (mdp.num_states, mdp.horizon) == (17, 100)
    for name in ("Nowhere-v0", "FrozenLake-v9", "not an id", "nowhere:FrozenLake-v1"):
        with pytest.raises(InvalidArgument, match=f"Gymnasium cannot make '{name}': .*as `env`"):
            TabularMDP.from_gymnasium(name)
