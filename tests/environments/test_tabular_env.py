"""Tabular environments: their steps agree with their tables, and Gymnasium accepts them."""

import copy
import math
import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import wrappers
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import NameNotFound, ResetNeeded
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from problems import random_mdp
from strategies import laws, mdp_of, problems

from pgm_control import (
    InvalidArgument,
    InvalidProblem,
    Optimism,
    TabularEnv,
    TabularMDP,
    TabularModel,
    UnsupportedEnvironment,
    check_against_env,
    evaluate,
    infer,
    rollout,
    to_gymnasium,
    value_iteration,
    zoo,
)
from pgm_control.environments.registration import register_environments
from pgm_control.models import MultiGoalEnv, environment_id, risky_path, windy_bridge, windy_bridge_in_parts, zoo_entry
from pgm_control.models.environments import zoo_environment
from pgm_control.models.multi_goal import GOALS

IDS = register_environments()
TABULAR = IDS[:-1]
MULTI_GOAL = IDS[-1]
every_id = pytest.mark.parametrize("name", IDS)
every_problem = pytest.mark.parametrize("name", list(zoo()))


def bare(env_id, **arguments) -> Any:
    return gymnasium.make(env_id, **arguments).unwrapped


def play(env, actions, seed=0) -> list[Any]:
    """The observations and steps until the actions or the episode end."""
    seen: list[Any] = [env.reset(seed=seed)]
    for action in actions:
        seen.append(env.step(action))
        if seen[-1][2] or seen[-1][3]:
            break
    return seen


def fixed(values) -> Any:
    """A substitute for `np_random` that returns the given numbers."""
    stream = iter(values)
    return type("Fixed", (), {"random": lambda self: next(stream)})()


def with_final_reward(discount=0.9, **sizes):
    mdp = random_mdp(3, discount=discount, **sizes)
    return mdp.replace(final_reward=torch.arange(mdp.num_states, dtype=torch.float64) - 0.7)


# Gymnasium's own checks


@every_id
def test_gymnasium_accepts_it_without_a_warning(name):
    """Warnings are errors here."""
    check_env(bare(name))


@pytest.mark.parametrize("name", TABULAR)
def test_gymnasium_accepts_it_with_observed_time(name):
    check_env(bare(name, observe_time=True))


def test_gymnasium_accepts_a_problem_outside_the_zoo():
    check_env(to_gymnasium(random_mdp(0)))
    check_env(to_gymnasium(with_final_reward(), observe_time=True))


# The table


@laws
@given(problems(forbidden=False))
def test_the_table_read_back_is_the_same_problem(problem):
    """Without observed time if there is no final reward, and always with observed time."""
    mdp = mdp_of(problem)
    for observe_time in [True] if mdp.final_reward is not None and mdp.final_reward.any() else [True, False]:
        env = to_gymnasium(mdp, observe_time)
        again = TabularMDP.from_gymnasium(env, horizon=mdp.horizon, discount=mdp.discount)
        assert env.observation_space == gymnasium.spaces.Discrete(again.num_states - 1)
        for optimism in (0.0, 1.0, Optimism(-0.5, 0.3)):
            found, expected = (infer(TabularModel(each, problem.temperature), optimism) for each in (again, mdp))
            assert found.objective == pytest.approx(expected.objective, abs=1e-9, rel=1e-9)


@every_problem
@pytest.mark.parametrize("optimism", [0.0, 1.0])
def test_the_zoo_read_back_from_its_environments_is_the_same(name, optimism):
    """The id alone is enough: the horizon is in its spec."""
    again, mdp = TabularMDP.from_gymnasium(gymnasium.make(environment_id(name))), zoo_entry(name).build()
    assert again.horizon == mdp.horizon
    assert again.layout == (None if mdp.layout is None else (*mdp.layout, None))
    assert TabularMDP.from_gymnasium(to_gymnasium(mdp, observe_time=True)).layout is None
    found, expected = (infer(TabularModel(each, 0.5), optimism).objective for each in (again, mdp))
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("optimism", [0.0, 1.0])
@pytest.mark.parametrize("discount", [0.9, 1.0])
def test_with_observed_time_the_stationary_optimum_is_that_of_infer(optimism, discount):
    mdp = with_final_reward(discount, horizon=4)
    timed = TabularMDP.from_gymnasium(to_gymnasium(mdp, observe_time=True), discount=discount)
    stationary = value_iteration(TabularModel(timed, 0.7), optimism, tolerance=1e-10).v[:-1].reshape(5, 3)
    posterior = infer(TabularModel(mdp, 0.7), optimism)
    torch.testing.assert_close(stationary[:4], posterior.v[:4], rtol=0, atol=1e-9)
    assert stationary[4].abs().max() < 1e-12, "the final reward was paid with the last step"


