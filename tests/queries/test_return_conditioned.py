"""Conditioning on a return, compared with a list of all episodes."""

import math
from collections import defaultdict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import random_mdp
from strategies import laws

from pgm_control import InvalidArgument, InvalidProblem, TabularMDP, TabularModel, condition_on_return, infer, zoo
from pgm_control.models import lottery, lottery_twin, restaurant, slippery_cliff

pytestmark = pytest.mark.slow  # only against the sources


def games(mdp, prior):
    """Every episode: its probability, its steps (state, return so far, action), its return, and its luck."""

    def go(t, state, total, p, of_chance, steps):
        if t == mdp.horizon:
            last = 0.0 if mdp.final_reward is None else float(mdp.final_reward[state])
            yield p, steps, total + last, of_chance
            return
        for a in range(mdp.num_actions):
            for k in range(mdp.num_outcomes):
                probability = float(mdp.probability[state, a, k])
                chance = p * float(prior[state, a]) * probability
                if chance == 0:
                    continue
                paid = total + float(mdp.reward[state, a, k])
                taken = [*steps, (t, state, round(total, 6), a)]
                if mdp.discount < 1:
                    yield chance * (1 - mdp.discount), taken, paid, of_chance * probability * (1 - mdp.discount)
                on = int(mdp.successor[state, a, k])
                yield from go(t + 1, on, paid, chance * mdp.discount, of_chance * probability * mdp.discount, taken)

    for s in range(mdp.num_states):
        start = float(mdp.initial[s])
        if start > 0:
            yield from go(0, s, 0.0, start, start, [])


def by_list(mdp, prior, target):
    """P(G ≥ g), E[G | G ≥ g], and the success and true return of the agent that acts as in those episodes."""
    every = list(games(mdp, prior))
    kept = [game for game in every if game[2] >= target - 1e-9]
    behaviour = sum(p for p, *_ in kept)
    counts = defaultdict(lambda: [0.0] * mdp.num_actions)
    for p, steps, _, _ in kept:
        for t, state, total, a in steps:
            counts[t, state, total][a] += p
    success = earned = 0.0
    for _, steps, total, of_chance in every:
        acted = 1.0
        for t, state, so_far, a in steps:
            seen = counts.get((t, state, so_far))
            acted *= float(prior[state, a]) if seen is None else seen[a] / sum(seen)
        success += of_chance * acted * (total >= target - 1e-9)
        earned += of_chance * acted * total
    return behaviour, sum(p * total for p, _, total, _ in kept) / behaviour, success, earned


@laws
@given(st.integers(0, 200), st.sampled_from([1.0, 0.7]), st.floats(0.0, 1.0), st.booleans())
def test_all_numbers_agree_with_the_list_of_episodes(seed, discount, level, has_prior):
    mdp = random_mdp(seed, horizon=3, discount=discount)
    mdp = mdp.replace(reward=mdp.reward.mul(2).round() / 2)
    torch.manual_seed(seed)
    prior = (
        torch.rand(mdp.num_states, mdp.num_actions).double() + 0.1
        if has_prior
        else torch.ones(mdp.num_states, mdp.num_actions).double()
    )
    prior = prior / prior.sum(-1, keepdim=True)
    returns = sorted({game[2] for game in games(mdp, prior)})
    target = returns[int(level * (len(returns) - 1))]
    found = condition_on_return(TabularModel(mdp, 0.7, action_prior=prior), target)
    expected = by_list(mdp, prior, target)
    assert (found.behaviour, found.imagined_return, found.success, found.true_return) == pytest.approx(
        expected, rel=1e-9, abs=1e-9
    )
    assert found.delusion == pytest.approx(expected[1] - expected[3], abs=1e-9)
    assert found.success <= found.best_success + 1e-9
    assert found.returns.at_least(target) == pytest.approx(found.success, abs=1e-9)
    assert found.returns.mean == pytest.approx(found.true_return, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in zoo() if name.endswith("_twin") and "8x8" not in name])
def test_in_deterministic_problems_the_target_is_reached(name):
    mdp = zoo()[name].build().replace(horizon=4)
    start = int(mdp.initial.argmax())
    assert float(mdp.initial[start]) == 1
    best = float(infer(TabularModel(mdp, 0.0), optimism=0.0).v[0, start])
    found = condition_on_return(mdp, best)
    assert found.success == pytest.approx(1.0, abs=1e-9)
    assert found.delusion == pytest.approx(0.0, abs=1e-9)
    assert "no luck was needed" in str(found)


def test_the_agent_buys_the_ticket():
    """All winning episodes bought the ticket; so the agent buys it, and wins as rarely as any buyer."""
    found = condition_on_return(lottery(), 12.0)
    assert found.behaviour == pytest.approx(0.005)
    assert found.success == found.best_success == pytest.approx(0.01)
    assert (found.imagined_return, found.true_return) == pytest.approx((12.0, -0.87))
    buys = found.posterior.policy[0, 0]
    assert float(buys.max()) == pytest.approx(1.0)
    assert "a share of 0.005 " in str(found)
    assert "reaches this return with probability 0.01;" in str(found)
    assert "imagines a return of 12 and truly earns -0.87" in str(found)
    assert condition_on_return(lottery_twin(), 3.0).success == pytest.approx(1.0)


def test_the_best_policy_may_be_certain_when_the_conditional_one_is_not():
    found = condition_on_return(lottery(), 3.0)
    assert found.best_success == pytest.approx(1.0)
    assert found.success < 0.995
    assert "the best policy reaches it always" in str(found)


def test_with_a_target_that_all_episodes_reach_the_policy_is_the_prior():
    found = condition_on_return(restaurant(), -100.0)
    assert found.behaviour == pytest.approx(1.0)
    torch.testing.assert_close(found.posterior.policy, torch.full_like(found.posterior.policy, 0.5))


def test_the_return_so_far_is_part_of_the_state():
    found = condition_on_return(slippery_cliff(horizon=3), -3.0)
    assert set(found.so_far.tolist()) >= {0.0, -1.0, -2.0}
    assert found.problem.num_states == len(found.state) == len(found.so_far)
    assert "so far" in found.problem.state_name(0)
    assert set(found.to_dict()) >= {"success", "delusion"}
    assert math.isfinite(found.posterior.log_evidence)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"target": 100.0}, InvalidProblem, "is above 8. Lower it"),
        ({"target": math.nan}, InvalidArgument, "`target` must be a finite number"),
        ({"target": 6.0, "max_states": 2}, InvalidArgument, "`max_states` must be enough"),
    ],
)
def test_mistakes_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        condition_on_return(restaurant(), **arguments)


def test_returns_that_agree_to_six_digits_and_tables_of_float32():
    rewards = np.array([[[1000001.0], [1000002.0]]])
    model = TabularModel(TabularMDP([1.0], np.ones((1, 2, 1)), np.zeros((1, 2, 1), int), rewards, 2))
    found = condition_on_return(model, 2000002.5)  # at least one of two choices is the second
    assert found.behaviour == pytest.approx(0.75)
    single = TabularModel(random_mdp(seed=0, horizon=3), 0.7).to(dtype=torch.float32)
    assert 0 < condition_on_return(single, 0.0).behaviour <= 1
