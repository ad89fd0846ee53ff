"""Likelihoods of optimality: those of the user are checked, and tables that change in place are read again."""

import math
from typing import Any

import pytest
import torch
from timed_models import A, K, S, T, timed_model

from pgm_control import (
    InvalidArgument,
    InvalidProblem,
    LogisticOptimality,
    Optimality,
    TableOptimality,
    TabularModel,
    evaluate,
    exchange,
    infer,
    objective,
    soft_values,
    value_iteration,
)
from pgm_control.inference.variational.fitting.checkpoint import identity

PROBLEM = timed_model("logistic", 1).mdp
TABLE = torch.linspace(-2.0, 0.0, S * A * K, dtype=torch.float64).reshape(S, A, K)


class Scaled(Optimality):
    """exp(c r/τ), in a form that the test chooses."""

    is_timed = False  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]  # the test changes it
    form = staticmethod(lambda log_likelihood: log_likelihood)

    def __init__(self, scale=1.0):
        self.scale = scale

    def log_likelihood(self, reward, temperature):
        return self.form(self.scale * reward / temperature)


def returning(form, **attributes):
    return type("Odd", (Scaled,), {"form": staticmethod(form), **attributes})()


@pytest.mark.parametrize("schedule", [0.5, [0.5, 1.0, 2.0, 0.7]])
@pytest.mark.parametrize(
    ("optimality", "message"),
    [
        (
            returning(lambda _: 0.0),
            r"must return a tensor of shape \(3, 2, 3\) from log_likelihood, but Odd\(\) returns 0",
        ),
        (returning(lambda x: x.numpy()), "must return a tensor"),
        (returning(lambda x: x.sum(-1)), "must return a tensor"),
        (returning(lambda x: x.new_zeros(1)), "must return a tensor"),
        (returning(lambda x: x.to(torch.complex128)), "must return a tensor"),
        (returning(lambda x: x * math.nan), "log-likelihoods below.* returns nan"),
        (returning(lambda x: x + math.inf), "log-likelihoods below.* returns inf"),
        (returning(lambda x: x * torch.ones((), requires_grad=True)), "requires a gradient, which would be lost"),
        (returning(lambda x: x, is_timed=True), r"of shape \(4, 3, 2, 3\)"),
        (returning(lambda x: torch.stack([x] * T), is_timed=True), r"of shape \(3,\) from final_log_likelihood"),
        (returning(lambda x: x, log_likelihood=lambda _, r, __: r.clamp_(max=0.0)), "must leave the rewards as they"),
    ],
)
@pytest.mark.wrong_types
def test_a_likelihood_that_returns_something_else_is_refused(optimality, message, schedule):
    before = PROBLEM.reward.clone()
    with pytest.raises(InvalidProblem, match=message):
        TabularModel(PROBLEM, schedule, optimality=optimality)
    assert torch.equal(PROBLEM.reward, before)


@pytest.mark.parametrize("schedule", [0.5, [0.5, 1.0, 2.0, 0.7]])
def test_an_own_likelihood_in_single_precision_is_read_in_that_of_the_model(schedule):
    exact = TabularModel(PROBLEM, schedule)
    rounded = TabularModel(PROBLEM, schedule, optimality=returning(lambda x: x.float()))
    for beta in (0.0, 0.5, 1.0):
        found, expected = infer(rounded, beta), infer(exact, beta)
        assert found.objective == pytest.approx(expected.objective, abs=1e-6)
        assert soft_values(rounded, beta).objective.item() == pytest.approx(found.objective, abs=1e-12)


