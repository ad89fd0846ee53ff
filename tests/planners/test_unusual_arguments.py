"""Planners with arguments at the edges: forbidden outcomes, other temperatures, values and plans that do not fit."""

import math

import numpy as np
import open_loop_plans as open_loop
import pytest
import torch
from linear_quadratics import double_integrator, scalar

from pgm_control import (
    GaussianPrior,
    InvalidArgument,
    LinearQuadraticModel,
    OptimismBreakdown,
    Risk,
    TabularMDP,
    TabularModel,
    infer,
    models,
)
from pgm_control.planners import CEM, ESS, MPPI, PlanStatus, RecedingHorizon, SMCPlanner
from pgm_control.planners.plan import status_of
from pgm_control.planners.weights import Scores, largest_noise, score

MODEL = LinearQuadraticModel(scalar())
COST = np.diag([1.0, 0.2])
FEW = {"num_plans": 64, "num_noise_samples": 4, "seed": 0}


def fork(*doomed):
    """Action 0 leads to state 1, action 1 to state 2, and then all to state 3; in the doomed ones all is forbidden."""
    successor = torch.tensor([[[1], [2]], [[3], [3]], [[3], [3]], [[3], [3]]])
    reward = torch.zeros(4, 2, 1, dtype=torch.float64)
    reward[list(doomed)] = -math.inf
    return TabularModel(TabularMDP([1.0, 0.0, 0.0, 0.0], torch.ones_like(reward), successor, reward, 3))


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, -0.5])
def test_a_way_into_a_state_that_forbids_everything_is_not_taken(beta):
    model, given = fork(2), {**FEW, "optimism": beta}
    value = infer(model, 0.0)
    for planner in (
        MPPI(model, **given),
        CEM(model, **given),
        SMCPlanner(model, terminal_value=value, **given),
        SMCPlanner(model, terminal_value=lambda t, state: torch.zeros(len(state)), **given),
    ):
        found = planner.plan([0, 0])
        assert found.centre[:, 0, 1].tolist() == [0.0, 0.0]
        assert found.largest_noise_weight.tolist() == pytest.approx([0.25, 0.25])
        assert found.status is PlanStatus.complete
        if not isinstance(planner, CEM):
            assert found.value.tolist() == pytest.approx([math.log(0.5)] * 2, abs=0.3)


def test_where_every_plan_is_forbidden_no_planner_plays_one():
    model = fork(1, 2)
    for planner in (MPPI(model, **FEW), CEM(model, **FEW), SMCPlanner(model, optimism=1.0, **FEW)):
        with pytest.raises(InvalidArgument, match="`state` must allow a plan of positive weight"):
            planner.act(0)
        assert planner.act(3) in (0, 1)
    with pytest.raises(InvalidArgument, match="positive weight"):
        MPPI(model, temperature=ESS(0.3), **FEW).act(0)


def test_cem_takes_no_forbidden_plan_among_its_best():
    """Of 64 plans about 8 are allowed, and 32 are asked for."""
    reward = torch.zeros(1, 8, 1, dtype=torch.float64)
    reward[:, 1:] = -math.inf
    model = TabularModel(TabularMDP([1.0], torch.ones_like(reward), torch.zeros(1, 8, 1, dtype=torch.long), reward, 1))
    found = CEM(model, elite_fraction=0.5, num_sweeps=1, **FEW).plan(0)
    assert float(found.centre[0, 0, 0]) == pytest.approx(1.0, abs=1e-12)
    assert float(found.effective_sample_size[0]) == int((found.plans[0, :, 0] == 0).sum()) < 32
    assert float(found.largest_weight[0]) == pytest.approx(1 / float(found.effective_sample_size[0]))


def test_episodes_side_by_side_find_their_temperatures_alone():
    reward = torch.tensor([[[0.0], [1.0], [-math.inf]], [[-1e9], [-1e9], [-1e9]]], dtype=torch.float64)
    successor = torch.arange(2)[:, None, None].expand(2, 3, 1)
    model = TabularModel(TabularMDP([1.0, 0.0], torch.ones_like(reward), successor, reward, 3))
    given = {"temperature": ESS(0.2), "num_plans": 256, "seed": 0}
    alone, beside = MPPI(model, **given).plan([0]), MPPI(model, **given).plan([0, 1])
    assert float(beside.temperature[0]) == pytest.approx(float(alone.temperature[0]), rel=1e-9)


