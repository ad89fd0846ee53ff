"""Policy values, stationary distributions, and gains and growth rates with their bounds."""

import itertools
import signal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles_infinite import transition_of_policy
from problems import endless, gamble, mixing, random_mdp
from strategies import laws, mdp_of, model_of, problems

from pgm_control import (
    DistributionStatus,
    GainStatus,
    InvalidArgument,
    TabularMDP,
    TabularModel,
    ValueStatus,
    average_reward,
    growth_rate,
    infer,
    policy_evaluation,
    stationary_distribution,
    value_iteration,
)
from pgm_control.inference.infinite_horizon import policy_evaluation as stationary
from pgm_control.kernels.components import best_reachable, strong_components


def plain(mdp):
    return mdp.probability.numpy(), mdp.successor.numpy(), mdp.reward.numpy()


def some_policy(seed, mdp):
    return np.random.default_rng(seed).dirichlet(np.ones(mdp.num_actions), mdp.num_states)


@laws
@given(problems(forbidden=False), st.integers(0, 99), st.sampled_from([0.3, 0.7]), st.sampled_from([0.0, 0.7]))
def test_policy_values_solve_their_equations(problem, seed, discount, temperature):
    mdp = mdp_of(problem)
    prior = np.full((mdp.num_states, mdp.num_actions), 1 / mdp.num_actions)
    policy = some_policy(seed, mdp)
    matrix, pay = transition_of_policy(*plain(mdp), policy)
    pay = pay - temperature * (policy * np.log(policy / prior)).sum(-1)
    exact = np.linalg.solve(np.eye(mdp.num_states) - discount * matrix, pay)
    for dense in (stationary._DENSE, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stationary, "_DENSE", dense)
            found = policy_evaluation(endless(mdp, temperature, discount), policy, tolerance=1e-6)
        assert found.error_bound <= 1e-6
        assert np.abs(found.v.numpy() - exact).max() <= found.error_bound + 1e-12
        q = (mdp.probability * (mdp.reward + discount * torch.as_tensor(exact)[mdp.successor])).sum(-1)
        assert (found.q - q).abs().max() <= found.error_bound + 1e-12


@laws
@given(problems(), st.sampled_from([0.3, 0.9]), st.sampled_from([0.0, 0.5]))
def test_the_optimal_policy_has_the_optimal_value(problem, discount, temperature):
    model = endless(mdp_of(problem), temperature, discount, problem.prior)
    best = value_iteration(model, 0.0, 1e-9)
    alive = best.v > -torch.inf
    found = policy_evaluation(model, best.policy, 1e-9)
    assert torch.equal(found.v > -torch.inf, alive)
    assert (found.v - best.v)[alive].abs().max() < 1e-7 if alive.any() else True
    assert not found.q.isnan().any()


def test_a_policy_that_can_reach_a_forbidden_outcome_has_value_minus_infinity():
    mdp = TabularMDP([1.0], [[[1.0], [1.0]]], [[[0], [0]]], [[[1.0], [-np.inf]]], 1, 0.5)
    assert policy_evaluation(endless(mdp), [[0.9, 0.1]]).v.tolist() == [-np.inf]
    assert policy_evaluation(endless(mdp), [[1.0, 0.0]]).v.tolist() == pytest.approx([2.0])
    masked = policy_evaluation(endless(mdp, 1.0, prior=np.array([[0.0, 1.0]])), [[1.0, 0.0]])
    assert masked.v.tolist() == [-np.inf]
    undiscounted = policy_evaluation(endless(mdp, discount=1.0), [[1.0, 0.0]], max_sweeps=9)
    assert undiscounted.status is ValueStatus.out_of_steps


@laws
@given(problems(), st.integers(0, 99))
def test_the_stationary_distribution_is_the_limit_of_time_averages(problem, seed):
    """Compared with Cesàro means of the powers over a time after which the start matters by less than 1e-4."""
    mdp = mdp_of(problem)
    policy = np.round(some_policy(seed, mdp) * 2) / 2 + 1e-300
    policy = policy / policy.sum(-1, keepdims=True)
    matrix, _ = transition_of_policy(*plain(mdp.replace(reward=torch.zeros_like(mdp.reward))), policy)
    mean, power = np.eye(len(matrix)), matrix
    for _ in range(16):  # the mean of 2^16 powers, by doubling
        mean, power = (mean + power @ mean) / 2, power @ power
    found = stationary_distribution(endless(mdp, discount=1.0), policy)
    assert found.status is DistributionStatus.exact
    assert found.residual < 1e-11
    assert np.abs(found.probability.numpy() - mdp.initial.numpy() @ mean).max() < 2e-3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stationary, "_DENSE", 0)
        swept = stationary_distribution(endless(mdp, discount=1.0), policy, tolerance=1e-13)
    assert swept.residual <= 1e-13
    assert swept.error_bound == np.inf
    assert (swept.probability - found.probability).abs().max() < 1e-6


