"""Optimism of parts of blocks: by state, action, time or factor; of survival; and arguments that are refused."""

import inspect

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from oracles import solve
from problems import random_mdp
from strategies import laws, model_of, problems

from pgm_control import (
    DialGuide,
    InvalidArgument,
    MarkovObjective,
    Optimism,
    TabularMDP,
    TabularModel,
    average_reward,
    infer,
    ledger,
    objective,
    soft_values,
    value_iteration,
)

betas = st.sampled_from([-5.0, -1.0, -0.3, 0.0, 0.2, 1.0, 4.0])


@st.composite
def problems_with_tables(draw):
    """A problem with β for every time, state and action, and β of survival for every time and state."""
    problem = draw(problems())
    states, actions, _ = problem.probability.shape
    full = (problem.horizon, states, actions)
    shape = draw(st.sampled_from([full, (states, actions), (states, 1), (problem.horizon, 1, 1), (1, 1, actions)]))
    dynamics = draw(arrays.arrays(np.float64, shape, elements=betas))
    survival = draw(arrays.arrays(np.float64, (problem.horizon, states), elements=betas))
    return problem, dynamics, draw(betas), survival


@laws
@given(problems_with_tables())
def test_tables_of_optimism_equal_the_recursion_in_fifty_digits(case):
    problem, dynamics, initial, survival = case
    found = infer(model_of(problem), Optimism(dynamics, initial, survival))
    wanted = solve(
        problem, np.broadcast_to(dynamics, (problem.horizon, *problem.probability.shape[:2])), initial, survival
    )
    np.testing.assert_allclose(found.q, wanted.q, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.v, wanted.v, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.policy, wanted.policy, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.dynamics, wanted.dynamics, rtol=1e-7, atol=1e-9)
    assert found.value == pytest.approx(wanted.value, rel=1e-9, abs=1e-9)


@laws
@given(problems(), betas)
def test_a_constant_table_equals_its_number(problem, beta):
    model = model_of(problem)
    shape = problem.probability.shape[:2]
    table = torch.full(shape, beta, dtype=torch.float64)
    assert Optimism(table, 1.0) == Optimism(beta, 1.0)
    assert infer(model, Optimism(table, 1.0)).value == infer(model, Optimism(beta, 1.0)).value


def test_masks_give_objectives_between_free_and_clamped():
    model = TabularModel(random_mdp(seed=0), 0.7)
    mask = torch.zeros(3, 2, dtype=torch.bool)
    clamped = infer(model, 0.0).objective
    last = clamped
    for s, a in np.ndindex(3, 2):  # freeing one (state, action) after the other never lowers the objective
        mask[s, a] = True
        found = infer(model, Optimism(mask, 0.0)).objective
        assert found >= last
        last = found
    assert last == infer(model, Optimism(1.0, 0.0)).objective > clamped
    one = torch.zeros(3, 2, dtype=torch.bool)
    one[1, 1] = True
    some = infer(model, Optimism(one, 0.0))
    assert clamped < some.objective < last
    tilted = (some.dynamics - model.mdp.probability).abs().amax((0, 3)) > 1e-12
    assert torch.equal(tilted, one), "only the freed dynamics change"


def test_only_the_last_step_can_be_freed():
    mdp = random_mdp(seed=0)
    model = TabularModel(mdp, 0.7)
    late = torch.tensor([0.0, 0.0, 1.0])[:, None, None]
    found = infer(model, Optimism(late, 0.0))
    torch.testing.assert_close(found.dynamics[:2], mdp.probability.expand(2, -1, -1, -1), atol=1e-15, rtol=1e-14)
    torch.testing.assert_close(found.q[2], infer(model, 1.0).q[2])


def test_survival_freed_in_one_state_gives_an_objective_in_between():
    model = TabularModel(random_mdp(seed=1, discount=0.8), 0.7)
    some = Optimism(0.0, 0.0, torch.tensor([1.0, 0.0, 0.0]))
    low, high = infer(model, 0.0).objective, infer(model, Optimism(0.0, 0.0, 1.0)).objective
    assert low < infer(model, some).objective < high


