"""De-biasing: the free posterior of the modified model is the clamped solution of the original one."""

import json
import math

import numpy as np
import oracles
import pytest
import torch
from hypothesis import assume, given, settings
from problems import gamble, random_mdp
from strategies import laws, model_of, problems

from pgm_control import InvalidArgument, InvalidGuide, TabularMDP, TabularModel, debias, evaluate, infer
from pgm_control.models import frozen_lake, lottery, restaurant, risky_path, slippery_cliff

pytestmark = pytest.mark.slow

NEG = -math.inf


def dynamics_of(problem):
    """The true outcomes; with a discount, those with survival, then those with termination."""
    gamma, p = problem.discount, problem.probability
    return p if gamma == 1 else np.concatenate((gamma * p, (1 - gamma) * p), -1)


def has_answer(problem, truth):
    """Whether all possible starts have value −inf, or none."""
    doomed = np.isneginf(truth.v[0])[problem.initial > 0]
    return doomed.all() or not doomed.any()


def error(found, expected):
    return float(np.abs(np.asarray(found) - np.asarray(expected)).max())


@laws
@given(problems())
def test_the_free_posterior_is_the_clamped_solution(problem):
    """Policy, dynamics, survival, start, values and objective agree with a backward recursion in fifty digits."""
    truth = oracles.solve(problem, 0.0)
    assume(has_answer(problem, truth))
    debiased = debias(model_of(problem))
    posterior = infer(debiased.model, 1.0)
    folded = debiased.folded(posterior)
    assert error(folded.policy, truth.policy) < 1e-12
    assert error(folded.dynamics, np.broadcast_to(dynamics_of(problem), folded.dynamics.shape)) < 1e-12
    assert error(folded.initial, problem.initial) < 1e-12
    assert posterior.log_evidence == pytest.approx(truth.value / problem.temperature, rel=1e-10, abs=1e-12)
    for t in range(1, problem.horizon + 1):  # at t = 0 the bonus of the start is added
        values = posterior.v[t, t * problem.ended : (t + 1) * problem.ended]
        np.testing.assert_allclose(values, truth.v[t], rtol=1e-12, atol=1e-12)


@laws
@given(problems())
def test_the_modified_model_satisfies_its_equations(problem):
    """p~ ∝ p exp(−x/τ) and r~ = r + τ KL(p ‖ p~), for every outcome; the start bonus is in the first step."""
    truth, tau = oracles.solve(problem, 0.0), problem.temperature
    assume(has_answer(problem, truth) and truth.value > NEG)
    debiased = debias(model_of(problem))
    weights = problem.initial * np.exp([-v / tau if p > 0 else NEG for v, p in zip(truth.v[0], problem.initial)])  # noqa: B905
    start = weights / weights.sum()
    np.testing.assert_allclose(debiased.initial, start, rtol=1e-10, atol=0)
    kl_start = sum(tau * p * math.log(p / q) for p, q in zip(problem.initial, start, strict=True) if p > 0)
    assert debiased.start_bonus == pytest.approx(kl_start, rel=1e-9, abs=1e-10)
    for t, s, a in np.ndindex(truth.q.shape):
        outcomes = [(k, p * problem.discount, r, r + truth.v[t + 1, n]) for k, p, n, r in problem.outcomes(s, a)]
        width = problem.probability.shape[-1]
        if problem.discount < 1:
            outcomes += [(k + width, p * (1 - problem.discount), r, r) for k, p, _, r in problem.outcomes(s, a)]
        dynamics, reward = debiased.probability[t, s, a].numpy(), debiased.reward[t, s, a].numpy()
        possible = [k for k, *_ in outcomes]
        assert set(np.flatnonzero(dynamics)) == set(possible)
        assert not reward[np.setdiff1d(np.arange(len(reward)), possible)].any(), "padding has no reward"
        if truth.q[t, s, a] == NEG:
            np.testing.assert_allclose(dynamics[possible], [p for _, p, *_ in outcomes])
            assert (reward[possible] == NEG).all()
            assert debiased.bonus[t, s, a] == 0
            continue
        total = sum(p * math.exp(-x / tau) for _, p, _, x in outcomes)
        modified = {k: p * math.exp(-x / tau) / total for k, p, _, x in outcomes}
        kl = tau * sum(p * math.log(p / modified[k]) for k, p, *_ in outcomes)
        assert float(debiased.bonus[t, s, a]) == pytest.approx(kl, rel=1e-9, abs=1e-10)
        for k, _, r, _ in outcomes:
            assert dynamics[k] == pytest.approx(modified[k], rel=1e-9)
            assert reward[k] == pytest.approx(r + kl + (kl_start if t == 0 else 0.0), rel=1e-9, abs=1e-10)


