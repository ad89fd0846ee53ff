"""First actions, values and distributions of plans in linear-quadratic problems, against a dense Gaussian integral."""

import numpy as np
import open_loop_plans as open_loop
import pytest
import torch
from linear_quadratics import double_integrator, scalar

from pgm_control import LinearQuadraticModel, Risk, infer
from pgm_control.planners import CEM, ESS, MPPI, SMCPlanner

SCALAR = {"A": 0.9, "B": 0.5, "W": 0.3, "C": np.diag([1.0, 0.2]), "start": [1.0], "horizon": 6}
MODEL = LinearQuadraticModel(scalar())


def first_actions(planner, copies, state=(1.0,)):
    """The mean first action over independent copies, its standard error, and the plan."""
    found = planner.plan(torch.tensor([state] * copies, dtype=torch.float64))
    action = found.action[:, 0]
    return float(action.mean()), float(action.std()) / copies**0.5, found


def test_the_oracle_knows_the_known_answers():
    for beta, gain in ((1.0, 0.983132516), (0.0, 1.149526175), (-0.2, 1.190450590)):
        assert open_loop.plans(**SCALAR, beta=beta).mean[0] == pytest.approx(-gain, abs=1e-9)
    assert open_loop.edge(**SCALAR) == pytest.approx(-0.3762708747, abs=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(("beta", "noises", "plans"), [(1.0, 16, 8192), (0.0, 64, 8192), (-0.2, 128, 16384)])
def test_first_actions_are_those_of_the_dial(beta, noises, plans):
    """At 16 × 4 sweeps × plans × noises × 6 simulated steps: 50, 201 and 805 million."""
    planner = MPPI(
        MODEL, optimism=beta, num_plans=plans, num_noise_samples=noises, num_sweeps=4, adapts_spread=True, seed=0
    )
    mean, error, found = first_actions(planner, 16)
    assert found.num_simulated_steps == 16 * 4 * plans * noises * 6
    assert error < 0.003
    assert abs(mean - open_loop.plans(**SCALAR, beta=beta).mean[0]) < 0.01


@pytest.mark.parametrize(
    ("beta", "noises", "effective"),
    [(1.0, 1, 1.0), (1.0, 4, 1.0), (0.0, 1, 1.0), (0.0, 2, 0.5), (0.0, 8, 0.125)],
)
def test_the_mean_of_m_draws_is_the_optimism_one_over_m(beta, noises, effective):
    planner = MPPI(
        MODEL, optimism=beta, num_plans=2048, num_noise_samples=noises, num_sweeps=3, adapts_spread=True, seed=1
    )
    mean, error, found = first_actions(planner, 32)
    oracle = open_loop.plans(**SCALAR, beta=effective)
    assert error < 0.02
    assert abs(mean - oracle.mean[0]) < 4 * error
    if noises == 1:  # the mean of the noises has less spread at β = 1/M, which the value counts
        assert float(found.value.mean()) == pytest.approx(oracle.value, abs=0.05)


def test_the_weighted_plans_have_the_mean_and_the_covariance_of_the_free_posterior():
    planner = MPPI(MODEL, optimism=1.0, num_plans=50_000, num_noise_samples=4, num_sweeps=3, adapts_spread=True, seed=2)
    found = planner.plan([1.0])
    oracle, weight = open_loop.plans(**SCALAR, beta=1.0), found.log_weights[0].exp()
    plans = found.plans[0, :, :, 0]
    mean = weight @ plans
    covariance = (plans - mean).T @ (weight[:, None] * (plans - mean))
    assert np.abs(mean.numpy() - oracle.mean).max() < 0.05
    assert np.abs(covariance.numpy() - oracle.covariance).max() < 0.1
    assert float(found.value[0]) == pytest.approx(oracle.value, abs=0.02)


def test_a_prior_and_a_second_order_system():
    problem = double_integrator().replace(horizon=5)
    model = LinearQuadraticModel(problem, 0.7, 4.0)
    start = [1.0, 0.5]
    oracle = open_loop.plans(problem.A[0], problem.B[0], problem.W[0], problem.C[0], start, 5, 1.0 / 8, 0.7, prior=4.0)
    planner = MPPI(model, num_plans=2048, num_noise_samples=8, num_sweeps=3, adapts_spread=True, seed=0)
    mean, error, _ = first_actions(planner, 16, start)
    assert error < 0.03
    assert abs(mean - oracle.mean[0]) < 4 * error


def test_a_risk_is_an_optimism_in_units_of_the_temperature():
    model = LinearQuadraticModel(scalar(), 2.0)
    given = {"num_plans": 64, "num_noise_samples": 4, "seed": 3}
    one, other = MPPI(model, optimism=Risk(-0.1), **given), MPPI(model, optimism=-0.2, **given)
    assert torch.allclose(one.act([1.0]), other.act([1.0]), rtol=1e-12)


def test_the_effective_sample_size_that_was_asked_for():
    model, given = LinearQuadraticModel(scalar(), 1.0, 4.0), {"num_plans": 500, "num_noise_samples": 4, "seed": 0}
    found = MPPI(model, temperature=ESS(0.3), **given).plan([[1.0], [5.0]])
    assert found.effective_sample_size.tolist() == pytest.approx([150.0, 150.0], abs=1e-3)
    tau = found.temperature.tolist()
    assert tau[1] > tau[0] > 0
    again = MPPI(model, temperature=tau[0], **given).plan([[1.0], [5.0]])
    assert float(again.effective_sample_size[0]) == pytest.approx(150.0, abs=1e-3)


def test_an_effective_sample_size_that_cannot_be_reached_is_reported():
    """With Lebesgue measure high temperatures give weights 1/q, and low ones those of one plan."""
    found = MPPI(MODEL, num_plans=500, num_noise_samples=4, temperature=ESS(0.9), seed=0).plan([1.0])
    assert 20 < float(found.effective_sample_size[0]) < 450
    for tau in (0.3, 1.0, 3.0, 10.0, 30.0, 100.0):
        other = MPPI(MODEL, num_plans=500, num_noise_samples=4, temperature=tau, seed=0).plan([1.0])
        assert float(other.effective_sample_size[0]) < 1.2 * float(found.effective_sample_size[0])


def quadratic_value(beta):
    posterior = infer(MODEL, beta)
    return posterior, float(posterior.gain[0])


def clamped_action_value(t, state, action):
    """Q(s, a) = r + E V' at optimism 0, by scalar arithmetic."""
    P = 0.0
    for _ in range(5 - t):
        a, s, both = 0.2 + 0.25 * P, 1.0 + 0.81 * P, 0.45 * P
        P = s - both**2 / a
    s, a = state[:, 0], action[:, 0]
    ahead = 0.9 * s + 0.5 * a
    constant = float(infer(MODEL, 0.0).value_constant[t + 1])
    return -0.5 * s**2 - 0.1 * a**2 - 0.5 * P * (ahead**2 + 0.3) - constant


@pytest.mark.parametrize("of_value", [0.0, 1.0])
def test_smc_with_one_draw_is_free_for_any_value(of_value):
    value, _ = quadratic_value(of_value)
    for beta in (1.0, 0.0):  # whatever the optimism is called
        planner = SMCPlanner(MODEL, optimism=beta, num_plans=8000, num_noise_samples=1, terminal_value=value, seed=4)
        mean, error, _ = first_actions(planner, 32)
        assert error < 0.01
        assert abs(mean + 0.983132516) < 4 * error


def test_smc_weighted_by_q_less_v_is_clamped():
    value, gain = quadratic_value(0.0)
    planner = SMCPlanner(
        MODEL, num_plans=8000, num_noise_samples=1, terminal_value=value, action_value=clamped_action_value, seed=5
    )
    mean, error, found = first_actions(planner, 64)
    assert error < 0.008
    assert abs(mean + gain) < 4 * error
    assert float(found.value.mean()) == pytest.approx(infer(MODEL, 0.0).value, abs=0.02)


def test_smc_at_other_optimisms():
    for beta, noises in ((0.5, 16), (-0.2, 16)):
        value, _ = quadratic_value(beta)
        planner = SMCPlanner(
            MODEL, optimism=beta, num_plans=1000, num_noise_samples=noises, terminal_value=value, seed=6
        )
        mean, error, _ = first_actions(planner, 32)
        between = infer(MODEL, beta + (1 - beta) / noises)
        assert abs(mean + float(between.gain[0])) < 4 * error


def test_cem_finds_the_plan_of_the_best_score():
    """The best plan of a Gaussian is its mean. Independent deviations converge early, hence the wide margin."""
    planner = CEM(MODEL, num_plans=2000, num_noise_samples=16, num_sweeps=12, elite_fraction=0.2, seed=7)
    mean, _, found = first_actions(planner, 8)
    assert abs(mean + 1.149526175) < 0.08
    assert found.effective_sample_size.tolist() == [400.0] * 8
    assert bool(found.value.isnan().all())
