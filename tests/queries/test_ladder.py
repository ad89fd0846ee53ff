"""The ladder of inferences: every rung agrees with enumeration, and their order."""

import itertools
import json
import math
from collections import defaultdict

import numpy as np
import oracles
import pytest
import torch
from hypothesis import assume, given, settings
from problems import gamble, random_mdp
from strategies import laws, model_of, problem_of, problems

from pgm_control import InvalidArgument, Optimism, TabularMDP, TabularModel, infer, ladder
from pgm_control.models import frozen_lake, restaurant, risky_path, slippery_cliff

pytestmark = pytest.mark.slow

NEG = -math.inf


def close(found, expected, tolerance=1e-9):
    assert found == pytest.approx(expected, rel=tolerance, abs=tolerance)


def log(x):
    return math.log(x) if x > 0 else NEG


def sequence_weights(problem):
    """Σ p~ of the trajectories that agree with each sequence; terminated ones agree with any remaining actions."""
    begun = defaultdict(float)
    for path in oracles.paths(problem):
        lived = sum(s != problem.ended for s in path.states[:-1])
        begun[path.actions[:lived]] += path.probability * math.exp(path.total / problem.temperature)
    actions = range(problem.prior.shape[1])
    return {
        sequence: sum(begun[sequence[:n]] for n in range(1, problem.horizon + 1))
        for sequence in itertools.product(actions, repeat=problem.horizon)
    }


def policies(problem):
    """All deterministic policies, as tables of actions by time and state."""
    count = problem.horizon * problem.ended
    for choices in itertools.product(range(problem.prior.shape[1]), repeat=count):
        yield np.reshape(choices, (problem.horizon, problem.ended))


def summed(problem, policy):
    """log Σ p~ of the trajectories that agree with a deterministic policy."""
    ahead = [math.exp(r / problem.temperature) for r in problem.final_reward]
    for t in reversed(range(problem.horizon)):
        after = [problem.discount * w + 1 - problem.discount for w in ahead]
        ahead = [
            problem.prior[s, a]
            * sum(p * math.exp(r / problem.temperature) * after[n] for _, p, n, r in problem.outcomes(s, a))
            for s, a in enumerate(policy[t])
        ]
    return log(sum(p * w for p, w in zip(problem.initial, ahead, strict=True)))


def averaged(problem, policy):
    """E[Σ log ρ + r/τ] of a deterministic policy."""
    ahead = list(problem.final_reward / problem.temperature)
    for t in reversed(range(problem.horizon)):
        ahead = [
            log(problem.prior[s, a])
            + sum(p * (r / problem.temperature + problem.discount * ahead[n]) for _, p, n, r in problem.outcomes(s, a))
            for s, a in enumerate(policy[t])
        ]
    return sum(p * w for p, w in zip(problem.initial, ahead, strict=True) if p > 0)


def earned(problem, policy):
    """The expected return of a policy under the true dynamics, by a forward pass over the visited states."""
    alive, total = problem.initial, 0.0
    for t in range(problem.horizon):
        after = np.zeros(problem.ended)
        for s, a in zip(*np.nonzero(alive[:, None] * policy[t]), strict=True):
            for _, p, n, r in problem.outcomes(s, a):
                total += alive[s] * policy[t, s, a] * p * r
                after[n] += alive[s] * policy[t, s, a] * p * problem.discount
        alive = after
    return total + alive @ problem.final_reward


def actions_of(rung):
    """A deterministic policy as a table of actions."""
    assert ((rung.policy == 0) | (rung.policy == 1)).all()
    return rung.policy.argmax(-1).numpy()


@laws
@given(problems())
def test_marginal_and_both_maps_agree_with_enumeration_of_trajectories(problem):
    exact, weights = oracles.enumerate_posterior(problem), sequence_weights(problem)
    found = ladder(model_of(problem))
    close(found.marginal.value, exact.log_evidence)
    close(found.map.value, exact.log_best)
    best = max(weights.values())
    assert found.is_exact
    close(found.marginal_map.value, log(best))
    close(log(weights[tuple(found.marginal_map.actions.tolist())]), log(best))
    for rung in (found.marginal_map, found.map):
        np.testing.assert_array_equal(actions_of(rung), rung.actions[:, None].expand(-1, problem.ended))
    assume(exact.log_best > NEG)
    most_probable = [
        path.actions
        for path in oracles.paths(problem)
        if path.log_weight(problem.temperature) == pytest.approx(exact.log_best, abs=1e-9)
    ]
    assert tuple(found.map.actions.tolist()) in most_probable


