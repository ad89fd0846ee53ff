"""Tests of the learned action prior: direct optimisation, sums by hand, its laws, the long run, and what it refuses."""

import math

import numpy as np
import pytest
import torch
from problems import random_mdp, thinned

from pgm_control import (
    InvalidArgument,
    KLBudget,
    Optimism,
    PriorStatus,
    Risk,
    TabularMDP,
    TabularModel,
    infer,
    learn_prior,
)
from pgm_control.models import restaurant

PROBLEM = random_mdp(4, states=4, actions=3, horizon=4)
PROBLEM = PROBLEM.replace(reward=2 * PROBLEM.reward)
BETAS = [0.0, 1.0, 0.4, Optimism(0.0, initial=1.0), -1.0, Risk(0.5)]


def model_with(prior, mdp=PROBLEM, temperature=0.7):
    return TabularModel(mdp, temperature, np.broadcast_to(prior, (mdp.num_states, mdp.num_actions)))


def recursion(model, optimism, prior):
    """The objective as a differentiable function of a prior for all states, one or one for each time."""
    mdp, tau, beta = model.mdp, model.temperature, Optimism.of(optimism).at(model.temperature)

    def certainty_equivalent(x, p, beta):
        return tau / beta * (p * (beta * x / tau).exp()).sum(-1).log() if beta else (p * x).sum(-1)

    v = torch.zeros(mdp.num_states, dtype=torch.float64)
    for row in prior.expand(mdp.horizon, -1).flip(0):
        q = certainty_equivalent(mdp.reward + mdp.discount * v[mdp.successor], mdp.probability, beta.dynamics)
        v = tau * (row * (q / tau).exp()).sum(-1).log()
    return certainty_equivalent(v, mdp.initial, beta.initial) / tau


def best_by_descent(model, optimism, times):
    """The largest objective over softmax logits of the prior, by L-BFGS from several starts."""
    generator, found = torch.Generator().manual_seed(0), []
    shape = (times, model.mdp.num_actions)
    for start in range(4):
        logits = torch.randn(shape, generator=generator, dtype=torch.float64) * (start > 0)
        logits.requires_grad_()
        options = {"tolerance_grad": 1e-11, "tolerance_change": 0.0, "line_search_fn": "strong_wolfe"}
        optimiser = torch.optim.LBFGS([logits], max_iter=200, **options)

        def loss(logits=logits):
            value = -recursion(model, optimism, logits.softmax(-1))
            logits.grad = torch.autograd.grad(value, logits)[0]
            return value

        optimiser.step(loss)
        found.append(-loss().item())
    return max(found)


@pytest.mark.slow
@pytest.mark.parametrize(("optimism", "discount", "per"), thinned(BETAS, (1.0, 0.7), ("nothing", "time")), ids=str)
def test_it_is_as_good_as_direct_optimisation(optimism, discount, per):
    model = TabularModel(PROBLEM.replace(discount=discount), 0.7)
    found = learn_prior(model, per, optimism, tolerance=1e-10)
    assert found.status is PriorStatus.converged
    times = PROBLEM.horizon if per == "time" else 1
    assert -1e-8 < found.objective - best_by_descent(model, optimism, times) < 1e-6, "or better: logits stay finite"
    assert found.objective == pytest.approx(infer(found.model, optimism).objective, abs=1e-12)
    assert tuple(found.action_prior.shape) == ((times, 3) if per == "time" else (3,))
    if per == "time":
        assert found.objective > learn_prior(model, optimism=optimism).objective


@pytest.mark.parametrize("optimism", BETAS, ids=str)
def test_a_fixed_point_is_the_policy_averaged_over_its_visits_and_the_rate_their_information(optimism):
    found = learn_prior(TabularModel(PROBLEM, 0.7), optimism=optimism, tolerance=1e-12)
    joint = (
        infer(found.model, optimism).marginals().state_action.flatten(0, 1) / PROBLEM.horizon
    )  # of (time, state) and action
    torch.testing.assert_close(joint.sum(0), found.action_prior, atol=1e-6, rtol=0)
    independent = joint.sum(1, keepdim=True) * joint.sum(0)
    information = (joint * (joint / independent).log()).nansum()
    assert found.rate == pytest.approx(PROBLEM.horizon * float(information), abs=1e-6)


