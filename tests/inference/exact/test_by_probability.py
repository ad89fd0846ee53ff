"""Tests of soft values as a function of the dynamics and the start: values, derivatives, and what they are for."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from problems import random_mdp
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoDelta
from pyro.optim import ClippedAdam

from pgm_control import InvalidArgument, Optimism, TabularModel, infer, soft_values

BETAS = [-0.6, 0.0, 1e-9, 0.4, 1.0]


def some_model(seed=0, discount=1.0):
    mdp = random_mdp(seed=seed, horizon=3, discount=discount)
    return TabularModel(mdp.replace(final_reward=[0.3, -0.2, 0.1]), 0.7)


def random_logits(model, *batch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*batch, *model.mdp.probability.shape, generator=generator, dtype=torch.float64)


def values(model, beta, logits, start, **more):
    return soft_values(model, beta, probability=logits.softmax(-1), initial=start.softmax(-1), **more)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("discount", [1.0, 0.8])
def test_a_batch_of_dynamics_equals_the_problems_one_by_one(beta, discount):
    model = some_model(discount=discount)
    model = TabularModel(model.mdp.replace(reward=random_logits(model, seed=9)), model.temperature)
    logits, start = random_logits(model, 4), torch.randn(4, 3, dtype=torch.float64)
    found = values(model, beta, logits, start, reward=model.mdp.reward)
    assert found.objective.shape == (4,)
    for i in range(4):
        mdp = model.mdp.replace(probability=logits[i].softmax(-1), initial=start[i].softmax(-1))
        mdp = mdp.replace(reward=model.mdp.reward)
        expected = infer(TabularModel(mdp, model.temperature), beta)
        torch.testing.assert_close(found.q[i], expected.q, rtol=0, atol=1e-12)
        torch.testing.assert_close(found.v[i], expected.v, rtol=0, atol=1e-12)
        assert found.objective[i].item() == pytest.approx(expected.objective, abs=1e-12)


@pytest.mark.parametrize("beta", BETAS)
def test_derivatives_equal_finite_differences_to_the_second_order(beta):
    model = some_model()

    def outputs(logits, start, reward):
        found = values(model, Optimism(dynamics=beta, initial=0.5), logits, start, reward=reward)
        return found.q, found.v, found.objective

    inputs = [random_logits(model, 2), torch.randn(2, 3, dtype=torch.float64), model.mdp.reward.clone()]
    inputs = [each.requires_grad_() for each in inputs]
    assert torch.autograd.gradcheck(outputs, inputs, atol=1e-7)
    assert torch.autograd.gradgradcheck(outputs, inputs, atol=1e-5)


@pytest.mark.parametrize("beta", BETAS)
def test_the_derivative_is_the_occupancy_times_the_tilt_less_one(beta):
    model = some_model(1)
    p, start = (each.clone().requires_grad_() for each in (model.mdp.probability, model.mdp.initial))
    by_p, by_start = torch.autograd.grad(soft_values(model, beta, probability=p, initial=start).objective, (p, start))
    found, tau = infer(model, beta), model.temperature
    x = model.mdp.reward + found.v[1:][:, model.mdp.successor]

    def part(x, value):
        off = (x - value[..., None]) / tau
        return off if abs(beta) < 1e-6 else torch.expm1(beta * off) / beta

    visits = found.marginals().state_action
    torch.testing.assert_close(by_p, (visits[..., None] * part(x, found.q)).sum(0), rtol=1e-7, atol=1e-7)
    value = torch.tensor(found.value, dtype=torch.float64)
    torch.testing.assert_close(by_start, part(found.v[0], value), rtol=1e-7, atol=1e-7)


def test_the_derivative_is_continuous_in_optimism():
    model = some_model(2)

    def by_probability(beta):
        p = model.mdp.probability.clone().requires_grad_()
        return torch.autograd.grad(soft_values(model, beta, probability=p).objective, p)[0]

    torch.testing.assert_close(by_probability(1e-8), by_probability(0.0), rtol=1e-6, atol=1e-6)


def test_forbidden_and_impossible_outcomes_have_finite_derivatives():
    model = some_model(3)
    reward = model.mdp.reward.clone()
    reward[1, 0, 0] = -math.inf
    logits = random_logits(model)
    logits[2, 1, 2] = -math.inf
    logits.requires_grad_()
    for beta in (0.5, 1.0):
        found = soft_values(model, beta, probability=logits.softmax(-1), reward=reward).objective
        assert torch.autograd.grad(found, logits)[0].isfinite().all()


def test_the_mode_of_a_dirichlet_posterior_given_optimality_is_the_direct_optimum():
    model = some_model(4)
    shape = model.mdp.probability.shape

    def program():
        p = pyro.sample("p", dist.Dirichlet(torch.full(shape, 1.5, dtype=torch.float64)).to_event(2))
        pyro.factor("optimality", soft_values(model, 1.0, probability=p).objective)

    guide = AutoDelta(program)
    svi = SVI(program, guide, ClippedAdam({"lr": 0.1, "lrd": 0.985}), Trace_ELBO())
    for _ in range(500):
        svi.step()
    logits = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([logits], max_iter=300, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        p = logits.softmax(-1)
        total = -soft_values(model, 1.0, probability=p).objective - 0.5 * p.log().sum()
        total.backward()
        return total

    optimiser.step(loss)
    mode = guide.median()["p"]
    pyro.clear_param_store()
    torch.testing.assert_close(mode, logits.softmax(-1).detach(), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "table", "message"),
    [
        ("probability", torch.full((3, 2, 3), 0.3, dtype=torch.float64), "rows that sum to 1"),
        ("probability", torch.full((3, 2, 3), math.nan, dtype=torch.float64), "rows that sum to 1"),
        ("probability", torch.full((3, 2, 2), 0.5, dtype=torch.float64), "shape"),
        pytest.param("probability", [[[1.0]]], "must be a tensor", marks=pytest.mark.wrong_types),
        ("initial", torch.tensor([0.5, 0.7, -0.2], dtype=torch.float64), "rows that sum to 1"),
        ("initial", torch.ones(2, dtype=torch.float64), "shape"),
    ],
)
def test_tables_that_are_no_distributions_are_refused(name, table, message):
    with pytest.raises(InvalidArgument, match=f"`{name}`.*{message}"):
        soft_values(some_model(), 1.0, **{name: table})


def sparse_batch(count, seed=5):
    """A sparse problem, and tables of settings in which other outcomes are possible than in the problem."""
    generator = torch.Generator().manual_seed(seed)
    mdp = random_mdp(states=4, actions=3, outcomes=5, seed=seed, horizon=4, discount=0.9)
    few = mdp.probability * (torch.arange(5) < torch.randint(1, 5, (4, 3, 1), generator=generator))
    model = TabularModel(mdp.replace(probability=few / few.sum(-1, keepdim=True)), 0.7)
    logits = torch.randn(count, 4, 3, 5, generator=generator, dtype=torch.float64)
    logits = torch.where(torch.rand(logits.shape, generator=generator) < 0.6, logits, -math.inf)
    logits[..., 0] = 0.0
    reward = torch.randn(count, 4, 3, 5, generator=generator, dtype=torch.float64)
    reward[:, 0, 0, 1] = -math.inf
    start = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    start[:, 1] = -math.inf
    return model, logits.softmax(-1), start.softmax(-1), reward


@pytest.mark.parametrize(
    "optimism",
    [
        torch.tensor([-0.7, -0.05, 0.0, 0.05, 0.4, 1.0, 1.7], dtype=torch.float64).repeat(5),
        Optimism(dynamics=0.4, initial=-0.3, survival=0.6),
        Optimism(dynamics=0.0, initial=1.0, survival=-0.6),
    ],
    ids=["one each", "partly free", "clamped"],
)
@pytest.mark.parametrize("all_of_them", [False, True])
def test_compiled_derivatives_equal_those_in_torch(monkeypatch, optimism, all_of_them):
    count = 35
    model, *tables = sparse_batch(count)
    temperature = torch.linspace(0.2, 2.0, count, dtype=torch.float64)
    weights = torch.randn(count, 4, 4, 3, dtype=torch.float64), torch.randn(count, 5, 4, dtype=torch.float64)

    def derivatives(backend):
        monkeypatch.setenv("PGM_CONTROL_BACKEND", backend)
        p, start, reward, tau = (each.clone().requires_grad_() for each in (*tables, temperature))
        chances = {"probability": p, "initial": start, "reward": reward, "temperature": tau}
        found = soft_values(model, optimism, **chances)
        total = found.objective @ torch.linspace(-1, 2, count, dtype=torch.float64)
        if all_of_them:
            total = total + sum((w * x.clamp(min=-50)).sum() for w, x in zip(weights, (found.q, found.v), strict=True))
        by = torch.autograd.grad(total, (p, start, reward, tau) if all_of_them else (p, start))
        return (found.objective.detach(), *by)

    for mine, reference in zip(derivatives("auto"), derivatives("torch"), strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-8, atol=1e-9)


def test_one_table_for_all_settings_gets_the_sum_of_their_derivatives():
    model, tables, start, _ = sparse_batch(3)
    p, start = tables[:1].clone().requires_grad_(), start[0].clone().requires_grad_()
    beta = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    found = soft_values(model, beta, probability=p, initial=start).objective.sum()
    by_p, by_start = torch.autograd.grad(found, (p, start))
    each = torch.stack([soft_values(model, b, probability=p[0], initial=start).objective for b in beta.tolist()])
    for one, by in zip(torch.autograd.grad(each.sum(), (p, start)), (by_p, by_start), strict=True):
        torch.testing.assert_close(one, by, rtol=1e-10, atol=1e-12)