@settings(laws, max_examples=40)
@given(problems())
def test_planning_and_risk_neutral_are_optimal_among_all_policies(problem):
    assume(problem.prior.shape[1] ** (problem.horizon * problem.ended) <= 729)
    found = ladder(model_of(problem))
    for rung, worth in ((found.planning, summed), (found.risk_neutral, averaged)):
        close(rung.value, max(worth(problem, policy) for policy in policies(problem)))
        close(worth(problem, actions_of(rung)), rung.value)


@laws
@given(problems())
def test_the_order_of_the_rungs(problem):
    found = ladder(model_of(problem))

    def above(upper, lower):
        assert upper.value >= lower.value - 1e-9 * (1 + abs(lower.value) if lower.value > NEG else 1)

    for upper, lower in itertools.pairwise((found.marginal, found.planning, found.marginal_map, found.map)):
        above(upper, lower)
    above(found.marginal, found.max_ent)
    above(found.max_ent, found.risk_neutral)
    above(found.planning, found.risk_neutral)
    close(found.max_ent.value, infer(model_of(problem), 0.0).objective)
    for rung in found.rungs:
        close(rung.true_return, earned(problem, rung.policy.numpy()))
        close(rung.policy.sum(-1), torch.ones(problem.horizon, problem.ended).double())


@settings(laws, max_examples=30)
@given(problems(deterministic=True, discounted=False))
def test_in_deterministic_problems_all_ways_to_choose_coincide(problem):
    found = ladder(model_of(problem))
    for rung in (found.marginal_map, found.map, found.risk_neutral):
        close(rung.value, found.planning.value)
    close(found.max_ent.value, found.marginal.value)


@settings(laws, max_examples=25)
@given(problems(discounted=False))
def test_with_a_uniform_prior_planning_is_the_best_exponential_utility(problem):
    """The value is the maximum of log E exp(Σ r/τ), by a recursion without a prior, minus T log A."""
    actions = problem.prior.shape[1]
    uniform = oracles.Problem(**{**problem.__dict__, "prior": np.full_like(problem.prior, 1.0 / actions)})
    utility = np.exp(problem.final_reward / problem.temperature)
    for _ in range(problem.horizon):
        gain = np.exp(problem.reward / problem.temperature) * utility[problem.successor]
        utility = np.where(problem.probability > 0, problem.probability * gain, 0.0).sum(-1).max(-1)
    expected = log(float(problem.initial @ utility)) - problem.horizon * math.log(actions)
    close(ladder(model_of(uniform)).planning.value, expected)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("discount", [1.0, 0.8])
def test_longer_sequences_agree_with_enumeration(seed, discount):
    """3^6 sequences, each weighted by matrix products; the prior masks one action in one state."""
    mdp = random_mdp(seed, states=4, actions=3, horizon=6, discount=discount)
    prior = np.random.default_rng(seed).dirichlet(np.ones(3), 4)
    prior[1] = [0.0, 0.4, 0.6]
    problem = problem_of(mdp, 0.3)
    found = ladder(TabularModel(mdp, 0.3, torch.as_tensor(prior)))
    step = np.zeros((3, 4, 4))
    for s, a, k in np.ndindex(problem.probability.shape):
        weight = prior[s, a] * problem.probability[s, a, k] * math.exp(problem.reward[s, a, k] / 0.3)
        step[a, s, problem.successor[s, a, k]] += weight
    values = {}
    for sequence in itertools.product(range(3), repeat=6):
        alpha, ended = problem.initial, 0.0
        for a in sequence:
            alpha = alpha @ step[a]
            ended, alpha = ended + (1 - discount) * alpha.sum(), discount * alpha
        values[sequence] = ended + alpha.sum()
    assert tuple(found.marginal_map.actions.tolist()) == max(values, key=lambda each: values[each])
    close(found.marginal_map.value, math.log(max(values.values())))
    assert found.planning.value > found.marginal_map.value + 1e-3, "observing states has a positive value here"


