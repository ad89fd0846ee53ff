"""`rollout`: exact returns within the error, every autoreset mode, quotas, limits, seeds and errors."""

import math

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces, wrappers
from gymnasium.envs.registration import EnvSpec
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from pgm_control import InvalidArgument, Rollout, TabularMDP, TabularModel, TabularPolicy, infer, rollout

MODES = list(AutoresetMode)
every_mode = pytest.mark.parametrize("mode", MODES, ids=[mode.name for mode in MODES])


def true_return(mdp, policy):
    """The exact expected return of a (time, state, action) policy: a forward sweep in plain numpy."""
    p, successor, reward, at, total = (
        mdp.probability.numpy(),
        mdp.successor.numpy(),
        mdp.reward.numpy(),
        mdp.initial.numpy(),
        0.0,
    )
    for pi in policy:
        flow = at[:, None, None] * pi[:, :, None] * p
        total += float((flow * reward).sum())
        at = np.bincount(successor.ravel(), flow.ravel(), len(at))
    return total


def vector_of(make, mode, copies=4):
    return SyncVectorEnv([make] * copies, autoreset_mode=mode)


@pytest.fixture(scope="module")
def lake():
    """The 4x4 lake and its clamped posterior at τ = .01, which reaches the goal in six of ten episodes."""
    mdp = TabularMDP.from_gymnasium(gymnasium.make("FrozenLake-v1"))
    return mdp, infer(TabularModel(mdp, temperature=0.01), optimism=0.0)


# Exact returns


@pytest.mark.slow
@pytest.mark.statistical
def test_the_mean_is_the_exact_return_of_the_clamped_posterior(lake):
    """False alarm: 6e-7, five standard errors."""
    mdp, posterior = lake
    result = rollout("FrozenLake-v1", posterior, num_episodes=1500, seed=0)
    exact = true_return(mdp, posterior.policy.numpy())
    assert exact == pytest.approx(0.59, abs=0.01)
    assert abs(result.mean - exact) < 5 * result.standard_error
    assert result.standard_error == pytest.approx(math.sqrt(exact * (1 - exact) / 1500), rel=0.1)


@pytest.mark.statistical
@pytest.mark.parametrize(("optimism", "known"), [(0.0, -49.8002), (1.0, -486.2090)])
def test_without_a_time_limit_the_horizon_of_the_policy_truncates(optimism, known):
    """DESIGN section 6. False alarm: 6e-7 each, five standard errors."""
    mdp = TabularMDP.from_gymnasium(gymnasium.make("CliffWalkingSlippery-v1"), horizon=50)
    result = rollout("CliffWalkingSlippery-v1", infer(TabularModel(mdp), optimism), num_episodes=600, seed=1)
    assert abs(result.mean - known) < 5 * result.standard_error
    assert result.lengths.max() == 50
    assert (result.lengths[~result.terminated] == 50).all()


@pytest.mark.slow
@pytest.mark.statistical
def test_parallel_and_single_copies_agree_in_distribution():
    """False alarm: about 1e-6 each: mean lengths and returns of a random walk on the lake, five standard errors."""
    walk = np.full((16, 4), 0.25)
    alone, together = (rollout("FrozenLake-v1", walk, num_episodes=1200, seed=2, num_envs=n) for n in (1, 16))
    for field in ("returns", "lengths"):
        a, b = getattr(alone, field), getattr(together, field)
        error = math.sqrt(a.var() / len(a) + b.var() / len(b))
        assert abs(a.mean() - b.mean()) < 5 * error


