"""Chapters 1 and 2: the model, its messages, and the exact posterior."""

import numpy as np
import pyro
import torch

from equations.enumeration import (
    ACTIONS,
    OUTCOMES,
    STATES,
    STEPS,
    TAU,
    conditional,
    expect,
    kl,
    log_evidence,
    log_q,
    log_target,
    operator,
    posterior,
    random_event,
    tables,
    trajectories,
)
from equations.row import Row, model, numbers, problem
from pgm_control import TabularModel, infer
from pgm_control.models import risky_path_twin

TIMES = range(STEPS)


def _trace_of_the_program(constructor):
    path = trajectories()[100]
    program = constructor(problem(), TAU, tables().prior)
    values = {f"state_{t}": s for t, s in enumerate(path.states[:-1])}
    values |= {f"action_{t}": a for t, a in enumerate(path.actions)}
    values |= {f"outcome_{t}": k for t, k in enumerate(path.outcomes)}
    given = {name: torch.tensor(each) for name, each in values.items()}
    trace = pyro.poutine.trace(pyro.poutine.condition(program, given)).get_trace()
    return float(trace.log_prob_sum()), log_target(path)


def _evidence(function):
    return function(model(), 1.0).log_evidence, log_evidence()


def _messages(function):
    found = np.zeros((STEPS + 1, STATES))
    for path in trajectories():
        log_past = np.log(tables().initial[path.states[0]])
        found[0, path.states[0]] += np.exp(log_target(path) - log_past)
    rest = np.zeros((STEPS, STATES))
    w = tables()
    for t in (1, 2):  # sums over the trajectories of the steps that are left, from each state
        for s in range(STATES):
            rest[t, s] = _to_go(s, STEPS - t, w)
    found[1], found[2], found[3] = rest[1], rest[2], 1.0
    return numbers(function(model(), 1.0).v), TAU * np.log(found)


def _to_go(s, left, w):
    if left == 0:
        return 1.0
    return sum(
        w.prior[s, a] * w.p[s, a, k] * np.exp(w.r[s, a, k] / TAU) * _to_go(w.successor[s, a, k], left - 1, w)
        for a in range(ACTIONS)
        for k in range(OUTCOMES)
    )


def _forward_and_backward(function):
    found = function(model(), 1.0)
    left = numbers(found.forward + found.v / TAU).copy()
    right = np.array(
        [[conditional(lambda x, t=t, s=s: x.states[t] == s, lambda _: True) for s in range(STATES)] for t in range(4)]
    )
    with np.errstate(divide="ignore"):
        return np.exp(left - log_evidence()), right


def _posterior_policy(function):
    right = np.array(
        [
            [
                [
                    conditional(lambda x, t=t, a=a: x.actions[t] == a, lambda x, t=t, s=s: x.states[t] == s)
                    for a in range(ACTIONS)
                ]
                for s in range(STATES)
            ]
            for t in TIMES
        ]
    )
    return numbers(function(model(), 1.0).policy), right


def _believed_dynamics(function):
    right = np.array(
        [
            [
                [
                    [
                        conditional(
                            lambda x, t=t, k=k: x.outcomes[t] == k,
                            lambda x, t=t, s=s, a=a: (x.states[t], x.actions[t]) == (s, a),
                        )
                        for k in range(OUTCOMES)
                    ]
                    for a in range(ACTIONS)
                ]
                for s in range(STATES)
            ]
            for t in TIMES
        ]
    )
    return numbers(function(model(), 1.0).dynamics), right


def _soft_maximum(function):
    x, w = random_event()
    found = function(torch.tensor(x), torch.tensor(w).log(), TAU, 1.0)
    return float(found), TAU * np.log(np.exp(x / TAU) @ w)


def _jensen(function):
    x, w = random_event()
    tilted = function(torch.tensor(x), torch.tensor(w).log(), TAU, 1.0).exp().numpy()
    return operator(x, w, 1.0) - operator(x, w, 0.0), TAU * kl(w, tilted)


def _imagined_return(function):
    right = sum(posterior(path) * path.gain for path in trajectories())
    return function(model(), infer(model(), 1.0)).imagined_return, right


def _true_return(function):
    policy = numbers(infer(model(), 1.0).policy)
    return function(model(), infer(model(), 1.0)).true_return, expect(lambda path: path.gain, policy)


def _constant_weight(function):
    found = function(model(), infer(model(), 1.0), 64, 0)
    return numbers(found), np.full(64, log_evidence())


def _deterministic(function):
    twin = TabularModel(risky_path_twin(), TAU)
    return function(twin, 1.0).objective, function(twin, 0.0).objective


def _mode(function):
    best = max(trajectories(), key=log_target)
    found = function(model(), 1.0).mode()
    return found.log_probability, log_target(best) - log_evidence()


def _posterior_factors(function):
    found = function(model(), 1.0)
    q = [numbers(each) for each in (found.policy, found.dynamics, found.initial)]
    pairs = [(np.exp(log_q(path, *q)), posterior(path)) for path in trajectories()]
    return tuple(np.array(each) for each in zip(*pairs, strict=True))