@laws
@given(problems(), st.integers(0, 99), st.sampled_from([0.3, 0.9]))
def test_discounted_occupancies_are_the_sum_over_time(problem, seed, discount):
    mdp = mdp_of(problem)
    policy = some_policy(seed, mdp)
    matrix, _ = transition_of_policy(*plain(mdp.replace(reward=torch.zeros_like(mdp.reward))), policy)
    exact = (1 - discount) * np.linalg.solve(np.eye(len(matrix)) - discount * matrix.T, mdp.initial.numpy())
    for dense in (stationary._DENSE, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stationary, "_DENSE", dense)
            found = stationary_distribution(endless(mdp, discount=discount), policy, 1e-11)
        assert np.abs(found.probability.numpy() - exact).sum() <= found.error_bound + 1e-13
        assert found.error_bound <= 1e-10


def test_a_periodic_chain_and_two_classes():
    turn = TabularMDP([1.0, 0.0], [[[1.0]], [[1.0]]], [[[1]], [[0]]], np.zeros((2, 1, 1)), 1)
    assert stationary_distribution(endless(turn), [[1.0], [1.0]]).probability.tolist() == pytest.approx([0.5, 0.5])
    split = TabularMDP(
        [1.0, 0, 0], [[[0.3, 0.7]], *[[[1.0, 0]]] * 2], [[[1, 2]], [[1, 1]], [[2, 2]]], np.zeros((3, 1, 2)), 1
    )
    assert stationary_distribution(endless(split), np.ones((3, 1))).probability.tolist() == pytest.approx([0, 0.3, 0.7])


def test_the_hard_gain_is_the_best_of_all_deterministic_policies():
    for seed in range(5):
        mdp = random_mdp(seed, states=4, actions=2)
        best = -np.inf
        for choice in itertools.product(range(2), repeat=4):
            policy = np.eye(2)[list(choice)]
            matrix, pay = transition_of_policy(*plain(mdp), policy)
            mean = np.linalg.matrix_power(0.5 * (np.eye(4) + matrix), 2**14)
            best = max(best, (mean @ pay).max())
        found = average_reward(endless(mdp), 0.0, tolerance=1e-9)
        assert found.status is GainStatus.converged
        assert found.lower - 1e-9 <= best <= found.upper + 1e-9
        assert found.upper - found.lower <= 2e-9
        reached = stationary_distribution(endless(mdp), found.policy).probability
        matrix, pay = transition_of_policy(*plain(mdp), found.policy.numpy())
        assert float(reached.numpy() @ pay) == pytest.approx(found.gain, abs=1e-7)


def test_the_gain_is_the_limit_of_discounted_values_and_the_bias_solves_its_equation():
    mdp = mixing(6)
    for temperature, beta in ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.5, -1.0)):
        found = average_reward(endless(mdp, temperature), beta, 1e-10)
        near = value_iteration(endless(mdp, temperature, 0.9999), beta, 1e-6, max_sweeps=100_000)
        assert ((1 - 0.9999) * near.v - found.gain).abs().max() < 2e-3
        assert (near.v - near.v[0] - found.bias).abs().max() < 2e-2


def test_the_gain_of_a_periodic_problem_converges():
    turn = TabularMDP([1.0, 0.0], [[[1.0]], [[1.0]]], [[[1]], [[0]]], [[[3.0]], [[1.0]]], 1)
    found = average_reward(endless(turn), 0.0)
    assert found.gain == pytest.approx(2.0, abs=1e-6)
    assert found.bias.tolist() == pytest.approx([0.0, -1.0], abs=1e-5)


def test_with_two_recurrent_classes_the_bounds_enclose_both_gains():
    mdp = TabularMDP([0.5, 0.5], [[[1.0]], [[1.0]]], [[[0]], [[1]]], [[[3.0]], [[1.0]]], 1)
    found = average_reward(endless(mdp), 0.0, max_sweeps=50)
    assert found.status is GainStatus.out_of_steps
    assert (found.lower, found.upper) == pytest.approx((1.0, 3.0))


@pytest.mark.parametrize("method", [lambda model, **given: average_reward(model, 0.0, **given), growth_rate])
def test_sweeps_progress_and_ctrl_c(method):
    model, shown = endless(mixing(6), 0.5), []

    def press(step, metrics):
        shown.append(step)
        if step == 3:
            signal.raise_signal(signal.SIGINT)

    whole = method(model, progress=lambda step, metrics: shown.append(step))
    assert (whole.status, shown) == (GainStatus.converged, list(range(1, whole.num_sweeps + 1)))
    short = method(model, max_sweeps=2)
    assert (short.status, short.num_sweeps) == (GainStatus.out_of_steps, 2)
    shown.clear()
    part = method(model, progress=press)
    assert (part.status, part.num_sweeps, shown) == (GainStatus.interrupted, 3, [1, 2, 3])
    for bad in (0, -1, True):
        with pytest.raises(InvalidArgument, match="`max_sweeps` must be a whole number, at least 1"):
            method(model, max_sweeps=bad)