def test_the_table_lists_possible_outcomes_and_marks_termination():
    table = bare(environment_id("restaurant")).P
    assert table[0][0] == [(0.2, 1, -10.0, True), (0.6, 2, 6.0, True), (0.2, 3, 8.0, True)]
    assert table[1] == {a: [(1.0, 1, 0.0, True)] for a in (0, 1)}
    path = TabularEnv(risky_path()).P
    assert path[0] == {0: [(1.0, 1, 0.0, False)], 1: [(0.5, 2, 0.0, False), (0.5, 3, 0.0, False)]}
    assert path[2][0] == [(1.0, 2, 1.0, False)], "the goal pays on: nothing has ended"


def test_a_final_reward_needs_observed_time_in_the_table():
    with pytest.raises(UnsupportedEnvironment, match=r"no table `P` .* final reward.*Make .* with observe_time=True"):
        TabularMDP.from_gymnasium(to_gymnasium(with_final_reward()), horizon=3)


def test_factored_dynamics_are_joined():
    parts = to_gymnasium(windy_bridge_in_parts())
    assert parts.P == to_gymnasium(windy_bridge()).P


# Outcomes


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("mdp", "ended"),
    [(random_mdp(1), ()), (random_mdp(2, states=5, outcomes=4), ()), (windy_bridge(), (15, 16))],
    ids=["three states", "five states", "bridge"],
)
def test_the_frequencies_of_outcomes_agree_with_the_table(mdp, ended):
    """False alarm: 1e-4 per problem, by the definition of `ok`. The table is that of the MDP, not `P`."""
    p, successor, reward = mdp.probability.numpy(), mdp.successor.numpy(), mdp.reward.numpy()
    last, shape = mdp.num_states, (1, *p.shape[1:])
    expected = TabularMDP(
        np.append(mdp.initial, 0.0),
        np.concatenate([p, np.eye(shape[2])[:1].repeat(shape[1], 0)[None]]),
        np.concatenate([np.where(np.isin(successor, ended), last, successor), np.full(shape, last)]),
        np.concatenate([reward, np.zeros(shape)]),
        mdp.horizon,
    )
    check = check_against_env(expected, to_gymnasium(mdp), total_steps=6000, seed=0)
    assert check.ok, str(check)
    assert check.degrees_of_freedom >= 8


@pytest.mark.statistical
def test_the_frequencies_of_outcomes_with_equal_effects():
    """Each of four outcomes is within five standard errors: false alarm 6e-7 each."""
    chances = [0.1, 0.2, 0.3, 0.4]
    mdp = TabularMDP([1.0], [[chances]], [[[0] * 4]], [[[1.0, 1.0, 2.0, 2.0]]], horizon=5000)
    env = to_gymnasium(mdp)
    env.reset(seed=0)
    outcomes = np.bincount([env.step(0)[4]["outcome"] for _ in range(5000)], minlength=4) / 5000
    for frequency, chance in zip(outcomes, chances, strict=True):
        assert abs(frequency - chance) < 5 * math.sqrt(chance * (1 - chance) / 5000)


def test_a_step_is_an_outcome_of_the_table():
    mdp = random_mdp(4, horizon=400)
    env = TabularEnv(mdp)
    env.action_space.seed(0)
    state, info = env.reset(seed=0)
    assert info["prob"] == mdp.initial[state]
    for _ in range(400):
        action = env.action_space.sample()
        arrived, reward, _, _, info = env.step(action)
        k = info["outcome"]
        assert info["prob"] == mdp.probability[state, action, k] > 0
        assert (arrived, reward) == (mdp.successor[state, action, k], mdp.reward[state, action, k])
        state = arrived


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_never_draws_an_impossible_outcome(dtype):
    """The smallest and the largest random number, where the first and the last outcome are impossible."""
    p = torch.tensor([0.0, *[1 / 7] * 7, 0.0, 0.0], dtype=dtype)
    mdp = TabularMDP(p, p.expand(10, 1, 10), torch.arange(10).expand(10, 1, 10), torch.zeros(10, 1, 10), horizon=9)
    env = TabularEnv(mdp)
    env.reset(seed=0)
    env.np_random = fixed([0.0, 0.0, 1 - 2**-53])
    assert env.reset()[0] == 1
    assert env.step(0)[4]["outcome"] == 1
    assert env.step(0)[4]["outcome"] == 7


