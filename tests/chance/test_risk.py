"""Risk parameters θ: known answers, enumerated policies and trajectories, limits, and what is refused."""

import dataclasses
import itertools
import math

import numpy as np
import pyro
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles_infinite import LONG, equivalent
from problems import gamble, random_mdp
from strategies import laws, mdp_of, model_of, problems
from watched_demonstrators import drawn

from pgm_control import (
    DialGuide,
    InvalidArgument,
    MarkovObjective,
    Optimism,
    Risk,
    TabularMDP,
    TabularModel,
    average_reward,
    evaluate,
    explain,
    fit,
    frontier,
    infer,
    ledger,
    objective,
    render,
    soft_values,
    value_iteration,
    with_optimism,
)
from pgm_control.inverse_rl import DialDemonstrator
from pgm_control.models import windy_bridge

thetas = st.sampled_from([-3.0, -0.5, -1e-3, 0.0, 1e-3, 0.5, 3.0])
METHODS = ["auto", "value_iteration", "gauss_seidel", "modified_policy_iteration", "anderson"]


def toymaker(discount=1.0):
    """Howard's toymaker: two states, two actions; successor k is state k."""
    probability = np.array([[[0.5, 0.5], [0.8, 0.2]], [[0.4, 0.6], [0.7, 0.3]]])
    reward = np.array([[[9.0, 3.0], [4.0, 4.0]], [[3.0, -7.0], [1.0, -19.0]]])
    return TabularMDP([1.0, 0.0], probability, np.broadcast_to([0, 1], (2, 2, 2)).copy(), reward, 5, discount)


def gain_of(mdp, actions, theta):
    """The growth of the certainty equivalent under a stationary policy: the log of a Perron root over θ."""
    at = np.arange(mdp.num_states), list(actions)
    p, reward = mdp.probability.numpy()[at], mdp.reward.numpy()[at]
    if theta == 0:
        share, vectors = np.linalg.eig(p.T)
        visits = np.real(vectors[:, np.argmax(np.real(share))])
        return float((visits / visits.sum()) @ (p * reward).sum(1))
    return math.log(max(np.real(np.linalg.eigvals(p * np.exp(theta * reward))))) / theta


@pytest.mark.parametrize(("theta", "known"), [(0.0, 2.0), (-0.1, -2.33427803), (0.1, 4.52198024)])
def test_the_toymaker_of_howard_and_matheson(theta, known):
    mdp = toymaker()
    gains = {actions: gain_of(mdp, actions, theta) for actions in itertools.product(range(2), repeat=2)}
    best = max(gains, key=lambda actions: gains[actions])
    found = average_reward(TabularModel(mdp, 0.0), Risk(theta), tolerance=1e-10)
    assert found.gain == pytest.approx(known, abs=6e-9)
    assert found.lower - 1e-9 <= gains[best] <= found.upper + 1e-9
    assert tuple(found.policy.argmax(-1).tolist()) == best


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("theta", [-0.1, 0.1, 0.02])
def test_discounted_values_at_temperature_zero_are_those_of_the_best_stationary_policy(theta, method):
    mdp = toymaker(discount=0.9)
    found = value_iteration(TabularModel(mdp, 0.0), Risk(theta), 1e-9, method=method)
    values = []
    for actions in itertools.product(range(2), repeat=2):
        at, v = (np.arange(2), list(actions)), np.zeros(2)
        for _ in range(600):
            x = theta * (mdp.reward.numpy()[at] + 0.9 * v)
            v = np.log((mdp.probability.numpy()[at] * np.exp(x)).sum(1)) / theta
        values.append(v)
    assert found.error_bound <= 1e-9
    np.testing.assert_allclose(found.v, np.max(values, 0), atol=found.error_bound + 1e-10)


def hard(problem, theta, v):
    """Q and V by the definitions, in long doubles: L of θ over outcomes, the maximum over actions."""
    q = np.full(problem.prior.shape, -np.inf, dtype=LONG)
    for s, a in np.ndindex(q.shape):
        possible = problem.probability[s, a] > 0
        x = (problem.reward[s, a] + LONG(problem.discount) * v[problem.successor[s, a]])[possible]
        w = problem.probability[s, a][possible].astype(LONG)
        q[s, a] = equivalent(x, w, 1 / LONG(theta)) if theta else (w * x).sum()
    return q, np.where(problem.prior > 0, q, -np.inf).max(1)


