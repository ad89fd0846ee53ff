"""Tests of inference within a budget of KL: by its definition and by duality; against minimax on grids; its edges."""

import dataclasses
import itertools
import math

import numpy as np
import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import gamble, random_mdp
from strategies import laws, model_of, problem_of, problems

from pgm_control import InvalidArgument, KLBudget, Optimism, TabularMDP, TabularModel, infer

budgets = st.sampled_from([1e-6, 1e-3, 0.1, 0.5, 1.0, 3.0])
HUGE = 1e9  # an optimism


def definition(problem, found, optimism=0.0, initial=0.0):
    """J_β of what was found, in reward units, from its definition; at 0 nothing is charged."""
    alive = np.full((problem.horizon, problem.ended), problem.discount)
    tables = (found.initial.numpy(), found.policy.numpy(), found.dynamics.numpy(), alive)
    return oracles.objective(problem, oracles.Solution(found.q, found.v, found.value, *tables), optimism, initial)


def spent(problem, found):
    """The KL of the dynamics and of the start, in nats, from their definitions."""
    free = definition(problem, found)
    charged = definition(problem, found, 1.0), definition(problem, found, 0.0, 1.0)
    return tuple((free - each) / problem.temperature for each in charged)


@laws
@given(problems(forbidden=False), budgets)
def test_it_spends_its_budget_or_what_infinite_optimism_spends_and_nothing_is_better(problem, budget):
    """A distribution within the budget whose value is a dual bound is the optimum: F ≤ J_β + ε/β for every β."""
    model = model_of(problem)
    found, unlimited = infer(model, KLBudget(dynamics=budget)), infer(model, KLBudget(dynamics=1e6))
    account, most = found.budget.dynamics, unlimited.budget.dynamics
    assert (most.binds, most.optimism) == (False, math.inf)
    assert account.spent == pytest.approx(min(budget, most.spent), abs=1e-9)
    assert account.binds == (budget < most.spent)
    assert spent(problem, found) == pytest.approx((account.spent, 0.0), abs=1e-9)
    assert definition(problem, found) == pytest.approx(found.value, abs=1e-9)
    beta = min(account.optimism, HUGE)
    dual = oracles.solve(problem, beta, 0.0)
    assert dual.value + problem.temperature * account.spent / beta == pytest.approx(found.value, abs=1e-6)
    if account.binds:
        np.testing.assert_allclose(found.policy, dual.policy, atol=1e-8)
        np.testing.assert_allclose(found.q, dual.q, atol=1e-8)
        np.testing.assert_allclose(found.dynamics, dual.dynamics, atol=1e-6)


@laws
@given(problems(forbidden=False), budgets, budgets)
def test_two_budgets_have_two_prices(problem, budget, of_start):
    found = infer(model_of(problem), KLBudget(dynamics=budget, initial=of_start))
    used = found.budget.dynamics, found.budget.initial
    assert spent(problem, found) == pytest.approx([each.spent for each in used], abs=1e-9)
    for each in used:
        assert each.spent <= each.budget + 1e-9
        assert each.spent == pytest.approx(each.budget, abs=1e-9) or not each.binds
    assert definition(problem, found) == pytest.approx(found.value, abs=1e-9)
    betas = [min(each.optimism, HUGE) for each in used]
    dual = oracles.solve(problem, *betas).value / problem.temperature
    dual += sum(each.budget / beta for each, beta in zip(used, betas, strict=True) if beta < HUGE)
    assert found.objective == pytest.approx(dual, abs=1e-6)