def test_the_seed_determines_the_outcomes():
    actions = [0, 1, 0, 1, 1, 0] * 3
    runs = [play(TabularEnv(random_mdp(5, horizon=18)), actions, seed) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]
    walks = [play(MultiGoalEnv(step_noise=0.2), [np.array([0.1, -0.1])] * 9, seed) for seed in (0, 0, 1)]
    ends = [walk[-1][0].tolist() for walk in walks]
    assert ends[0] == ends[1] != ends[2]


# Ends of episodes


def test_without_observed_time_the_horizon_truncates():
    """Trap 10."""
    steps = play(TabularEnv(risky_path(3)), [0, 0, 0, 0])[1:]
    assert [step[:4] for step in steps] == [(1, 0, False, False), (2, 0, False, False), (2, 1.0, False, True)]


def test_with_observed_time_the_horizon_terminates():
    steps = play(TabularEnv(risky_path(3), observe_time=True), [0, 0, 0, 0])
    assert steps[0][0] == 0
    assert [step[:4] for step in steps[1:]] == [
        (1 * 4 + 1, 0, False, False),
        (2 * 4 + 2, 0, False, False),
        (3 * 4 + 2, 1.0, True, False),
    ]


@pytest.mark.parametrize("observe_time", [False, True])
def test_an_ended_state_terminates_also_in_the_last_step(observe_time):
    lake = zoo_environment("frozen_lake_twin", observe_time)
    *_, last = play(lake, [1, 1, 2, 2, 1, 2])
    assert (last[1:4], lake.time, lake.mdp.state_name(lake.state)) == ((1.0, True, False), 6, "ended")
    *_, last = play(zoo_environment("frozen_lake_twin", observe_time, horizon=6), [1, 1, 2, 2, 1, 2])
    assert last[1:4] == (1.0, True, False)


def test_an_absorbing_state_with_a_reward_is_not_terminal():
    """In an absorbing state with a reward or a final reward the episode continues."""
    stay = TabularMDP([0.0, 1.0], [[[1.0]], [[1.0]]], [[[0]], [[0]]], [[[0.0]], [[5.0]]], horizon=3)
    assert play(TabularEnv(stay), [0])[1][:4] == (0, 5.0, True, False)
    pays = stay.replace(reward=[[[0.5]], [[5.0]]])
    assert [step[1] for step in play(TabularEnv(pays), [0] * 3)[1:]] == [5.0, 0.5, 0.5]
    later = stay.replace(final_reward=[2.0, 0.0], discount=0.5)
    assert [step[1:4] for step in play(TabularEnv(later), [0] * 3)[1:]] == [
        (5.0, False, False),
        (0.0, False, False),
        (1.0, False, True),
    ]


@pytest.mark.parametrize("observe_time", [False, True])
def test_the_final_reward_comes_with_the_last_step_times_the_discount(observe_time):
    """Then the return under the learner's own discounting is that of the MDP."""
    mdp = with_final_reward(0.9, horizon=4)
    env = TabularEnv(mdp, observe_time)
    state, _ = env.reset(seed=1)
    for t in range(4):
        arrived, reward, *_, info = env.step(t % 2)
        arrived = arrived % 3
        extra = 0.9 * float(mdp.final_reward[arrived]) if t == 3 else 0.0
        assert reward == pytest.approx(float(mdp.reward[state % 3, t % 2, info["outcome"]]) + extra, abs=1e-15)
        state = arrived


@pytest.mark.statistical
def test_the_mean_return_of_a_policy_is_that_of_evaluate():
    """Three thousand episodes agree within five standard errors: false alarm 6e-7."""
    model = TabularModel(with_final_reward(1.0, horizon=4))
    posterior = infer(model, 0.0)
    found = rollout(to_gymnasium(model.mdp), posterior, num_episodes=3000, seed=0)
    assert set(found.lengths) == {4}
    assert not found.terminated.any()
    assert abs(found.mean - evaluate(model, posterior).true_return) < 5 * found.standard_error


def test_a_step_needs_an_episode():
    env = TabularEnv(risky_path(1))
    with pytest.raises(ResetNeeded, match=r"has not begun or is over\. Call env\.reset"):
        env.step(0)
    play(env, [0])
    with pytest.raises(ResetNeeded, match="it has not begun or is over"):
        env.step(0)
    point = MultiGoalEnv(goal_threshold=10.0)
    with pytest.raises(ResetNeeded, match="it has not begun or is over"):
        point.step([0.0, 0.0])
    play(point, [[0.0, 0.0]])
    with pytest.raises(ResetNeeded, match="it has not begun or is over"):
        point.step([0.0, 0.0])


