"""Chapters 3 and 4: the ELBO, clamping, the dial, the ledger, de-biasing and risk."""

import numpy as np

from equations.enumeration import (
    ACTIONS,
    OUTCOMES,
    STATES,
    STEPS,
    TAU,
    dynamics_of,
    expect,
    kl,
    log_evidence,
    log_q,
    log_target,
    operator,
    policy_of,
    recursion,
    start_of,
    tables,
    trajectories,
)
from equations.row import Row, guide, model, numbers, random_policy
from pgm_control import Optimism, Risk, infer

BETA = 0.4


def _elbo(function):
    policy = random_policy()
    right = expect(lambda path: log_target(path) - log_q(path, policy), policy)
    return function(model(), guide(policy)).elbo, right


def _evidence_minus_kl(function):
    policy = random_policy()
    divergence = expect(lambda path: log_q(path, policy) - (log_target(path) - log_evidence()), policy)
    return function(model(), guide(policy), 1.0), log_evidence() - divergence


def _max_ent(function):
    policy, w = random_policy(), tables()

    def worth(path):
        pairs = enumerate(zip(path.states[:-1], path.actions, strict=True))
        return path.gain + TAU * sum(np.log(w.prior[s, a]) - np.log(policy[t, s, a]) for t, (s, a) in pairs)

    return TAU * function(model(), guide(policy)).elbo, expect(worth, policy)


def _soft_bellman(function):
    found = function(model(), 0.0)
    v, q = recursion(0.0)
    return np.concatenate([numbers(found.v).ravel(), numbers(found.q).ravel()]), np.concatenate([v.ravel(), q.ravel()])


def _clamped_optimum(function):
    policy = policy_of(*recursion(0.0))
    right = expect(lambda path: log_target(path) - log_q(path, policy), policy)
    return function(model(), 0.0).objective, right


def _advantage(function):
    found = function(model(), 0.0)
    right = TAU * np.log(numbers(found.policy) / tables().prior)
    return numbers(found.advantage), right


def _normalised_advantage(function):
    found = function(model(), 0.0)
    left = (tables().prior * np.exp(numbers(found.advantage) / TAU)).sum(-1)
    return left, np.ones((STEPS, STATES))


def _dial(function):
    v, _ = recursion(BETA)
    return numbers(function(model(), BETA).v), v


def _objective(function):
    v, q = recursion(BETA)
    policy, dynamics, start = policy_of(v, q), dynamics_of(v, BETA), start_of(v, BETA)
    w = tables()

    def worth(path):
        total = path.gain / TAU - np.log(start[path.states[0]] / w.initial[path.states[0]]) / BETA
        for t, (s, a, k) in enumerate(zip(path.states[:-1], path.actions, path.outcomes, strict=True)):
            total -= np.log(policy[t, s, a] / w.prior[s, a]) + np.log(dynamics[t, s, a, k] / w.p[s, a, k]) / BETA
        return total

    return function(model(), infer(model(), BETA), BETA), expect(worth, policy, dynamics, start)


def _optimum(function):
    v, _ = recursion(BETA)
    return function(model(), BETA).objective, operator(v[0], tables().initial, BETA) / TAU


def _believed(function):
    v, _ = recursion(BETA)
    return numbers(function(model(), BETA).dynamics), dynamics_of(v, BETA)


def _ledger(function):
    policy = random_policy()
    account = function(model(), guide(policy))
    v, q = recursion(1.0)
    best, believed = policy_of(v, q), dynamics_of(v, 1.0)
    visits = np.zeros((STEPS, STATES))
    for path in trajectories():
        for t in range(STEPS):
            visits[t, path.states[t]] += np.exp(log_q(path, policy))
    by_policy = (visits * kl(policy, best)).sum()
    by_dynamics = (visits[..., None] * policy * kl(np.broadcast_to(tables().p, believed.shape), believed)).sum()
    by_start = kl(tables().initial, start_of(v, 1.0))
    gap = log_evidence() - expect(lambda path: log_target(path) - log_q(path, policy), policy)
    right = np.array([by_start, by_policy, by_dynamics, gap])
    return np.array([account.totals.initial, account.totals.policy, account.totals.dynamics, account.gap]), right


def _renyi(function):
    v, q = recursion(BETA)
    return function(model(), guide(policy_of(v, q)), 1 - BETA), operator(v[0], tables().initial, BETA) / TAU