@laws
@given(problems(forbidden=False), budgets)
def test_an_adversary_spends_its_budget_at_a_price_that_no_other_beats(problem, budget):
    """J at −1/λ less λ ε is a lower bound for every λ, and the value at the best one, where the budget is spent."""
    model, tau = model_of(problem), problem.temperature
    found = infer(model, KLBudget(dynamics=budget, adversarial=True))
    account = found.budget.dynamics
    assert spent(problem, found)[0] == pytest.approx(account.spent, abs=1e-9)
    assert account.spent == pytest.approx(budget, abs=1e-9) or (account.spent < budget and not account.binds)
    assert definition(problem, found) == pytest.approx(found.value, abs=1e-9)
    for price in np.geomspace(1e-3, 1e3, 13):
        assert oracles.solve(problem, -1 / price, 0.0).value / tau - price * budget <= found.objective + 1e-4


@laws
@given(problems(), budgets)
def test_forbidden_outcomes_are_avoided_if_the_budget_allows(problem, budget):
    model = model_of(problem)
    for adversarial in (False, True):
        found = infer(model, KLBudget(dynamics=budget, adversarial=adversarial))
        clamped = infer(model, 0.0)
        tables = found.q, found.v, found.policy, found.dynamics
        assert not any(bool(each.isnan().any()) for each in tables)
        assert not math.isnan(found.value)
        if adversarial:
            assert (found.value == -math.inf) == (clamped.value == -math.inf)
        else:
            assert found.value >= clamped.value - 1e-9
            assert found.value > -math.inf or found.budget.dynamics.optimism == 0.0
        assert found.budget.dynamics.spent <= budget + 1e-9
        torch.testing.assert_close(found.policy.sum(-1), torch.ones_like(found.v[:-1]))
        torch.testing.assert_close(found.dynamics.sum(-1), torch.ones_like(found.q))