def test_policies_progress_and_ctrl_c(monkeypatch):
    monkeypatch.setattr(stationary, "_DENSE", 0)
    model, policy, shown = endless(mixing(6), 0.5), np.full((6, 2), 0.5), []

    def press(step, metrics):
        shown.append(metrics)
        if step == 3:
            signal.raise_signal(signal.SIGINT)

    part = stationary_distribution(model, policy, progress=press)
    assert part.status is DistributionStatus.interrupted
    assert [each["residual"] for each in shown][-1] == part.residual
    assert stationary_distribution(model, policy, max_sweeps=2).status is DistributionStatus.out_of_steps
    shown.clear()
    assert policy_evaluation(model, policy, progress=press).status is ValueStatus.interrupted
    assert len(shown) == 3


def tilted(mdp, temperature, prior):
    matrix = np.zeros((mdp.num_states,) * 2)
    for s, a, k in np.ndindex(*mdp.probability.shape):
        weight = float(prior[s, a] * mdp.probability[s, a, k])
        if weight > 0:
            matrix[s, int(mdp.successor[s, a, k])] += weight * np.exp(float(mdp.reward[s, a, k]) / temperature)
    return matrix


def reachable(matrix):
    """The states that can be reached from each state in any number of steps."""
    found = np.eye(len(matrix), dtype=bool) | (matrix > 0)
    for _ in range(len(matrix)):
        found = found | ((found.astype(int) @ found.astype(int)) > 0)
    return found


@laws
@given(problems())
def test_growth_is_the_log_perron_root_of_the_reachable_block(problem):
    """From each state, the root is the largest modulus of an eigenvalue of the block that it can reach."""
    mdp = mdp_of(problem)
    matrix = tilted(mdp, problem.temperature, problem.prior)
    found = growth_rate(endless(mdp, problem.temperature, prior=problem.prior))
    assert found.status is GainStatus.converged
    reach = reachable(matrix)
    for s in range(mdp.num_states):
        block = matrix[np.ix_(reach[s], reach[s])]
        # The eigenvalues of a nilpotent block are 0, but rounding makes them 1e-8: powers detect it.
        alive = np.linalg.matrix_power((block > 0).astype(int), len(block)).any()
        root = np.log(np.abs(np.linalg.eigvals(block)).max()) if alive else -np.inf
        assert float(found.by_state[s]) == pytest.approx(root, abs=1e-6 if alive else 0)
    assert found.rate == max(found.by_state[mdp.initial > 0].tolist())


def test_growth_matches_long_horizons_and_the_gain_under_free_inference():
    problem = mixing(5)
    found = growth_rate(endless(problem, 0.5))
    evidence = [infer(TabularModel(problem.replace(horizon=steps), 0.5), 1.0).log_evidence for steps in (50, 60)]
    assert (evidence[1] - evidence[0]) / 10 == pytest.approx(found.rate, abs=1e-8)
    assert average_reward(endless(problem, 0.5), 1.0, 1e-9).gain / 0.5 == pytest.approx(found.rate, abs=1e-7)


@laws
@given(problems())
def test_evidence_never_outgrows_the_rate_by_more_than_a_polynomial(problem):
    mdp = mdp_of(problem).replace(horizon=200, discount=1.0, final_reward=None)
    model = type(model_of(problem))(mdp, problem.temperature, torch.as_tensor(problem.prior))
    evidence = infer(model, 1.0).log_evidence
    rate = growth_rate(model).rate
    if rate == -np.inf:
        assert evidence == -np.inf
    else:
        assert abs(evidence / 200 - rate) < 0.05 * (2 + 3 / problem.temperature)


@laws
@given(st.integers(1, 7), st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=16))
def test_classes_are_those_that_reach_one_another(states, edges):
    pairs = sorted((a % states, b % states) for a, b in edges)
    starts = np.searchsorted([a for a, _ in pairs], np.arange(states + 1)).astype(np.int64)
    targets = np.array([b for _, b in pairs], dtype=np.int64)
    matrix = np.zeros((states, states))
    for a, b in pairs:
        matrix[a, b] = 1
    reach = reachable(matrix)
    classes = strong_components(starts, targets)
    own = np.random.default_rng(0).normal(size=classes.max() + 1)
    best = best_reachable(starts, targets, classes, own)
    for a in range(states):
        assert best[a] == max(own[classes[b]] for b in range(states) if reach[a, b])
        for b in range(states):
            assert (classes[a] == classes[b]) == (reach[a, b] and reach[b, a])
            if reach[a, b]:
                assert classes[b] <= classes[a]


def test_arguments_are_checked():
    model = endless(gamble())
    with pytest.raises(InvalidArgument, match="`policy` must have shape"):
        policy_evaluation(model, [[1.0]])
    with pytest.raises(InvalidArgument, match="`tolerance` must be"):
        average_reward(model, 0.0, tolerance=-1.0)
    with pytest.raises(InvalidArgument, match="`model` must have a positive temperature"):
        growth_rate(model)
    assert "between" in repr(average_reward(model, 0.0))
    assert "nats per step" in repr(growth_rate(endless(gamble(), 1.0)))
    assert "residual" in repr(stationary_distribution(model, [[0.5, 0.5]]))
    assert "error at most" in repr(policy_evaluation(endless(gamble(), discount=0.5), [[0.5, 0.5]]))