@settings(laws, max_examples=20)
@given(problems())
def test_the_free_posterior_agrees_with_enumeration(problem):
    """Trajectories of the new model, conditioned on success, have the probabilities of the clamped policy."""
    truth = oracles.solve(problem, 0.0)
    assume(has_answer(problem, truth) and truth.value > NEG)
    debiased = debias(model_of(problem))
    mdp, states = debiased.model.mdp, problem.ended
    unrolled = oracles.Problem(
        mdp.initial.numpy(),
        mdp.probability.numpy(),
        mdp.successor.numpy(),
        mdp.reward.numpy(),
        mdp.horizon,
        problem.temperature,
        debiased.model.action_prior.numpy(),
        np.zeros(mdp.num_states) if mdp.final_reward is None else mdp.final_reward.numpy(),
    )
    found = oracles.enumerate_posterior(unrolled)
    assert found.log_evidence == pytest.approx(truth.value / problem.temperature, rel=1e-10, abs=1e-12)
    alive = problem.initial
    for t in range(problem.horizon):
        now = slice(t * states, (t + 1) * states)
        np.testing.assert_allclose(found.state[t, now], alive, atol=1e-12)
        sampled = (alive[:, None] * truth.policy[t])[..., None] * dynamics_of(problem)
        np.testing.assert_allclose(found.outcome[t, now], sampled, atol=1e-12)
        survived = (alive[:, None] * truth.policy[t])[..., None] * problem.probability * problem.discount
        alive = np.bincount(problem.successor.ravel(), survived.ravel(), states)
    np.testing.assert_allclose(found.state[-1, problem.horizon * states :][:states], alive, atol=1e-12)


@pytest.mark.parametrize(
    ("mdp", "temperature"),
    [
        (restaurant(), 1.0),
        (lottery(), 1.0),
        (risky_path(), 1.0),
        (frozen_lake("4x4", 20), 1.0),
        (frozen_lake("4x4", 20), 0.05),
        (frozen_lake("4x4", 20).replace(discount=0.9), 0.05),
        (slippery_cliff(50), 1.0),
        (random_mdp(seed=3, states=6, actions=3, horizon=30), 0.2),
    ],
    ids=("restaurant", "lottery", "risky path", "lake", "cold lake", "lake with a discount", "cliff", "random"),
)
def test_problems_of_the_zoo_to_twelve_digits(mdp, temperature):
    model = TabularModel(mdp, temperature)
    debiased = debias(model)
    posterior, clamped = infer(debiased.model, 1.0), infer(model, 0.0)
    folded = debiased.folded(posterior)
    assert error(folded.policy, clamped.policy) < 1e-12
    assert error(folded.blocks().log_dynamics.exp(), clamped.dynamics) < 1e-12
    assert error(folded.initial, clamped.initial) < 1e-12
    assert posterior.log_evidence == pytest.approx(clamped.objective, rel=1e-10)
    assert evaluate(model, folded).true_return == pytest.approx(evaluate(model, clamped).true_return, rel=1e-9)
    if mdp.num_states < 40:
        assert error(infer(model, 1.0).policy, clamped.policy) > 1e-4, "the correction changes the policy"


def test_the_restaurant_by_hand():
    """Utilities −10, 6, 8: the modified cook almost always burns the dinner, for a bonus."""
    debiased = debias(TabularModel(restaurant()))
    weight = np.array([0.2 * math.exp(10), 0.6 * math.exp(-6), 0.2 * math.exp(-8)])
    expected = weight / weight.sum()
    np.testing.assert_allclose(debiased.probability[0, 0, 0], expected, rtol=1e-12)
    kl = float((np.array([0.2, 0.6, 0.2]) * np.log(np.array([0.2, 0.6, 0.2]) / expected)).sum())
    np.testing.assert_allclose(debiased.reward[0, 0, 0], np.array([-10, 6, 8]) + kl, rtol=1e-12)
    assert infer(debiased.model, 1.0).log_evidence == pytest.approx(4.722372, abs=1e-6)
    assert float(debiased.folded(infer(debiased.model, 1.0)).policy[0, 0, 1]) == pytest.approx(0.890903, abs=1e-6)
    np.testing.assert_allclose(debiased.log_prior_dynamics[0, 0, 0], np.log(expected), rtol=1e-12, atol=1e-15)


def test_the_states_are_pairs_of_time_and_state():
    mdp = random_mdp(seed=0, states=2, horizon=3, discount=0.8).replace(
        state_names=("low", "high"), final_reward=[1.0, 2.0]
    )
    unrolled = debias(TabularModel(mdp)).model.mdp
    assert unrolled.num_states == 4 * 2 + 1
    assert unrolled.state_names[:3] == ("t=0, low", "t=0, high", "t=1, low")
    assert unrolled.state_names[-2:] == ("t=3, high", "ended")
    assert unrolled.discount == 1
    np.testing.assert_array_equal(unrolled.final_reward, [0.0] * 6 + [1.0, 2.0, 0.0])
    np.testing.assert_array_equal(unrolled.successor[2, :, :3], 4 + mdp.successor[0])
    assert (unrolled.successor[2, :, 3:] == 8).all()


