"""Chapters 5 and 6: gradients, samples, and rewards from behaviour."""

import numpy as np
import torch

from equations.enumeration import (
    STATES,
    STEPS,
    TAU,
    expect,
    kl,
    log_evidence,
    log_q,
    log_target,
    operator,
    policy_of,
    posterior,
    random_event,
    recursion,
    steps,
    tables,
    trajectories,
)
from equations.row import Row, guide, model, numbers, random_policy
from pgm_control import infer
from pgm_control.inverse_rl import Demonstrations


def _score(path, policy):
    """∇ log q of a trajectory by the logits of its policy, of shape (T, S, A)."""
    found = np.zeros_like(policy)
    for t, (s, a, _) in enumerate(steps(path)):
        found[t, s] -= policy[t, s]
        found[t, s, a] += 1
    return found


def _policy_gradient(function):
    policy, w = random_policy(), tables()
    own = guide(policy)
    function().differentiable_loss(model(), own).backward()
    baseline = 0.3

    def estimate(path):
        found = np.zeros_like(policy)
        terms = [
            w.r[s, a, k] / TAU - np.log(policy[t, s, a] / w.prior[s, a]) for t, (s, a, k) in enumerate(steps(path))
        ]
        for t, (s, a, _) in enumerate(steps(path)):
            gain = sum(terms[t:]) - baseline
            found[t, s] -= policy[t, s] * gain
            found[t, s, a] += gain
        return found

    return -numbers(own.policy_logits.grad), expect(estimate, policy)


def _all_of_the_return(function):
    policy = random_policy()
    own = guide(policy)
    function().differentiable_loss(model(), own).backward()
    right = expect(lambda path: _score(path, policy) * (log_target(path) - log_q(path, policy)), policy)
    return -numbers(own.policy_logits.grad), right


def _improvement(function):
    policy, w = random_policy(), tables()
    to_go = np.zeros(STATES)
    best = np.zeros_like(policy)
    for t in reversed(range(STEPS)):
        gain = (w.p * (w.r / TAU + to_go[w.successor])).sum(-1)
        tilted = w.prior * np.exp(gain)
        best[t] = tilted / tilted.sum(-1, keepdims=True)
        to_go = (policy[t] * (gain - np.log(policy[t] / w.prior))).sum(-1)
    own = guide(policy)
    function(model(), own, method="natural_gradient", step_size=1.0, num_steps=1)
    return numbers(own.blocks().policy), best


def _soft_policy_loss(function):
    policy = random_policy()
    v, q = recursion(0.0)
    best = policy_of(v, q)
    visits = np.zeros((STEPS, STATES))
    for path in trajectories():
        for t in range(STEPS):
            visits[t, path.states[t]] += np.exp(log_q(path, policy))
    return function(model(), guide(policy), optimism=0.0).gap, (visits * kl(policy, best)).sum()


def _sampled_value(function):
    x, prior = random_event()
    proposal = np.full(5, 0.2)  # every action once: the estimate is exact
    found = function(torch.tensor(x), torch.tensor(prior).log(), torch.tensor(proposal).log(), TAU)
    return float(found.value), operator(x, prior, 1.0)


def _loss_of_q(function):
    x, w = random_event()
    beta = 0.6
    q = torch.tensor([operator(x, w, beta)] * 5, dtype=torch.float64, requires_grad=True)
    function(TAU, optimism=beta, cap=50.0)(q, torch.tensor(x)).backward()
    return w @ numbers(q.grad), 0.0


def _slope(function):
    reward = torch.tensor(tables().r, requires_grad=True)
    function(model(), 1.0, reward=reward).objective.backward()
    counts = np.zeros_like(tables().r)
    for path in trajectories():
        for s, a, k in steps(path):
            counts[s, a, k] += posterior(path) / TAU
    return numbers(reward.grad), counts


def _demonstrations():
    paths = [trajectories()[i] for i in (3, 50, 120, 120)]
    states, actions = ([list(getattr(path, name)) for path in paths] for name in ("states", "actions"))
    return paths, Demonstrations.from_trajectories(model().mdp, states, actions)


def _likelihood(function):
    paths, seen = _demonstrations()
    reward, last = torch.tensor(tables().r), torch.zeros(STATES, dtype=torch.float64)
    v, _ = recursion(1.0)
    right = sum(
        log_target(path) - np.log(tables().initial[path.states[0]]) - v[0, path.states[0]] / TAU for path in paths
    )
    return float(function().log_likelihood(model(), seen, reward, last, TAU)), right


def _matching(function):
    paths, seen = _demonstrations()
    reward, last = torch.tensor(tables().r, requires_grad=True), torch.zeros(STATES, dtype=torch.float64)
    function().log_likelihood(model(), seen, reward, last, TAU).backward()
    right = np.zeros_like(tables().r)
    for path in paths:
        for s, a, k in steps(path):
            right[s, a, k] += 1 / TAU
        same = [other for other in trajectories() if other.states[0] == path.states[0]]
        total = sum(posterior(other) for other in same)
        for other in same:
            for s, a, k in steps(other):
                right[s, a, k] -= posterior(other) / total / TAU
    return numbers(reward.grad), right


def _clamped_likelihood(function):
    paths, seen = _demonstrations()
    reward, last = torch.tensor(tables().r), torch.zeros(STATES, dtype=torch.float64)
    v, q = recursion(0.0)
    log_policy = np.log(policy_of(v, q))
    right = sum(log_policy[t, s, a] for path in paths for t, (s, a, _) in enumerate(steps(path)))
    return float(function().log_likelihood(model(), seen, reward, last, TAU)), right


def _bound_of_samples(function):
    found = function(model(), infer(model(), 1.0), 5, 4, 0)
    return found.mean, log_evidence()


