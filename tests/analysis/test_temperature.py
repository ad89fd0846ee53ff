"""The temperature for a share of the best return or an entropy: closed forms, and what no temperature reaches."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from problems import gamble, random_mdp

from pgm_control import InvalidArgument, Risk, TabularMDP, TabularModel, evaluate, infer, temperature_for
from pgm_control.analysis.temperature import most_temperatures
from pgm_control.models import restaurant, risky_path, slippery_cliff


@pytest.mark.parametrize(("optimism", "gambling"), [(0.0, 0.6), (Risk(-1.0), -math.log(0.2 * math.exp(-3.0) + 0.8))])
def test_a_choice_between_two_actions_has_a_closed_form(optimism, gambling):
    """The policy works with probability 1/(1 + exp(−(1 − q)/τ)); 90 % of the best return is reached at 0.95."""
    model = TabularModel(gamble(), 7.0)
    found = temperature_for(model, optimism, share_of_best=0.9)
    assert float(found) == found.temperature == pytest.approx((1 - gambling) / math.log(19), rel=1e-6)
    assert found.bracket[0] == found.temperature < found.bracket[1] <= found.temperature * (1 + 1e-6)
    assert (found.prior_return, found.best_return) == (pytest.approx(0.8), 1.0)
    assert found.true_return == pytest.approx(0.98, abs=1e-6)
    assert found.share_of_best == pytest.approx(0.9, abs=1e-5)
    of_entropy = -0.95 * math.log(0.95) - 0.05 * math.log(0.05)
    assert found.entropy == pytest.approx(of_entropy, abs=1e-5)
    assert temperature_for(model, optimism, entropy=of_entropy).temperature == pytest.approx(
        found.temperature, rel=1e-5
    )
    assert temperature_for(model, optimism) == found, "nine tenths is the default"


@pytest.mark.parametrize(
    ("mdp", "most"), [(restaurant(), 0.5), (random_mdp(3, discount=0.9), 0.5), (slippery_cliff(horizon=12), 0.9)]
)
def test_the_bracket_separates_what_meets_the_condition_from_what_does_not(mdp, most):
    model = TabularModel(mdp)
    for asked in ({"share_of_best": 0.7}, {"entropy": most}):
        found = temperature_for(model, 0.0, **asked)
        for tau, meets in zip(found.bracket, (True, False), strict=True):
            here = TabularModel(mdp, tau)
            exact = infer(here, 0.0)
            earned, visits = evaluate(here, exact).true_return, exact.marginals().state[:-1].clone()
            visits[:, ends(mdp)] = 0.0
            entropy = float((visits * torch.distributions.Categorical(exact.policy).entropy()).sum() / visits.sum())
            share = (earned - found.prior_return) / (found.best_return - found.prior_return)
            assert bool(share >= 0.7 if "share_of_best" in asked else entropy <= most) is meets
    assert found.best_return == infer(TabularModel(mdp, 0.0), 0.0).value


def ends(mdp):
    """The states that every action stays in, without reward."""
    stays = (mdp.successor == torch.arange(mdp.num_states)[:, None, None]) & (mdp.reward == 0)
    return (stays | (mdp.probability == 0)).all(-1).all(-1)


def test_of_a_return_that_rises_and_falls_it_is_the_highest_temperature_of_the_scan():
    model = TabularModel(risky_path(horizon=5))
    found = temperature_for(model, 1.0, share_of_best=0.3)
    grid = found.scanned[1] * found.step ** -np.arange(0, 200)
    for tau in [*found.bracket, *grid[grid > found.bracket[1]]]:
        here = TabularModel(model.mdp, float(tau))
        share = evaluate(here, infer(here, 1.0)).true_return - found.prior_return
        assert bool(share >= 0.3 * (found.best_return - found.prior_return)) is bool(tau == found.temperature)
    with pytest.raises(InvalidArgument, match=r"no temperature from .* reaches 0.9. The nearest is 79.* of 0.317"):
        temperature_for(model, 1.0)


@pytest.mark.wrong_types
def test_what_has_no_answer_is_refused():
    model = TabularModel(gamble())
    even = TabularMDP([1.0], np.ones((1, 2, 1)), np.zeros((1, 2, 1), int), np.ones((1, 2, 1)), 1)
    fatal = TabularMDP([1.0], np.ones((1, 2, 1)), np.zeros((1, 2, 1), int), [[[1.0], [-math.inf]]], 1)
    for problem in (even, fatal):
        with pytest.raises(InvalidArgument, match=r"`share_of_best` must divide the range .* Use entropy"):
            temperature_for(TabularModel(problem), 0.0)
    said = r"`entropy` must not be met by every temperature, but 0.7 is met even at"
    with pytest.raises(InvalidArgument, match=said):
        temperature_for(model, 0.0, entropy=0.7)
    for share in (0.0, 1.0, -1.0):
        with pytest.raises(InvalidArgument, match="`share_of_best` must be above 0 and below 1"):
            temperature_for(model, 0.0, share_of_best=share)
    for name, value in (("share_of_best", math.nan), ("entropy", 0.0), ("tolerance", 0.0), ("steps_per_decade", 0)):
        with pytest.raises(InvalidArgument, match=f"`{name}` must be"):
            temperature_for(model, 0.0, **{name: value})
    with pytest.raises(InvalidArgument, match="exclude each other"):
        temperature_for(model, 0.0, share_of_best=0.5, entropy=0.5)
    with pytest.raises(InvalidArgument, match="`model` must be a tabular model"):
        temperature_for(torch.nn.Linear(1, 1), 0.0)  # pyright: ignore[reportArgumentType]


def arms(*rewards, **options):
    table = np.array(rewards).reshape(1, -1, 1)
    mdp = TabularMDP([1.0], np.ones(table.shape), np.zeros(table.shape, int), table, 1)
    return TabularModel(mdp, **options)


def test_what_does_not_matter_does_not_change_the_temperature():
    """One forbidden or nearly forbidden action, a constant, and counting actions."""
    expected = temperature_for(arms(0.0, 1.0), 0.0, entropy=0.3).temperature
    for rewards in ((0.0, 1.0, -1e9), (0.0, 1.0, -math.inf), (1e8, 1e8 + 1)):
        assert temperature_for(arms(*rewards), 0.0, entropy=0.3).temperature == pytest.approx(expected, rel=1e-5)
    plain, counted = arms(0.0, 1.0), arms(0.0, 1.0, action_prior="count")
    assert temperature_for(counted, 0.0).temperature == pytest.approx(temperature_for(plain, 0.0).temperature)


def test_a_state_with_one_possible_action_is_no_decision():
    rewards = np.array([[[0.0], [1.0]], [[0.0], [-math.inf]]])
    mdp = TabularMDP([1.0, 0.0], np.ones((2, 2, 1)), np.array([[[1], [1]], [[0], [0]]]), rewards, 2)
    found = temperature_for(TabularModel(mdp), 0.0, entropy=0.3)
    policy = infer(TabularModel(mdp, found.temperature), 0.0).policy[0, 0]
    assert float(-(policy * policy.log()).sum()) == pytest.approx(0.3, abs=1e-4)


def test_actions_with_one_distribution_of_outcomes_are_no_decision_in_whatever_order_they_are_written():
    """In state 1 the actions pay 2 at (1, 1/2), outcomes swapped, one split in two, and an impossible one first."""
    p = np.array([[[1, 0, 0], [1, 0, 0], [1, 0, 0]], [[0.5, 0.5, 0], [0.25, 0.5, 0.25], [0, 0.5, 0.5]]])
    to = np.array([[[1, 1, 1]] * 3, [[0, 1, 0], [1, 0, 1], [1, 1, 0]]])
    rewards = np.array([[[0, 0, 0], [1, 0, 0], [0, 0, 0]], [[2, 3, 9], [3, 2, 3], [8, 3, 2.0]]])

    def policy_at(paid):
        mdp = TabularMDP([1.0, 0.0], p, to, paid, 2)
        found = temperature_for(TabularModel(mdp), 0.0, entropy=0.3)
        return infer(TabularModel(mdp, found.temperature), 0.0).policy[0, 0]

    def entropy(policy):
        return float(-(policy * policy.log()).sum())

    assert entropy(policy_at(rewards)) == pytest.approx(0.3, abs=1e-4)
    other = rewards.copy()
    other[1, 2, 1] = 3.1  # a choice now, and one that is nearly indifferent
    assert entropy(policy_at(other)) < 0.1


def test_it_prints_as_one_sentence():
    found = temperature_for(arms(0.0, 1.0), 0.0, share_of_best=0.9)
    assert str(found) == (
        f"τ = {found.temperature:.4f}: the policy truly earns 0.9500, 90 % of the way from 0.5 (the action prior) to "
        f"1 (the best policy), with an entropy of {found.entropy:.4f} nats a decision."
    )
    assert "of the way" not in str(replace(found, share_of_best=math.nan))


@pytest.mark.wrong_types
def test_progress_is_told_every_temperature():
    seen = []
    found = temperature_for(arms(0.0, 1.0), 0.0, progress=lambda step, metrics: seen.append((step, metrics)))
    assert [step for step, _ in seen] == list(range(1, len(seen) + 1))
    assert found.temperature in [metrics["temperature"] for _, metrics in seen]
    assert {"share of best", "entropy"} <= seen[0][1].keys()
    tried = len(seen)
    with pytest.raises(InvalidArgument, match="no temperature from"):  # the whole scan, without the bisection
        temperature_for(TabularModel(restaurant()), 1.0, progress=lambda step, metrics: seen.append((step, metrics)))
    assert tried <= most_temperatures(arms(0.0, 1.0).mdp)
    assert 18 <= most_temperatures(restaurant()) - (len(seen) - tried) <= 20
    with pytest.raises(InvalidArgument, match="`progress` must be a function"):
        temperature_for(arms(0.0, 1.0), 0.0, progress=True)
