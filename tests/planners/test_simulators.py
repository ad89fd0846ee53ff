"""Planners of simulators that are functions of states, and the one of Pendulum-v1 in the live environment."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from pgm_control import InvalidArgument, InvalidProblem, rollout
from pgm_control.planners import CEM, MPPI, RecedingHorizon, Simulator, SMCPlanner, pendulum_simulator
from pgm_control.planners.rolling import roll_out
from pgm_control.planners.worlds.by_kind import world_of

FEW = {"num_plans": 32, "num_noise_samples": 4, "seed": 0}
GIVEN = {"start": [1.0], "action_low": [-1.0], "action_high": [1.0], "horizon": 4}


def regulator(state, action, generator):
    """The scalar linear-quadratic problem of the tests."""
    noise = torch.randn(state.shape, generator=generator, dtype=state.dtype)
    ahead = 0.9 * state + 0.5 * action + 0.3**0.5 * noise
    return ahead, -0.5 * state[:, 0] ** 2 - 0.1 * action[:, 0] ** 2


def counting(state, action, generator):
    """Each step pays 1, and the episode ends in state 3."""
    ahead = state + 1.0
    return ahead, torch.ones(len(state), dtype=torch.float64), ahead[:, 0] >= 3.0


@pytest.mark.parametrize("gravity", [10.0, 9.81])
def test_the_pendulum_is_that_of_gymnasium(gravity):
    env: Any = gymnasium.make("Pendulum-v1", g=gravity).unwrapped
    env.reset(seed=0)
    random = np.random.default_rng(0)
    states = np.stack([random.uniform(-15, 15, 400), random.uniform(-8, 8, 400)], 1)
    actions = random.uniform(-3, 3, (400, 1))  # Gymnasium clips the torque
    simulator = pendulum_simulator(gravity=gravity)
    ahead, reward, _ = simulator.moved(torch.from_numpy(states), torch.from_numpy(actions), torch.Generator())
    for i in range(400):
        env.state = states[i].copy()
        observation, paid, *_ = env.step(actions[i])
        assert env.state == pytest.approx(ahead[i].numpy(), abs=1e-12)
        assert paid == pytest.approx(float(reward[i]), abs=1e-12)
        assert observation == pytest.approx(simulator.observed(ahead[i : i + 1])[0].numpy(), abs=1e-6)
    back = simulator.located(simulator.observed(ahead))
    turns = (back[:, 0] - ahead[:, 0]) / (2 * np.pi)
    assert torch.allclose(turns, turns.round(), atol=1e-9)
    assert torch.equal(back[:, 1], ahead[:, 1])


def test_it_swings_the_live_pendulum_up():
    planner = MPPI(pendulum_simulator(), num_plans=64, num_noise_samples=1, horizon=15, seed=0)
    found = rollout("Pendulum-v1", planner, 2, seed=1, deterministic=True)
    assert found.lengths.tolist() == [200, 200]
    assert found.mean > -600.0, "a policy at random earns about -1200"


def test_rewards_may_be_a_function_of_their_own():
    """The same returns, and ends of episodes, with rewards step by step, and for all steps at once."""

    def moving(state, action, generator):
        ahead = regulator(state, action, generator)[0]
        return ahead, ahead[:, 0] > 1.4

    def paying(state, action, ahead):
        return -0.5 * state[:, 0] ** 2 - 0.1 * action[:, 0] ** 2 + 0.01 * ahead[:, 0]

    def both(state, action, generator):
        ahead, ended = moving(state, action, generator)
        return ahead, paying(state, action, ahead), ended

    found = []
    for simulator in (Simulator(both, **GIVEN), Simulator(moving, reward=paying, **GIVEN)):
        plan = MPPI(simulator, **FEW).plan([[1.0], [0.2]])
        assert SMCPlanner(simulator, optimism=1.0, **{**FEW, "num_noise_samples": 1}).act([1.0]).shape == (1,)
        found.append(plan)
    assert torch.equal(found[0].log_weights, found[1].log_weights)
    assert torch.equal(found[0].action, found[1].action)


def test_a_reward_of_another_shape_is_refused():
    with pytest.raises(InvalidProblem, match="`reward` must return one number for each of 3 states"):
        Simulator(lambda s, a, g: s, reward=lambda s, a, n: s, **GIVEN)
    with pytest.raises(InvalidProblem, match="`step` must return the next states, and if"):
        Simulator(lambda s, a, g: (s, s[:, 0], s[:, 0] > 0), reward=lambda s, a, n: s[:, 0], **GIVEN)


def test_a_linear_quadratic_simulator_has_the_known_first_actions():
    """In a box as wide as 40 deviations the uniform prior is as good as Lebesgue measure."""
    simulator = Simulator(regulator, start=[1.0], action_low=[-30.0], action_high=[30.0], horizon=6)
    for beta, noises, known in ((1.0, 4, -0.983132516), (0.0, 64, -1.149526175)):
        planner = MPPI(
            simulator, optimism=beta, num_plans=2048, num_noise_samples=noises, num_sweeps=4, adapts_spread=True,
            spread=2.0, seed=0,
        )  # fmt: skip
        action = planner.plan(torch.ones(16, 1)).action[:, 0]
        error = float(action.std()) / 4
        assert error < 0.02
        assert abs(float(action.mean()) - known) < 4 * error + 0.01


def test_after_the_end_of_an_episode_there_is_no_reward_and_no_value():
    simulator = Simulator(counting, **{**GIVEN, "start": [0.0], "horizon": 10})
    world, plans = world_of(simulator), torch.zeros(1, 2, 10, 1, dtype=torch.float64)
    for start, left in ((0.0, 3.0), (1.0, 2.0), (2.0, 1.0)):
        state, _ = world.states([start])
        assert roll_out(world, 0, state, plans, 2, None).returns.tolist() == [[[left] * 2] * 2]
    value = MPPI(simulator, terminal_value=lambda t, state: state[:, 0] * 0 + 5.0, **FEW).terminal_value
    state, _ = world.states([0.0])
    assert roll_out(world, 0, state, plans[:, :, :2], 1, value).returns.unique().tolist() == [2.0 + 5.0]
    assert roll_out(world, 0, state, plans[:, :, :4], 1, value).returns.unique().tolist() == [3.0]
    seen = []

    def action_value(t, state, action):
        seen.append(state.shape[1])
        return torch.full((len(state),), 7.0, dtype=torch.float64)

    particles = SMCPlanner(simulator, optimism=1.0, action_value=action_value, **FEW).plan([2.0])
    assert set(seen) == {1}
    assert float(particles.value[0]) == pytest.approx(7.0, abs=0.5), "one action value of 7, and then ends worth 0"


def test_noise_is_that_of_the_seed_of_the_planner_alone():
    simulator = Simulator(regulator, **GIVEN)
    for kind in (MPPI, CEM):
        torch.manual_seed(1)
        one = kind(simulator, **FEW).act([1.0])
        before = torch.random.get_rng_state()
        planner = kind(simulator, **FEW)
        assert torch.equal(one, planner.act([1.0]))
        assert torch.equal(before, torch.random.get_rng_state())
        assert not torch.equal(planner.plan([1.0]).action, planner.plan([1.0]).action)


def test_a_step_of_numpy_is_as_good():
    def step(state, action, generator):
        noise = np.random.default_rng(int(torch.randint(2**31, (), generator=generator))).normal(size=state.shape)
        ahead = 0.9 * state.numpy() + 0.5 * action.numpy() + 0.1 * noise
        return ahead, -(ahead[:, 0] ** 2), np.zeros(len(ahead), bool)

    assert MPPI(Simulator(step, **GIVEN), **FEW).act([1.0]).abs() <= 1.0


def test_actions_stay_within_their_bounds_and_the_memory_of_predict_is_that_of_act():
    simulator = Simulator(lambda s, a, g: (s + a, -((s + a - 9.0)[:, 0] ** 2)), **GIVEN)
    one, other, memory = MPPI(simulator, **FEW), MPPI(simulator, **FEW), None
    for t in range(4):
        action = one.act([[float(t)]])
        found, memory = other.predict(np.array([[float(t), 7.0]]), memory, deterministic=True)
        assert found == pytest.approx(action.numpy(), abs=1e-12)
        assert 0.5 < float(action) <= 1.0


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"step": lambda s, a, g: (s + torch.randn(s.shape).double(), s[:, 0])}, InvalidProblem, "generator"),
        ({"step": lambda s, a, g: s}, InvalidProblem, "`step` must return the next states and the rewards"),
        ({"step": lambda s, a, g: (s, s)}, InvalidProblem, r"shape \(3, 1\), and rewards and ends of shape \(3,\)"),
        ({"step": lambda s, a, g: (s, s[:, 0], s)}, InvalidProblem, "ends"),
        ({"step": lambda s, a, g: (s.add_(1.0), s[:, 0])}, InvalidProblem, "leave its arguments"),
        ({"step": lambda s, a, g: (s / 0, s[:, 0])}, InvalidProblem, "finite states"),
        ({"step": lambda s, a, g: 1 / 0}, InvalidProblem, "raises ZeroDivisionError"),
        ({"step": lambda s, a: (s, s[:, 0])}, InvalidArgument, "`step`"),
        ({"step": None}, InvalidArgument, "`step`"),
        ({"action_low": [2.0]}, InvalidArgument, "`action_low` must be below `action_high`"),
        ({"action_low": [-1.0, -1.0]}, InvalidArgument, "`action_low` must be below `action_high`"),
        ({"action_high": [np.inf]}, InvalidArgument, "`action_high` must be a vector of finite numbers"),
        ({"start": [[1.0]]}, InvalidArgument, "`start` must be a vector"),
        ({"horizon": 0}, InvalidArgument, "`horizon`"),
        ({"temperature": 0.0}, InvalidArgument, "`temperature`"),
        ({"observe": lambda s: s[:, 0]}, InvalidProblem, "`observe` must return"),
        ({"locate": lambda o: torch.cat((o, o), 1)}, InvalidProblem, "`locate` must return states of 1"),
        ({"observe": lambda s: s[:, :0]}, InvalidArgument, "`locate`"),
    ],
)
@pytest.mark.wrong_types
def test_what_does_not_fit_is_refused_by_name(change, error, said):
    with pytest.raises(error, match=said):
        Simulator(**{"step": regulator, **GIVEN, **change})


@pytest.mark.wrong_types
def test_what_planners_refuse_is_named():
    simulator = Simulator(regulator, **GIVEN)
    with pytest.raises(InvalidArgument, match="`model` must be a model for RecedingHorizon"):
        RecedingHorizon(simulator, lambda left, before: None)
    with pytest.raises(InvalidArgument, match="a Simulator for a planner, but is"):
        MPPI(gymnasium.make("Pendulum-v1"))
    with pytest.raises(InvalidArgument, match="`state` must be a vector of 1 numbers"):
        MPPI(simulator, **FEW).act([1.0, 2.0])
    with pytest.raises(InvalidArgument, match="`observation` must be a vector"):
        MPPI(simulator, **FEW).predict(np.array([np.nan]))
    late = Simulator(lambda s, a, g: (s, s[:, 0] if len(s) == 3 else s), **GIVEN)
    with pytest.raises(InvalidProblem, match="`step` must return next states of shape"):
        MPPI(late, **FEW).act([1.0])