# Errors


def test_forbidden_outcomes_are_refused_and_the_remedy_works():
    reward = torch.zeros(4, 2, 2, dtype=torch.float64)
    reward[0, 1, 1] = -math.inf
    mdp = risky_path().replace(reward=reward)
    with pytest.raises(InvalidProblem) as caught:
        to_gymnasium(mdp)
    assert "`mdp.reward[0, 1, 1]` (state 'start', action 'risky') must be finite" in str(caught.value)
    assert "mdp.replace(reward=mdp.reward.nan_to_num(neginf=-1000.0))" in str(caught.value)
    assert to_gymnasium(mdp.replace(reward=mdp.reward.nan_to_num(neginf=-1000.0))).P[0][1][1][2] == -1000
    impossible = torch.zeros(4, 2, 2, dtype=torch.float64)
    impossible[0, 0, 1] = -math.inf
    to_gymnasium(risky_path().replace(reward=impossible))
    with pytest.raises(InvalidProblem, match=r"`mdp\.final_reward\[3\]` \(state 'pit'\) must be fin.*replace\(final"):
        to_gymnasium(risky_path().replace(final_reward=[0.0, 0.0, 0.0, -math.inf]))


def test_other_problems_and_render_modes_are_refused():
    with pytest.raises(InvalidArgument, match=r"`render_mode` must be one of ansi, rgb_array, but is 'human'"):
        to_gymnasium(risky_path(), render_mode="human")
    env = TabularEnv(risky_path())
    env.reset(seed=0)
    for wrong in (2, -1, 0.5, np.array([0.1, 0.2]), np.array([0, 1])):
        with pytest.raises(
            InvalidArgument, match=r"`action` must be a whole number from 0 to 1, but .*discrete actions"
        ):
            env.step(wrong)
    for right in (0, np.int64(1), np.array(1)):
        env.step(right)


# The registry


def test_every_problem_of_the_zoo_is_registered_once():
    before = dict(gymnasium.registry)
    assert register_environments() == IDS
    assert gymnasium.registry == before
    assert len(IDS) == len(zoo()) + 1 == len(set(IDS))
    assert {environment_id(name) for name in zoo()} == set(TABULAR)
    assert {"pgm_control/Lottery-v0", "pgm_control/RiskyPath-v0", "pgm_control/FrozenLake8x8Twin-v0"} <= set(IDS)
    assert all(isinstance(gymnasium.spec(each).entry_point, str) for each in IDS)


def test_arguments_are_passed_to_the_problem_and_the_environment():
    env = gymnasium.make("pgm_control/RiskyPath-v0", horizon=7, observe_time=True)
    assert env.observation_space == gymnasium.spaces.Discrete(8 * 4)
    assert env.spec.max_episode_steps == 7
    assert TabularMDP.from_gymnasium(env).horizon == 7
    assert bare("pgm_control/Lottery-v0", jackpot=99.0).mdp.reward.max() == 99
    with pytest.raises(TypeError, match="unexpected keyword argument 'horizn'"):
        gymnasium.make("pgm_control/RiskyPath-v0", horizn=7)


def test_an_episode_is_truncated_once_at_the_stated_limit():
    def length(env):
        return len(play(env, [0] * 99)) - 1

    env = gymnasium.make("pgm_control/RiskyPath-v0", horizon=9)
    layer = env
    while isinstance(layer, gymnasium.Wrapper):
        assert not isinstance(layer, wrappers.TimeLimit)
        layer = layer.env
    assert length(env) == 9
    assert length(gymnasium.make(env.spec)) == 9
    shorter = gymnasium.make("pgm_control/RiskyPath-v0", max_episode_steps=3)
    assert length(shorter) == TabularMDP.from_gymnasium(shorter).horizon == 3