@pytest.mark.parametrize(("seed", "prior"), [(0, None), (1, None), (2, "count")])
def test_what_a_free_dynamics_spends_is_its_budget(seed, prior):
    model = TabularModel(random_mdp(seed, states=4, horizon=5, discount=0.9), 0.7, prior)
    priced = infer(model, Optimism(initial=0.0, dynamics=1.0))
    problem = dataclasses.replace(problem_of(model.mdp), temperature=0.7)
    found = infer(model, KLBudget(dynamics=spent(problem, priced)[0]))
    assert found.budget.dynamics.optimism == pytest.approx(1.0, abs=1e-9)
    for table in ("policy", "dynamics", "q", "v"):
        torch.testing.assert_close(getattr(found, table), getattr(priced, table), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("block", ["dynamics", "initial"])
def test_beta_and_value_do_not_fall_as_the_budget_rises(seed, block):
    model = TabularModel(random_mdp(seed, states=4), 0.5)
    found = [infer(model, KLBudget(**{block: budget})) for budget in (0.0, 1e-8, 1e-3, 0.1, 0.5, 1.0, 2.0, 5.0, 50.0)]
    accounts = [getattr(each.budget, block) for each in found]
    for one, other in itertools.pairwise(accounts):
        assert other.optimism >= one.optimism
        assert other.spent >= one.spent
    for one, other in itertools.pairwise(found):
        assert other.value >= one.value
    assert (accounts[0].optimism, accounts[-1].optimism) == (0.0, math.inf)


@pytest.mark.parametrize("adversarial", [False, True])
@pytest.mark.parametrize("per", ["trajectory", "event"])
def test_a_budget_of_0_clamps(adversarial, per):
    model = TabularModel(random_mdp(0), 0.5, "count")
    clamped = infer(model, 0.0)
    found = infer(model, KLBudget(dynamics=0.0, per=per, adversarial=adversarial))
    for table in ("policy", "dynamics", "initial", "q", "v"):
        torch.testing.assert_close(getattr(found, table), getattr(clamped, table))
    assert found.value == pytest.approx(clamped.value)
    assert float(torch.as_tensor(found.budget.dynamics.spent).sum()) == 0.0


def test_equally_good_starts_are_mixed_where_the_budget_falls_between_them():
    """A cheap start and a dear one: at one price of the dynamics they are equally good, and a mixture spends ε."""
    mdp = TabularMDP(
        initial=[0.5, 0.5],
        probability=[[[0.01, 0.99]], [[0.5, 0.5]]],
        successor=[[[0, 0]], [[1, 1]]],
        reward=[[[6.0, 0.0]], [[3.0, 0.0]]],
        horizon=1,
    )
    problem = problem_of(mdp)
    for budget in (1.0, 1.5, 2.0, 2.5):
        found = infer(TabularModel(mdp, 1.0), KLBudget(dynamics=budget, initial=2.0))
        q = found.initial.tolist()
        assert found.budget.dynamics.spent == pytest.approx(budget, abs=1e-9)
        assert spent(problem, found) == pytest.approx((budget, found.budget.initial.spent), abs=1e-9)
        assert 0.01 < q[0] < 0.99
        assert not found.budget.initial.binds
        beta = found.budget.dynamics.optimism
        assert found.value == pytest.approx(oracles.solve(problem, beta, HUGE).value + budget / beta, abs=1e-6)


def test_of_equally_good_optima_the_one_that_spends_least_is_the_limit():
    found = infer(TabularModel(random_mdp(0, states=4), 0.5), KLBudget(dynamics=50.0, initial=50.0))
    limit = infer(found.model, Optimism(dynamics=1e7, initial=1e7))
    torch.testing.assert_close(found.policy, limit.policy, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.v, limit.v, atol=1e-4, rtol=0)


def test_of_equally_good_starts_the_one_that_spends_less_is_preferred():
    """Either start can be sure of 1, the first one for −log 0.9 nats and the second one for −log 0.1."""
    mdp = TabularMDP([0.5, 0.5], [[[0.9, 0.1]], [[0.1, 0.9]]], [[[0, 0]], [[1, 1]]], [[[1.0, 0.0]]] * 2, horizon=1)
    found = infer(TabularModel(mdp, 1.0), KLBudget(dynamics=9.0, initial=0.2))
    costs = [-math.log(0.9), -math.log(0.1)]
    assert found.value == pytest.approx(1.0)
    assert found.budget.dynamics.spent == pytest.approx(-best_mean([0.5, 0.5], -np.asarray(costs), 0.2))
    assert (found.budget.initial.spent, found.budget.initial.binds) == (pytest.approx(0.2), False)


@laws
@given(problems(forbidden=False), budgets, st.booleans())
def test_events_with_their_own_budgets(problem, budget, adversarial):
    """No guide whose rows lie in the ball does better, for the values of the next step: weak duality, row by row."""
    found = infer(model_of(problem), KLBudget(dynamics=budget, per="event", adversarial=adversarial))
    assert definition(problem, found) == pytest.approx(found.value, abs=1e-9)
    account, sign = found.budget.dynamics, -1.0 if adversarial else 1.0
    assert bool((account.spent <= budget * (1 + 1e-9)).all())
    v = problem.final_reward
    for t in reversed(range(problem.horizon)):
        q = np.empty(problem.probability.shape[:2])
        for s, a in np.ndindex(*q.shape):
            outcomes = problem.outcomes(s, a)
            weight, x = [p for _, p, _, _ in outcomes], [r + problem.discount * v[n] for _, _, n, r in outcomes]
            q[s, a] = sign * best_mean(weight, sign * np.asarray(x), budget)
            beta = torch.as_tensor(account.optimism)[t, s, a]
            if beta.isfinite():
                y = beta * torch.as_tensor(problem.reward[s, a] + problem.discount * v[problem.successor[s, a]])
                row = torch.softmax(torch.as_tensor(problem.probability[s, a]).log() + y / problem.temperature, -1)
                torch.testing.assert_close(found.dynamics[t, s, a], row, atol=1e-6, rtol=0)
        np.testing.assert_allclose(found.q[t], q, atol=1e-6)
        v = found.v[t].numpy()
        weighed = np.where(problem.prior > 0, problem.prior * np.exp((q - v[:, None]) / problem.temperature), 0.0)
        np.testing.assert_allclose(weighed.sum(-1), 1.0, atol=1e-5)


def best_mean(weight, x, radius):
    """The largest mean in a KL ball: bisection for the sharpness of the tilt."""
    weight, x = np.asarray(weight), np.asarray(x)
    if np.ptp(x) < 1e-9:
        return x.max()

    def tilted(sharpness):
        q = weight * np.exp(sharpness * (x - x.max()))
        return q / q.sum()

    low, high = 0.0, 400.0 / np.diff(np.unique(np.round(x, 9))).min()
    for _ in range(200):
        middle = 0.5 * (low + high)
        q = tilted(middle)
        kl = (q * np.log(np.maximum(q, 1e-300) / weight)).sum()
        low, high = (middle, high) if kl <= radius else (low, middle)
    return float(tilted(low) @ x)


def test_a_robust_mdp_has_a_hard_policy_at_temperature_0():
    """The wage of 1 against a jackpot of 3: its probability falls from 0.5 to the end of the ball."""
    model = TabularModel(gamble(jackpot=3.0, probability=0.5), 0.0)
    for budget, action in ((0.01, 1), (0.1, 0)):
        found = infer(model, KLBudget(dynamics=budget, per="event", adversarial=True))
        assert float(found.policy[0, 0, action]) == 1.0
        assert found.q[0, 0, 1].item() == pytest.approx(-best_mean([0.5, 0.5], [-3.0, 0.0], budget), abs=1e-9)
        assert found.objective is None
    with pytest.raises(InvalidArgument, match="a positive temperature"):
        infer(model, KLBudget(dynamics=0.1))


@laws
@given(problems(forbidden=False), budgets)
def test_the_temperature_is_the_price_of_a_nat_of_policy(problem, budget):
    """The return, within the budget, equals the dual bound V at τ plus τ ε, and so no policy earns more."""
    found = infer(model_of(problem), KLBudget(policy=budget))
    account, tau = found.budget.policy, found.model.temperature
    assert account.spent == pytest.approx(min(budget, account.spent), abs=1e-9)
    assert account.binds == (tau > 0)
    assert account.spent == pytest.approx(budget, abs=1e-9) or not account.binds
    problem = dataclasses.replace(problem, temperature=1.0)
    alive = np.full((problem.horizon, problem.ended), problem.discount)
    tables = (found.initial.numpy(), found.policy.numpy(), found.dynamics.numpy(), alive)
    solution = oracles.Solution(found.q, found.v, found.value, *tables)
    earned = oracles.true_return(problem, found.policy.numpy())
    assert earned == pytest.approx(found.value, abs=1e-9)
    assert earned - oracles.objective(problem, solution, 0.0, 0.0) == pytest.approx(account.spent, abs=1e-9)
    if account.binds:
        priced = infer(found.model, 0.0)
        assert priced.value + tau * budget == pytest.approx(found.value, abs=1e-8)
        torch.testing.assert_close(priced.policy, found.policy, atol=1e-6, rtol=0)
    else:
        assert earned == pytest.approx(oracles.best_return(problem), abs=1e-9)


def test_the_start_alone():
    model = TabularModel(random_mdp(0), 0.5)
    for adversarial in (False, True):
        found = infer(model, KLBudget(initial=0.2, adversarial=adversarial))
        beta = found.budget.initial.optimism
        priced = infer(model, Optimism(dynamics=0.0, initial=beta))
        assert (beta < 0) == adversarial
        torch.testing.assert_close(found.initial, priced.initial)
        torch.testing.assert_close(found.policy, priced.policy)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({}, "all are None"),
        ({"dynamics": -0.1}, "`dynamics` must be a finite number of nats, at least 0"),
        ({"initial": math.inf}, "`initial` must be a finite number of nats"),
        ({"policy": 0.0}, "`policy` must be a finite number of nats, above 0"),
        ({"policy": 0.1, "dynamics": 0.1}, "`policy` must be the only budget"),
        ({"policy": 0.1, "per": "event"}, "`policy` must be the only budget"),
        ({"dynamics": 0.1, "initial": 0.1, "adversarial": True}, "`adversarial` must be False"),
        ({"dynamics": 0.1, "per": "step"}, "`per` must be one of trajectory, event"),
    ],
)
@pytest.mark.wrong_types
def test_budgets_that_make_no_sense_are_refused(wrong, words):
    with pytest.raises(InvalidArgument, match=words):
        KLBudget(**wrong)