@laws
@given(problems(), thetas)
def test_at_temperature_zero_both_back_ends_equal_the_definitions(problem, theta):
    """With impossible and forbidden outcomes, masked actions, final rewards and discounts."""
    model = TabularModel(mdp_of(problem), 0.0, torch.as_tensor(problem.prior))
    found = infer(model, Risk(theta))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGM_CONTROL_BACKEND", "torch")
        slow = infer(model, Risk(theta))
    v, allowed = problem.final_reward.astype(LONG), problem.prior > 0
    for t in reversed(range(problem.horizon)):
        q, v = hard(problem, theta, v)
        for each in (found, slow):
            np.testing.assert_allclose(each.v[t], v.astype(float), rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(each.q[t].numpy()[allowed], q.astype(float)[allowed], rtol=1e-9, atol=1e-9)
    assert found.value == pytest.approx(slow.value, rel=1e-12, abs=1e-12)
    for name in ("initial", "dynamics"):
        torch.testing.assert_close(getattr(found, name), getattr(slow, name), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.policy.sum(-1), torch.ones_like(found.v[:-1]))


@laws
@given(problems(), thetas, st.sampled_from([0.3, 0.9]), st.sampled_from(METHODS))
def test_the_certificate_holds_at_temperature_zero(problem, theta, discount, method):
    model = TabularModel(mdp_of(problem).replace(discount=discount), 0.0, problem.prior)
    problem, v = dataclasses.replace(problem, discount=discount), np.zeros(len(problem.prior), dtype=LONG)
    for _ in range(400):
        v = hard(problem, theta, v)[1]
    found = value_iteration(model, Risk(theta), 1e-6, method=method)
    assert found.error_bound <= 1e-6
    lost = np.isneginf(v)
    np.testing.assert_array_equal(found.v.isneginf(), lost)
    np.testing.assert_allclose(found.v.numpy()[~lost], v[~lost].astype(float), atol=found.error_bound + 1e-12)


@pytest.mark.parametrize("back_end", ["auto", "torch"])
@pytest.mark.parametrize("theta", [-2.0, -0.3, 0.0, 0.4, 2.0])
def test_the_value_is_that_of_the_best_policy_over_enumerated_trajectories(theta, back_end, monkeypatch):
    """The largest (1/θ) log E exp(θ · return) over all deterministic Markov policies."""
    monkeypatch.setenv("PGM_CONTROL_BACKEND", back_end)
    mdp = random_mdp(4, states=2, horizon=2)
    table = [mdp.probability.numpy(), mdp.successor.numpy(), mdp.reward.numpy()]
    best = -math.inf
    for choices in itertools.product(range(2), repeat=4):
        returns, weights = [], []
        for s0, k0, k1 in itertools.product(range(2), range(3), range(3)):
            p, successor, reward = (each[s0, choices[s0], k0] for each in table)
            then = (successor, choices[2 + successor], k1)
            returns.append(reward + table[2][then])
            weights.append(float(mdp.initial[s0]) * p * table[0][then])
        equal = equivalent(np.array(returns), np.array(weights), 1 / theta) if theta else np.dot(returns, weights)
        best = max(best, float(equal))
    found = infer(TabularModel(mdp, 0.0), Risk(theta))
    assert found.value == pytest.approx(best, abs=1e-12)
    assert found.objective is None
    assert "value" in repr(found)
    assert ((found.policy == 0) | (found.policy == 1)).all()


@laws
@given(problems(forbidden=False), st.floats(-3, 3))
def test_it_is_monotone_in_theta_and_the_mean_at_zero(problem, theta):
    for temperature in (0.0, problem.temperature):
        model = TabularModel(mdp_of(problem), temperature, torch.as_tensor(problem.prior))
        at = {each: infer(model, Risk(each)).value for each in (theta, theta + 0.1, 0.0, 1e-7, -1e-7)}
        assert at[theta] <= at[theta + 0.1] + 1e-12
        assert at[0.0] == pytest.approx(infer(model, 0.0).value, rel=1e-13, abs=1e-13)
        assert at[-1e-7] - 1e-12 <= at[0.0] <= at[1e-7] + 1e-12
        assert at[1e-7] - at[-1e-7] < 1e-4


@laws
@given(problems(forbidden=False), thetas)
def test_temperature_zero_is_the_limit_of_small_temperatures(problem, theta):
    """A soft maximum lies at most τ log 1/ρ below the hard one, at every step."""
    mdp, prior = mdp_of(problem), torch.as_tensor(problem.prior)
    limit, tau = infer(TabularModel(mdp, 0.0, prior), Risk(theta)).value, 1e-6
    near = infer(TabularModel(mdp, tau, prior), Risk(theta)).value
    steps = mdp.horizon * -math.log(problem.prior[problem.prior > 0].min())
    assert limit - tau * steps - 1e-9 <= near <= limit + 1e-9


@laws
@given(problems(), thetas)
def test_at_a_temperature_it_is_the_optimism_theta_tau(problem, theta):
    model = model_of(problem)
    found, wanted = infer(model, Risk(theta)), infer(model, theta * model.temperature)
    assert torch.equal(found.v, wanted.v)
    assert torch.equal(found.dynamics, wanted.dynamics)
    assert found.objective == wanted.objective


def test_every_function_that_takes_an_optimism_takes_a_risk():
    model = TabularModel(random_mdp(0), 0.7)
    infinite, theta = TabularModel(random_mdp(0, discount=0.9), 0.7), -0.6
    policy, guide = infer(model, 0.5).policy, infer(model, 0.5)
    seen = drawn(model, DialDemonstrator(0.3), 20)

    def likelihood(optimism, dynamics="world", endless=False):
        chosen = infinite if endless else model
        reward, last = chosen.mdp.reward, torch.zeros(3, dtype=torch.float64)
        return DialDemonstrator(optimism, dynamics, endless).log_likelihood(chosen, seen, reward, last, 0.7)

    calls = {
        "soft_values": lambda beta: soft_values(model, beta).objective,
        "value_iteration": lambda beta: value_iteration(infinite, beta).v,
        "average_reward": lambda beta: average_reward(model, beta).gain,
        "objective": lambda beta: objective(model, guide, beta),
        "ledger": lambda beta: ledger(model, policy, beta).gap,
        "explain": lambda beta: str(explain(model, beta)),
        "frontier": lambda beta: frontier(model, [beta]).points[0].objective,
        "DialGuide": lambda beta: DialGuide(model, beta).optimum().dynamics,
        "fit": lambda beta: fit(model, DialGuide(model, beta), method="natural_gradient", num_steps=3).elbo_history,
        "MarkovObjective": lambda beta: MarkovObjective(beta).bound(model, guide),
        "with_optimism": lambda beta: scaled(with_optimism(model, model, beta)),
        "render": lambda beta: render(model, {"one": Optimism.of(beta)}).mermaid,
        "demonstrator": likelihood,
        "believing demonstrator": lambda beta: likelihood(beta, "believed"),
        "endless demonstrator": lambda beta: likelihood(beta, endless=True),
    }
    for name, call in calls.items():
        found, wanted = call(Risk(theta)), call(theta * 0.7)
        same = torch.equal(found, wanted) if isinstance(found, torch.Tensor) else found == wanted
        assert same, name


def scaled(program):
    """The scales of the sites of a program."""
    return {
        name: site["scale"] for name, site in pyro.poutine.trace(program).get_trace().nodes.items() if "scale" in site
    }


def test_blocks_and_factors_have_their_own():
    model = TabularModel(random_mdp(1, discount=0.9), 0.5)
    table = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(3, 2)
    found = infer(model, Optimism(Risk(table), Risk(0.4), Risk(-0.2)))
    wanted = infer(model, Optimism(0.5 * table, 0.2, -0.1))
    assert torch.equal(found.v, wanted.v)
    assert found.value == wanted.value
    mixed = infer(model, Optimism(dynamics=Risk(0.4), initial=1.0))
    assert mixed.value == infer(model, Optimism(dynamics=0.2, initial=1.0)).value
    windy = TabularModel(windy_bridge(), 0.0)
    assert infer(windy, Optimism({"own": 0.0, "wind": Risk(-0.1)}, 0.0)).value < infer(windy, 0.0).value
    hard_table = infer(TabularModel(model.mdp, 0.0), Optimism(Risk(np.full((3, 2), 0.3)), Risk(0.3)))
    assert hard_table.value == infer(TabularModel(model.mdp, 0.0), Risk(0.3)).value


@pytest.mark.parametrize("back_end", ["auto", "torch"])
def test_soft_values_are_differentiable_in_theta_for_many_settings(back_end, monkeypatch):
    monkeypatch.setenv("PGM_CONTROL_BACKEND", back_end)
    model = TabularModel(random_mdp(2), 0.7)
    theta = torch.tensor([-0.8, 0.0, 0.5], dtype=torch.float64, requires_grad=True)
    tau = torch.tensor([0.4, 0.9, 2.0], dtype=torch.float64, requires_grad=True)

    def values(theta, tau):
        return soft_values(model, Risk(theta), temperature=tau).v[:, 0]

    assert torch.autograd.gradcheck(values, (theta, tau), atol=1e-6)
    for i, alone in enumerate(zip(theta.tolist(), tau.tolist(), strict=True)):
        exact = infer(TabularModel(model.mdp, alone[1]), Risk(alone[0]))
        torch.testing.assert_close(values(theta, tau)[i].detach(), exact.v[0], rtol=1e-12, atol=1e-12)
    parts = soft_values(model, Optimism(Risk(0.3), 1.0), temperature=tau)
    assert parts.objective[2].item() == pytest.approx(infer(TabularModel(model.mdp, 2.0), Optimism(0.6, 1.0)).objective)


def test_at_temperature_zero_returns_are_evaluated_and_nothing_is_in_nats():
    model = TabularModel(gamble(jackpot=9.0), 0.0)
    bold, wary = infer(model, Risk(0.0)), infer(model, Risk(-1.0))
    assert (evaluate(model, bold).true_return, evaluate(model, wary).true_return) == (pytest.approx(1.8), 1.0)
    found = frontier(model, [Risk(-1.0), 0.0, Risk(1.0)])
    assert [point.objective for point in found.points] == [None] * 3
    assert found.points[0].deviation == 0.0
    assert "Risk(-1.0)" in str(found)
    assert found.to_dict()["points"][0]["optimism"] == "Risk(-1.0)"
    assert not bold.is_free
    assert not infer(model, Optimism(Risk(1.0), Risk(1.0), Risk(1.0))).is_free
    assert (
        infer(TabularModel(gamble(), 2.0), Risk(0.5)).log_evidence
        == infer(TabularModel(gamble(), 2.0), 1.0).log_evidence
    )
    for refused in (objective, ledger):
        with pytest.raises(InvalidArgument, match="`model` must have a positive temperature"):
            refused(model, wary, Risk(-1.0))
    assert "Posterior" in wary._repr_html_()


def test_what_has_no_meaning_is_refused():
    hard_model = TabularModel(gamble(horizon=2), 0.0)
    for call in (infer, value_iteration, average_reward):
        with pytest.raises(InvalidArgument, match=r"`optimism` must be 0 or a Risk .* pass Risk\(theta\)"):
            call(hard_model, 0.5)
    with pytest.raises(InvalidArgument, match=r"but is Optimism\(dynamics=Risk\(0.1\), initial=1.0"):
        infer(hard_model, Optimism(dynamics=Risk(0.1)))
    for theta in (math.nan, math.inf, torch.tensor([math.nan]), np.empty(0)):
        with pytest.raises(InvalidArgument, match="`theta` must be a finite number in 1/reward"):
            Risk(theta)
    with pytest.raises(InvalidArgument, match="`optimism` of initial must be a number"):
        infer(hard_model, Risk(torch.tensor([0.1, 0.2])))
    with pytest.raises(InvalidArgument, match="`optimism` of survival must be a number β for soft_values"):
        soft_values(TabularModel(gamble(horizon=2)), Optimism(0.0, 0.0, Risk(0.1)))
    with pytest.raises(InvalidArgument, match="`temperature` must be positive"):
        soft_values(hard_model, Risk(0.1))


@pytest.mark.wrong_types
@pytest.mark.parametrize("theta", ["0.1", None, True])
def test_what_is_no_number_is_no_risk(theta):
    with pytest.raises(InvalidArgument, match="`theta` must be a finite number in 1/reward"):
        Risk(theta)


def test_risks_compare_by_their_numbers():
    assert Risk(0.1) == Risk(np.float64(0.1)) != Risk(0.2)
    assert Risk(torch.tensor([1.0, 2.0])) == Risk(np.array([1.0, 2.0])) != Risk(1.0)
    assert len({Risk(0.1), Risk(0.1), Risk(1.0)}) == 2
    assert Optimism(Risk(0.1), Risk(0.1)) == Optimism.of(Risk(0.1)) != Optimism(0.1, 0.1)
    assert Optimism.of(Risk(0.0)).is_clamped
    assert repr(Optimism.of(Risk(-0.1))) == "Optimism(dynamics=Risk(-0.1), initial=Risk(-0.1), survival=0.0)"
