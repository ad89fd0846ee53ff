"""Tests of problems and models whose tables require gradients: their graphs are kept, and inference passes them on."""

import math
from typing import Any

import pytest
import torch
from oracles import enumerate_posterior
from problems import random_mdp, sized
from pyro.infer import Trace_ELBO, TraceEnum_ELBO, config_enumerate
from strategies import problem_of

from pgm_control import (
    InvalidArgument,
    InvalidProblem,
    KLBudget,
    MarkovELBO,
    MarkovObjective,
    Optimism,
    Risk,
    TabularMDP,
    TabularModel,
    evaluate,
    infer,
    soft_values,
    value_iteration,
)
from pgm_control.guides import ClampedGuide, DialGuide, FreeGuide

BETAS = [-0.6, 0.0, 0.4, 1.0]
NEAR = {"rtol": 1e-9, "atol": 1e-10}


def leaves(seed=0):
    """Logits of the dynamics and the start, rewards, final rewards and logits of the prior, as leaves."""
    mdp = random_mdp(seed)
    shapes = (3, 2, 3), (3,), (3, 2, 3), (3,), (3, 2)
    generator = torch.Generator().manual_seed(seed)
    return mdp, [torch.randn(each, generator=generator, dtype=torch.float64).requires_grad_() for each in shapes]


def model_of(mdp, tables):
    logits, start, reward, last, prior = tables
    tables = {"probability": logits.softmax(-1), "initial": start.softmax(-1), "reward": reward, "final_reward": last}
    return TabularModel(mdp.replace(**tables), 0.7, prior.softmax(-1))


def test_a_problem_and_a_model_keep_the_graph_of_their_tables():
    mdp, tables = leaves()
    model = model_of(mdp, tables)
    held = model.mdp.probability, model.mdp.initial, model.mdp.reward, model.mdp.final_reward, model.action_prior
    for leaf, table in zip(tables, held, strict=True):
        (slope,) = torch.autograd.grad(table.square().sum(), leaf, retain_graph=True)
        assert slope.abs().max() > 0
    longer = model.mdp.replace(horizon=5, discount=0.9)
    assert longer.probability.requires_grad
    assert longer.reward.requires_grad
    plain = model.detach()
    assert not any(each.requires_grad for each in vars(plain.mdp).values() if isinstance(each, torch.Tensor))
    assert plain.detach() is plain
    assert torch.equal(plain.mdp.probability, model.mdp.probability)


def test_a_dense_matrix_keeps_its_graph():
    logits = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)
    reward = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    mdp = TabularMDP.from_dense([1.0, 0.0, 0.0], logits.softmax(-1), reward, horizon=3)
    objective: Any = infer(TabularModel(mdp), 0.0).objective
    assert all(each.abs().max() > 0 for each in torch.autograd.grad(objective, (logits, reward)))


def test_rows_that_require_gradients_are_checked_and_not_rescaled():
    rows = torch.tensor([[[0.25, 0.75 + 5e-9]]], dtype=torch.float64)
    arguments = torch.ones(1, dtype=torch.float64), torch.zeros(1, 1, 2, dtype=torch.int64), torch.zeros(1, 1, 2)
    initial, successor, reward = arguments
    assert TabularMDP(initial, rows, successor, reward, 1).probability.sum() == pytest.approx(1.0, abs=1e-15)
    kept = TabularMDP(initial, rows.clone().requires_grad_(), successor, reward, 1).probability
    assert torch.equal(kept.detach(), rows)
    with pytest.raises(InvalidProblem, match=r"`probability\[0, 0\]` must sum to 1"):
        TabularMDP(initial, (rows * 1.1).requires_grad_(), successor, reward, 1)


@pytest.mark.parametrize("beta", [*sized(BETAS, [0.0, 1.0]), Optimism(0.3, 1.0, 0.5), Risk(0.4)], ids=str)
def test_inference_is_differentiable_in_every_table_to_the_second_order(beta):
    mdp, tables = leaves(1)
    mdp = mdp.replace(discount=0.9)

    def outputs(*tables):
        found = infer(model_of(mdp, tables), beta)
        return found.value, found.objective, found.q, found.v

    numbers = infer(model_of(mdp, tables).detach(), beta)
    assert isinstance(numbers.value, float)
    found: Any = infer(model_of(mdp, tables), beta)
    assert found.value.item() == pytest.approx(numbers.value, abs=1e-12)
    torch.testing.assert_close(found.v.detach(), numbers.v, **NEAR)
    torch.testing.assert_close(found.policy, numbers.policy, **NEAR)
    assert repr(found) == repr(numbers)
    assert found._repr_html_() == numbers._repr_html_()
    assert torch.autograd.gradcheck(outputs, tables, atol=1e-7)
    assert torch.autograd.gradgradcheck(outputs, tables, atol=1e-5)


def test_the_slope_of_the_log_evidence_is_that_of_the_enumerated_sum():
    mdp, tables = leaves(2)
    found: Any = infer(model_of(mdp, tables), 1.0).log_evidence
    slopes = torch.autograd.grad(found, tables)
    step = 1e-6
    for i, (table, slope) in enumerate(zip(tables[:3], slopes, strict=False)):
        changed = []
        for sign in (-1, 1):
            moved = [each.detach().clone() for each in tables]
            moved[i].view(-1)[1] += sign * step
            model = model_of(mdp, moved)
            oracle = problem_of(model.mdp, 0.7)
            oracle.prior[:] = model.action_prior.numpy()
            changed.append(enumerate_posterior(oracle).log_evidence)
        assert (changed[1] - changed[0]) / (2 * step) == pytest.approx(slope.view(-1)[1].item(), rel=1e-5)
        assert table.shape == slope.shape


