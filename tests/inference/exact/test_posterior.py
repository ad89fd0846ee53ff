"""Tests of the posterior's marginals, messages, samples and mode against the enumeration of all trajectories."""

import dataclasses
import math

import hypothesis.strategies as st
import numpy as np
import oracles
import pytest
import torch
from hypothesis import assume, given, settings
from problems import gamble, random_mdp
from pyro import poutine
from strategies import laws, model_of, problem_of, problems

from pgm_control import InvalidArgument, Optimism, TabularMDP, TabularModel, infer

FREE = Optimism(1.0, 1.0, 1.0)


def close(found, expected, tolerance=1e-10):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def path_of(problem, trajectory):
    """The enumerated path that equals the given trajectory."""
    states, actions, outcomes = (tuple(each.tolist()) for each in trajectory[:3])
    return next(path for path in oracles.paths(problem) if path[:3] == (states, actions, outcomes))


@laws
@given(problems())
def test_it_agrees_with_the_enumeration_of_all_trajectories(problem):
    """log p(O), every marginal, the policy and the believed dynamics agree, with free survival if discounted."""
    exact = oracles.enumerate_posterior(problem)
    posterior = infer(model_of(problem), FREE)
    close(posterior.log_evidence, exact.log_evidence)
    assume(exact.log_evidence > -math.inf)
    close(posterior.marginals().state, exact.state)
    close(posterior.marginals().outcome, exact.outcome)
    close(posterior.marginals().state_action, exact.outcome.sum(-1))
    close(posterior.initial, exact.state[0])
    for t in range(problem.horizon):
        for s in np.flatnonzero(exact.state[t] > 1e-8):
            close(posterior.policy[t, s], exact.outcome[t, s].sum(-1) / exact.state[t, s], 1e-7)
            for a in np.flatnonzero(exact.outcome[t, s].sum(-1) > 1e-8):
                close(posterior.dynamics[t, s, a], exact.outcome[t, s, a] / exact.outcome[t, s, a].sum(), 1e-7)


@laws
@given(problems())
def test_the_mode_is_the_most_probable_trajectory(problem):
    """Probabilities are compared, since there may be ties; the reported probability is that given O."""
    exact = oracles.enumerate_posterior(problem)
    assume(exact.log_evidence > -math.inf)
    mode = infer(model_of(problem), FREE).mode()
    assert mode.log_probability == pytest.approx(exact.log_best - exact.log_evidence, abs=1e-9)
    own = path_of(problem, mode).log_weight(problem.temperature)
    assert own == pytest.approx(exact.log_best, abs=1e-9)


@laws
@given(problems(), st.sampled_from([0.0, -1.0, 0.5]))
def test_the_mode_for_any_optimism_is_the_most_probable_under_its_own_blocks(problem, optimism):
    posterior = infer(model_of(problem), optimism)
    assume(posterior.value > -math.inf)
    initial, policy, dynamics = (each.numpy() for each in (posterior.initial, posterior.policy, posterior.dynamics))

    def probability(path):
        result = initial[path.states[0]]
        for t, (s, a, k) in enumerate(zip(path.states, path.actions, path.outcomes, strict=False)):
            if s != problem.ended:
                survives = path.states[t + 1] != problem.ended
                result *= policy[t, s, a] * dynamics[t, s, a, k]
                result *= problem.discount if survives else 1.0 - problem.discount
        return result

    best = max(probability(path) for path in oracles.paths(problem))
    mode = posterior.mode()
    assert math.exp(mode.log_probability) == pytest.approx(best, rel=1e-9)
    assert probability(path_of(problem, mode)) == pytest.approx(best, rel=1e-9)


@laws
@given(problems())
def test_forward_and_backward_messages_give_the_evidence_at_every_time(problem):
    """Σ_s α_t(s) exp(V_t(s)/τ) = p(O) at every t without a discount; each term over p(O) is the marginal."""
    problem = dataclasses.replace(problem, discount=1.0)
    exact = oracles.enumerate_posterior(problem)
    posterior = infer(model_of(problem), 1.0)
    both = posterior.forward + posterior.v / problem.temperature
    close(torch.logsumexp(both, -1), np.full(problem.horizon + 1, exact.log_evidence))
    if exact.log_evidence > -math.inf:
        close((both - posterior.log_evidence).exp(), posterior.marginals().state)


@laws
@given(problems())
def test_forward_messages_weigh_the_surviving_trajectories(problem):
    """With a discount α_t(s) is the weight of the trajectories that survive until t and are in s."""
    expected = np.zeros((problem.horizon + 1, problem.ended))
    for steps in range(problem.horizon + 1):
        if steps == 0:
            expected[0] = problem.initial
            continue
        cut = dataclasses.replace(problem, horizon=steps, final_reward=np.zeros(problem.ended))
        for path in oracles.paths(cut):
            if path.states[-1] != problem.ended:
                expected[steps, path.states[-1]] += math.exp(path.log_weight(problem.temperature))
    close(infer(model_of(problem), FREE).forward.exp(), expected)


@settings(laws, max_examples=15)
@given(problems())
def test_the_exact_free_guide_has_constant_log_weight(problem):
    """log p~ − log q of every sampled trajectory is log p(O), by the Pyro programs of model and posterior."""
    model = model_of(problem)
    posterior = infer(model, FREE)
    assume(posterior.value > -math.inf)
    for seed in range(20):
        with poutine.seed(rng_seed=seed):
            guided = poutine.trace(posterior).get_trace()
            played = poutine.trace(poutine.replay(model, trace=guided)).get_trace()
        assert float(played.log_prob_sum() - guided.log_prob_sum()) == pytest.approx(posterior.log_evidence, abs=1e-9)