def test_a_budget_of_a_policy_that_cannot_avoid_ruin_is_refused():
    mdp = gamble().replace(reward=torch.tensor([[[1.0, 0.0], [-torch.inf, 0.0]]]))
    assert infer(TabularModel(mdp), KLBudget(policy=0.7)).value == pytest.approx(1.0)
    with pytest.raises(InvalidArgument, match="larger one"):
        infer(TabularModel(mdp), KLBudget(policy=0.5))
    with pytest.raises(InvalidArgument, match="counts actions"):
        infer(TabularModel(mdp, 1.0, "count"), KLBudget(policy=0.5))


def test_it_says_what_was_spent():
    model = TabularModel(random_mdp(0), 0.5)
    assert "dynamics: 0.3 of 0.3 nats spent, β = " in repr(infer(model, KLBudget(dynamics=0.3)))
    assert "not binding, β = -∞" in repr(infer(model, KLBudget(dynamics=99.0, adversarial=True)).budget)
    assert "initial: 0.1 of 0.1 nats" in infer(model, KLBudget(initial=0.1))._repr_html_()
    assert "binding in" in repr(infer(model, KLBudget(dynamics=0.1, per="event")))
    assert "policy: 0.1 of 0.1 nats" in repr(infer(model, KLBudget(policy=0.1)))
    assert repr(KLBudget(dynamics=0.3, per="event")) == "KLBudget(dynamics=0.3, per='event')"
    assert infer(model, KLBudget(dynamics=0.3)).is_free is False