def test_the_search_escapes_a_local_optimum_of_single_action_changes():
    """Looking (action 0) and guessing is good with states, but without them pays 3 half the time; hedging pays 2.9.

    Hedging pays only with the second action 1, and looking is followed by 0: both actions must change.
    """
    hedge, heads, tails, over = 1, 2, 3, 4
    certain = [1.0, 0.0]
    probability = [[[0.5, 0.5], certain], *[[certain, certain]] * 4]
    successor = [[[heads, tails], [hedge, hedge]], *[[[over, over]] * 2] * 4]
    pay = {heads: (3.0, 0.0), tails: (0.0, 3.0), hedge: (0.0, 2.9)}
    reward = [[[each, each] for each in pay.get(s, (0.0, 0.0))] for s in range(5)]
    found = ladder(TabularModel(TabularMDP([1.0, *[0.0] * 4], probability, successor, reward, horizon=2)))
    assert found.marginal_map.actions.tolist() == [1, 1]
    close(found.marginal_map.value, 2.9 - 2 * math.log(2))
    close(found.planning.value, 3.0 - 2 * math.log(2))
    assert found.num_nodes > 0


def test_an_unfinished_search_has_bounds():
    model = TabularModel(frozen_lake("4x4", 15), 0.1)
    exact, stopped = ladder(model), ladder(model, max_nodes=20)
    assert exact.is_exact
    assert exact.num_nodes > 20
    assert not stopped.is_exact
    assert stopped.num_nodes == 20
    rung = stopped.marginal_map
    assert rung.value <= exact.marginal_map.value <= rung.upper_bound
    assert rung.upper_bound <= stopped.planning.value + 1e-9
    assert rung.upper_bound > rung.value
    assert "stopped after 20 nodes" in str(stopped)
    assert "Raise max_nodes, or shorten the horizon." in str(stopped)
    assert f"≥ {rung.value:.4f}" in str(stopped)
    assert "stopped" not in str(exact)
    assert ladder(model, max_nodes=exact.num_nodes).is_exact
    assert not ladder(model, max_nodes=exact.num_nodes - 1).is_exact