def check_frequencies(trajectories, state, outcome):
    """Assert that each frequency is within five standard errors."""
    n = len(trajectories.states)
    for t in range(len(state)):
        seen = torch.bincount(trajectories.states[:, t], minlength=state.shape[1] + 1).numpy()[:-1] / n
        error = np.sqrt(state[t] * (1 - state[t]) / n)
        assert (np.abs(seen - state[t]) <= 5 * error + 1e-12).all(), t
    for t, expected in enumerate(outcome):
        alive = trajectories.states[:, t] < state.shape[1]
        index = (trajectories.states[alive, t], trajectories.actions[alive, t], trajectories.outcomes[alive, t])
        seen = np.zeros(expected.shape)
        np.add.at(seen, tuple(each.numpy() for each in index), 1.0 / n)
        assert (np.abs(seen - expected) <= 5 * np.sqrt(expected * (1 - expected) / n) + 1e-12).all(), t


@pytest.mark.statistical
@pytest.mark.parametrize("discount", [1.0, 0.7])
def test_samples_have_the_frequencies_of_the_posterior(discount):
    """20 000 draws, 90 frequencies at five standard errors: one false alarm in 20 000 seeds."""
    mdp = random_mdp(seed=9, horizon=3, discount=discount).replace(final_reward=[0.5, -1.0, 2.0])
    exact = oracles.enumerate_posterior(problem_of(mdp, 0.7))
    posterior = infer(TabularModel(mdp, 0.7), FREE)
    trajectories = posterior.sample(20_000, torch.Generator().manual_seed(1))
    check_frequencies(trajectories, exact.state, exact.outcome)
    if discount < 1:
        clamped = infer(TabularModel(mdp, 0.7), 0.0)
        drawn = clamped.sample(20_000, torch.Generator().manual_seed(2))
        check_frequencies(drawn, clamped.marginals().state.numpy(), clamped.marginals().outcome.numpy())


def test_samples_follow_the_generator_and_the_successors():
    mdp = random_mdp(seed=9, horizon=4, discount=0.5)
    posterior = infer(TabularModel(mdp), 0.0)
    state = torch.random.get_rng_state()
    one, same, other = (posterior.sample(500, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state), "the global generator is unchanged"
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not torch.equal(one.states, other.states)
    before, after = one.states[:, :-1], one.states[:, 1:]
    ended = before == mdp.num_states
    assert bool((after[ended] == mdp.num_states).all() and (one.actions[ended] == 0).all())
    arrived = mdp.successor[before[~ended], one.actions[~ended], one.outcomes[~ended]]
    assert bool(((after[~ended] == arrived) | (after[~ended] == mdp.num_states)).all())
    with pytest.raises(InvalidArgument, match="`num_samples` must be a whole number, at least 1, but is 0"):
        posterior.sample(0)


def test_marginals_of_a_clamped_posterior_are_those_of_its_policy_in_the_true_dynamics():
    mdp = random_mdp(seed=4, horizon=3, discount=0.8)
    posterior = infer(TabularModel(mdp, 0.7), 0.0)
    state, policy = mdp.initial.numpy(), posterior.policy.numpy()
    for t in range(3):
        close(posterior.marginals().state[t], state)
        close(posterior.marginals().state_action[t], state[:, None] * policy[t])
        outcome = (state[:, None] * policy[t])[..., None] * mdp.probability.numpy()
        close(posterior.marginals().outcome[t], outcome)
        state = 0.8 * np.asarray([outcome[mdp.successor.numpy() == s].sum() for s in range(3)])
    close(posterior.marginals().state[3], state)


def test_quantities_of_the_exact_posterior_alone_are_refused_with_a_remedy():
    clamped = infer(TabularModel(gamble()), 0.0)
    for name in ("log_evidence", "forward"):
        with pytest.raises(InvalidArgument, match=rf"`{name}` belongs to the exact posterior.*infer\(model, 1.0\)"):
            getattr(clamped, name)
    discounted = infer(TabularModel(gamble().replace(discount=0.9)), 1.0)
    with pytest.raises(InvalidArgument, match=r"Optimism\(survival=1.0\)"):
        _ = discounted.log_evidence
    frozen = infer(TabularModel(gamble(), 0.0), 0.0)
    assert frozen.objective is None
    assert frozen.value == 1.0
    assert "value 1" in repr(frozen)
    assert "nats" in repr(clamped)


def test_any_blocks_can_be_sampled_and_have_a_mode():
    """The blocks here are those of the prior."""
    prior = TabularModel(gamble(horizon=2)).blocks()
    mode = prior.mode()
    assert mode.log_probability == pytest.approx(2 * math.log(0.5))
    assert mode.actions.tolist() == [0, 0]
    assert prior.sample(3).states.shape == (3, 3)


def test_forward_messages_do_not_underflow():
    mdp = TabularMDP([1.0], [[[1.0, 1e-300]]], [[[0, 0]]], [[[-np.inf, 0.0]]], horizon=1, discount=1e-30)
    posterior = infer(TabularModel(mdp), Optimism(survival=1.0))
    assert posterior.forward[1].item() == pytest.approx(np.log(1e-300) + np.log(1e-30))
