"""Planners of simulators that are functions of states, and the one of Pendulum-v1 in the live environment."""

import dataclasses
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from pgm_control import InvalidArgument, InvalidProblem, rollout
from pgm_control.planners import CEM, ESS, MPPI, RecedingHorizon, Simulator, SMCPlanner, pendulum_simulator
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


def test_whole_plans_at_once_are_repeated_steps():
    """The pendulum with its own rollout, and with the function of one step alone."""
    fast = pendulum_simulator(horizon=20)
    slow = dataclasses.replace(fast, rollout=None)
    plans = [MPPI(each, **FEW).plan([[3.0, 0.5], [0.1, -8.0]]) for each in (fast, slow)]
    assert torch.allclose(plans[0].log_weights, plans[1].log_weights, atol=1e-9)
    assert torch.allclose(plans[0].action, plans[1].action, atol=1e-9)


def test_a_rollout_that_does_something_else_is_refused():
    fast = pendulum_simulator()
    for wrong, said in (
        (lambda s, p, g: (s, torch.zeros(p.shape[:2]).double()), "`rollout` must do what repeated calls of `step` do"),
        (lambda s, p, g: (s, p), "`rollout` must return states of shape"),
        (lambda s, p, g: s, "`rollout` must return the last states and the rewards"),
    ):
        with pytest.raises(InvalidProblem, match=said):
            dataclasses.replace(fast, rollout=wrong)
    with pytest.raises(InvalidProblem, match="`rollout` must be None where"):
        Simulator(counting, rollout=lambda s, p, g: (s, p[..., 0]), **GIVEN)


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


PLANNERS = [(MPPI, {}), (CEM, {}), (SMCPlanner, {"optimism": 1.0})]


@pytest.mark.parametrize(("kind", "given"), PLANNERS)
@pytest.mark.parametrize(("worth", "said"), [(np.nan, "nan"), (np.inf, r"\+inf")])
def test_rewards_that_are_no_numbers_are_named_where_plans_meet_them(kind, given, worth, said):
    """The first check of `step` meets only actions in the middle of the box."""

    def step(state, action, generator):
        return state + action, torch.where(action[:, 0] > 0.6, worth, -state[:, 0])

    with pytest.raises(InvalidProblem, match=f"`model` must have rewards .* from step 0 has a return of {said}"):
        kind(Simulator(step, **GIVEN), **FEW, **given).act([1.0])


@pytest.mark.parametrize(("kind", "given"), PLANNERS)
def test_states_that_are_no_numbers_are_named_unless_the_episode_is_over(kind, given):
    def step(state, action, generator):
        ahead = torch.where(action > 0.6, torch.nan, state + action)
        return ahead, -(action[:, 0] ** 2)

    def ending(state, action, generator):
        ahead, reward = step(state, action, generator)
        return ahead, reward, ahead[:, 0].isnan()

    with pytest.raises(InvalidProblem, match="`step` must return states that are numbers, but returns nan in step 0"):
        kind(Simulator(step, **GIVEN), **FEW, **given).act([1.0])
    assert kind(Simulator(ending, **GIVEN), **FEW, **given).act([1.0]).isfinite()


@pytest.mark.parametrize("noises", [1, 2])
def test_a_step_that_writes_into_its_arguments_now_and_then_changes_no_plan(noises):
    """The first check of `step` sees no writing: it meets no action that is clipped."""

    def clean(state, action, generator):
        force = action.clamp(-0.8, 0.8)
        return state + force, -((state + force)[:, 0] ** 2)

    def clips(state, action, generator):
        action.clamp_(-0.8, 0.8)
        state += action
        return state, -(state[:, 0] ** 2)

    def checked(state, action, generator):
        return clean(state, action, generator) if len(state) == 3 else clips(state, action, generator)

    given = {**FEW, "num_noise_samples": noises}
    one, other = (MPPI(Simulator(step, **GIVEN), **given).plan([[1.0], [2.0]]) for step in (clean, checked))
    assert torch.equal(one.plans, other.plans)
    assert torch.equal(one.log_weights, other.log_weights)
    assert float(one.plans.abs().max()) > 0.8


@pytest.mark.parametrize("penalty", [1e3, 1e8, 1e18])
def test_the_effective_sample_size_is_reached_beside_plans_that_crash(penalty):
    def step(state, action, generator):
        return state + action, -((state + action)[:, 0] ** 2) - penalty * (action[:, 0] > 0.95).double()

    given = {"num_plans": 256, "num_noise_samples": 1, "temperature": ESS(0.3), "seed": 0}
    found = MPPI(Simulator(step, **GIVEN), **given).plan([[1.0], [2.0]])
    assert found.effective_sample_size.tolist() == pytest.approx([76.8, 76.8], rel=1e-6)
    alone = MPPI(Simulator(step, **GIVEN), **given).plan([[1.0]])
    assert float(alone.temperature[0]) == pytest.approx(float(found.temperature[0]), rel=1e-9)
    assert 0.1 < float(found.temperature[0]) < 10.0


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("temperature", [0.5, ESS(0.3)])
def test_plans_do_not_depend_on_the_unit_of_rewards(unit, temperature):
    def step(state, action, generator):
        ahead, reward = regulator(state, action, generator)
        return ahead, unit * reward

    tau = temperature if isinstance(temperature, ESS) else unit * temperature
    found = MPPI(Simulator(step, **GIVEN), temperature=tau, optimism=-0.1, **FEW).plan([1.0])
    given = {"temperature": temperature, "optimism": -0.1, **FEW}
    assert torch.allclose(found.log_weights, MPPI(Simulator(regulator, **GIVEN), **given).plan([1.0]).log_weights)


