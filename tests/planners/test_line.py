"""Planners of models on the line, whose noise grows with effort, against the exact optimum on a mesh."""

import numpy as np
import pyro.distributions as dist
import pytest
import torch

from pgm_control import InvalidArgument, Line, LineModel, OptimismBreakdown, infer_line, rollout, to_gymnasium
from pgm_control.models import hurry
from pgm_control.planners import CEM, MPPI, RecedingHorizon, SMCPlanner
from pgm_control.planners.remaining import remaining
from pgm_control.planners.worlds.by_kind import world_of

MODEL = LineModel(hurry(horizon=3), 0.5, 1.0)
START = torch.zeros(1, dtype=torch.float64)


@pytest.fixture(scope="module")
def exact():
    return {beta: infer_line(MODEL, beta) for beta in (0.0, 1.0)}


def first_action(planner, copies):
    """The mean first action over independent copies, its standard error, and the plan."""
    found = planner.plan(torch.zeros(copies, 1, dtype=torch.float64))
    action = found.action[:, 0]
    return float(action.mean()), float(action.std()) / copies**0.5, found


def test_a_step_is_that_of_the_problem():
    world = world_of(MODEL)
    state, action = torch.full((1, 1, 40_000, 1), 1.0), torch.full((1, 1, 1, 1), 2.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        moved = [world.move(t, state.double(), action.double()) for t in (0, 2)]
    for t, each in enumerate(moved):
        ahead = each.state[0, 0, :, 0].numpy()
        assert ahead.mean() == pytest.approx(3.0, abs=0.03)
        assert ahead.var() == pytest.approx(0.01 + 0.36 * 4, rel=0.03)
        ground = -0.1 * (ahead - 4) ** 2 - 1.6 if t == 0 else -2.0 * (ahead - 4) ** 2
        assert each.reward[0, 0].numpy() == pytest.approx(ground, abs=1e-12)
    density = float(world.log_prior(0, state.double(), action.double()).flatten()[0])
    assert density == pytest.approx(-2.0 - 0.5 * np.log(2 * np.pi), rel=1e-12)


def test_weighted_plans_with_one_draw_are_the_free_posterior(exact):
    """The first action of a plan has the same posterior as that of a policy: plans are marginals of trajectories."""
    given = {"num_sweeps": 3, "adapts_spread": True, "seed": 0}
    for beta, noises in ((0.0, 1), (1.0, 4)):
        planner = MPPI(MODEL, optimism=beta, num_plans=8000 // noises, num_noise_samples=noises, **given)
        mean, error, found = first_action(planner, 32)
        assert error < 0.03
        assert abs(mean - float(exact[1.0].policy(0, START).mean)) < 4 * error
        assert float(found.value.mean()) == pytest.approx(exact[1.0].value, abs=0.05)


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_plans_of_one_step_with_the_exact_value_are_the_exact_policy(exact, beta):
    """The clamped one has a bias of order 1/M."""
    planner = MPPI(
        MODEL, optimism=beta, num_plans=1024, num_noise_samples=128, horizon=1, terminal_value=exact[beta], seed=0
    )
    mean, error, found = first_action(planner, 32)
    assert error < 0.02
    assert abs(mean - float(exact[beta].policy(0, START).mean)) < 4 * error
    assert float(found.value.mean()) == pytest.approx(exact[beta].value, abs=0.04)
    other = exact[1.0 - beta]
    assert abs(float(found.value.mean()) - other.value) > 0.4


def test_particles_with_the_exact_value_are_clamped(exact):
    """The value is too high by .17 with 64 draws and by .04 with 256: the bias is of order 1/M."""
    planner = SMCPlanner(MODEL, num_plans=1000, num_noise_samples=256, terminal_value=exact[0.0], seed=0)
    mean, error, found = first_action(planner, 16)
    assert error < 0.04
    assert abs(mean - float(exact[0.0].policy(0, START).mean)) < 4 * error
    assert float(found.value.mean()) == pytest.approx(exact[0.0].value, abs=0.1)


def test_a_receding_horizon_plays_the_mean_of_the_exact_policy(exact):
    planner = RecedingHorizon(MODEL, lambda left, before: infer_line(left, 0.0), seed=0)
    for t, state in enumerate((0.0, 1.3)):
        expected = exact[0.0].policy(t, torch.tensor([state])).mean
        assert torch.allclose(planner.act([state]), expected, atol=5e-3)
    assert planner.act([2.0], deterministic=False).shape == (1,)
    left = remaining(MODEL, 1, torch.tensor([1.0]), 1)
    assert left.problem.final_reward is None
    assert (left.problem.horizon, left.problem.initial_mean) == (1, 1.0)


def test_a_negative_optimism_has_broken_down_as_for_the_exact_optimum():
    with pytest.raises(OptimismBreakdown):
        infer_line(MODEL, -0.1)
    for planner in (MPPI(MODEL, optimism=-0.1, seed=0), CEM(MODEL, optimism=-0.1, seed=0)):
        with pytest.raises(OptimismBreakdown, match="a finite number of draws would hide it"):
            planner.act(0.0)
    bounded = LineModel(Line(lambda s: -(s**2), 3, 0.1, initial_mean=1.0))
    assert MPPI(bounded, optimism=-0.1, seed=0).act(1.0).shape == (1,)


def test_a_noise_that_is_a_distribution_is_drawn_for_each_state_apart():
    line = Line(lambda s: -(s**2), 2, lambda s, a: dist.StudentT(5.0, 0.0, 0.1), initial_mean=1.0)
    moved = world_of(LineModel(line)).move(0, torch.zeros(1, 2, 50, 1).double(), torch.zeros(1, 2, 1, 1).double())
    assert moved.state.shape == (1, 2, 50, 1)
    assert len(moved.state.unique()) == 100


def test_it_acts_in_the_live_environment():
    env = to_gymnasium(MODEL)
    found = rollout(env, MPPI(MODEL, num_plans=64, seed=0), 8, seed=0, deterministic=True)
    assert found.lengths.tolist() == [3] * 8
    assert found.mean > -20.0


def test_states_are_numbers_or_vectors_of_one():
    planner = MPPI(MODEL, num_plans=16, seed=0)
    assert planner.plan(0.0).action.shape == (1, 1)
    assert planner.plan([0.0]).action.shape == (1, 1)
    assert planner.plan([[0.0], [1.0]]).action.shape == (2, 1)
    with pytest.raises(InvalidArgument, match="`state` must be a vector of 1 numbers"):
        planner.plan([0.0, 1.0])


@pytest.mark.parametrize(("steps", "horizon"), [(6, 6), (6, 3), (3, 3)])
def test_plans_break_down_on_the_line_where_the_largest_eigenvalue_says(steps, horizon):
    """With r = −s² and unit noise E exp(θR) is finite while −2θλ < 1, λ that of the matrix of the sums of noises."""
    sums = np.tril(np.ones((horizon, horizon)))
    edge = -0.5 / np.linalg.eigvalsh(sums.T @ sums)[-1]
    model = LineModel(Line(lambda s: -(s**2), steps, 1.0, initial_mean=1.0), 2.0, 1.0)
    given = {"num_plans": 8, "num_noise_samples": 2, "horizon": horizon, "seed": 0}
    for kind in (MPPI, CEM):
        kind(model, optimism=2.0 * 0.99 * edge, **given).plan([1.0])
        with pytest.raises(OptimismBreakdown, match="for plans that do not see the state: along a path of the noise"):
            kind(model, optimism=2.0 * 1.01 * edge, **given).plan([1.0])


def test_where_plans_break_down_a_bounded_reward_or_a_value_does_not():
    given = {"num_plans": 8, "num_noise_samples": 2, "optimism": -0.3, "seed": 0}
    bounded = LineModel(Line(lambda s: -(s**2).clamp(max=100.0), 6, 1.0), 1.0, 1.0)
    MPPI(bounded, **given).plan([0.0])
    early = LineModel(Line(lambda t, s: -(s**2) * (t < 3), 6, 1.0), 1.0, 1.0)
    with pytest.raises(OptimismBreakdown, match="from t = 0 on"):
        MPPI(early, horizon=3, **given).plan([0.0])
    MPPI(early, horizon=1, **given).plan([0.0])
    gusts = LineModel(Line(lambda s: -s.abs(), 4, lambda s, a: dist.Laplace(torch.zeros_like(s), 1.0)), 1.0, 1.0)
    MPPI(gusts, **{**given, "optimism": -0.2}).plan([0.0])
    with pytest.raises(OptimismBreakdown, match="along a path"):  # a first gust is paid four times
        MPPI(gusts, **given).plan([0.0])
