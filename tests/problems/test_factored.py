"""Factored dynamics: nested operators equal loops, reduce to the plain cases, and allow freeing one factor."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import distributions, laws, rewards, temperatures

from pgm_control import (
    DialGuide,
    FactoredMDP,
    InvalidArgument,
    InvalidProblem,
    Optimism,
    TabularMDP,
    TabularModel,
    fit,
    infer,
    objective,
)
from pgm_control.chance.factors import conditionals, joint
from pgm_control.inference.variational.elbo import objective_of
from pgm_control.problems.factored import marginal_of_factor

betas = st.sampled_from([-2.0, -0.3, 0.0, 0.4, 1.0, 3.0])


@st.composite
def factored(draw):
    """A small factored MDP, as arrays, and a temperature."""
    states, actions, first, second, horizon = (draw(st.integers(1, 3)) for _ in range(5))
    shape = (states, actions, first, second)
    one = [[draw(distributions(first)) for _ in range(actions)] for _ in range(states)]
    other = [[[draw(distributions(second)) for _ in range(first)] for _ in range(actions)] for _ in range(states)]
    size = math.prod(shape)
    successor = np.reshape(draw(st.lists(st.integers(0, states - 1), min_size=size, max_size=size)), shape)
    reward = np.reshape(draw(st.lists(rewards, min_size=size, max_size=size)), shape).astype(float)
    start = draw(distributions(states))
    return start, np.asarray(one), np.asarray(other), successor, reward, horizon, draw(temperatures)


def equivalent(x, weight, tau, beta):
    """(τ/β) log Σ w exp(βx/τ), and the tilted weights."""
    if beta == 0:
        return float(np.dot(weight, x)), weight
    y = np.where(weight > 0, beta * x / tau, -np.inf)
    e = weight * np.exp(y - y.max())
    return tau / beta * (math.log(e.sum()) + y.max()), e / e.sum()


def by_loops(problem, beta_one, beta_other):
    """Values and joint dynamics of the first step, straight from the nested definition."""
    _, one, other, successor, reward, horizon, tau = problem
    states, actions, first, _ = successor.shape
    v, q, dynamics = np.zeros(states), np.zeros((states, actions)), np.zeros(successor.shape)
    for _ in range(horizon):
        q, dynamics = np.zeros((states, actions)), np.zeros(successor.shape)
        for s, a in itertools.product(range(states), range(actions)):
            inner = [
                equivalent(reward[s, a, i] + v[successor[s, a, i]], other[s, a, i], tau, beta_other)
                for i in range(first)
            ]
            q[s, a], chosen = equivalent(np.array([value for value, _ in inner]), one[s, a], tau, beta_one)
            dynamics[s, a] = chosen[:, None] * np.array([tilted for _, tilted in inner])
        v = np.array([equivalent(q[s], np.full(actions, 1 / actions), tau, 1.0)[0] for s in range(states)])
    return q, dynamics


def model_of(problem):
    start, one, other, successor, reward, horizon, tau = problem
    return TabularModel(FactoredMDP(start, {"own": one, "wind": other}, successor, reward, horizon).joint(), tau)


@laws
@given(factored(), betas, betas)
def test_nested_operators_equal_their_definition(problem, one, other):
    model = model_of(problem)
    found = infer(model, Optimism({"own": one, "wind": other}, 0.0))
    q, dynamics = by_loops(problem, one, other)
    np.testing.assert_allclose(found.q[0], q, rtol=1e-9, atol=1e-9)
    possible = model.mdp.probability.numpy() > 0
    np.testing.assert_allclose(
        found.dynamics[0].numpy()[possible], dynamics.reshape(possible.shape)[possible], rtol=1e-7, atol=1e-9
    )


@laws
@given(factored(), betas)
def test_one_number_for_all_factors_equals_the_joint_event(problem, beta):
    model = model_of(problem)
    plain = TabularModel(model.mdp.replace(factors=None), model.temperature)
    whole = infer(plain, beta)
    for optimism in (Optimism(beta, beta), Optimism({"own": beta, "wind": beta}, beta)):
        found = infer(model, optimism)
        assert found.value == pytest.approx(whole.value, rel=1e-10, abs=1e-10)
        torch.testing.assert_close(found.policy, whole.policy)
    nearly = infer(model, Optimism({"own": beta, "wind": beta + 1e-9}, beta))  # by the nested operators
    assert nearly.value == pytest.approx(whole.value, rel=1e-6, abs=1e-6)


@laws
@given(factored())
def test_freeing_one_factor_gives_an_objective_in_between(problem):
    model = model_of(problem)
    low, high = infer(model, 0.0).objective, infer(model, Optimism(1.0, 0.0)).objective
    for one, other in ((1.0, 0.0), (0.0, 1.0)):
        found = infer(model, Optimism({"own": one, "wind": other}, 0.0)).objective
        assert low - 1e-9 <= found <= high + 1e-9


def windy(horizon=4):
    rng = np.random.default_rng(0)
    return FactoredMDP(
        initial=rng.dirichlet(np.ones(3)),
        factors={"own": rng.dirichlet(np.ones(2), (3, 2)), "wind": rng.dirichlet(np.ones(3))},
        successor=rng.integers(3, size=(3, 2, 2, 3)),
        reward=rng.normal(size=(3, 2, 2, 3)),
        horizon=horizon,
    )


def test_freeing_one_factor_leaves_the_other_unchanged():
    mdp = windy().joint()
    model = TabularModel(mdp, 0.7)
    low, high = infer(model, 0.0).objective, infer(model, Optimism(1.0, 0.0)).objective
    for freed, kept in (("own", "wind"), ("wind", "own")):
        found = infer(model, Optimism({freed: 1.0, kept: 0.0}, 0.0))
        assert low + 1e-3 < found.objective < high - 1e-3
        truth = marginal_of_factor(mdp, mdp.probability.log(), freed)
        assert (marginal_of_factor(mdp, found.distribution.log_dynamics, freed) - truth).abs().max() > 0.05
    own_only = infer(model, Optimism({"own": 1.0, "wind": 0.0}, 0.0))
    wind = marginal_of_factor(mdp, own_only.distribution.log_dynamics, "wind")
    torch.testing.assert_close(wind, marginal_of_factor(mdp, mdp.probability.log(), "wind").expand_as(wind))


@pytest.mark.slow
@pytest.mark.parametrize(("own", "wind"), [(0.0, 1.0), (1.0, 0.0), (0.3, -0.5)])
def test_svi_and_natural_gradients_reach_the_exact_answer(own, wind):
    model, optimism = TabularModel(windy().joint(), 0.7), Optimism({"own": own, "wind": wind}, 0.5)
    exact = infer(model, optimism).objective
    assert objective(model, fit(model, DialGuide(model, optimism), num_steps=1500).guide) == pytest.approx(
        exact, abs=1e-3
    )
    for method in ("natural_gradient", "exact"):
        found = fit(model, DialGuide(model, optimism), method=method, tolerance=1e-12)
        assert objective(model, found.guide) == pytest.approx(exact, abs=1e-9)


def test_gradients_of_the_parts_equal_finite_differences():
    model, optimism = TabularModel(windy(2).joint(), 0.7), Optimism({"own": 0.4, "wind": 2.0}, 0.5)
    guide = DialGuide(model, optimism)
    for parameter in guide.parameters():
        parameter.data.normal_()
    objective_of(model, guide.blocks(), optimism).backward()
    for parameter in guide.parameters():
        flat, grad = parameter.data.view(-1), parameter.grad.view(-1)
        for i in range(0, len(flat), 7):
            values = []
            for step in (1e-5, -2e-5):
                flat[i] += step
                values.append(objective(model, guide))
            flat[i] += 1e-5
            assert grad[i].item() == pytest.approx((values[0] - values[1]) / 2e-5, abs=1e-6)


@given(st.lists(st.floats(0.01, 1.0), min_size=12, max_size=12), st.permutations([2, 2, 3]))
def test_joint_inverts_conditionals(weights, sizes):
    table = torch.tensor(weights, dtype=torch.float64).log().log_softmax(-1)
    chain = conditionals(table, sizes)
    assert [each.shape[-1] for each in chain] == list(sizes)
    for each in chain:
        torch.testing.assert_close(each.exp().sum(-1), torch.ones_like(each[..., 0]))
    torch.testing.assert_close(joint(chain), table)


def test_impossible_prefixes_stay_impossible():
    table = torch.tensor([0.5, 0.5, 0.0, 0.0], dtype=torch.float64).log()
    chain = conditionals(table, [2, 2])
    torch.testing.assert_close(chain[1][1].exp(), torch.tensor([0.5, 0.5], dtype=torch.float64))
    torch.testing.assert_close(joint(chain), table)


def test_the_joint_problem_keeps_names_and_layout():
    parts = FactoredMDP(
        [1.0, 0.0], {"own": [0.5, 0.5], "wind": [1.0]}, np.zeros((2, 1, 2, 1), int), [[0.0]], 2,
        state_names=("a", "b"), layout=[None, (0, 3)],
    )  # fmt: skip
    assert parts.layout == parts.joint().layout == (None, (0, 3))
    assert parts.joint().state_names == ("a", "b")


def test_an_answer_that_depends_on_the_move():
    answer = np.array([[[[1.0, 0.0], [0.2, 0.8]]]])  # (state, action, move, answer)
    mdp = FactoredMDP([1.0], {"move": [0.5, 0.5], "answer": answer}, np.zeros((1, 1, 2, 2), int), [1.0], 1).joint()
    np.testing.assert_allclose(mdp.probability[0, 0], [0.5, 0.0, 0.1, 0.4])
    assert mdp.factors is not None
    assert mdp.replace(horizon=3).factors == mdp.factors
    assert repr(windy()) == "FactoredMDP(3 states, 2 actions, factors {own: 2, wind: 3}, horizon 4)"


@pytest.mark.parametrize(
    ("build", "kind", "words"),
    [
        (lambda: FactoredMDP([1.0], {}, [[[0]]], [0.0], 1), InvalidProblem, "`factors` must map names to tables"),
        (
            lambda: FactoredMDP([1.0], {"a": [1.0], "b": [1.0]}, [[[0]]], [0.0], 1),
            InvalidProblem,
            "`successor` must have 4 axes: state, action, and one for each of the factors a, b",
        ),
        (
            lambda: FactoredMDP([1.0], {"a": [0.5, 0.5]}, [[[0]]], [0.0], 1),
            InvalidProblem,
            r"`factors\['a'\]` must have 1 outcomes, as its axis of `successor` has, but has 2",
        ),
        (
            lambda: FactoredMDP([1.0], {"a": [0.5, 0.4]}, [[[0, 0]]], [0.0], 1),
            InvalidProblem,
            r"`factors\['a'\].* must sum to 1",
        ),
        (
            lambda: FactoredMDP([1.0], {"a": [0.5, 0.5]}, [[[0, 0]]], [1.0, 2.0, 3.0], 1),
            InvalidProblem,
            "`reward` must broadcast",
        ),
        (
            lambda: TabularMDP([1.0], [[[1.0]]], [[[0]]], [[[0.0]]], 1, factors={"a": 2}),
            InvalidProblem,
            "`factors` must have sizes whose product is the number of outcomes, 1",
        ),
        (
            lambda: TabularMDP([1.0], [[[1.0]]], [[[0]]], [[[0.0]]], 1, factors={"a b": 1}),
            InvalidProblem,
            "A name has letters, digits and _ only",
        ),
        (
            lambda: infer(TabularModel(windy().joint()), Optimism({"own": 1.0})),
            InvalidArgument,
            "or name every factor, but names own; its factors are own, wind",
        ),
        (
            lambda: marginal_of_factor(windy().joint(), torch.zeros(6), "rain"),
            InvalidProblem,
            "`name` must be a factor of the dynamics, but is 'rain': this MDP has the factors own, wind",
        ),
    ],
)
def test_unsuitable_arguments_are_refused(build, kind, words):
    with pytest.raises(kind, match=words):
        build()