@pytest.mark.parametrize(("wrong", "right"), [("RiskyPth", "RiskyPath"), ("MultiGaol", "MultiGoal")])
def test_a_wrong_id_suggests_the_nearest_one(wrong, right):
    with pytest.raises(NameNotFound, match=f"Did you mean: `{right}`"):
        gymnasium.make(f"pgm_control/{wrong}-v0")
    with pytest.raises(InvalidArgument, match="Did you mean 'risky_path'"):
        environment_id("risky_pth")


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("name", ["pgm_control/WindyBridge-v0", MULTI_GOAL, None])
def test_vectors_of_copies(name, mode):
    """None stands for a problem outside the zoo, copied from its spec."""
    envs = gymnasium.make_vec(to_gymnasium(random_mdp(0)).spec if name is None else name, 3, vectorization_mode=mode)
    try:
        envs.action_space.seed(0)
        first, _ = envs.reset(seed=0)
        rewards = [envs.step(envs.action_space.sample())[1] for _ in range(15)]
        assert {len(first), *map(len, rewards)} == {3}
    finally:
        envs.close()


@every_id
def test_specs_and_environments_can_be_pickled(name):
    env = gymnasium.make(name)
    assert pickle.loads(pickle.dumps(env.spec)) == env.spec
    assert EnvSpec.from_json(env.spec.to_json()) == env.spec
    again = pickle.loads(pickle.dumps(env.unwrapped))
    assert np.array_equal(again.reset(seed=3)[0], env.unwrapped.reset(seed=3)[0])


def test_copies_by_spec_share_the_tables():
    env = to_gymnasium(random_mdp(0), observe_time=True)
    again: Any = gymnasium.make(copy.deepcopy(env.spec)).unwrapped
    assert again.mdp is env.mdp
    assert again.observe_time
    assert pickle.loads(pickle.dumps(env.spec)).make().observation_space == env.observation_space


# Pictures and texts


def test_the_line_names_state_action_reward_and_time():
    env = gymnasium.make("pgm_control/RiskyPath-v0", render_mode="ansi")
    env.reset(seed=0)
    assert env.render() == "t = 0 of 5: start"
    env.step(0)
    assert env.render() == "t = 1 of 5: path (last action: safe, last reward: 0)"
    for _ in range(4):
        env.step(0)
    assert env.render() == "t = 5 of 5: goal (last action: safe, last reward: 1); the episode is over"