@pytest.mark.parametrize("size", [1e-12, 1e12, 1e60])
def test_the_unit_of_rewards_makes_no_difference(size):
    mdp = random_mdp(0)
    for budget in (
        KLBudget(dynamics=0.3),
        KLBudget(dynamics=0.3, initial=0.1),
        KLBudget(dynamics=1.0, adversarial=True),
    ):
        one = infer(TabularModel(mdp, 0.5), budget)
        other = infer(TabularModel(mdp.replace(reward=size * mdp.reward), size * 0.5), budget)
        cold = infer(TabularModel(mdp.replace(reward=size * mdp.reward), 0.5), budget)
        assert other.budget.dynamics.optimism == pytest.approx(one.budget.dynamics.optimism)
        torch.testing.assert_close(other.policy, one.policy)
        assert cold.budget.dynamics.spent == pytest.approx(budget.dynamics) or not cold.budget.dynamics.binds


def test_values_whose_nats_exceed_the_range_are_refused():
    mdp = random_mdp(0)
    for sign in (-1e200, 1e200):
        with pytest.raises(InvalidArgument, match="exceed the range"):
            infer(TabularModel(mdp.replace(reward=sign * mdp.reward.abs()), 1e-300), KLBudget(dynamics=0.3))


def test_float32():
    model = TabularModel(random_mdp(0), 0.5)
    double, single = (infer(each, KLBudget(dynamics=0.3)) for each in (model, model.to(dtype=torch.float32)))
    assert single.q.dtype == torch.float32
    assert single.budget.dynamics.optimism == pytest.approx(double.budget.dynamics.optimism, rel=1e-4)
    torch.testing.assert_close(single.policy.double(), double.policy, atol=1e-4, rtol=0)