@pytest.mark.parametrize("optimism", [0.0, 1.0])
def test_of_each_time_it_is_the_policy_averaged_over_the_states_of_that_time(optimism):
    model = TabularModel(PROBLEM, [0.5, 0.7, 0.9, 1.1], observed=[True, True, False, True])
    found = learn_prior(model, "time", optimism, tolerance=1e-12)
    joint = infer(found.model, optimism).marginals().state_action
    torch.testing.assert_close(joint.sum(1), found.action_prior, atol=1e-6, rtol=0)
    independent = joint.sum(2, keepdim=True) * joint.sum(1, keepdim=True)
    assert found.rate == pytest.approx(float((joint * (joint / independent).log()).nansum()), abs=1e-6)
    assert learn_prior(found.model, "time", optimism).objectives[0] == found.objective
    with pytest.raises(InvalidArgument, match=r"its prior differs by step\. Pass per='time'"):
        learn_prior(found.model)
    with pytest.raises(InvalidArgument, match="`model` must"):
        learn_prior(found.model, horizon="average")


def test_with_clamped_dynamics_the_objective_is_return_over_temperature_minus_rate():
    found = learn_prior(TabularModel(PROBLEM, 0.7))
    earned = float((infer(found.model, 0.0).marginals().outcome * PROBLEM.reward).sum())
    assert found.objective == pytest.approx(earned / 0.7 - found.rate, abs=1e-10)


@pytest.mark.parametrize("optimism", [*BETAS, -5.0, -30.0], ids=str)
def test_no_step_lowers_the_objective(optimism):
    """Under strong adversaries a step of length 1 would: it is taken back."""
    for seed in (0, 2, 4):
        mdp = random_mdp(seed, states=3, actions=3, horizon=4)
        found = learn_prior(TabularModel(mdp.replace(reward=3 * mdp.reward)), optimism=optimism, max_steps=400)
        assert found.objectives.diff().min() >= -1e-12
        assert found.objectives[-1] == found.objective > found.objectives[0]
        assert found.status is PriorStatus.converged, (seed, found)


def choices(rewards, weights):
    """One decision: the reward of each action in each of several states, which are drawn with these weights."""
    table = np.array(rewards, float)[..., None]
    return TabularMDP(weights, np.ones(table.shape), np.zeros(table.shape, int), table, 1)


def test_of_one_decision_the_gap_bounds_what_any_prior_adds():
    rng = np.random.default_rng(1)
    mdp = choices(rng.normal(size=(5, 4)), rng.dirichlet(np.ones(5)))
    for optimism in (0.0, 1.0, -2.0):
        best = learn_prior(TabularModel(mdp, 0.3), optimism=optimism, tolerance=1e-12).objective
        gaps = []
        for steps in (1, 2, 3, 5):
            found = learn_prior(TabularModel(mdp, 0.3), optimism=optimism, tolerance=1e-12, max_steps=steps)
            assert (found.num_steps, found.status) == (steps, PriorStatus.out_of_steps)
            assert -1e-12 <= best - found.objective <= found.gap
            gaps.append(found.gap)
        assert gaps[-1] < gaps[0]


def test_a_binary_source_has_the_rate_and_distortion_of_the_textbook():
    """Two equal states, reward 1 for the right action: ρ = 1/2, errors 1/(1 + exp(1/τ)), rate log 2 − H(error)."""
    found = learn_prior(TabularModel(choices(np.eye(2), [0.5, 0.5]), 0.4, np.array([[0.9, 0.1]] * 2)), tolerance=1e-12)
    error = 1 / (1 + math.exp(1 / 0.4))
    entropy = -error * math.log(error) - (1 - error) * math.log(1 - error)
    assert found.rate == pytest.approx(math.log(2) - entropy, abs=1e-6)
    assert found.objective == pytest.approx((1 - error) / 0.4 - found.rate, abs=1e-10)