EXACT = (
    Row(
        1,
        "target",
        r"\log\tilde p = \log p(s_0) + \sum_t \log\rho(a_t|s_t) + \log p(k_t|s_t,a_t) + \tfrac{r_t}{\tau}",
        "pgm_control.TabularModel",
        "TabularModel(mdp, τ, ρ)",
        "inference/sampling/test_log_weights.py::test_the_program_has_the_densities_of_the_tables",
        "27_a_program_by_hand",
        _trace_of_the_program,
    ),
    Row(
        1,
        "evidence",
        r"\log p(O) = \log \sum_{\text{trajectories}} \tilde p",
        "pgm_control.infer",
        "infer(model, 1.0).log_evidence",
        "inference/exact/test_posterior.py::test_it_agrees_with_the_enumeration_of_all_trajectories",
        "01_restaurant",
        _evidence,
    ),
    Row(
        1,
        "backward",
        r"\tfrac{V_t(s)}{\tau} = \log \mathbb E\bigl[e^{\sum_{u \ge t} r_u/\tau} \bigm| s_t = s\bigr]",
        "pgm_control.infer",
        "infer(model, 1.0).v",
        "inference/exact/test_infer.py::test_it_agrees_with_the_recursion_for_any_optimism_of_any_block",
        "14_a_thousand_temperatures",
        _messages,
    ),
    Row(
        1,
        "smoothing",
        r"p(s_t \mid O) = p(s_t, O_{<t})\, e^{V_t(s_t)/\tau} / p(O)",
        "pgm_control.infer",
        "infer(model, 1.0).forward",
        "inference/exact/test_posterior.py::test_forward_and_backward_messages_give_the_evidence_at_every_time",
        "21_a_sighting",
        _forward_and_backward,
    ),
    Row(
        1,
        "posterior-policy",
        r"p(a_t \mid s_t, O) = \rho(a_t|s_t)\, e^{(Q_t - V_t)/\tau}",
        "pgm_control.infer",
        "infer(model, 1.0).policy",
        "inference/exact/test_posterior.py::test_it_agrees_with_the_enumeration_of_all_trajectories",
        "22_what_is_asked_and_when",
        _posterior_policy,
    ),
    Row(
        1,
        "mode",
        r"\max \log p(\text{trajectory} \mid O)",
        "pgm_control.infer",
        "infer(model, 1.0).mode()",
        "inference/exact/test_posterior.py::test_the_mode_is_the_most_probable_trajectory",
        "03_cliff",
        _mode,
    ),
    Row(
        2,
        "posterior-factors",
        r"p(\text{trajectory} \mid O) = q(s_0) \prod_t \pi_t(a_t|s_t)\, q_t(k_t|s_t,a_t)",
        "pgm_control.infer",
        "infer(model, 1.0).blocks()",
        "inference/exact/test_posterior.py::test_samples_have_the_frequencies_of_the_posterior",
        "03_cliff",
        _posterior_factors,
    ),
    Row(
        2,
        "believed",
        r"p(k_t \mid s_t, a_t, O) \propto p(k_t|s_t,a_t)\, e^{(r_t + V_{t+1}(s'))/\tau}",
        "pgm_control.infer",
        "infer(model, 1.0).dynamics",
        "inference/exact/test_posterior.py::test_it_agrees_with_the_enumeration_of_all_trajectories",
        "02_lottery",
        _believed_dynamics,
    ),
    Row(
        2,
        "log-mean-exp",
        r"L_1[x] = \tau \log \mathbb E\, e^{x/\tau}",
        "pgm_control.chance.operators.certainty_equivalent",
        "certainty_equivalent(x, log_p, τ, 1.0)",
        "chance/test_operators.py::test_certainty_equivalent_and_tilt_equal_fifty_digits",
        "02_lottery",
        _soft_maximum,
    ),
    Row(
        2,
        "jensen",
        r"L_1[x] - \mathbb E\,x = \tau\,\mathrm{KL}(p \,\|\, q^*), \qquad q^* \propto p\, e^{x/\tau}",
        "pgm_control.chance.operators.tilt",
        "tilt(x, log_p, τ, 1.0)",
        "analysis/test_ledger.py::test_the_jensen_gap_is_the_gain_from_freeing_an_event",
        "07_the_ledger",
        _jensen,
    ),
    Row(
        2,
        "imagined-return",
        r"\text{imagined} = \mathbb E_q \sum_t r_t",
        "pgm_control.evaluate",
        "evaluate(model, guide).imagined_return",
        "analysis/test_evaluate.py::test_returns_equal_enumeration",
        "12_whose_dice",
        _imagined_return,
    ),
    Row(
        2,
        "true-return",
        r"\text{true} = \mathbb E_{p, \pi} \sum_t r_t",
        "pgm_control.evaluate",
        "evaluate(model, guide).true_return",
        "analysis/test_evaluate.py::test_a_policy_is_evaluated_under_the_true_dynamics",
        "12_whose_dice",
        _true_return,
    ),
    Row(
        2,
        "constant-weight",
        r"\log \tilde p - \log q = \log p(O) \quad \text{on every trajectory, if } q = p(\cdot \mid O)",
        "pgm_control.log_weights",
        "log_weights(model, guide)",
        "inference/exact/test_posterior.py::test_the_exact_free_guide_has_constant_log_weight",
        "25_divergences",
        _constant_weight,
    ),
    Row(
        2,
        "deterministic",
        r"\text{deterministic: } J_\beta^* = J_0^* \text{ for every } \beta",
        "pgm_control.infer",
        "infer(twin, β).objective",
        "inference/exact/test_infer.py::test_optimism_makes_no_difference_in_deterministic_problems",
        "05_deterministic_twins",
        _deterministic,
    ),
)