def test_an_average_with_a_prior_that_sees_the_state_shares_by_both():
    tau = torch.tensor([2.0], dtype=torch.float64)
    returns, prior = np.array([1.0, 0.0, -1.0]), np.array([0.0, 3.0, 0.5])
    scores = Scores(torch.from_numpy(returns)[None, None], torch.from_numpy(prior)[None, None])
    for beta in (0.5, -0.5):
        shares = np.exp(beta * (returns / 2 + prior))
        found = largest_noise(scores, tau, beta, torch.ones(1, 1, dtype=torch.float64))
        assert float(found) == pytest.approx(shares.max() / shares.sum(), rel=1e-12)


@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_the_bias_of_a_score_of_m_draws(beta):
    """Returns of 0 or −3: the variance of exp(βR/τ) says how far a score is too high, not a shift of β."""
    tau, draws, plans, chance = 2.0, 64, 50_000, 0.3
    drawn = torch.rand(1, plans, draws, generator=torch.Generator().manual_seed(0), dtype=torch.float64) < chance
    scores = Scores(-3.0 * drawn.double(), torch.zeros(1, plans, 1, dtype=torch.float64))
    level = score(scores, torch.tensor([tau], dtype=torch.float64), beta)
    found = tau * float((level / tau).exp().mean().log())
    tilt = math.exp(-3.0 * beta / tau)
    mean = 1 - chance + chance * tilt
    variance = chance * (1 - chance) * (1 - tilt) ** 2
    bias = tau * (1 - beta) / (2 * beta**2 * draws) * variance / mean**2
    assert found - tau / beta * math.log(mean) == pytest.approx(bias, abs=0.0025)


@pytest.mark.parametrize("tau", [0.5, 30.0])
def test_a_temperature_other_than_that_of_the_model(tau):
    """The first plans are as wide as this temperature says; with those of the model the value was wrong by a fifth."""
    found = MPPI(MODEL, temperature=tau, num_plans=8000, num_noise_samples=16, num_sweeps=2, seed=0).plan([[1.0]] * 8)
    oracle = open_loop.plans(0.9, 0.5, 0.3, COST, [1.0], 6, 1 / 16, tau)
    assert float(found.value.mean()) == pytest.approx(oracle.value, rel=0.02, abs=0.1)
    assert float(found.action.mean()) == pytest.approx(oracle.mean[0], abs=0.1)
    assert float(found.temperature[0]) == tau


def test_the_temperature_is_the_unit_of_optimism_alone_for_cem():
    one, other = (CEM(MODEL, temperature=tau, **FEW).act([1.0]) for tau in (1.0, 50.0))
    assert torch.equal(one, other)


def test_smc_breaks_down_where_policies_do():
    value = infer(MODEL, -0.5)
    planner = SMCPlanner(MODEL, optimism=-0.5, num_plans=1000, num_noise_samples=64, terminal_value=value, seed=0)
    found = planner.plan([[1.0]] * 16).action[:, 0]
    assert float(found.mean()) == pytest.approx(-float(infer(MODEL, -0.5 + 1.5 / 64).gain[0]), abs=0.06)
    value = infer(MODEL, -2.0)
    edge = -1 / (0.3 * float(value.value_hessian[1:].amax()))
    with pytest.raises(OptimismBreakdown, match="of a policy") as caught:
        SMCPlanner(MODEL, optimism=-2.5, terminal_value=value, **FEW).act([1.0])
    assert caught.value.limit == pytest.approx(edge, rel=1e-9)


@pytest.mark.parametrize("beta", [0.5, -0.5])
def test_smc_goes_on_from_the_states_that_it_believes_in(beta):
    """The second action answers a state that noise has moved by (1 + θWP)⁻¹, and not by its inverse."""
    value = infer(MODEL, beta)
    K, P = value.gain[:, 0, 0].tolist(), float(value.value_hessian[1, 0, 0])
    planner = SMCPlanner(MODEL, optimism=beta, num_plans=1000, num_noise_samples=64, terminal_value=value, seed=0)
    actions = planner.plan([[1.0]] * 32).actions[:, 1, 0]
    expected = -K[1] * (0.9 - 0.5 * K[0]) / (1 + beta * 0.3 * P)
    error = float(actions.std()) / 32**0.5
    assert error < 0.03
    assert abs(float(actions.mean()) - expected) < 4 * error


