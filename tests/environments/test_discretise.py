"""`discretise`: the grid of cells, the transitions of a known environment, and policies in the environments."""

import math
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from hypothesis import given
from hypothesis import strategies as st
from strategies import laws

from pgm_control import (
    EnvironmentFailure,
    InvalidArgument,
    TabularModel,
    UnsupportedEnvironment,
    infer,
    rollout,
    value_iteration,
)
from pgm_control.environments.cells import cells_of
from pgm_control.exchange import Chart, discretise


class Strip(gymnasium.Env):
    """A point on [0, 1]: action 0 moves it 1/4 to the left, action 1 to the right; beyond the right end it terminates.

    The reward is the position before the step, minus 100 for every earlier step since the reset: state must be
    restored.
    """

    observation_space = Box(0.0, 1.0, (1,), np.float64)
    action_space = Discrete(2)

    def __init__(self, reward=0.0, noise=0.0):
        self.steps, self.nowhere, self.noise = 0, reward, noise

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state, self.steps = np.array([self.np_random.choice([0.1, 0.3, 0.35, 0.4])]), 0
        return self.state.copy(), {}

    def step(self, action):
        reward = float(self.state[0]) - 100.0 * self.steps + self.nowhere
        self.steps += 1
        self.state = self.state + (0.25 if action else -0.25) + self.noise * self.np_random.normal()
        over = bool(self.state[0] > 1)
        self.state = np.clip(self.state, 0, 1)
        return self.state.copy(), reward, over, False, {}


class Pushed(Strip):
    """The same environment with a continuous action."""

    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def step(self, action):
        assert self.action_space.contains(action)
        return super().step(action[0] > 0)


def strip(bins=4, env=None, **arguments):
    return discretise(env or Strip(), bins, horizon=5, **{"num_samples": 8, "num_resets": 400, "seed": 0, **arguments})


def test_the_table_of_a_known_environment():
    """A step is the width of a cell: every transition is deterministic, and the mean reward near that of the centre."""
    found = strip()
    mdp = found.mdp
    assert mdp.state_names == ("x0 0.125", "x0 0.375", "x0 0.625", "x0 0.875", "ended")
    assert mdp.num_outcomes == 1
    assert mdp.successor[..., 0].tolist() == [[0, 1], [0, 2], [1, 3], [2, 4], [4, 4]]
    expected = np.repeat([[0.125], [0.375], [0.625], [0.875], [0.0]], 2, 1)
    np.testing.assert_allclose(mdp.reward[..., 0], expected, atol=0.25 / 16)  # half of one of eight slices of a cell
    assert mdp.reward[4].abs().max() == 0
    assert (found.total_steps, mdp.horizon, mdp.discount) == (64, 5, 1.0)
    assert mdp.layout is None
    np.testing.assert_allclose(mdp.initial, [0.25, 0.75, 0, 0, 0], atol=5 * math.sqrt(0.25 * 0.75 / 400))
    assert [found.state_of([x]) for x in (0.0, 0.24, 0.26, 0.99, 7.0)] == [0, 0, 1, 3, 3]


def test_probabilities_are_fractions_of_a_cell():
    """With three cells a step is 3/4 of a cell: of 8 stratified points 6 move on, and outcomes are not merged."""
    mdp = strip(3).mdp
    for s in range(3):
        p = {int(n): float(p) for p, n in zip(mdp.probability[s, 1], mdp.successor[s, 1], strict=True) if p > 0}
        assert p == {s: 0.25, s + 1: 0.75}
    stays, goes = mdp.reward[1, 1, :2]
    assert float(stays) < 0.45 < float(goes)  # the points that move on are further to the right
    noisy = strip(3, env=Strip(noise=0.2), num_samples=64).mdp
    assert noisy.num_outcomes > 2
    assert not torch.equal(strip(3, sampling="random").mdp.probability, mdp.probability)


def test_seeds_and_progress_and_no_global_state_changes():
    torch.manual_seed(0)
    state, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    seen = []
    one, same, other = (strip(env=Strip(noise=0.1), seed=seed) for seed in (1, 1, 2))
    strip(progress=lambda step, metrics: seen.append((step, metrics["steps"])))
    assert torch.equal(one.mdp.probability, same.mdp.probability)
    assert torch.equal(one.mdp.reward, same.mdp.reward)
    assert not torch.equal(one.mdp.reward, other.mdp.reward)
    assert seen == [(1, 16), (2, 32), (3, 48), (4, 64)]
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numbers).all()  # noqa: NPY002
    env = gymnasium.make("MountainCar-v0")
    env.reset(seed=0)
    bare: Any = env.unwrapped
    before = np.array(bare.state)
    found = discretise(env, (4, 4), num_samples=2, num_resets=5, seed=0)
    assert (np.array(bare.state) == before).all(), "a copy was stepped"
    assert found.mdp.horizon == 200
    assert "Discretised(TabularMDP(17 states" in repr(found)
    assert "4 of position from -1.2 to 0.5" in repr(found)