class Race(gymnasium.Env):
    """A fair coin: heads ends at once with reward 1, tails takes thirty steps with reward 0."""

    observation_space = spaces.Discrete(2)
    action_space = spaces.Discrete(1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.heads = bool(self.np_random.random() < 0.5)
        self.left = 1 if self.heads else 30
        return int(self.heads), {}

    def step(self, action):
        self.left -= 1
        return 0, float(self.heads), self.left == 0, False, {}


@pytest.mark.statistical
def test_quotas_do_not_favour_short_episodes():
    """The first 100 episodes to finish on 200 copies are nearly all heads. False alarm: 6e-7, five standard errors."""
    result = rollout(vector_of(Race, AutoresetMode.NEXT_STEP, 200), np.ones((2, 1)), num_episodes=100, seed=0)
    assert abs(result.mean - 0.5) < 5 * 0.5 / math.sqrt(100)
    assert first_to_finish(copies=200, episodes=100) > 0.9


def first_to_finish(copies, episodes):
    """The mean return of a rollout without quotas."""
    env, found = vector_of(Race, AutoresetMode.SAME_STEP, copies), []
    env.reset(seed=0)
    while len(found) < episodes:
        _, reward, terminated, _, _ = env.step(np.zeros(copies, int))
        found += reward[terminated].tolist()
    return np.mean(found[:episodes])


# Autoreset, limits and ends of episodes


class Count(gymnasium.Env):
    """An environment with reward 1 per step, whose observation is the step; it ends after its limit."""

    observation_space = spaces.Discrete(10)
    action_space = spaces.Discrete(2)
    closed = False

    def __init__(self, steps=3, terminates=True, after=None):
        self.steps, self.terminates, self.after = steps, terminates, after
        self.time = None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return 0, {}

    def step(self, action):
        assert self.time is not None, "stepped after the end without a reset"
        self.time += 1
        done, now = self.time == self.steps, min(self.time, 9)
        self.time = None if done else self.time
        return now, 1.0, done and self.terminates, done and not self.terminates, {}

    def close(self):
        self.closed = True


class Recorder:
    """An actor with the interface of Stable-Baselines3 that records its inputs; its state counts its own steps."""

    def __init__(self):
        self.calls = []

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        self.calls.append((np.array(observation), None if state is None else state[0], np.array(episode_start)))
        step = np.zeros(len(observation), int) if state is None else np.where(np.asarray(episode_start), 0, state[0])
        return np.zeros(len(observation), int), (step + 1,)


@every_mode
def test_reset_steps_are_neither_counted_nor_rewarded(mode):
    result = rollout(vector_of(Count, mode), np.full((10, 2), 0.5), num_episodes=10, seed=0)
    assert result.returns.tolist() == [3.0] * 10
    assert result.lengths.tolist() == [3] * 10
    assert result.terminated.all()


@every_mode
def test_an_actor_sees_each_episode_from_its_start(mode):
    """When the observation is t, the actor's own count is also t, in every autoreset mode."""
    actor = Recorder()
    rollout(vector_of(Count, mode, 2), actor, num_episodes=6, seed=0)
    first_observation, first_state, first_start = actor.calls[0]
    assert first_state is None
    assert first_start.all()
    for observation, state, start in actor.calls[1:]:
        step = np.where(start, 0, np.asarray(state))
        acting = observation < 3  # 3 is observed where the next step only resets
        assert (step == observation)[acting].all()
    assert (first_observation == 0).all()


def test_the_modes_agree_exactly():
    """Each copy samples the same outcomes in every mode, so a deterministic policy has the same episodes."""
    mdp = TabularMDP.from_gymnasium(gymnasium.make("FrozenLake-v1"))
    best = infer(TabularModel(mdp, temperature=0.0), optimism=0.0)
    results = [
        rollout(vector_of(lambda: gymnasium.make("FrozenLake-v1"), mode, 5), best, 42, seed=3, deterministic=True)
        for mode in MODES
    ]
    for other in results[1:]:
        assert (other.returns == results[0].returns).all()
        assert (other.lengths == results[0].lengths).all()
        assert (other.terminated == results[0].terminated).all()
    assert len(set(results[0].lengths.tolist())) > 10


@every_mode
def test_the_modes_agree_where_the_rollout_itself_truncates(mode):
    for steps, terminated in ((5, True), (6, False), (9, False)):
        result = rollout(
            vector_of(lambda n=steps: Count(n), mode, 3), TabularPolicy(np.full((5, 10, 2), 0.5)), 7, seed=0
        )
        assert result.lengths.tolist() == [5] * 7
        assert result.returns.tolist() == [5.0] * 7
        assert result.terminated.tolist() == [terminated] * 7


@every_mode
def test_copies_of_different_lengths(mode):
    """A copy that has finished its quota continues, and the policy is not queried beyond its horizon."""
    env = SyncVectorEnv([lambda n=n: Count(n) for n in (1, 2, 5, 9)], autoreset_mode=mode)
    result = rollout(env, TabularPolicy(np.full((9, 10, 2), 0.5)), num_episodes=9, seed=0)
    assert result.lengths.tolist() == [1, 1, 2, 2, 5, 5, 9, 9, 9]


def test_terminated_and_truncated_are_distinguished():
    anything = np.full((10, 2), 0.5)
    assert rollout(Count(3), anything, 4, seed=0).terminated.all()
    assert not rollout(Count(3, terminates=False), anything, 4, seed=0).terminated.any()
    limited = wrappers.TimeLimit(Count(5), 4)
    assert rollout(limited, anything, 4, seed=0).lengths.tolist() == [4] * 4
    assert not rollout(limited, anything, 4, seed=0).terminated.any()
    both = rollout(wrappers.TimeLimit(Count(4), 4), anything, 4, seed=0)
    assert both.terminated.all()


def test_an_episode_longer_than_the_horizon_of_the_policy_is_an_error():
    env = gymnasium.make("FrozenLake-v1", is_slippery=False)
    left = torch.zeros(5, 17, 4)
    left[..., 0] = 1
    with pytest.raises(InvalidArgument, match=r"horizon, 5, but is 5: the environment's episode is longer"):
        rollout(env, left, num_episodes=3, seed=0)
    cut = rollout(env, left, num_episodes=3, max_episode_steps=5, seed=0)
    assert cut.lengths.tolist() == [5, 5, 5]
    assert not cut.terminated.any()


def test_max_episode_steps_truncates():
    result = rollout("CliffWalking-v1", np.full((48, 4), 0.25), num_episodes=5, max_episode_steps=7, seed=0)
    assert result.lengths.tolist() == [7] * 5


# Environments


def test_copies_keep_arguments_wrappers_and_time_limit():
    """Without slipping, right-right-down-down-down-right reaches the goal of the 4x4 lake."""
    path = {0: 2, 1: 2, 2: 1, 6: 1, 10: 1, 14: 2}
    policy = np.eye(4)[[path.get(s, 0) for s in range(16)]]
    env = gymnasium.make("FrozenLake-v1", is_slippery=False)
    result = rollout(env, policy, num_episodes=5, num_envs=3, seed=0)
    assert result.returns.tolist() == [1.0] * 5
    assert result.lengths.tolist() == [6] * 5
    short = rollout(
        gymnasium.make("FrozenLake-v1", is_slippery=False, max_episode_steps=4), policy, 5, num_envs=3, seed=0
    )
    assert short.lengths.tolist() == [4] * 5
    doubled = wrappers.TransformReward(env, double)
    assert rollout(doubled, policy, 5, num_envs=3, seed=0).returns.tolist() == [2.0] * 5
    nested = wrappers.TimeLimit(gymnasium.make("FrozenLake-v1", is_slippery=False, max_episode_steps=3), 5)
    assert rollout(nested, policy, 2, seed=0).lengths.tolist() == [3, 3]


def double(reward):
    return 2 * reward


class Bare(gymnasium.Wrapper):
    """A wrapper that Gymnasium cannot make again, because it does not record its arguments."""

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, float(reward) + 10, terminated, truncated, info


def test_an_environment_that_cannot_be_copied_is_run_itself():
    always_left = np.eye(4)[np.zeros(16, int)]
    env = Bare(gymnasium.make("FrozenLake-v1", is_slippery=False, max_episode_steps=2))
    assert rollout(env, always_left, 3, seed=0).returns.tolist() == [20.0] * 3
    with pytest.raises(InvalidArgument, match=r"`num_envs` must be 1 for an environment without a spec.* Register it"):
        rollout(env, always_left, 3, num_envs=2, seed=0)
    alone = FrozenLakeEnv(is_slippery=False)
    assert alone.spec is None
    assert rollout(alone, always_left, 3, max_episode_steps=2, seed=0).lengths.tolist() == [2] * 3


def test_environments_passed_in_stay_open():
    env = Count()
    rollout(env, np.full((10, 2), 0.5), 2, seed=0)
    assert not env.closed
    vector = vector_of(Count, AutoresetMode.NEXT_STEP)
    rollout(vector, np.full((10, 2), 0.5), 2, seed=0)
    assert not vector.closed


def test_copies_made_here_are_closed_even_after_an_error():
    made = []

    def make():
        made.append(Count())
        return made[-1]

    env = gymnasium.make(EnvSpec("Count-v0", entry_point=make, disable_env_checker=True))
    rollout(env, np.full((10, 2), 0.5), 6, num_envs=3, seed=0)
    with pytest.raises(InvalidArgument):
        rollout(env, np.full((7, 2), 0.5), 6, num_envs=3, seed=0)
    assert [each.closed for each in made] == [False] + [True] * 6


def test_a_wrapped_vector_and_one_with_a_vector_implementation():
    counted = gymnasium.wrappers.vector.RecordEpisodeStatistics(vector_of(Count, AutoresetMode.SAME_STEP))
    assert rollout(counted, np.full((10, 2), 0.5), 5, seed=0).lengths.tolist() == [3] * 5
    poles = gymnasium.make_vec("CartPole-v1", num_envs=3, vectorization_mode="vector_entry_point")
    result = rollout(poles, Recorder(), 6, seed=0)
    assert (result.lengths == result.returns).all()
    assert result.terminated.all()
    assert 5 < result.lengths.mean() < 20  # always pushing left
    with pytest.raises(InvalidArgument, match="`max_episode_steps` must be None for CartPoleVectorEnv"):
        rollout(poles, Recorder(), 6, max_episode_steps=3, seed=0)


def test_observations_of_any_kind_reach_an_actor_that_can_predict():
    result = rollout("CartPole-v1", Recorder(), 6, num_envs=3, seed=0)
    assert (result.lengths == result.returns).all()


# Seeds, counts, texts


def test_the_seed_determines_the_episodes(lake):
    _, posterior = lake
    first, again, other = (rollout("FrozenLake-v1", posterior, 30, seed=seed) for seed in (5, 5, 6))
    assert (first.returns == again.returns).all()
    assert (first.lengths == again.lengths).all()
    assert (first.lengths != other.lengths).any()


def test_the_random_state_of_a_given_policy_neither_changes_nor_matters(lake):
    _, posterior = lake
    policy, twin = TabularPolicy.of(posterior, seed=1), TabularPolicy.of(posterior, seed=1)
    first, again = (rollout("FrozenLake-v1", policy, 20, seed=5) for _ in range(2))
    assert (first.lengths == again.lengths).all()
    ones = np.ones(30, int)
    assert np.array_equal(policy.predict(ones)[0], twin.predict(ones)[0])


def test_seeds_give_unrelated_outcomes():
    """Copy i of seed s must differ from copy i+1 of seed s−1, unlike with seeds s, s+1, … for the copies."""
    walk = np.eye(4)[np.full(16, 1)]
    here, there = (rollout("FrozenLake-v1", walk, 64, seed=seed, num_envs=8).lengths.reshape(8, 8) for seed in (0, 1))
    assert (here[1:] != there[:-1]).any(1).all()


def test_no_global_generator_changes(lake):
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    rollout("FrozenLake-v1", lake[1], 5, seed=0)
    assert (np.random.get_state()[1] == before[0]).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize(("episodes", "num_envs"), [(1, None), (3, 5), (7, 3), (16, 16), (20, None)])
def test_the_number_of_episodes(episodes, num_envs):
    result = rollout("FrozenLake-v1", np.full((17, 4), 0.25), episodes, num_envs=num_envs, seed=0)
    assert result.returns.shape == result.lengths.shape == result.terminated.shape == (episodes,)
    assert (result.lengths > 0).all()


def test_progress_reports_the_number_of_finished_episodes():
    heard = []
    rollout(
        vector_of(Count, AutoresetMode.NEXT_STEP, 2),
        np.full((10, 2), 0.5),
        5,
        progress=lambda *a: heard.append(a),
        seed=0,
    )
    assert heard == [(2, {"mean return": 3.0}), (4, {"mean return": 3.0}), (5, {"mean return": 3.0})]


def test_the_summary():
    result = Rollout(np.array([1.0, 3.0]), np.array([4, 6]), np.array([True, False]))
    assert (result.mean, result.standard_error) == (2.0, pytest.approx(1.0))
    assert (
        str(result)
        == "return 2 ± 1 (mean and standard error of 2 episodes; 5.0 steps on average, 1 cut by a time limit)"
    )
    for ended, words in ((True, ""), (False, ", cut by a time limit")):
        single = Rollout(np.array([1.0]), np.array([4]), np.array([ended]))
        assert single.standard_error == math.inf
        assert str(single) == f"return 1 (one episode, of 4 steps{words}; no standard error)"


class Answers:
    """An object whose `predict` is this function."""

    def __init__(self, predict):
        self.predict = predict


REFUSED = {
    "episodes": ({"num_episodes": 0}, ["`num_episodes`", "at least 1", "is 0"]),
    "num_envs": ({"num_envs": 0}, ["`num_envs`", "at least 1", "is 0"]),
    "limit": ({"max_episode_steps": 0}, ["`max_episode_steps`", "at least 1"]),
    "seed": ({"seed": -1}, ["`seed`", "at least 0", "is -1"]),
    "states": ({"policy": np.full((15, 4), 0.25)}, ["`policy` has 15 states", "observation space is Discrete(16)"]),
    "too many states": ({"policy": np.full((18, 4), 0.25)}, ["`policy` has 18 states", "TabularMDP.from_gymnasium"]),
    "actions": ({"policy": np.full((17, 3), 1 / 3)}, ["`policy` has 3 actions", "action space is Discrete(4)"]),
    "no table": ({"env": "CartPole-v1"}, ["`policy` has 17 states", "observation space is Box("]),
    "no policy": ({"policy": np.full((17, 4), 0.3)}, ["`policy[0]`", "sums to 1.2"]),
    "no table of a policy": ({"policy": np.full((2, 2, 17, 4), 0.25)}, ["`policy` must have 2 axes", "(2, 2, 17, 4)"]),
    "another predict": (
        {"policy": Answers(lambda observation: 0)},
        ["`policy.predict` must be a function", "too many positional arguments", "predict(observation, state, episode"],
    ),
    "no pair": (
        {"policy": Answers(lambda observation, state, start, deterministic: 0)},
        ["`policy.predict` must return a pair, the actions and the next state, but returns 0"],
    ),
    "copies of a vector": (
        {"env": vector_of(Count, AutoresetMode.DISABLED), "num_envs": 3},
        ["`num_envs` must be 4, as in the vector", "is 3", "pass the id"],
    ),
}


@pytest.mark.parametrize(("changes", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_errors_name_the_argument_and_the_remedy(changes, words):
    with pytest.raises(InvalidArgument) as caught:
        rollout(**({"env": "FrozenLake-v1", "policy": np.full((17, 4), 0.25)} | changes))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.wrong_types
@pytest.mark.parametrize("policy", [lambda observation: 0, Recorder])
def test_what_is_no_policy_is_refused(policy):
    with pytest.raises(InvalidArgument, match="`policy` must be a guide or a posterior"):
        rollout("FrozenLake-v1", policy)


def test_spaces_that_do_not_start_at_0_are_refused():
    class Shifted(Count):
        observation_space = spaces.Discrete(10, start=1)

    with pytest.raises(InvalidArgument, match=r"observation space is Discrete\(10, start=1\)"):
        rollout(Shifted(), np.full((10, 2), 0.5), 2, seed=0)


def test_a_vector_without_an_autoreset_mode_is_refused():
    class Silent(VectorEnv):
        num_envs = 1
        metadata = {}  # noqa: RUF012
        single_observation_space, single_action_space = spaces.Discrete(2), spaces.Discrete(2)

    with pytest.raises(InvalidArgument, match=r"`env\.metadata\['autoreset_mode'\]` must be .* but is None"):
        rollout(Silent(), np.full((2, 2), 0.5), 2, seed=0)