def _debias(function):
    found = function(model())
    folded = found.folded(infer(found.model, 1.0))
    v, q = recursion(0.0)
    right = [policy_of(v, q), np.broadcast_to(tables().p, (STEPS, STATES, ACTIONS, OUTCOMES))]
    left = [numbers(folded.policy), numbers(folded.dynamics)]
    return np.concatenate([each.ravel() for each in left]), np.concatenate([each.ravel() for each in right])


def _risk(function):
    v, _ = recursion(0.0, hard=True, theta=-0.8)
    return numbers(function(model(temperature=0.0), Risk(-0.8)).v), v


def _discount(function):
    v, _ = recursion(0.0, survival=0.8)
    return numbers(function(model(discount=0.8), 0.0).v), v


def _freed_survival(function):
    v, _ = recursion(0.0, survival=0.8, free_survival=True)
    return numbers(function(model(discount=0.8), Optimism(0.0, 0.0, survival=1.0)).v), v


def _conditioned(function):
    weight = {path: np.exp(path.log_prior) for path in trajectories()}
    target = float(np.quantile([path.gain for path in weight], 0.8))
    good = {path: each for path, each in weight.items() if path.gain >= target}
    imagined = sum(each * path.gain for path, each in good.items()) / sum(good.values())
    return function(model(), target).imagined_return, imagined