def test_a_player_counts_time():
    """The policy goes left at even steps and right at odd ones; a new episode starts at step 0."""
    found = strip()
    by_time = np.eye(2)[np.arange(5) % 2][:, None].repeat(5, 1)
    player, seen = found.player(by_time), np.array([[0.1], [0.9]])
    first, state = player.predict(seen)
    second, state = player.predict(seen, state)
    third, state = player.predict(seen, state, np.array([False, True]))
    fourth, _ = player.predict(seen, state, np.array([False, False]), deterministic=True)
    assert [each.tolist() for each in (first, second, third, fourth)] == [[0, 0], [1, 1], [0, 0], [1, 1]]
    assert state[0].tolist() == [3, 1]


@laws
@given(st.data())
def test_centres_and_corners_are_in_their_cells(data):
    axes = data.draw(st.integers(1, 3))
    bins = [data.draw(st.one_of(st.integers(1, 4), st.just([-1.0, 0.5, 0.75, 2.0]))) for _ in range(axes)]
    wraps = [data.draw(st.booleans()) for _ in range(axes)]
    cells = cells_of(bins, [-1.0] * axes, [2.0] * axes, wraps, [f"x{i}" for i in range(axes)])
    low, high = cells.bounds()
    everyone = np.arange(cells.count)
    np.testing.assert_array_equal(cells.index(cells.centers()), everyone)
    np.testing.assert_array_equal(cells.index(low), everyone)
    np.testing.assert_array_equal(cells.index(high - 1e-9), everyone)
    assert len(set(cells.cell_names())) == cells.count
    once_around = np.where(wraps, 3.0, 0.0)
    for turn in (-2, 1):
        np.testing.assert_array_equal(cells.index(cells.centers() + turn * once_around), everyone)
    outside = cells.index(np.full((1, axes), 99.0))[0]
    last = [0 if wrap else n - 1 for wrap, n in zip(wraps, cells.shape, strict=True)]
    assert np.unravel_index(outside, cells.shape)[0] == last[0] or wraps[0]


def arrivals(mdp):
    """Whether each state is a successor of a cell."""
    reached = mdp.successor[:-1][mdp.probability[:-1] > 0]
    return torch.bincount(reached, minlength=mdp.num_states) > 0


def play(env, found, policy, episodes=10):
    return rollout(env, found.player(policy), num_episodes=episodes, seed=3, deterministic=True)


def hard_policy(mdp, discount):
    return value_iteration(TabularModel(mdp.replace(discount=discount), 0.0), 0.0).policy


def test_cart_pole():
    """The hard optimum from value iteration earns at most 500; random actions last some 22 steps."""
    found = discretise("CartPole-v1", bins=(1, 6, 10, 10), num_samples=8, seed=0)
    assert found.mdp.action_names == ("push left", "push right")
    live = play("CartPole-v1", found, hard_policy(found.mdp, discount=0.99), episodes=10)
    assert live.mean > 150
    random = rollout("CartPole-v1", found.player(torch.full((found.mdp.num_states, 2), 0.5), seed=0), 10, seed=3)
    assert random.mean < 40
    assert arrivals(found.mdp)[-1], "falling ends it"


def test_two_coordinates_have_the_layout_of_a_phase_portrait():
    """The first coordinate grows to the right, the second upwards, and `ended` has no place."""
    found = discretise("MountainCar-v0", bins=(5, 3), num_samples=1, num_resets=1, seed=0)
    place = dict(enumerate(found.mdp.layout or ()))
    assert place.pop(15) is None
    for cell, (position, velocity) in enumerate(found.cells.centers()):
        row, column = place[cell] or (-1, -1)
        assert column == round((position + 1.2) / 1.8 * 5 - 0.5)
        assert row == 2 - round((velocity + 0.07) / 0.14 * 3 - 0.5)


def test_mountain_car():
    """Random actions never reach the goal in 200 steps; the time-dependent policy of exact inference does."""
    found = discretise("MountainCar-v0", bins=(25, 25), num_samples=8, seed=0)
    assert found.mdp.horizon == 200
    live = play("MountainCar-v0", found, infer(TabularModel(found.mdp, 0.02), 0.0), episodes=16)
    assert live.terminated.mean() > 0.5
    uniform = found.player(np.full((found.mdp.num_states, 3), 1 / 3), seed=0)
    assert not rollout("MountainCar-v0", uniform, 16, seed=3).terminated.any()