LEARNING = (
    Row(
        5,
        "policy-gradient",
        r"\nabla\,\mathrm{ELBO} = \mathbb E_q \sum_t \nabla\log\pi_t(a_t|s_t)\,(G_t - b),"
        r" \quad G_t = \sum_{u \ge t} \tfrac{r_u}\tau - \log\tfrac{\pi_u}\rho",
        "pgm_control.MarkovELBO",
        "MarkovELBO().differentiable_loss(model, guide)",
        "learners/test_policy_gradient.py::test_the_gradient_is_unbiased_for_any_program_of_this_layout",
        "15_against_a_simulator",
        _policy_gradient,
    ),
    Row(
        5,
        "score-function",
        r"\nabla\,\mathrm{ELBO} = \mathbb E_q\bigl[\nabla\log q\;(\log\tilde p - \log q)\bigr]",
        "pgm_control.MarkovELBO",
        "MarkovELBO().differentiable_loss(model, guide)",
        "inference/variational/test_elbo.py::test_the_gradient_agrees_with_finite_differences",
        "27_a_program_by_hand",
        _all_of_the_return,
    ),
    Row(
        5,
        "improvement",
        r"\pi_t \leftarrow \rho\, e^{G_t} / \textstyle\sum_a \rho\, e^{G_t}, \quad G_t \text{ of the old policy}",
        "pgm_control.fit",
        'fit(model, guide, method="natural_gradient")',
        "inference/variational/test_natural_gradient.py::test_a_step_follows_the_inverse_fisher_information_times_the_gradient",
        "26_amortised",
        _improvement,
    ),
    Row(
        5,
        "policy-kl",
        r"\max_\pi \mathrm{ELBO} - \mathrm{ELBO}(\pi) = \sum_t \mathbb E_{p,\pi}"
        r"\mathrm{KL}\bigl(\pi_t \,\|\, \rho\, e^{(Q_t - V_t)/\tau}\bigr)",
        "pgm_control.ledger",
        "ledger(model, guide, optimism=0.0)",
        "analysis/test_ledger.py::test_the_entries_of_other_objectives_sum_to_their_gap",
        "11_your_own_guide",
        _soft_policy_loss,
    ),
    Row(
        5,
        "sampled-value",
        r"V = \tau \log \tfrac1n \sum_j \tfrac{\rho(a^j)}{q(a^j)}\, e^{Q(a^j)/\tau}",
        "pgm_control.learners.losses.soft_values_of_samples.soft_value_of_samples",
        "soft_value_of_samples(q, log_prior, log_proposal, τ)",
        "learners/losses/test_soft_values_of_samples.py::test_it_agrees_with_the_integral",
        "15_against_a_simulator",
        _sampled_value,
    ),
    Row(
        5,
        "loss-of-q",
        r"\mathbb E\,\ell_\beta'(Q - y) = 0 \iff Q = L_\beta[y]",
        "pgm_control.learners.losses.certainty_equivalent_loss.CertaintyEquivalentLoss",
        "CertaintyEquivalentLoss(τ, β)",
        "learners/losses/test_certainty_equivalent_loss.py::"
        "test_the_expected_gradient_vanishes_at_the_certainty_equivalent",
        "15_against_a_simulator",
        _loss_of_q,
    ),
    Row(
        5,
        "importance",
        r"\log \tfrac1n \sum_i \tfrac{\tilde p_i}{q_i} = \log p(O) \quad \text{if } q = p(\cdot \mid O)",
        "pgm_control.iwae_bound",
        "iwae_bound(model, guide, n)",
        "inference/sampling/test_log_weights.py::"
        "test_the_importance_weighted_bound_rises_from_the_elbo_to_the_evidence",
        "25_divergences",
        _bound_of_samples,
    ),
    Row(
        6,
        "trajectory-likelihood",
        r"\log p(\text{trajectory} \mid s_0, O) = \log\tilde p - \log p(s_0) - V_0(s_0)/\tau",
        "pgm_control.inverse_rl.FreeDemonstrator",
        "FreeDemonstrator().log_likelihood(…)",
        "inverse_rl/test_inverse.py::test_the_free_likelihood_of_all_trajectories_sums_to_one",
        "16_misreading_a_gambler",
        _likelihood,
    ),
    Row(
        6,
        "matching",
        r"\tau\,\nabla_r \log p = \text{observed counts} - \text{counts of the posterior}",
        "pgm_control.inverse_rl.FreeDemonstrator",
        "FreeDemonstrator().log_likelihood(…)",
        "inverse_rl/test_inverse.py::test_the_gradient_is_observed_minus_predicted_counts",
        "16_misreading_a_gambler",
        _matching,
    ),
    Row(
        6,
        "action-likelihood",
        r"\log p(\text{actions}) = \sum_t \log \rho + \tfrac1\tau (Q_t - V_t)",
        "pgm_control.inverse_rl.ClampedDemonstrator",
        "ClampedDemonstrator().log_likelihood(…)",
        "inverse_rl/test_inverse.py::test_the_likelihood_agrees_with_its_definition",
        "31_reading_a_drivers_mind",
        _clamped_likelihood,
    ),
    Row(
        6,
        "slope",
        r"\frac{\partial \log p(O)}{\partial r(s,a,k)} = \tfrac1\tau \sum_t p(s_t = s, a_t = a, k_t = k \mid O)",
        "pgm_control.soft_values",
        "soft_values(model, 1.0, reward=r)",
        "inference/exact/test_models_with_gradients.py::test_the_slope_of_the_log_evidence_is_that_of_the_enumerated_sum",
        "19_thin_ice",
        _slope,
    ),
)