@pytest.mark.parametrize(("survival", "value"), [(1.0, -2.90), (0.0, -10.0)])
def test_an_agent_with_free_survival_ends_early(survival, value):
    mdp = TabularMDP([1.0], [[[1.0]]], [[[0]]], [[[-1.0]]], horizon=400, discount=0.9)
    found = infer(TabularModel(mdp), Optimism(1.0, 1.0, survival)).value
    assert found == pytest.approx(value, abs=2e-3)
    if survival:  # the fixed point of V = −1 + log(γ e^V + 1 − γ)
        assert found == pytest.approx(np.log(0.1 / (np.e - 0.9)), rel=1e-12)


def test_numbers_of_any_type_are_accepted():
    model = TabularModel(random_mdp(0, discount=0.9), 0.7)
    policy = infer(model, 0.5).policy
    calls = {
        "infer": lambda beta: infer(model, beta).v,
        "soft_values": lambda beta: soft_values(model, beta).v,
        "value_iteration": lambda beta: value_iteration(model, beta).v,
        "average_reward": lambda beta: average_reward(model, beta).bias,
        "objective": lambda beta: torch.tensor(objective(model, infer(model, 0.5), beta)),
        "ledger": lambda beta: torch.tensor(ledger(model, policy, beta).gap),
        "DialGuide": lambda beta: torch.tensor(DialGuide(model, beta).optimism.number("")),
        "MarkovObjective": lambda beta: torch.tensor(MarkovObjective(beta).optimism.number("")),
    }
    for call in calls.values():
        wanted = call(0.5)
        for beta in (np.float32(0.5), np.float64(0.5), torch.tensor(0.5), Optimism(0.5, 0.5)):
            torch.testing.assert_close(call(beta), wanted, rtol=1e-12, atol=1e-12)
        assert torch.equal(call(np.int64(1)), call(1.0))


@pytest.mark.wrong_types
def test_a_table_without_a_block_is_refused_with_the_block_named():
    with pytest.raises(InvalidArgument, match=r"write Optimism\(dynamics=table, initial=…\)"):
        infer(TabularModel(random_mdp(0)), torch.eye(3, 2))


def test_optimism_has_no_default():
    model = TabularModel(random_mdp(0))
    for function in (infer, soft_values, value_iteration, average_reward):
        assert inspect.signature(function).parameters["optimism"].default is inspect.Parameter.empty
    for function in (lambda: infer(model), lambda: value_iteration(model)):  # pyright: ignore[reportCallIssue]
        with pytest.raises(TypeError, match="optimism"):
            function()


def test_optimism_has_equality_and_hash():
    table = torch.eye(2)
    assert Optimism(table) == Optimism(table.clone()) != Optimism(1 - table)
    assert hash(Optimism(table)) == hash(Optimism(1 - table))
    assert Optimism({"a": 1.0, "b": table}) == Optimism({"a": 1.0, "b": table.clone()})
    assert Optimism({"a": 1.0}) != Optimism({"b": 1.0})
    assert Optimism() != 1.0
    assert repr(Optimism({"a": 1.0, "b": table}, 0.5)) == (
        "Optimism(dynamics={'a': 1.0, 'b': table (2, 2)}, initial=0.5, survival=0.0)"
    )


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Optimism(np.array([[np.nan, 1.0]])), r"`optimism` of dynamics must be .* nan or infinite"),
        (lambda: Optimism({"wind": np.inf}), r"`optimism` of dynamics, 'wind',"),
        (
            lambda: infer(TabularModel(random_mdp(0)), Optimism(torch.rand(2, 5))),
            r"`optimism` of dynamics must broadcast against \(3, 3, 2\), but has shape \(2, 5\). Use axes of size 1",
        ),
        (
            lambda: infer(TabularModel(random_mdp(0)), Optimism({"wind": 1.0})),
            r"names wind; its factors do not exist: this block is not factored",
        ),
        (
            lambda: soft_values(TabularModel(random_mdp(0)), Optimism(torch.eye(3, 2))),
            "one number a block for soft_values",
        ),
        (
            lambda: value_iteration(TabularModel(random_mdp(0).replace(discount=0.9)), Optimism(torch.eye(3, 2))),
            "one number a block for a problem without a horizon",
        ),
    ],
)
def test_unsuitable_optimism_is_refused(build, words):
    with pytest.raises(InvalidArgument, match=words):
        build()