def test_the_first_action_is_that_of_an_integral_over_all_plans():
    """Two steps in a box, without noise, by the rule of midpoints."""

    def step(state, action, generator):
        ahead = state + action + 0.5 * (state * action).sin()
        return ahead, -((ahead[:, 0] - 0.3) ** 2) - 0.2 * action[:, 0].abs()

    one, steps = (torch.arange(400, dtype=torch.float64) + 0.5) / 200 - 1.0, torch.Generator()
    first, second = (each.flatten()[:, None] for each in torch.meshgrid(one, one, indexing="ij"))
    for tau in (0.1, 1.0, 30.0):
        ahead, reward = step(torch.full_like(first, 1.0), first, steps)
        weight = ((reward + step(ahead, second, steps)[1]) / tau).exp()
        value = tau * float(weight.mean().log())
        simulator = Simulator(step, **{**GIVEN, "horizon": 2}, temperature=tau)
        given = {"num_plans": 4000, "num_noise_samples": 1, "seed": 0}
        for spread in (None, 1.0, 5.0):
            found = MPPI(simulator, spread=spread, **given).plan(torch.ones(16, 1))
            error = float(found.action.std()) / 4
            assert abs(float(found.action.mean()) - float((weight * first[:, 0]).sum() / weight.sum())) < 4 * error
            assert float(found.value.mean()) == pytest.approx(value, abs=4 * float(found.value.std()) / 4 + 1e-3 * tau)


def drifting(state, plans, generator):
    """The rollout of `drift`."""
    paths = state[:, None] + plans.cumsum(1)
    return paths[:, -1], 1e-9 * paths[:, :, 0]


def drift(state, action, generator):
    return state + action, 1e-9 * (state + action)[:, 0]


@pytest.mark.parametrize(
    ("rollout", "said"),
    [
        (lambda s, p, g: (drifting(s, p, g)[0], -drifting(s, p, g)[1]), "do what repeated calls of `step` do"),
        (lambda s, p, g: (drifting(s, p, g)[0] + 1.0, drifting(s, p, g)[1]), "do what repeated calls of `step` do"),
        (lambda s, p, g: (s + torch.randn(s.shape).double(), p[:, :, 0]), "`rollout` must draw its noise from the gen"),
        (lambda s, p, g: 1 / 0, "`rollout` must be a function of states .* raises ZeroDivisionError"),
        (lambda s, p, g: (s / 0 * 0, p[:, :, 0]), "`rollout` must return states and rewards that are numbers"),
    ],
)
def test_a_rollout_that_is_another_is_refused_in_any_unit(rollout, said):
    Simulator(drift, **GIVEN, rollout=drifting)
    Simulator(drift, **GIVEN, rollout=lambda *given: tuple(each.float() for each in drifting(*given)))
    with pytest.raises(InvalidProblem, match=said):
        Simulator(drift, **GIVEN, rollout=rollout)


def test_a_step_that_uses_its_memory_again_is_checked_and_planned_with():
    """The two results that are compared are not one and the same array."""
    room: dict[int, Any] = {}

    def reused(state, action, noise):
        ahead, reward = room.setdefault(len(state), (np.empty(state.shape), np.empty(len(state))))
        np.copyto(ahead, state.numpy() + action.numpy() + noise)
        np.copyto(reward, -(ahead[:, 0] ** 2))
        return ahead, reward

    def step(state, action, generator):
        return reused(state, action, torch.randn(state.shape, generator=generator).double().numpy())

    def fresh(state, action, generator):
        return tuple(each.copy() for each in step(state, action, generator))

    with pytest.raises(InvalidProblem, match="must draw its noise from the generator"):
        Simulator(lambda s, a, g: reused(s, a, np.random.default_rng().normal(size=s.shape)), **GIVEN)
    one, other = (MPPI(Simulator(each, **GIVEN), **FEW).plan([1.0]) for each in (step, fresh))
    assert torch.equal(one.log_weights, other.log_weights)

    def rollout(state, plans, generator):
        noise = torch.randn(*plans.shape, generator=generator).double()
        paths = state[:, None] + (plans + noise).cumsum(1)
        return paths[:, -1], -(paths[:, :, 0] ** 2)

    MPPI(Simulator(step, **GIVEN, rollout=rollout), **FEW).plan([1.0])