def test_in_the_restaurant_it_is_one_action_by_a_sum_by_hand():
    """With one decision from one state J = log Σ ρ(a) exp Q(a)/τ, the largest Q at ρ of the best action."""
    mdp = restaurant()
    q = (mdp.probability * mdp.reward).sum(-1)[0]
    found = learn_prior(TabularModel(mdp, 1.0), tolerance=1e-9)
    assert found.objective == pytest.approx(float(q.max()), abs=1e-8)
    assert found.action_prior[q.argmax()] == pytest.approx(1.0, abs=1e-8)
    assert found.rate == pytest.approx(0.0, abs=1e-7)
    free = learn_prior(TabularModel(mdp, 1.0), optimism=1.0, tolerance=1e-9)
    by_hand = (mdp.probability * mdp.reward.exp()).sum(-1)[0].log().max()
    assert free.objective == pytest.approx(float(by_hand), abs=1e-8)


def test_of_several_decisions_there_may_be_several_stationary_priors():
    """Two equal actions in a row pay 1: the uniform prior is stationary, and both deterministic ones are better."""
    mdp = TabularMDP(
        [1.0, 0, 0], np.ones((3, 2, 1)), [[[1], [2]], [[1], [1]], [[2], [2]]],
        [[[0.0], [0.0]], [[1.0], [0.0]], [[0.0], [1.0]]], 2,
    )  # fmt: skip
    for optimism in (0.0, 1.0):
        uniform = learn_prior(TabularModel(mdp, 0.5), optimism=optimism)
        assert uniform.gap == pytest.approx(0.0, abs=1e-12)
        other = learn_prior(model_with([0.6, 0.4], mdp, 0.5), optimism=optimism, tolerance=1e-10)
        assert other.objective == pytest.approx(1 / 0.5, abs=1e-8)
        assert uniform.objective < other.objective - 0.1


def test_an_action_of_prior_0_keeps_it_and_one_that_is_never_used_ends_near_0():
    masked = learn_prior(model_with([0.5, 0.0, 0.5]), tolerance=1e-10)
    assert masked.action_prior[1] == 0
    p, to, reward = (each[:, [0, 2]] for each in (PROBLEM.probability, PROBLEM.successor, PROBLEM.reward))
    without = TabularModel(TabularMDP(PROBLEM.initial, p, to, reward, 4), 0.7)
    assert masked.objective == pytest.approx(learn_prior(without, tolerance=1e-10).objective, abs=1e-9)
    unused = learn_prior(TabularModel(choices([[1.0, 0, -2000.0], [0, 1, -3000.0]], [0.5, 0.5])), tolerance=1e-12)
    assert 0 < unused.action_prior[2] < 1e-9
    assert unused.status is PriorStatus.converged
    assert all(math.isfinite(number) for number in (unused.objective, unused.rate, unused.gap))
    forbidden = learn_prior(TabularModel(choices([[1.0, -math.inf], [0.0, 1.0]], [0.5, 0.5])))
    assert math.isfinite(forbidden.rate)


LONG = random_mdp(2, states=4, actions=3)
LONG = LONG.replace(reward=2 * LONG.reward)


@pytest.mark.slow
@pytest.mark.parametrize("optimism", [0.0, 1.0, -0.7], ids=str)
def test_without_a_horizon_it_is_the_limit_of_long_horizons(optimism):
    """Discounted, the same objective and prior; on average, the objective and the rate per step."""
    discounted = LONG.replace(discount=0.8)
    endless = learn_prior(TabularModel(discounted), optimism=optimism, horizon="discounted", tolerance=1e-8)
    long = learn_prior(TabularModel(discounted.replace(horizon=120)), optimism=optimism, tolerance=1e-8)
    assert endless.status is PriorStatus.converged
    assert endless.objective == pytest.approx(long.objective, abs=1e-6)
    assert endless.rate == pytest.approx(long.rate, abs=1e-3)
    torch.testing.assert_close(endless.action_prior, long.action_prior, atol=1e-3, rtol=0)
    average = learn_prior(TabularModel(LONG), optimism=optimism, horizon="average", tolerance=1e-8)
    models = [TabularModel(LONG.replace(horizon=steps), 1.0, average.model.action_prior) for steps in (200, 400)]
    short, long = (infer(each, optimism).objective for each in models)
    assert average.objective == pytest.approx((long - short) / 200, abs=1e-6)
    others = model_with(np.full(3, 1 / 3), LONG.replace(horizon=400), 1.0)
    assert infer(others, optimism).objective < long


