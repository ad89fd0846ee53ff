"""Tests of the distribution of returns, by enumeration of all trajectories."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import paths
from problems import gamble, random_mdp
from strategies import laws, model_of, problems

import pgm_control.analysis.return_distribution as module
from pgm_control import (
    InvalidArgument,
    ReturnDistribution,
    TabularMDP,
    TabularModel,
    evaluate,
    infer,
    return_distribution,
    return_moments,
)
from pgm_control.models import frozen_lake, slippery_cliff


def by_enumeration(problem, policy):
    """The returns and their probabilities, by enumeration of all trajectories."""
    found: dict[float, float] = {}
    for path in paths(problem):
        q, rho = 1.0, 1.0
        for t, (s, a) in enumerate(zip(path.states, path.actions, strict=False)):
            if s != problem.ended:
                q, rho = q * policy[t, s, a], rho * problem.prior[s, a]
        if q > 0:
            found[round(path.total, 9)] = found.get(round(path.total, 9), 0.0) + path.probability / rho * q
    return found


@laws
@given(problems(), st.sampled_from([-1.0, 0.0, 1.0]))
def test_it_is_the_sum_over_all_trajectories(problem, optimism):
    model = model_of(problem)
    exact = infer(model, optimism)
    wanted = by_enumeration(problem, exact.policy.numpy())
    found = return_distribution(model, exact)
    assert (found.values.diff() > 0).all()
    assert found.probability.sum().item() == pytest.approx(1.0)
    for value, p in zip(found.values.tolist(), found.probability.tolist(), strict=True):
        near = [q for key, q in wanted.items() if key == value or math.isclose(key, value, abs_tol=1e-8)]
        assert p == pytest.approx(sum(near), abs=1e-12)
    mean = sum(p * g for g, p in wanted.items())
    assert found.mean == mean or found.mean == pytest.approx(mean, abs=1e-9)
    moments = return_moments(model, exact)
    assert moments.mean == mean or moments.mean == pytest.approx(evaluate(model, exact).true_return, abs=1e-9)
    if mean > -math.inf:
        variance = sum(p * (g - mean) ** 2 for g, p in wanted.items())
        assert found.variance == pytest.approx(variance, abs=1e-9)
        assert moments.variance == pytest.approx(variance, abs=1e-9)
    worst = sorted(wanted.items())
    for level in (0.05, 0.3, 1.0):
        left, total = level, 0.0
        for g, p in worst:
            share = min(p, max(left, 0.0))
            total, left = total + (share * g if share > 0 else 0.0), left - share
        assert found.cvar(level) == total / level or found.cvar(level) == pytest.approx(total / level, abs=1e-8)
    for target in (-1.0, 0.0, 2.0):
        assert found.at_least(target) == pytest.approx(sum(p for g, p in wanted.items() if g >= target - 1e-9))


def test_an_atom_at_the_level_is_split():
    found = ReturnDistribution(torch.tensor([0.0, 10.0]).double(), torch.tensor([0.25, 0.75]).double())
    assert found.cvar(0.25) == 0.0
    assert found.cvar(0.5) == 5.0
    assert found.cvar(1.0) == found.mean == 7.5
    assert (found.quantile(0.25), found.quantile(0.26), found.quantile(1.0)) == (0.0, 10.0, 10.0)


def test_the_distribution_of_real_problems_agrees_with_their_moments():
    for model in (TabularModel(slippery_cliff()), TabularModel(frozen_lake("8x8"), 0.01)):
        exact = infer(model, 0.3)
        found, moments = return_distribution(model, exact), return_moments(model, exact)
        assert found.mean == pytest.approx(evaluate(model, exact).true_return, rel=1e-10)
        assert moments.mean == pytest.approx(found.mean, rel=1e-10)
        assert moments.variance == pytest.approx(found.variance, rel=1e-8)


def test_a_forbidden_outcome_has_return_minus_infinity():
    mdp = TabularMDP([1.0], [[[0.9, 0.1]]], [[[0, 0]]], [[[1.0, -np.inf]]], horizon=2)
    found = return_distribution(TabularModel(mdp), np.ones((1, 1)))
    assert found.values.tolist() == [-np.inf, 2.0]
    np.testing.assert_allclose(found.probability, [0.19, 0.81])
    assert found.mean == found.cvar(0.1) == -np.inf


def test_too_many_sums_need_a_resolution():
    model = TabularModel(random_mdp(seed=0, horizon=6))
    policy = infer(model, 0.0)
    with pytest.raises(InvalidArgument, match=r"`max_atoms` is 100, but after \d of 6 steps .* pass `resolution`"):
        return_distribution(model, policy, max_atoms=100)
    whole, rough = return_distribution(model, policy), return_distribution(model, policy, resolution=0.01)
    assert len(rough.values) < len(whole.values) / 10
    assert rough.mean == pytest.approx(whole.mean, abs=0.5 * 7 * 0.01)
    assert rough.cvar(0.1) == pytest.approx(whole.cvar(0.1), abs=0.5 * 7 * 0.01)


def test_too_many_different_rewards_are_refused_before_memory_is_full():
    """6000 different rewards: two steps have 36 million sums, each in 300 states."""
    mdp = random_mdp(seed=0, states=300, actions=4, outcomes=5, horizon=3)
    with pytest.raises(InvalidArgument, match=r"`max_atoms` is 20000, but after 2 of 3 steps .* pass `resolution`"):
        return_distribution(mdp, np.full((300, 4), 0.25), max_atoms=20_000)


def test_the_result_does_not_depend_on_the_batch_size(monkeypatch):
    mdp = random_mdp(seed=3, horizon=4, discount=0.8)
    policy = infer(TabularModel(mdp), 0.5)
    whole = return_distribution(mdp, policy)
    monkeypatch.setattr(module, "_AT_ONCE", 7)
    pieces = return_distribution(mdp, policy)
    torch.testing.assert_close(pieces.values, whole.values, atol=1e-12, rtol=0)
    torch.testing.assert_close(pieces.probability, whole.probability, atol=1e-14, rtol=0)


@laws
@given(problems(forbidden=False), st.sampled_from([0.07, 0.25, 1.0]))
def test_a_resolution_changes_results_by_at_most_its_documented_bound(problem, resolution):
    model = model_of(problem)
    policy = infer(model, 0.0)
    exact, rough = return_distribution(model, policy), return_distribution(model, policy, resolution=resolution)
    most = 0.5 * resolution * (problem.horizon + bool(problem.final_reward.any())) + 1e-9
    assert rough.mean == pytest.approx(exact.mean, abs=most)
    for level in (0.1, 0.5, 1.0):
        assert rough.cvar(level) == pytest.approx(exact.cvar(level), abs=most)
        assert exact.quantile(level) - most <= rough.quantile(min(1.0, level + 1e-9))
    assert (rough.values / resolution).sub((rough.values / resolution).round()).abs().max() < 1e-9


def test_the_tolerance_is_relative_to_the_size_of_the_rewards():
    mdp = TabularMDP([1.0], [[[0.5, 0.5]]], [[[0, 0]]], [[[1.0, 3.0]]], horizon=2)
    tiny = mdp.replace(reward=mdp.reward * 1e-13)
    found = return_distribution(tiny, np.ones((1, 1)))
    assert [found.at_least(x * 1e-13) for x in (2.0, 3.0, 4.0, 5.0, 6.0, 6.1)] == [1.0, 0.75, 0.75, 0.25, 0.25, 0.0]
    assert found.at_least(-math.inf) == 1.0


def test_an_mdp_is_accepted_instead_of_a_model():
    model = TabularModel(gamble(horizon=2))
    policy = infer(model, 1.0)
    alone, whole = return_distribution(model.mdp, policy), return_distribution(model, policy)
    assert torch.equal(alone.values, whole.values)
    assert return_moments(model.mdp, policy) == return_moments(model, policy)


def test_the_distribution_is_printed_and_exported():
    found = return_distribution(TabularModel(gamble(horizon=2)), infer(TabularModel(gamble(horizon=2)), 1.0))
    assert "CVaR 10 %" in str(found)
    assert found._repr_html_().count("<tr>") == len(str(found).splitlines()) - 1
    assert repr(found).startswith("ReturnDistribution(")
    assert sum(found.to_dict()["probability"]) == pytest.approx(1.0)


def test_invalid_arguments_are_refused():
    found = ReturnDistribution(torch.zeros(1).double(), torch.ones(1).double())
    for ask in (found.cvar, found.quantile):
        with pytest.raises(InvalidArgument, match="`level` must be a share above 0"):
            ask(0.0)
    with pytest.raises(InvalidArgument, match="`resolution` must be a positive number"):
        return_distribution(TabularModel(gamble()), np.full((1, 2), 0.5), resolution=-1.0)
    with pytest.raises(InvalidArgument, match="`resolution` must be a positive number"):
        return_distribution(TabularModel(gamble()), np.full((1, 2), 0.5), resolution=math.inf)
    with pytest.raises(InvalidArgument, match="`max_atoms` must be a whole number"):
        return_distribution(TabularModel(gamble()), np.full((1, 2), 0.5), max_atoms=0)