def test_the_effective_size_of_smc_is_that_of_families_with_one_first_action():
    found = SMCPlanner(MODEL, optimism=1.0, threshold=1.0, **FEW).plan([[1.0], [2.0]])
    for i in range(2):
        actions, line = found.plans[i, :, 0, 0].unique(return_inverse=True)
        families = torch.zeros(len(actions), dtype=torch.float64).index_add(0, line, found.log_weights[i].exp())
        assert len(actions) < 40
        assert float(found.effective_sample_size[i]) == pytest.approx(1 / float(families.square().sum()), rel=1e-12)
        assert float(found.largest_weight[i]) == pytest.approx(float(families.max()), rel=1e-12)


@pytest.mark.parametrize("beta", [-1e6, -1e13, -1e300])
def test_the_edge_is_found_from_however_far_beyond_it(beta):
    with pytest.raises(OptimismBreakdown) as caught:
        MPPI(MODEL, optimism=beta, **FEW).act([1.0])
    assert caught.value.limit == pytest.approx(-0.3762708747, abs=1e-9)


@pytest.mark.parametrize("tau", [0.5, 4.0])
def test_the_edge_with_a_prior_that_sees_the_state_has_the_temperature_of_the_planner(tau):
    """The prior N(−.5 s, 1) costs ½ τ (a + .5 s)²."""
    cost = COST + tau * np.array([[0.25, 0.5], [0.5, 1.0]])
    edge = tau * open_loop.edge(0.9, 0.5, 0.3, cost, [1.0], 6)
    for temperature in (tau, 1.0):
        model = LinearQuadraticModel(scalar(), temperature, GaussianPrior([[-0.5]], [0.0], [[1.0]]))
        with pytest.raises(OptimismBreakdown) as caught:
            MPPI(model, optimism=-50.0, temperature=tau, **FEW).act([1.0])
        assert caught.value.limit == pytest.approx(edge, rel=1e-9)


def test_a_risk_that_is_optimism_one_is_free():
    model = LinearQuadraticModel(scalar(), 2.0)
    assert torch.equal(
        SMCPlanner(model, optimism=Risk(0.5), **FEW).act([1.0]), SMCPlanner(model, optimism=1.0, **FEW).act([1.0])
    )
    half = torch.tensor([0.1])
    assert status_of(half, torch.tensor([0.9]), 100, 16, True) is PlanStatus.complete
    assert status_of(half, torch.tensor([0.9]), 100, 16, False) is PlanStatus.degenerate
    assert status_of(torch.tensor([0.6]), half, 100, 16, True) is PlanStatus.degenerate


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (fork(), torch.zeros(4, 9)),
        (fork(), torch.zeros(4, 2)),
        (fork(), torch.full((4, 4), math.inf)),
        (fork(), infer(MODEL, 0.0)),
        (MODEL, infer(LinearQuadraticModel(scalar(horizon=3)), 0.0)),
        (MODEL, infer(LinearQuadraticModel(double_integrator()), 0.0)),
        (MODEL, infer(fork(), 0.0)),
    ],
)
def test_values_of_other_problems_are_refused(model, value):
    with pytest.raises(InvalidArgument, match="`terminal_value` must"):
        MPPI(model, horizon=1, terminal_value=value, **FEW)


def test_a_terminal_value_is_asked_for_before_the_end_of_the_model_only():
    asked = []

    def value(t, state):
        asked.append(t)
        return torch.full((len(state),), 7.0)

    for kind in (MPPI, CEM):
        whole = kind(MODEL, terminal_value=value, **FEW).plan([1.0])
        assert torch.equal(whole.log_weights, kind(MODEL, **FEW).plan([1.0]).log_weights)
        assert asked == []
    MPPI(MODEL, horizon=2, terminal_value=value, **FEW).plan([1.0], 3)
    assert asked == [5]
    asked.clear()
    SMCPlanner(MODEL, optimism=1.0, terminal_value=value, **FEW).plan([1.0], 3)
    assert sorted(set(asked)) == [3, 4, 5]