@pytest.mark.slow
@pytest.mark.parametrize("horizon", ["discounted", "average"])
def test_without_a_horizon_it_is_as_good_as_a_search_over_priors(horizon):
    mdp = random_mdp(6, states=4, actions=2).replace(discount=0.9)
    found = learn_prior(TabularModel(mdp, 0.5), horizon=horizon, tolerance=1e-9)

    def solved(share):
        model = model_with([share, 1 - share], mdp, 0.5)
        return learn_prior(model, horizon=horizon, max_steps=1, tolerance=1e-9).objective

    grid = np.linspace(0.005, 0.995, 100)
    assert max(map(solved, grid)) <= found.objective + 1e-9
    assert found.objective == pytest.approx(max(map(solved, grid)), abs=1e-3)


def test_in_single_precision_it_is_the_same_up_to_rounding():
    double = learn_prior(TabularModel(PROBLEM, 0.7))
    single = learn_prior(TabularModel(PROBLEM, 0.7).to(dtype=torch.float32), tolerance=1e-3)
    assert single.action_prior.dtype == torch.float32
    assert single.status is PriorStatus.converged
    assert single.objective == pytest.approx(double.objective, abs=1e-3)


def test_a_tolerance_below_rounding_ends_without_nan():
    found = learn_prior(TabularModel(PROBLEM, 0.7), optimism=Risk(0.5), tolerance=1e-300, max_steps=2000)
    assert found.action_prior.isfinite().all()
    assert found.objective == pytest.approx(
        learn_prior(TabularModel(PROBLEM, 0.7), optimism=Risk(0.5)).objective, abs=1e-6
    )


def test_progress_is_told_every_step_and_the_result_prints_as_a_line():
    seen = []
    found = learn_prior(TabularModel(PROBLEM), progress=lambda step, metrics: seen.append((step, metrics["gap"])))
    assert [step for step, _ in seen] == list(range(1, found.num_steps + 1))
    assert seen[-1][1] == found.gap <= 1e-6 < seen[-2][1]
    assert repr(found).startswith(f"LearnedPrior(objective {found.objective:.6f} nats, rate {found.rate:.6g} nats, gap")


def test_it_continues_from_the_prior_of_a_result():
    begun = learn_prior(TabularModel(PROBLEM), max_steps=3)
    assert learn_prior(begun.model).objectives[0] == begun.objective


@pytest.mark.wrong_types
def test_what_has_no_answer_is_refused():
    model = TabularModel(PROBLEM)
    for change, said in (
        ({"per": "state"}, "`per` must be 'nothing' or 'time', .* ends in the best deterministic policy"),
        ({"per": "action"}, "`per` must be one of"),
        ({"horizon": "infinite"}, "`horizon` must be one of"),
        ({"per": "time", "horizon": "average"}, "`per` must be 'nothing' without a horizon"),
        ({"horizon": "discounted"}, "`horizon` must be 'finite' or 'average' for a problem without a discount"),
        ({"tolerance": 0.0}, "`tolerance` must be"),
        ({"max_steps": 0}, "`max_steps` must be"),
        ({"optimism": KLBudget(dynamics=0.1)}, "`optimism`"),
        ({"progress": True}, "`progress` must be a function"),
    ):
        with pytest.raises(InvalidArgument, match=said):
            learn_prior(model, **change)
    for prior, said in (("count", 'but has "count"'), ([[0.2, 0.3, 0.5]] + [[1 / 3] * 3] * 3, "rows differ")):
        with pytest.raises(InvalidArgument, match=said):
            learn_prior(TabularModel(PROBLEM, 1.0, prior))
    with pytest.raises(InvalidArgument, match="positive temperature"):
        learn_prior(TabularModel(PROBLEM, 0.0))
    fatal = choices([[-math.inf, 0.0]], [1.0])
    with pytest.raises(InvalidArgument, match="a policy that avoids rewards of −inf"):
        learn_prior(model_with([1.0, 0.0], fatal))
    apart = TabularMDP([0.5, 0.5], np.ones((2, 1, 1)), [[[0]], [[1]]], [[[0.0]], [[1.0]]], 1)
    with pytest.raises(InvalidArgument, match="`model` must have values in the long run"):
        learn_prior(TabularModel(apart), horizon="average")