def test_the_correction_is_the_difference_of_the_returns():
    """The returns of the same trajectories under the old and the new rewards."""
    model = TabularModel(random_mdp(seed=5, horizon=4, discount=0.9), 0.5)
    debiased = debias(model)
    earned = evaluate(debiased.model, infer(debiased.model, 1.0)).imagined_return
    old = evaluate(model, debiased.clamped).true_return
    assert debiased.correction == pytest.approx(earned - old, rel=1e-10)
    assert debiased.correction > 0.1


def test_deterministic_dynamics_do_not_change():
    model = TabularModel(gamble(horizon=3, probability=1.0))
    debiased = debias(model)
    np.testing.assert_array_equal(debiased.reward[0], model.mdp.reward)
    np.testing.assert_array_equal(debiased.probability[0], model.mdp.probability)
    assert debiased.correction == 0
    assert "The dynamics are unchanged." in str(debiased)


def test_if_everything_is_forbidden_it_remains_forbidden():
    mdp = gamble(horizon=2).replace(reward=[[[NEG, NEG], [NEG, NEG]]])
    debiased = debias(TabularModel(mdp))
    posterior = infer(debiased.model, 1.0)
    assert posterior.log_evidence == NEG
    folded = debiased.folded(posterior)
    np.testing.assert_array_equal(folded.policy, infer(TabularModel(mdp), 0.0).policy)
    np.testing.assert_allclose(folded.dynamics[1], mdp.probability)


def test_single_precision():
    model = TabularModel(restaurant().to(dtype=torch.float32))
    debiased = debias(model)
    folded = debiased.folded(infer(debiased.model, 1.0))
    assert folded.policy.dtype == torch.float32
    assert error(folded.policy, debiased.clamped.policy) < 1e-5


def test_printing_and_export():
    debiased = debias(TabularModel(restaurant().replace(state_names=("<hungry>", "bad", "good", "great"))))
    text = str(debiased)
    assert "to bad: 0.05 → 0.9999980" in text
    assert "12.30" in text
    assert "its log p(O) is the clamped objective, 4.722 nats" in text
    assert text.splitlines()[-1] == "expected sum of the bonuses, including that of the start: 12.23"
    page = debiased._repr_html_()
    assert "&lt;hungry&gt;" in page
    assert "<hungry>" not in page
    plain = json.loads(json.dumps(debiased.to_dict()))
    assert plain["objective"] == pytest.approx(4.722372, abs=1e-6)
    assert np.asarray(plain["probability"]).shape == (1, 4, 2, 3)


def test_one_start_of_value_minus_infinity_and_another_finite_is_refused():
    mdp = TabularMDP([0.5, 0.5], [[[1.0]], [[1.0]]], [[[0]], [[1]]], [[[NEG]], [[1.0]]], horizon=2)
    with pytest.raises(InvalidArgument, match=r"value −inf and another of finite.*state 0.*probability 0 in `initial`"):
        debias(TabularModel(mdp))
    debias(TabularModel(mdp.replace(initial=[0.0, 1.0])))


def test_a_tilt_that_loses_digits_is_refused():
    with pytest.raises(InvalidArgument, match=r"708 nats.*outcome 0 of risky in start at t = 0.*Raise the temperature"):
        debias(TabularModel(risky_path(10)))
    model = TabularModel(risky_path(10), 2.0)
    assert infer(debias(model).model, 1.0).log_evidence == pytest.approx(infer(model, 0.0).objective, rel=1e-10)


def test_a_start_whose_tilt_loses_digits_is_refused():
    mdp = TabularMDP([0.5, 0.5], [[[1.0]], [[1.0]]], [[[0]], [[1]]], [[[0.0]], [[800.0]]], horizon=1)
    with pytest.raises(InvalidArgument, match=r"starting in state 1 .*shorten the horizon"):
        debias(TabularModel(mdp))


def test_a_posterior_of_another_model_is_refused():
    model = TabularModel(restaurant())
    with pytest.raises(InvalidGuide, match="Build the guide from the same model"):
        debias(model).folded(infer(model, 1.0))


def test_too_large_models_are_refused_before_they_are_built():
    with pytest.raises(InvalidArgument, match=r"unrolled in time.*mdp.replace\(horizon=…\).*infer\(model, 0.0\)"):
        debias(TabularModel(random_mdp(seed=0, horizon=10_000)))


def test_temperature_zero_is_refused():
    with pytest.raises(InvalidArgument, match="positive temperature"):
        debias(TabularModel(restaurant(), 0.0))
