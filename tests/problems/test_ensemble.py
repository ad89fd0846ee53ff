"""Ensembles: the unknown member is drawn once; freeing it gives epistemic optimism."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import gamble, random_mdp
from strategies import laws, model_of, problems

from pgm_control import (
    DialGuide,
    Ensemble,
    InvalidProblem,
    Optimism,
    TabularModel,
    believed_weights,
    evaluate,
    fit,
    infer,
    member_blocks,
    member_returns,
    objective,
)

TAU = 0.7
betas = st.sampled_from([-2.0, -0.3, 0.0, 0.4, 1.0, 3.0])


def three(horizon=3):
    return Ensemble([random_mdp(seed=i, horizon=horizon) for i in range(3)], [0.5, 0.3, 0.2], ["low", "mid", "high"])


def equivalent(x, weight, beta):
    if beta == 0:
        return sum(w * each for w, each in zip(weight, x, strict=True))
    return TAU / beta * math.log(sum(w * math.exp(beta * each / TAU) for w, each in zip(weight, x, strict=True)))


@laws
@given(betas, betas, betas)
def test_the_value_is_the_certainty_equivalent_over_the_members(member, state, dynamics):
    ensemble = three()
    found = infer(TabularModel(ensemble.joint(), TAU), Optimism(dynamics, {"member": member, "state": state}))
    alone = [infer(TabularModel(each, TAU), Optimism(dynamics, state)) for each in ensemble.members]
    values = [each.value for each in alone]
    assert found.value == pytest.approx(equivalent(values, ensemble.weights.tolist(), member), rel=1e-10, abs=1e-10)
    moved = torch.softmax(ensemble.weights.log() + member * torch.tensor(values, dtype=torch.float64) / TAU, 0)
    torch.testing.assert_close(believed_weights(ensemble, found), moved)
    for i, each in enumerate(alone):
        torch.testing.assert_close(member_blocks(ensemble, found, i).log_policy.exp(), each.policy)
        torch.testing.assert_close(member_blocks(ensemble, found, ensemble.names[i]).log_dynamics.exp(), each.dynamics)


@laws
@given(problems(), betas)
def test_one_member_equals_the_plain_problem(problem, beta):
    model = model_of(problem)
    found = infer(TabularModel(Ensemble([model.mdp]).joint(), model.temperature, model.action_prior), beta)
    plain = infer(model, beta)
    assert found.value == plain.value or found.value == pytest.approx(plain.value, rel=1e-12)
    torch.testing.assert_close(found.policy, plain.policy)


def test_equal_members_or_certain_weights_equal_the_plain_problem():
    mdp = random_mdp(seed=1)
    plain = infer(TabularModel(mdp, TAU), 1.0).value
    assert infer(TabularModel(Ensemble([mdp, mdp], [0.3, 0.7]).joint(), TAU), 1.0).value == pytest.approx(plain)
    one = Ensemble([mdp, random_mdp(seed=2)], [1.0, 0.0])
    assert infer(TabularModel(one.joint(), TAU), 1.0).value == pytest.approx(plain)


def test_epistemic_optimism_is_not_optimism_about_outcomes():
    ensemble = Ensemble([gamble(jackpot=3.0), gamble(jackpot=30.0)], [0.9, 0.1], ["mean", "generous"])
    model = TabularModel(ensemble.joint())
    believes = infer(model, Optimism(0.0, {"member": 1.0, "state": 0.0}))
    assert believed_weights(ensemble, believes)[1] > 0.85, "the weights move to the generous member"
    torch.testing.assert_close(believes.dynamics[0, 0, 1], model.mdp.probability[0, 1])
    optimistic = infer(model, Optimism(1.0, {"member": 0.0, "state": 0.0}))
    torch.testing.assert_close(believed_weights(ensemble, optimistic), ensemble.weights)
    assert optimistic.dynamics[0, 1, 1, 0] > 0.99 > model.mdp.probability[1, 1, 0]


def test_member_returns_evaluate_plans_in_other_members():
    ensemble = three()
    exact = infer(TabularModel(ensemble.joint(), TAU), 0.0)
    found = member_returns(ensemble, exact)
    for i, plan in enumerate(ensemble.members):
        policy = infer(TabularModel(plan, TAU), 0.0).policy
        for j, world in enumerate(ensemble.members):
            assert found[i, j].item() == pytest.approx(evaluate(TabularModel(world), policy).true_return)


@pytest.mark.slow
@pytest.mark.parametrize(("member", "state"), [(1.0, 0.0), (0.0, 1.0), (-0.5, 0.5)])
def test_svi_and_natural_gradients_reach_the_exact_answer(member, state):
    model = TabularModel(three().joint(), TAU)
    optimism = Optimism(0.0, {"member": member, "state": state})
    exact = infer(model, optimism).objective
    assert objective(model, fit(model, DialGuide(model, optimism), num_steps=1500).guide) == pytest.approx(
        exact, abs=1e-3
    )
    for method in ("natural_gradient", "exact"):
        found = fit(model, DialGuide(model, optimism), method=method, tolerance=1e-12)
        assert objective(model, found.guide) == pytest.approx(exact, abs=1e-9)


def test_layouts_of_members_are_placed_side_by_side():
    first = random_mdp(seed=0).replace(layout=[(0, 0), None, (2, 1)])
    second = random_mdp(seed=1).replace(layout=[(1, 0), (0, 0), (0, 1)])
    joint = Ensemble([first, second, first]).joint()
    assert joint.layout == ((0, 0), None, (2, 1), (1, 3), (0, 3), (0, 4), (0, 6), None, (2, 7))
    assert Ensemble([first, random_mdp(seed=1)]).joint().layout is None


def test_members_may_differ_in_outcomes_and_final_rewards():
    wide = random_mdp(seed=3, outcomes=5).replace(final_reward=[1.0, 2.0, 3.0])
    joint = Ensemble([random_mdp(seed=2), wide]).joint()
    assert joint.num_outcomes == 5
    assert joint.final_reward is not None
    assert joint.final_reward.tolist() == [0, 0, 0, 1, 2, 3]
    assert joint.state_name(4) == "world 1 | 1"


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Ensemble([]), "`members` must be (TabularMDPs, at least one|a list of TabularMDPs)"),
        (lambda: Ensemble([random_mdp(0), random_mdp(0, states=4)]), r"agree in num_states, but members\[0\] has 3"),
        (lambda: Ensemble([random_mdp(0)], [0.5]), "`weights` must sum to 1"),
        (lambda: Ensemble([random_mdp(0)], [0.5, 0.5]), "`weights` must have shape"),
        (lambda: Ensemble([random_mdp(0)] * 2, names=["a", "a"]), "`names` must be distinct"),
        (
            lambda: member_blocks(three(), infer(TabularModel(three().joint()), 1.0), "none"),
            "`member` must be one of low, mid, high",
        ),
    ],
)
def test_unsuitable_arguments_are_refused(build, words):
    with pytest.raises(InvalidProblem, match=words):
        build()