def test_numbers_come_without_gradients_and_refusals_name_the_remedy():
    mdp, tables = leaves(3)
    model = model_of(mdp, tables)
    with torch.no_grad():
        assert isinstance(infer(model, 0.5).objective, float)
    calls = (
        lambda: infer(model, KLBudget(dynamics=0.1)),
        lambda: infer(model, 1.0, evidence={"state_1": 0}),
        lambda: infer(model, Optimism(dynamics=torch.tensor([[1.0], [0.5], [0.0]]))),
        lambda: infer(TabularModel(model.mdp, 0.0), 0.0),
        lambda: evaluate(model, ClampedGuide(model)),
        lambda: value_iteration(TabularModel(model.mdp.replace(discount=0.9)), 0.0),
    )
    for call in calls:
        with pytest.raises(InvalidArgument, match=r"`model` must hold numbers.*detach\(\)"):
            call()
    assert math.isfinite(evaluate(model.detach(), ClampedGuide(model)).true_return)


@pytest.mark.parametrize("beta", BETAS)
def test_at_the_optimal_guide_the_slopes_of_the_objective_are_those_of_inference(beta):
    mdp, tables = leaves(4)
    model = model_of(mdp, tables)
    exact: Any = infer(model, beta)
    guide = DialGuide(model.detach() if beta else model, beta)
    guide.assign(infer(model.detach(), beta).blocks())
    found = -MarkovObjective(beta).differentiable_loss(model, guide)
    assert found.item() == pytest.approx(exact.objective.item(), abs=1e-9)
    slopes = torch.autograd.grad(found, tables, retain_graph=True)
    for mine, reference in zip(slopes, torch.autograd.grad(exact.objective, tables), strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", [ClampedGuide, FreeGuide])
def test_the_pyro_program_has_the_gradient_of_the_exact_elbo(kind):
    mdp, tables = leaves(5)
    model = model_of(mdp, tables)
    guide = kind(model)
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    exact = torch.autograd.grad(MarkovELBO().differentiable_loss(model, guide), tables, retain_graph=True)
    summed = TraceEnum_ELBO(max_plate_nesting=0).differentiable_loss(model, config_enumerate(guide, "parallel"))
    for mine, reference in zip(torch.autograd.grad(summed, tables, retain_graph=True), exact, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-8, atol=1e-9)


def test_the_program_of_a_problem_with_impossible_outcomes_has_finite_gradients():
    mdp = random_mdp(6)
    p, reward = mdp.probability.clone().requires_grad_(), mdp.reward.clone().requires_grad_()
    model = TabularModel(mdp.replace(probability=p, reward=reward))
    guide = FreeGuide(model.detach())
    enumerated = TraceEnum_ELBO(max_plate_nesting=0), config_enumerate(guide, "parallel")
    for loss, program in ((MarkovELBO(), guide), enumerated):
        found = loss.differentiable_loss(model, program)
        slopes = torch.autograd.grad(found, (p, reward), retain_graph=True)
        assert all(each.isfinite().all() for each in slopes)
    by_p = torch.autograd.grad(soft_values(model, 1.0).objective, p)[0]
    assert by_p.isfinite().all()
    assert torch.equal(soft_values(model, 1.0).objective, infer(model, 1.0).objective)


@pytest.mark.slow
@pytest.mark.statistical
def test_sampled_gradients_agree_within_five_standard_errors():
    mdp, tables = leaves(7)
    guide = FreeGuide(model_of(mdp, tables).detach())
    exact = torch.autograd.grad(MarkovELBO().differentiable_loss(model_of(mdp, tables), guide), tables)
    drawn = []
    for _ in range(400):
        loss = Trace_ELBO().differentiable_loss(model_of(mdp, tables), guide)
        drawn.append([each.flatten() for each in torch.autograd.grad(loss, tables)])
    for one, reference in zip(zip(*drawn, strict=True), exact, strict=True):
        every = torch.stack(one)
        error = every.std(0) / math.sqrt(len(every)) + 1e-9
        assert ((every.mean(0) - reference.flatten()).abs() <= 5 * error).all()


def test_tables_that_depend_on_time_keep_their_graph():
    mdp, (logits, _, reward, _, prior) = leaves(8)
    timed = [torch.stack([each.detach(), -each.detach(), each.detach() / 2]) for each in (logits, reward, prior)]
    tables = [each.requires_grad_() for each in timed]

    def model_with(logits, reward, prior):
        problem = mdp.replace(probability=logits.softmax(-1), reward=reward)
        return TabularModel(problem, [0.5, 0.7, 1.0, 0.9], prior.softmax(-1))

    guide = FreeGuide(model_with(*tables).detach())

    def objectives(*tables):
        model = model_with(*tables)
        found: Any = infer(model, 0.4)
        return found.objective, MarkovELBO().differentiable_loss(model, guide)

    assert torch.autograd.gradcheck(objectives, tables, atol=1e-7)