def test_a_posterior_gives_its_value_in_reward_units():
    model = LinearQuadraticModel(scalar(), 4.0)
    value = infer(model, 1.0)
    planner = MPPI(model, optimism=1.0, num_plans=20_000, num_noise_samples=4, horizon=1, terminal_value=value, seed=0)
    exact = float(value.v(0, torch.ones(1, dtype=torch.float64)))
    assert float(planner.plan([1.0]).value[0]) == pytest.approx(exact, abs=0.1)
    assert exact > 30


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_no_numbers_are_refused(value):
    planner = MPPI(MODEL, horizon=1, terminal_value=lambda t, state: torch.full((len(state),), value), **FEW)
    with pytest.raises(InvalidArgument, match=r"`terminal_value` .* with nan or \+inf"):
        planner.act([1.0])


def test_plans_to_begin_with_are_made_to_fit():
    model = fork()
    with pytest.raises(InvalidArgument, match="`centre` must hold probabilities"):
        MPPI(model, **FEW).plan(0, 0, torch.full((1, 2, 2), -1.0, dtype=torch.float64))
    found = MPPI(model, **FEW).plan(0, 0, torch.full((1, 9, 2), 50.0, dtype=torch.float64))
    assert float(found.value[0]) == pytest.approx(0.0, abs=0.05)
    pendulum = models.continuous_zoo()["windy_pendulum"].model()
    found = MPPI(pendulum, **FEW).plan([0.0, 0.0], 0, torch.full((1, 2, 1), 1e3, dtype=torch.float64))
    assert bool(found.log_weights.isfinite().all())
    assert bool((found.plans.abs() <= 6).all())


def test_making_a_planner_draws_nothing_from_the_global_generator():
    model = models.continuous_zoo()["windy_pendulum"].model()
    before = torch.random.get_rng_state()
    MPPI(model, **FEW)
    RecedingHorizon(model, lambda left, before: None, seed=0)
    assert torch.equal(before, torch.random.get_rng_state())


def test_acting_begins_with_the_last_plan_moved_on_by_a_step():
    """Noises come in opposite pairs, so that the mean of the drawn plans is that of the proposal."""
    planner, memory = MPPI(MODEL, horizon=4, **FEW), None
    predicting = MPPI(MODEL, horizon=4, **FEW)
    before = None
    for t in range(5):
        planner.act([1.0])
        _, memory = predicting.predict(np.ones((1, 1)), memory)
        for each in (planner, predicting):
            assert each.latest is not None
            steps = min(4, 6 - t)
            begun = torch.zeros(steps, dtype=torch.float64)
            if before is not None:
                kept = before[each][:steps]
                begun[: len(kept)] = kept
            assert torch.allclose(each.latest.plans[0, :, :, 0].mean(0), begun, atol=1e-12)
        before = {each: each.latest.centre[0, 1:, 0] for each in (planner, predicting) if each.latest is not None}


def test_acting_goes_on_after_a_prediction_for_others():
    one, other = MPPI(MODEL, **FEW), MPPI(MODEL, **FEW)
    one.act([1.0])
    other.act([1.0])
    one.plan([[5.0], [6.0]])
    other.predict(np.array([[5.0], [6.0]]), deterministic=True)
    assert torch.equal(one.act([1.0]), other.act([1.0]))
    seen = []
    planner = RecedingHorizon(MODEL, lambda left, before: seen.append(before) or infer(left, 0.0), seed=0)
    planner.act([1.0])
    first = planner.latest
    planner.predict(np.array([[5.0]]))
    planner.act([1.0])
    assert seen[2] is first
    planner.reset()
    planner.act([1.0])
    assert seen[3] is None


def test_a_single_observation_and_a_batch_have_actions_of_their_shapes():
    for observation, shape in ((3, ()), (np.array(3), ()), (np.array([3, 3]), (2,))):
        action, state = MPPI(fork(), **FEW).predict(observation)
        assert np.shape(action) == shape
        assert isinstance(state, tuple)
    with pytest.raises(InvalidArgument, match="`state`"):
        MPPI(MODEL, **FEW).predict(np.ones((1, 1)), (np.array([1]), np.full((1, 5, 1), np.nan)))