def test_the_picture_puts_cells_where_the_layout_says():
    env = zoo_environment("windy_bridge", render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert (picture.shape, picture.dtype) == ((6 * 40, 3 * 40, 3), np.uint8)
    centres = picture[20::40, 20::40]
    orange, grey, white = (230, 159, 0), (120, 120, 120), (255, 255, 255)
    assert [tuple(map(int, centres[cell])) for cell in ((0, 1), (5, 0), (5, 1), (5, 2))] == [orange, grey, grey, white]
    assert (centres == orange).all(-1).sum() == 1
    env.state = windy_bridge().state_names.index("(3, 2)")
    assert tuple(env.render()[20::40, 20::40][3, 2]) == orange


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        (None, (1, 5)),
        (((0, 0), (1, 1), None, None, None), (4, 2)),
        ((None, (2, 0), (0, 2), None, (1, 1)), (4, 3)),
    ],
)
def test_states_without_a_place_are_drawn_in_rows_below(layout, shape):
    names = [f"({s}, 0)" for s in range(5)]  # which contain nothing
    mdp = random_mdp(0, states=5).replace(state_names=names, layout=layout)
    env = TabularEnv(mdp, render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().shape == (40 * shape[0], 40 * shape[1], 3)


def test_many_states_are_drawn_in_a_square():
    env = TabularEnv(random_mdp(0, states=1000), render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().shape == (32 * 12, 32 * 12, 3)


def test_rendering_needs_a_mode_and_an_episode():
    for make in (lambda mode: TabularEnv(risky_path(), render_mode=mode), lambda mode: MultiGoalEnv(render_mode=mode)):
        with pytest.warns(UserWarning, match="Make it with render_mode='ansi'"):
            assert make(None).render() is None
        with pytest.raises(ResetNeeded, match="nothing to draw"):
            make("ansi").render()


# The point mass


def walk(actions, **arguments) -> list[Any]:
    """The steps from the exact origin, until the actions or the episode end."""
    env = MultiGoalEnv(start_noise=0.0, **arguments)
    return play(env, [np.asarray(action, np.float32) for action in actions])[1:]


def test_multi_goal_known_answers():
    """The answers of the card, by hand. At a distance of exactly 1 the goal is not reached."""
    for goal in GOALS:
        steps = walk([goal / 5] * 9)
        assert [step[1] for step in steps] == [-46, -39, -34, -31, -20]
        assert [step[2] for step in steps] == [False] * 4 + [True]
        assert GOALS[steps[-1][4]["goal"]].tolist() == goal.tolist()
        assert sum(step[1] for step in steps) == -170
    assert [step[1] for step in walk([(0, 0)] * 30)] == [-25] * 30
    assert not any(step[3] for step in walk([(0, 0)] * 40)), "the time limit is Gymnasium's"


def test_multi_goal_has_the_costs_of_its_arguments():
    (step,) = walk([(0.5, 0.0)], action_cost=2.0, distance_cost=3.0, goal_reward=7.0, goal_threshold=5.0)
    assert step[1:3] == (pytest.approx(-2 * 0.25 - 3 * 4.5**2 + 7), True)


def test_multi_goal_clips_steps_and_positions():
    assert walk([(3.0, -9.0)])[0][0].tolist() == [1.0, -1.0]
    assert walk([(3.0, -9.0)])[0][1] == -60 - 17
    corner = walk([(1.0, 1.0)] * 9)[-1][0]
    assert corner.tolist() == [7.0, 7.0]
    assert corner.dtype == np.float32


def test_multi_goal_is_truncated_after_thirty_steps():
    env = gymnasium.make(MULTI_GOAL)
    steps = play(env, [np.zeros(2, np.float32)] * 40)[1:]
    assert len(steps) == 30
    assert steps[-1][2:4] == (False, True)


@pytest.mark.statistical
def test_multi_goal_noise():
    """Mean and standard deviation of 2000 starts and steps, within five standard errors: false alarm 6e-7 each."""
    env = MultiGoalEnv(start_noise=0.1, step_noise=0.3)
    starts, moves = [], []
    for i in range(2000):
        starts.append(env.reset(seed=0 if i == 0 else None)[0].astype(float))
        moves.append(env.step(np.array([0.5, -0.5], np.float32))[0] - starts[-1] - [0.5, -0.5])
    for found, sigma in ((starts, 0.1), (moves, 0.3)):
        assert np.all(np.abs(np.mean(found, 0)) < 5 * sigma / math.sqrt(2000))
        assert np.all(np.abs(np.std(found, 0) - sigma) < 5 * sigma / math.sqrt(4000))


@pytest.mark.parametrize("wrong", [(math.nan, 0.0), (1.0,), 0.5, ((0.0, 0.0),)])
def test_multi_goal_refuses_invalid_actions(wrong):
    env = MultiGoalEnv()
    env.reset(seed=0)
    with pytest.raises(InvalidArgument, match=r"`action` must be two numbers.*has diverged"):
        env.step(np.asarray(wrong))


def test_multi_goal_refuses_invalid_arguments():
    with pytest.raises(InvalidArgument, match=r"`step_noise` must be a finite number, at least 0, but is -1"):
        MultiGoalEnv(step_noise=-1.0)
    with pytest.raises(InvalidArgument, match=r"`goal_reward` must be a finite number, but is nan"):
        MultiGoalEnv(goal_reward=math.nan)
    assert MultiGoalEnv(goal_reward=-1.0).goal_reward == -1
    with pytest.raises(InvalidArgument, match="`render_mode` must be ansi, rgb_array or None, but is 'html'"):
        MultiGoalEnv(render_mode="html")


def test_multi_goal_is_drawn():
    env = MultiGoalEnv(start_noise=0.0, render_mode="rgb_array")
    play(env, [np.array([1.0, 0.5], np.float32)] * 3)
    picture = env.render()
    assert (picture.shape, picture.dtype) == ((281, 281, 3), np.uint8)

    def pixel(x, y):
        return tuple(map(int, picture[round(140 - 20 * y), round(140 + 20 * x)]))

    assert {pixel(*goal) for goal in GOALS} == {(213, 94, 0)}
    assert pixel(0.0, 0.0) == pixel(1.5, 0.75) == (0, 114, 178), "the way so far"
    assert pixel(3.0, 1.5) == (0, 0, 0)
    assert sum(pixel(3.5, -3.4)) < sum(pixel(3.6, 0.4)), "near a goal is brighter"
    env.render_mode = "ansi"
    assert env.render() == (
        "t = 3: (3.00, 1.50) (last action: (1.00, 0.50), last reward: -43.75); nearest goal (5, 0), 2.50 away"
    )


# Other libraries


@pytest.mark.parametrize("name", ["pgm_control/FrozenLakeTwin-v0", MULTI_GOAL])
def test_stable_baselines_trains_on_it(name):
    algorithms = pytest.importorskip("stable_baselines3")
    learner = algorithms.A2C("MlpPolicy", gymnasium.make(name), n_steps=50, seed=0, device="cpu")
    assert learner.learn(200).num_timesteps == 200