@pytest.mark.parametrize("kind", ["own", "table", "final"])
def test_a_likelihood_that_changes_in_place_is_read_again(kind):
    likelihood: Any = Scaled() if kind == "own" else TableOptimality(TABLE.clone(), TABLE[:, 0, 0].clone())
    model, guide = TabularModel(PROBLEM, 1.0, optimality=likelihood), infer(TabularModel(PROBLEM, 1.0), 0.0)
    first = objective(model, guide)
    if kind == "own":
        likelihood.scale = 3.0
        again = Scaled(3.0)
    else:
        (likelihood.table if kind == "table" else likelihood.final).mul_(3.0)
        again = TableOptimality(likelihood.table.clone(), likelihood.final.clone())
    fresh = TabularModel(PROBLEM, 1.0, optimality=again)
    assert objective(model, guide) == pytest.approx(objective(fresh, guide), abs=1e-12)
    assert objective(model, guide) != pytest.approx(first, abs=1e-3)
    assert evaluate(model, guide).elbo == pytest.approx(evaluate(fresh, guide).elbo, abs=1e-12)
    assert infer(model, 0.0).objective == pytest.approx(infer(fresh, 0.0).objective, abs=1e-12)


class AtTheEnd(Optimality):
    """A likelihood of the last state alone, which needs no final reward."""

    def log_likelihood(self, reward, temperature):
        return torch.zeros_like(reward)

    def final_log_likelihood(self, reward, temperature):
        return -torch.arange(float(S))


def test_the_last_variable_exists_if_the_likelihood_says_so(tmp_path):
    bare = PROBLEM.replace(final_reward=None)
    model = TabularModel(bare, 1.0, observed=[True] * T + [False], optimality=AtTheEnd())
    assert infer(model, 1.0).log_evidence == pytest.approx(0.0, abs=1e-12)
    assert "4 of 5 optimality variables" in repr(model)
    assert "3 of 4 optimality variables" in repr(TabularModel(bare, 1.0, observed=[True, False, True, True]))
    table = TableOptimality(TABLE)  # no factor of the last state, whatever the final reward
    with pytest.raises(InvalidProblem, match="since the last state has no optimality variable"):
        TabularModel(PROBLEM, 1.0, observed=[True] * T + [False], optimality=table)
    model = TabularModel(PROBLEM, 1.0, observed=[True, False, True, True], optimality=table)
    exchange.save(model, tmp_path / "model")
    assert repr(exchange.load(tmp_path / "model")) == repr(model)


@pytest.mark.parametrize("table", [TABLE, torch.stack([TABLE] * T)])
def test_a_batch_of_rewards_beside_a_table_and_a_step_that_is_not_observed(table):
    model = TabularModel(PROBLEM, 1.0, observed=[True, False, True, True], optimality=TableOptimality(table))
    found = soft_values(model, 0.5, reward=torch.randn(5, S, A, K, dtype=torch.float64)).objective
    torch.testing.assert_close(found, torch.full_like(found, infer(model, 0.5).objective))


def test_a_checkpoint_belongs_to_one_likelihood_of_the_last_state():
    first, other = (TableOptimality(TABLE, scale * TABLE[:, 0, 0]) for scale in (1.0, 2.0))
    of_first, of_other = (identity(TabularModel(PROBLEM, optimality=each)) for each in (first, other))
    assert of_first != of_other


def test_the_page_of_a_problem_with_gradients():
    page = TabularModel(PROBLEM.replace(reward=PROBLEM.reward.clone().requires_grad_()))._repr_html_()
    assert page == TabularModel(PROBLEM)._repr_html_()


def test_messages_name_what_is_wrong():
    with pytest.raises(InvalidArgument, match="the probability and the reward depend on time"):
        value_iteration(timed_model("tables"), 0.0)
    above = TabularModel(PROBLEM, 0.5, optimality=TableOptimality(TABLE + 3.0))
    with pytest.raises(InvalidArgument, match=r"where the likelihood of optimality exceeds 1.* largest log p is 3"):
        infer(above, 1.0, evidence={"optimality_0": 0})
    with pytest.raises(InvalidProblem, match=r"final of the shape \(3,\) of the problem but has \(2,\)"):
        TabularModel(PROBLEM, optimality=TableOptimality(TABLE, torch.zeros(2)))
    with pytest.raises(InvalidProblem, match=r"`temperature` .* but is \[True"):
        TabularModel(PROBLEM, [True] * T)
    assert infer(TabularModel(PROBLEM, optimality=LogisticOptimality()), 1.0, evidence={"optimality_0": 0})