VARIATIONAL = (
    Row(
        3,
        "elbo",
        r"\mathrm{ELBO}(q) = \mathbb E_q[\log\tilde p - \log q]",
        "pgm_control.evaluate",
        "evaluate(model, guide).elbo",
        "inference/variational/test_elbo.py::test_exact_optima_attain_their_objectives",
        "11_your_own_guide",
        _elbo,
    ),
    Row(
        3,
        "evidence-minus-kl",
        r"\mathrm{ELBO}(q) = \log p(O) - \mathrm{KL}(q \,\|\, p(\cdot \mid O))",
        "pgm_control.objective",
        "objective(model, guide, 1.0)",
        "inference/variational/test_elbo.py::test_no_guide_beats_its_own_optimum_nor_the_evidence",
        "25_divergences",
        _evidence_minus_kl,
    ),
    Row(
        3,
        "max-ent",
        r"\tau\,\mathrm{ELBO}(\pi) = \mathbb E_{p,\pi}\bigl[\sum_t r_t - \tau \log\tfrac{\pi_t}{\rho}\bigr]",
        "pgm_control.evaluate",
        "evaluate(model, clamped_guide).elbo",
        "analysis/test_evaluate.py::test_max_ent_identity",
        "15_against_a_simulator",
        _max_ent,
    ),
    Row(
        3,
        "soft-bellman",
        r"Q_t = \mathbb E[r + V_{t+1}(s')], \quad V_t = \tau \log \sum_a \rho\, e^{Q_t/\tau}",
        "pgm_control.soft_values",
        "soft_values(model, 0.0)",
        "inference/exact/test_soft_values.py::test_the_values_equal_those_of_infer",
        "14_a_thousand_temperatures",
        _soft_bellman,
    ),
    Row(
        3,
        "clamped-optimum",
        r"\max_\pi \mathrm{ELBO}(\pi) = \mathbb E_{p(s_0)} V_0 / \tau",
        "pgm_control.infer",
        "infer(model, 0.0).objective",
        "inference/exact/test_infer.py::test_its_value_is_the_objective_and_no_guide_has_a_better_one",
        "01_restaurant",
        _clamped_optimum,
    ),
    Row(
        3,
        "advantage",
        r"Q_t - V_t = \tau \log \tfrac{\pi_t}{\rho}",
        "pgm_control.infer",
        "infer(model, 0.0).advantage",
        "inference/exact/test_evidence.py::test_forward_messages_and_advantages_are_those_of_the_conditioned_model",
        "22_what_is_asked_and_when",
        _advantage,
    ),
    Row(
        3,
        "normalised-advantage",
        r"\mathbb E_{a \sim \rho}\, e^{(Q_t - V_t)/\tau} = 1",
        "pgm_control.infer",
        "infer(model, 0.0).advantage",
        "inference/variational/test_natural_gradient.py::test_the_change_of_the_policys_logits_is_the_advantage",
        "22_what_is_asked_and_when",
        _normalised_advantage,
    ),
    Row(
        4,
        "dial",
        r"Q_t = L_\beta[r + V_{t+1}(s')], \quad L_\beta[x] = \tfrac\tau\beta \log \mathbb E\, e^{\beta x/\tau}",
        "pgm_control.infer",
        "infer(model, β).v",
        "inference/exact/test_infer.py::test_it_agrees_with_the_recursion_for_any_optimism_of_any_block",
        "06_the_dial",
        _dial,
    ),
    Row(
        4,
        "objective",
        r"J_\beta(q) = \mathbb E_q\bigl[\sum_t \tfrac{r_t}\tau - \log\tfrac{\pi_t}\rho"
        r" - \tfrac1\beta \log\tfrac{q_t(k)}{p(k)}\bigr] - \tfrac1\beta \mathrm{KL}(q(s_0) \| p(s_0))",
        "pgm_control.objective",
        "objective(model, guide, β)",
        "guides/test_dial.py::test_the_objective_equals_its_definition",
        "06_the_dial",
        _objective,
    ),
    Row(
        4,
        "optimum",
        r"\max_q J_\beta = L_\beta[V_0] / \tau \quad \text{over } p(s_0)",
        "pgm_control.infer",
        "infer(model, β).objective",
        "guides/test_dial.py::test_the_objective_rises_with_optimism",
        "06_the_dial",
        _optimum,
    ),
    Row(
        4,
        "tilt",
        r"q_t(k|s,a) \propto p(k|s,a)\, e^{\beta (r + V_{t+1}(s'))/\tau}",
        "pgm_control.infer",
        "infer(model, β).dynamics",
        "inference/exact/test_infer.py::test_values_increase_with_optimism",
        "06_the_dial",
        _believed,
    ),
    Row(
        4,
        "ledger",
        r"\log p(O) - \mathrm{ELBO} = \mathrm{KL}(s_0) + \sum_t \mathbb E_q \mathrm{KL}(\pi_t \| \pi^*_t)"
        r" + \sum_t \mathbb E_q \mathrm{KL}(q_t \| q^*_t)",
        "pgm_control.ledger",
        "ledger(model, guide)",
        "analysis/test_ledger.py::test_the_entries_sum_to_the_gap",
        "07_the_ledger",
        _ledger,
    ),
    Row(
        4,
        "renyi",
        r"\max_\pi \tfrac1\beta \log \mathbb E_{p,\pi}\bigl(\tfrac{\tilde p}{q}\bigr)^{\beta} = \max_q J_\beta(q)",
        "pgm_control.renyi_bound",
        "renyi_bound(model, guide, 1 − β)",
        "guides/test_dial.py::test_two_ways_of_svi_agree_with_the_exact_answer",
        "06_the_dial",
        _renyi,
    ),
    Row(
        4,
        "debias",
        r"\text{free posterior of the modified model} = p(s_0) \prod_t \pi^{\beta=0}_t\, p(k_t|s_t,a_t)",
        "pgm_control.debias",
        "debias(model)",
        "queries/test_debias.py::test_the_free_posterior_is_the_clamped_solution",
        "08_debiasing",
        _debias,
    ),
    Row(
        4,
        "risk",
        r"V_t = \max_a \tfrac1\theta \log \mathbb E\, e^{\theta (r + V_{t+1}(s'))}",
        "pgm_control.infer",
        "infer(TabularModel(mdp, 0.0), Risk(θ)).v",
        "chance/test_risk.py::test_the_value_is_that_of_the_best_policy_over_enumerated_trajectories",
        "18_a_budget_of_hope",
        _risk,
    ),
    Row(
        4,
        "discount",
        r"Q_t = \mathbb E[r + \gamma V_{t+1}(s')], \quad \gamma = P(\text{survive a step})",
        "pgm_control.infer",
        "infer(discounted, 0.0).v",
        "inference/exact/test_infer.py::test_free_survival_ends_early_and_clamped_survival_does_not",
        "09_discount_is_survival",
        _discount,
    ),
    Row(
        4,
        "freed-survival",
        r"\gamma V \;\to\; \tau \log(\gamma\, e^{V/\tau} + 1 - \gamma)",
        "pgm_control.infer",
        "infer(discounted, Optimism(0, 0, survival=1)).v",
        "inference/exact/test_infer.py::test_free_survival_ends_early_and_clamped_survival_does_not",
        "09_discount_is_survival",
        _freed_survival,
    ),
    Row(
        6,
        "wanting",
        r"\mathbb E[G \mid G \ge g] \quad \text{under the action prior}",
        "pgm_control.condition_on_return",
        "condition_on_return(model, g).imagined_return",
        "queries/test_return_conditioned.py::test_all_numbers_agree_with_the_list_of_episodes",
        "10_wanting_a_return",
        _conditioned,
    ),
)