def test_pendulum():
    """The angle is periodic. Random torques earn about −1200, swinging up about −150."""
    found = discretise("Pendulum-v1", bins=(15, 15), actions=3, num_samples=8, seed=0)
    assert found.mdp.action_names == ("-2", "0", "2")
    assert found.actions.dtype == np.float32
    assert found.state_of([-1.0, 1e-6, 0.1]) // 15 == 14
    assert found.state_of([-1.0, -1e-6, 0.1]) // 15 == 0
    live = play("Pendulum-v1", found, hard_policy(found.mdp, discount=0.97), episodes=8)
    assert live.mean > -500
    alone, _ = found.player(np.eye(3)[np.full(226, 2)]).predict(np.array([1.0, 0.0, 0.0], np.float32))
    np.testing.assert_array_equal(alone, np.array([2.0], np.float32))
    assert not arrivals(found.mdp)[-1], "it never ends"


def test_a_chart_describes_other_environments():
    class Hidden(Strip):
        """An environment that observes twice the position, and stores it under another name."""

        place: Any = None

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return 2 * self.state, {}

        def step(self, action):
            self.state = self.place
            observation, reward, over, cut, info = super().step(action)
            return 2 * observation, reward, over, cut, info

    with pytest.raises(UnsupportedEnvironment, match=r"does not observe its attribute `state`.*chart=Chart"):
        strip(env=Hidden())
    chart = Chart(
        ("place",),
        (0.0,),
        (1.0,),
        coordinates=lambda seen: seen / 2,
        set_state=lambda env, point: setattr(env, "place", point.copy()),
        action_names=("left", "right"),
    )
    found = strip(env=Hidden(), chart=chart)
    assert torch.equal(found.mdp.successor, strip().mdp.successor)
    assert found.mdp.state_names[0] == "place 0.125"
    assert found.mdp.action_names == ("left", "right")
    wide = strip(low=[-1.0], high=[1.0])
    assert wide.mdp.state_names[0] == "x0 -0.75"
    pushed = strip(env=Pushed(), actions=[-0.5, 0.5])
    assert torch.equal(pushed.mdp.successor, strip().mdp.successor)
    assert pushed.mdp.action_names == ("-0.5", "0.5")


def test_errors_name_what_cannot_be_discretised():
    wrapped = gymnasium.wrappers.TransformReward(gymnasium.make("MountainCar-v0"), lambda r: r)
    dicts = Strip()
    dicts.action_space = Dict({})
    for env, arguments, kind, words in (
        ("Acrobot-v1", {"bins": 3}, UnsupportedEnvironment, "AcrobotEnv does not observe.*Define one"),
        ("FrozenLake-v1", {"bins": 3}, UnsupportedEnvironment, "does not observe"),
        (wrapped, {"bins": 3}, UnsupportedEnvironment, "TransformReward.*Pass env.unwrapped"),
        (dicts, {"bins": 3, "horizon": 1}, UnsupportedEnvironment, "action space"),
        (Strip(), {"bins": 3}, InvalidArgument, "`horizon` must be given"),
        (
            Strip(reward=math.nan),
            {"bins": 3, "horizon": 1},
            EnvironmentFailure,
            "one finite number, but is nan.*'x0 0.167'",
        ),
        ("MountainCar-v0", {"bins": (3,)}, InvalidArgument, "one entry for each of position, velocity"),
        ("MountainCar-v0", {"bins": (3, 0)}, InvalidArgument, "from 1 to 1,000,000, but is 0 for velocity"),
        ("MountainCar-v0", {"bins": (3, [0.0, -1.0])}, InvalidArgument, "increasing edges"),
        ("MountainCar-v0", {"bins": 5000}, InvalidArgument, "Take fewer"),
        ("MountainCar-v0", {"bins": 3, "num_samples": 0}, InvalidArgument, "`num_samples` must be a whole number"),
        ("MountainCar-v0", {"bins": 3, "low": [0.0, 1.0]}, InvalidArgument, "finite and in this order"),
        ("Pendulum-v1", {"bins": ([0.0, 1.0], 3)}, InvalidArgument, "once around"),
        ("Pendulum-v1", {"bins": 3, "actions": 1}, InvalidArgument, "`actions` must be at least 2"),
        ("Pendulum-v1", {"bins": 3, "actions": [9.0]}, InvalidArgument, "list of actions in"),
    ):
        with pytest.raises(kind, match=words):
            discretise(env, **arguments)
    with pytest.raises(InvalidArgument, match=r"`low` must hold one entry for each of the 1 names"):
        Chart(("x",), (0.0, 1.0), (1.0,))
    found = strip()
    with pytest.raises(
        InvalidArgument, match=r"must have 5 states and 2 actions.*Pass a policy computed for `discretised.mdp`"
    ):
        found.player(np.full((4, 2), 0.5))
    with pytest.raises(InvalidArgument, match="1 finite coordinates"):
        found.state_of([math.nan])