@pytest.mark.parametrize(
    "mdp",
    [
        random_mdp(0, states=6, actions=3, horizon=8),
        frozen_lake("4x4", 13),
        frozen_lake("4x4", 12).replace(discount=0.9),
    ],
    ids=("random", "lake", "lake with a discount"),
)
def test_the_best_value_lies_between_the_bounds_for_any_max_nodes(mdp):
    model = TabularModel(mdp, 1.0)
    exact = ladder(model)
    assert exact.num_nodes > 20
    for limit in range(1, exact.num_nodes, 1 + exact.num_nodes // 20):
        found = ladder(model, max_nodes=limit).marginal_map
        assert found.value <= exact.marginal_map.value <= found.upper_bound


def test_the_restaurant_by_hand():
    """Each value is log ½ plus the log of a mean of exponentials, a mean, or the largest p exp(u)."""
    found = ladder(TabularModel(restaurant()))
    italian = math.log(0.5 * (0.2 * math.exp(-10) + 0.6 * math.exp(6) + 0.2 * math.exp(8)))
    close(found.marginal.value, 6.514996, 1e-6)
    close(found.planning.value, italian)
    close(found.marginal_map.value, italian)
    close(found.map.value, math.log(0.5 * 0.2) + 8)
    close(found.max_ent.value, 4.722372, 1e-6)
    close(found.risk_neutral.value, math.log(0.5) - 0.05 * 10 + 0.9 * 6 + 0.05 * 8)
    close(found.planning.true_return, -0.2 * 10 + 0.6 * 6 + 0.2 * 8)
    close(found.risk_neutral.true_return, 5.3)
    assert found.map.actions.tolist() == [0]


def test_the_cliff():
    found = ladder(TabularModel(slippery_cliff(50)))
    close(found.marginal.true_return, -486.2090, 1e-6)
    close(found.max_ent.true_return, -49.8002, 1e-6)
    assert found.is_exact
    assert found.risk_neutral.true_return > found.max_ent.true_return > found.map.true_return
    assert found.risk_neutral.value < found.map.value < found.marginal_map.value < found.planning.value


def test_the_risk_neutral_policy_of_the_lake_is_hard_value_iteration():
    """The prior is uniform, so that its constant does not change the policy."""
    mdp = frozen_lake("4x4", 100)
    close(ladder(TabularModel(mdp, 0.1), max_nodes=50).risk_neutral.true_return, 0.7441902878, 1e-9)


def test_ties_go_to_the_first_action():
    mdp = TabularMDP([1.0], [[[1.0]] * 3], [[[0]] * 3], [[[0.0], [1.0], [1.0]]], horizon=2)
    found = ladder(TabularModel(mdp))
    for rung in (found.planning, found.marginal_map, found.map, found.risk_neutral):
        assert (actions_of(rung) == 1).all()


def test_if_everything_is_forbidden():
    """Every value is −inf, and the action is the first that the prior allows."""
    mdp = gamble(horizon=2).replace(reward=[[[NEG, NEG], [NEG, NEG]]])
    found = ladder(TabularModel(mdp, 1.0, torch.tensor([[0.0, 1.0]]).double()))
    assert all(rung.value == rung.upper_bound == rung.true_return == NEG for rung in found.rungs)
    assert (actions_of(found.planning) == 1).all()
    assert (actions_of(found.risk_neutral) == 1).all()
    assert found.num_nodes == 0
    assert "nan" not in str(found)


def test_a_sequence_is_played_even_if_the_prior_masks_it():
    """In state 1, reached one time in ten, action 0 is masked: its trajectories have weight 0, but it is played."""
    mdp = TabularMDP([0.9, 0.1], [[[1.0]] * 2] * 2, [[[0]] * 2, [[1]] * 2], [[[5.0], [0.0]], [[-7.0], [0.0]]], 1)
    found = ladder(TabularModel(mdp, 1.0, torch.tensor([[0.5, 0.5], [0.0, 1.0]]).double()))
    assert found.marginal_map.actions.tolist() == [0]
    close(found.marginal_map.value, math.log(0.9 * 0.5) + 5)
    close(found.marginal_map.true_return, 0.9 * 5 - 0.1 * 7)


def test_survival_is_chosen_along_with_the_dynamics():
    """With γ = .6 and future losses, the most probable trajectory terminates at once and has no more factors."""
    mdp = gamble(horizon=3, wage=-4.0, jackpot=-5.0).replace(discount=0.6)
    found = ladder(TabularModel(mdp))
    close(found.map.value, max(math.log(0.5 * 0.8 * 0.4) + 0, math.log(0.5 * 0.4) - 4))
    evidence = infer(TabularModel(mdp), Optimism(1.0, 1.0, 1.0)).log_evidence
    close(found.marginal.value, evidence)
    assert found.marginal.value > found.planning.value > found.map.value


def test_single_precision():
    mdp = random_mdp(seed=2, horizon=5)
    double, single = ladder(TabularModel(mdp)), ladder(TabularModel(mdp.to(dtype=torch.float32)))
    for one, other in zip(double.rungs, single.rungs, strict=True):
        close(other.value, one.value, 1e-4)
        assert other.policy.dtype == torch.float32


def test_printing_and_export():
    found = ladder(TabularModel(risky_path().replace(action_names=("<safe>", "risky"))))
    lines = str(found).splitlines()
    assert len({len(line) for line in lines[:11]}) == 1, "the columns are aligned"
    assert [line.split("  ")[0] for line in lines[3:7]] == ["marginal", "planning", "marginal-MAP", "MAP"]
    assert lines[1].split() == ["[nats]", "[reward]"]
    assert "MAP plays: risky, <safe>, <safe>, <safe>, <safe>" in lines
    page = found._repr_html_()
    assert "&lt;safe&gt;" in page
    assert page.count("<td") == 6 * 5
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["rungs"]["MAP"]["actions"] == [1, 0, 0, 0, 0]
    assert plain["rungs"]["marginal"]["actions"] is None
    assert plain["rungs"]["max-ent"]["value"] == found.max_ent.value
    assert repr(found).startswith("Ladder(marginal 2.9870, planning -0.1589")
    assert repr(found.max_ent) == "Rung(max-ent, 1.821 nats, true return 2.765)"


@pytest.mark.parametrize("max_nodes", [0, -1, True])
def test_an_invalid_limit_is_refused(max_nodes):
    with pytest.raises(ValueError, match=r"`max_nodes` must be a whole number, at least 1.*200_000"):
        ladder(TabularModel(restaurant()), max_nodes)


def test_temperature_zero_is_refused():
    with pytest.raises(InvalidArgument, match="positive temperature"):
        ladder(TabularModel(restaurant(), 0.0))
