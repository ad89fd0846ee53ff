"""Tests of the ledger: its entries equal those by enumeration, may be infinite but never nan, and are printed."""

import csv
import dataclasses
import json
import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from oracles import Solution, objective, paths, solve
from problems import gamble, random_mdp
from strategies import laws, mdp_of, model_of, optimisms, problem_of, problems

from pgm_control import (
    Blocks,
    ClampedGuide,
    FactoredMDP,
    FreeGuide,
    InvalidArgument,
    InvalidGuide,
    Ledger,
    Optimism,
    TabularMDP,
    TabularModel,
    evaluate,
    infer,
    ledger,
)
from pgm_control.models import frozen_lake, restaurant
from pgm_control.runtime.files import write_whole

ARRAYS = ("initial_by_state", "policy_by_state", "dynamics_by_pair", "survival_by_state")
EVERYTHING = (*ARRAYS, "delusion_by_step", "jensen", "policy_by_step", "dynamics_by_step", "survival_by_step")
seeds = st.integers(0, 2**32 - 1)


class Given:
    """A guide of numpy arrays."""

    def __init__(self, mdp, initial, policy, dynamics, survival=None):
        self.mdp = mdp
        self.initial, self.policy, self.dynamics, self.survival = initial, policy, dynamics, survival

    def blocks(self):
        tables = (self.initial, self.policy, self.dynamics, self.survival)
        return Blocks(self.mdp, *(None if table is None else torch.tensor(table).log() for table in tables))


def any_row(rng, support):
    """Random probabilities on a random part of the support of each row."""
    weight = rng.exponential(size=support.shape) ** 2 * support * (rng.random(support.shape) < 0.8)
    return np.where(weight.sum(-1, keepdims=True) > 0, weight, support) / np.where(
        weight.sum(-1, keepdims=True) > 0, weight.sum(-1, keepdims=True), support.sum(-1, keepdims=True)
    )


def any_guide(problem, seed, everywhere=False, frees_survival=True):
    """A random guide; its support is within the model's, or, with `everywhere`, may exceed it."""
    rng, steps = np.random.default_rng(seed), problem.horizon
    supports = [
        np.ones_like(table) if everywhere and rng.random() < 0.5 else (table > 0).astype(float)
        for table in (problem.initial, problem.prior, problem.probability)
    ]
    initial, policy, dynamics = supports
    alive = None
    if frees_survival and problem.discount < 1 and rng.random() < 0.7:
        alive = np.where(rng.random((steps, problem.ended)) < 0.2, 1.0, rng.random((steps, problem.ended)))
    return Given(
        mdp_of(problem),
        any_row(rng, initial),
        any_row(rng, np.broadcast_to(policy, (steps, *policy.shape))),
        any_row(rng, np.broadcast_to(dynamics, (steps, *dynamics.shape))),
        alive,
    )


def moves(problem, path):
    """Yield step, state, action, outcome, next state and whether the step is survived, until the end."""
    for t, (s, a, k) in enumerate(zip(path.states, path.actions, path.outcomes, strict=False)):
        if s != problem.ended:
            yield t, s, a, k, int(problem.successor[s, a, k]), path.states[t + 1] != problem.ended


def survival_of(problem, guide):
    return np.full((problem.horizon, problem.ended), problem.discount) if guide.survival is None else guide.survival


def believed(problem, guide, path):
    """The probability q of a trajectory under the guide."""
    q, alive = guide.initial[path.states[0]], survival_of(problem, guide)
    for t, s, a, k, n, survives in moves(problem, path):
        q *= guide.policy[t, s, a] * guide.dynamics[t, s, a, k] * (alive[t, n] if survives else 1 - alive[t, n])
    return float(q)


def account(problem, guide):
    """log p(O) − ELBO as Σ q log q/posterior over all trajectories, and its entries, from enumerated conditionals."""
    everything = [(path, path.log_weight(problem.temperature)) for path in paths(problem)]
    best = max(weight for _, weight in everything)
    entries = {
        "initial_by_state": np.zeros(problem.ended),
        "policy_by_state": np.zeros((problem.horizon, problem.ended)),
        "dynamics_by_pair": np.zeros((problem.horizon, *problem.prior.shape)),
        "survival_by_state": np.zeros((problem.horizon, problem.ended)),
    }
    if best == -math.inf:
        return 0.0, entries
    total = math.fsum(math.exp(weight - best) for _, weight in everything)
    weighed = [(path, math.exp(w - best) / total, believed(problem, guide, path)) for path, w in everything]
    if math.fsum(q for *_, q in weighed) < 1 - 1e-9 or any(q > 0 and share == 0 for _, share, q in weighed):
        return math.inf, None
    counts = {}
    for path, share, _ in weighed:
        for key in [("start", path.states[0])] + [
            key
            for t, s, a, k, n, survives in moves(problem, path)
            for key in ((t, s), (t, s, a), (t, s, a, k), (t, "to", n), (t, "to", n, survives))
        ]:
            counts[key] = counts.get(key, 0.0) + share
    alive, gap = survival_of(problem, guide), 0.0
    for path, share, q in weighed:
        if q == 0:
            continue
        gap += q * math.log(q / share)
        first = path.states[0]
        entries["initial_by_state"][first] += q * math.log(guide.initial[first] / counts["start", first])
        for t, s, a, k, n, survives in moves(problem, path):
            chosen = counts[t, s, a] / counts[t, s]
            drawn = counts[t, s, a, k] / counts[t, s, a]
            lived = counts[t, "to", n, survives] / counts[t, "to", n]
            probability = alive[t, n] if survives else 1 - alive[t, n]
            entries["policy_by_state"][t, s] += q * math.log(guide.policy[t, s, a] / chosen)
            entries["dynamics_by_pair"][t, s, a] += q * math.log(guide.dynamics[t, s, a, k] / drawn)
            entries["survival_by_state"][t, n] += q * math.log(probability / lived)
    return gap, entries


def assert_no_nan(found):
    for name in EVERYTHING:
        assert not getattr(found, name).isnan().any(), name
    assert not any(map(math.isnan, (*found.totals, found.gap, found.elbo, found.log_evidence)))
    assert "nan" not in str(found)


@laws
@given(problems(forbidden=False), seeds)
def test_the_entries_sum_to_the_gap(problem, seed):
    model, guide = model_of(problem), any_guide(problem, seed)
    found = ledger(model, guide)
    gap, entries = account(problem, guide)
    close = 1e-9 * max(1.0, abs(found.log_evidence), gap)
    assert found.gap == pytest.approx(gap, abs=close)
    assert found.log_evidence - found.elbo == pytest.approx(found.gap, abs=close)
    for name, total in zip(ARRAYS, found.totals, strict=True):
        np.testing.assert_allclose(getattr(found, name).numpy(), entries[name], rtol=0, atol=close)
        assert total >= -close
    assert found.policy_by_step.sum() == pytest.approx(found.totals.policy, abs=close)
    assert found.dynamics_by_step.sum() == pytest.approx(found.totals.dynamics, abs=close)
    assert found.survival_by_step.sum() == pytest.approx(found.totals.survival, abs=close)
    assert (found.survival_by_state == 0).all() or problem.discount < 1
    assert found.delusion_by_step.sum() == pytest.approx(evaluate(model, guide).delusion, abs=close)
    assert_no_nan(found)


@laws
@given(problems(), seeds)
def test_the_gap_is_infinite_if_the_guide_reaches_what_the_posterior_cannot(problem, seed):
    """This includes forbidden, masked and impossible events. If no trajectory is possible, the gap is 0."""
    model, guide = model_of(problem), any_guide(problem, seed, everywhere=True)
    found = ledger(model, guide)
    gap, entries = account(problem, guide)
    close = 1e-9 * max(1.0, abs(found.log_evidence)) if math.isfinite(found.log_evidence) else 0.0
    assert found.gap == pytest.approx(gap, abs=close)
    if entries is not None:
        for name in ARRAYS:
            np.testing.assert_allclose(getattr(found, name).numpy(), entries[name], rtol=0, atol=close)
    else:
        assert found.elbo == -math.inf
        assert any(total == math.inf for total in found.totals)
    assert_no_nan(found)
    json.dumps(found.to_dict(), allow_nan=False)


@laws
@given(problems(forbidden=False), optimisms, optimisms, optimisms, seeds)
def test_the_entries_of_other_objectives_sum_to_their_gap(problem, dynamics, initial, survival, seed):
    """The gap J* − J of a random guide equals that from the definitions; clamped blocks are the model's."""
    rough = any_guide(problem, seed)
    truth = np.broadcast_to(problem.probability, (problem.horizon, *problem.probability.shape))
    guide = Given(
        mdp_of(problem),
        problem.initial if initial == 0 else rough.initial,
        rough.policy,
        truth if dynamics == 0 else rough.dynamics,
        None if survival == 0 else rough.survival,
    )
    beta = Optimism(dynamics, initial, survival)
    found, tau = ledger(model_of(problem), guide, beta), problem.temperature
    solution = solve(problem, dynamics, initial, survival)
    unused = np.zeros(0)
    arrays = (guide.initial, guide.policy, guide.dynamics, survival_of(problem, guide))
    reached = objective(problem, Solution(unused, unused, 0.0, *arrays), dynamics, initial, survival) / tau
    charged = sum(float(getattr(found, name).abs().sum()) for name in ARRAYS)
    close = 1e-9 * max(1.0, abs(found.log_evidence), abs(reached), charged)
    assert found.log_evidence == pytest.approx(solution.value / tau, abs=close)
    assert found.elbo == pytest.approx(reached, abs=close)
    assert found.gap == pytest.approx(solution.value / tau - reached, abs=close)
    for block, total in ((initial, found.totals.initial), (dynamics, found.totals.dynamics)):
        assert total * block >= -close * abs(block), "the entry of an adversary is negative unless it is the worst"
        assert block != 0 or total == 0
    assert_no_nan(found)


@laws
@given(problems())
def test_the_exact_posterior_has_no_gap(problem):
    model = model_of(problem)
    found = ledger(model, infer(model, Optimism(1.0, 1.0, 1.0)))
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(found, name).numpy(), 0.0, atol=1e-11)
    assert found.headline.startswith("No gap")
    assert found.events == found.posterior_events
    assert_no_nan(found)


def test_the_optimal_free_guide_has_no_gap():
    model = TabularModel(random_mdp(seed=3), 0.7)
    guide = FreeGuide(model)
    assert ledger(model, guide).gap > 0.1
    guide.assign(infer(model, 1.0).blocks())
    assert ledger(model, guide).headline == "No gap: the guide is the exact posterior."


def test_clamped_survival_has_an_entry():
    """With r = −1 in every step the posterior infers an early end; the survival entry is the cost of clamping it."""
    model = TabularModel(TabularMDP([1.0], [[[1.0]]], [[[0]]], [[[-1.0]]], horizon=40, discount=0.9))
    found = ledger(model, infer(model, 1.0))
    assert found.gap == pytest.approx(found.totals.survival)
    assert found.gap == pytest.approx(sum(0.9**t for t in range(40)) - 2.90, abs=0.01)
    assert found.headline == f"All of the gap is survival: {found.gap:.3f} nats."
    assert "survival" in str(found)
    assert ledger(model, infer(model, 1.0), Optimism(1.0, 1.0, 0.0)).gap == pytest.approx(0.0, abs=1e-12)


def test_an_end_that_is_nearly_impossible_in_the_posterior_has_a_finite_entry():
    """Survival is 1 up to rounding: log(1 − survival) would be −inf, but the true entry is 0.1 · 100 nats."""
    model = TabularModel(TabularMDP([1.0], [[[1.0]]], [[[0]]], [[[0.0]]], 1, discount=0.9, final_reward=[100.0]))
    found = ledger(model, infer(model, 1.0))
    assert found.totals.survival == pytest.approx(10 + math.log(0.9), abs=1e-9)
    assert found.log_evidence - found.elbo == pytest.approx(found.gap, abs=1e-9)


def test_the_clamped_guide_on_the_restaurant_equals_a_calculation_by_hand():
    utilities, dynamics = (-10.0, 6.0, 8.0), ((0.2, 0.6, 0.2), (0.05, 0.9, 0.05))
    q = [sum(p * u for p, u in zip(row, utilities, strict=True)) for row in dynamics]
    chosen = [math.exp(each) / sum(map(math.exp, q)) for each in q]
    joint = [[0.5 * p * math.exp(u) for p, u in zip(row, utilities, strict=True)] for row in dynamics]
    evidence = sum(map(sum, joint))
    by_action = [sum(row) / evidence for row in joint]
    policy = sum(c * math.log(c / b) for c, b in zip(chosen, by_action, strict=True))
    by_event = [
        c * sum(p * math.log(p / (w / sum(row))) for p, w in zip(row_of, row, strict=True))
        for c, row_of, row in zip(chosen, dynamics, joint, strict=True)
    ]
    model = TabularModel(restaurant(), 1.0)
    found = ledger(model, infer(model, 0.0))
    assert (found.log_evidence, found.elbo) == (pytest.approx(math.log(evidence)), pytest.approx(4.722372, abs=1e-6))
    assert found.gap == pytest.approx(6.514996 - 4.722372, abs=2e-6)
    assert found.totals.initial == found.totals.survival == 0
    assert found.totals.policy == pytest.approx(policy)
    start = int(model.mdp.initial.argmax())
    assert found.dynamics_by_pair[0, start].tolist() == pytest.approx(by_event)
    assert found.dynamics_by_step.tolist() == pytest.approx([sum(by_event)])
    jensen = [math.log(2 * sum(row)) - each for row, each in zip(joint, q, strict=True)]
    assert found.jensen[0, start].tolist() == pytest.approx(jensen)
    assert found.events == ()
    assert found.posterior_events[0].raised.believed == pytest.approx(0.711, abs=5e-4)


def test_delusion_by_step_equals_that_by_enumeration():
    mdp = random_mdp(seed=5, discount=0.8).replace(final_reward=[1.0, -2.0, 0.5])
    problem = problem_of(mdp, 0.7)
    guide = any_guide(problem, 1)
    truth = np.broadcast_to(problem.probability, guide.dynamics.shape)
    true = Given(mdp, problem.initial, guide.policy, truth)
    expected = np.zeros(problem.horizon + 1)
    for path in paths(problem):
        weight = believed(problem, guide, path) - believed(problem, true, path)
        for t, s, a, k, *_ in moves(problem, path):
            expected[t] += weight * problem.reward[s, a, k]
        if path.states[-1] != problem.ended:
            expected[-1] += weight * problem.final_reward[path.states[-1]]
    found = ledger(TabularModel(mdp, 0.7), guide)
    np.testing.assert_allclose(found.delusion_by_step.numpy(), expected, atol=1e-12)
    assert abs(expected).max() > 0.1


@laws
@example(problem_of(random_mdp(seed=3, discount=0.9), 0.5))
@given(problems())
def test_the_jensen_gap_is_the_gain_from_freeing_an_event(problem):
    found, tau = ledger(model_of(problem), model_of(problem)).jensen, problem.temperature
    v = solve(problem, 1.0, 1.0, 1.0).v / tau
    assert (found >= 0).all()
    for t, s, a in np.ndindex(*found.shape):
        x, p = [], []
        for _, chance, n, r in problem.outcomes(s, a):
            x.append(r / tau + np.logaddexp(math.log(problem.discount) + v[t + 1, n], _log(1 - problem.discount)))
            p.append(chance)
        if max(x) == -math.inf or len(x) == 1:
            assert found[t, s, a] == 0
        else:
            top = max(x)
            soft = top + math.log(sum(w * math.exp(each - top) for w, each in zip(p, x, strict=True)))
            mean = sum(w * each for w, each in zip(p, x, strict=True))
            assert found[t, s, a] == pytest.approx(soft - mean, abs=1e-9 * max(1.0, abs(soft)))


def _log(p):
    return math.log(p) if p > 0 else -math.inf


@laws
@given(problems(deterministic=True, forbidden=False))
def test_deterministic_dynamics_have_no_jensen_gap(problem):
    found = ledger(model_of(problem), model_of(problem))
    assert (found.jensen == 0).all()
    assert found.totals.dynamics == pytest.approx(0.0, abs=1e-12)


def test_a_policy_is_scored_under_the_true_dynamics():
    model = TabularModel(random_mdp(seed=3, discount=0.9), 0.7)
    clamped = infer(model, 0.0)
    bare, whole = ledger(model, clamped.policy), ledger(model, clamped)
    assert bare.gap == pytest.approx(whole.gap)
    assert bare.totals == pytest.approx(whole.totals)
    assert bare.delusion_by_step.tolist() == pytest.approx([0.0] * 4)


@pytest.mark.parametrize("clamped", ["dynamics", "initial", "survival"])
def test_a_clamped_block_that_differs_from_the_model_has_an_infinite_entry(clamped):
    mdp = random_mdp(seed=3, discount=0.9)
    model = TabularModel(mdp, 0.7)
    beta = dataclasses.replace(Optimism(1.0, 1.0, 1.0), **{clamped: 0.0})
    guide = infer(model, Optimism(1.0, 1.0, 1.0))
    found = ledger(model, guide, beta)
    assert getattr(found.totals, clamped) == found.gap == math.inf
    assert found.elbo == -math.inf
    assert all(map(math.isfinite, found.totals._replace(**{clamped: 0.0})))
    word = {"initial": "start", "dynamics": "dynamics"}.get(clamped, clamped)
    headline = f"The gap is infinity: the guide's {word} can go where the optimum cannot, "
    assert found.headline == headline + "or differ from the model where β is 0."
    assert_no_nan(found)


def test_a_clamped_block_may_differ_by_rounding():
    model = TabularModel(random_mdp(seed=3), 0.7)
    clamped = infer(model, 0.0)
    again = clamped.distribution.log_dynamics.exp().div(3).log().log_softmax(-1)
    guide = Given(model.mdp, clamped.initial.numpy(), clamped.policy.numpy(), again.exp().numpy())
    assert ledger(model, guide, 0.0).gap == pytest.approx(0.0, abs=1e-12)
    assert ledger(model, ClampedGuide(model), 0.0).totals.dynamics == 0


def wind():
    """A problem with two factors, own motion and then wind, with 2 × 3 outcomes; both affect the return."""
    rng = np.random.default_rng(2)
    return FactoredMDP(
        rng.dirichlet(np.ones(3)),
        {"motion": rng.dirichlet(np.ones(2), (3, 2)), "wind": rng.dirichlet(np.ones(3), (3, 2, 2))},
        rng.integers(3, size=(3, 2, 2, 3)),
        rng.normal(size=(3, 2, 2, 3)),
        horizon=3,
    )


def test_each_factor_of_the_dynamics_has_its_own_price():
    """With one free factor the identity holds for guides whose other factor is the model's, and only for them."""
    parts = wind()
    model = TabularModel(parts.joint(), 0.6)
    rng = np.random.default_rng(7)
    motion = rng.dirichlet(np.ones(2), (3, 3, 2))
    gust = np.broadcast_to(parts.factors["wind"].numpy(), (3, 3, 2, 2, 3))
    policy = rng.dirichlet(np.ones(2), (3, 3))
    guide = Given(model.mdp, model.mdp.initial.numpy(), policy, (motion[..., None] * gust).reshape(3, 3, 2, 6))
    for price in (1.0, 0.4, -0.7):
        beta = Optimism(dynamics={"motion": price, "wind": 0.0}, initial=0.0)
        found = ledger(model, guide, beta)
        assert found.log_evidence == pytest.approx(infer(model, beta).objective)
        assert found.log_evidence - found.elbo == pytest.approx(found.gap, abs=1e-10)
        assert found.totals.dynamics * price > 0
        assert ledger(model, infer(model, beta), beta).gap == pytest.approx(0.0, abs=1e-10)
    other = Optimism(dynamics={"motion": 0.0, "wind": 1.0}, initial=0.0)
    assert ledger(model, guide, other).totals.dynamics == math.inf


def test_optimism_by_state():
    model = TabularModel(random_mdp(seed=3), 0.6)
    table = torch.tensor([[1.0], [0.0], [-0.5]], dtype=torch.float64)
    beta = Optimism(dynamics=table, initial=0.3)
    rough = any_guide(problem_of(model.mdp, 0.6), 4)
    dynamics = np.where(table.numpy()[..., None] == 0, model.mdp.probability.numpy(), rough.dynamics)
    found = ledger(model, Given(model.mdp, rough.initial, rough.policy, dynamics), beta)
    assert found.log_evidence - found.elbo == pytest.approx(found.gap, abs=1e-10)
    assert (found.dynamics_by_pair[:, 1] == 0).all()
    assert (found.dynamics_by_pair[:, 0] >= -1e-12).all()
    assert (found.dynamics_by_pair[:, 2] <= 1e-12).all()


def test_float32():
    model = TabularModel(random_mdp(seed=3).to(dtype=torch.float32), 0.7)
    found = ledger(model, infer(model, 0.0))
    assert found.log_evidence - found.elbo == pytest.approx(found.gap, abs=1e-5)
    assert ledger(model, infer(model, 1.0)).headline == "No gap: the guide is the exact posterior."


def test_entries_of_plus_and_minus_infinity_are_refused():
    """Both the policy and the adversarial dynamics reach what the optimum cannot."""
    mdp = TabularMDP([1.0], [[[0.5, 0.5], [1.0, 0.0]]], [[[0, 0], [0, 0]]], [[[0.0, -math.inf], [1.0, 0.0]]], horizon=1)
    lazy = Given(mdp, np.ones(1), np.full((1, 1, 2), 0.5), np.array([[[[1.0, 0.0], [1.0, 0.0]]]]))
    with pytest.raises(InvalidArgument, match=r"infinity minus infinity. Give the guide the optimum's blocks"):
        ledger(TabularModel(mdp), lazy, -1.0)


def test_no_possible_trajectory_means_no_gap():
    model = TabularModel(gamble().replace(reward=[[[-math.inf, -math.inf], [-math.inf, -math.inf]]]))
    found = ledger(model, infer(model, 0.0))
    assert (found.gap, found.elbo, found.log_evidence) == (0.0, -math.inf, -math.inf)
    assert found.headline == "No gap: nothing is possible here, so that every guide is as good as any other."
    assert_no_nan(found)


def with_totals(initial, policy, dynamics):
    """A ledger with the given entries."""
    model = TabularModel(gamble())
    tables = (torch.tensor(each, dtype=torch.float64) for each in ([initial], [[policy]], [[[dynamics, 0.0]]]))
    return dataclasses.replace(ledger(model, model), **dict(zip(ARRAYS, tables, strict=False)))


@pytest.mark.parametrize(
    ("totals", "sentence"),
    [
        ((0.0, 0.034, 0.382), "Almost all of the gap is the dynamics: 0.382 of 0.416 nats."),
        ((0.1, 0.0, 0.9), "Almost all of the gap is the dynamics: 0.9 of 1 nats."),
        ((0.0, 0.6, 0.4), "Most of the gap is the policy: 0.6 of 1 nats."),
        ((0.5, 0.3, 0.2), "The largest part of the gap is the start: 0.5 of 1 nats."),
        ((0.0, 0.0, 0.25), "All of the gap is the dynamics: 0.25 nats."),
        ((0.0, 0.25, -0.5), "The largest entry is the dynamics: -0.5 nats, in a gap of -0.25."),
        ((0.0, math.inf, 0.5), "The gap is infinity: the guide's policy can go where the posterior cannot."),
        ((1e-14, -1e-15, 0.0), "No gap: the guide is the exact posterior."),
    ],
)
def test_the_headline(totals, sentence):
    found = with_totals(*totals)
    assert found.headline == sentence
    assert str(found).splitlines()[0] == sentence
    assert "e-1" not in str(found), "rounding is not shown"


def test_entries_of_both_signs_have_no_shares():
    assert "%" in str(with_totals(0.0, 0.25, 0.5))
    assert "%" not in str(with_totals(0.0, 0.25, -0.5))


def test_the_text_has_a_headline_tables_and_notes():
    model = TabularModel(frozen_lake(horizon=12), 0.1)
    text = str(ledger(model, infer(model, 0.0)))
    assert text.startswith("Almost all of the gap is the dynamics: ")
    table = text.split("\n\n")[1].splitlines()
    assert [line.split()[0] for line in table if "─" not in line] == ["block", "start", "policy", "dynamics", "gap"]
    assert len({len(line) for line in table}) == 1, "columns line up"
    assert table[-1].split()[-2:] == ["100.0", "%"]
    assert "log p(O) = " in text
    assert "Largest entries, summed over the steps:" in text
    assert "dynamics  (1, 0)  down" in text, "states and actions by name"
    assert "Largest steps, in nats: step " in text
    assert "The guide has the true dynamics. Random events that the exact posterior believes it controls:" in text
    believer = str(ledger(model, infer(model, 1.0)))
    assert "Random events that the guide believes it controls:" in believer
    assert "Delusion (imagined − true return): " in believer
    assert repr(ledger(model, infer(model, 0.0))).startswith("Ledger(gap ")


def test_the_html_escapes_names():
    mdp = gamble().replace(action_names=("work", "<gamble>"))
    page = ledger(TabularModel(mdp), infer(TabularModel(mdp), 0.0))._repr_html_()
    assert "&lt;gamble&gt;</td>" in page, "in the table"
    assert "&lt;gamble&gt; in " in page, "in the notes"
    assert "<gamble>" not in page
    assert page.count("<table>") == 2


def test_impossible_outcomes_are_shown_as_such():
    """The guide gives mass to an outcome of probability 0."""
    model = TabularModel(gamble())
    guide = Given(model.mdp, np.ones(1), np.array([[[0.9, 0.1]]]), np.array([[[[0.5, 0.5], [1.0, 0.0]]]]))
    found = ledger(model, guide)
    assert found.totals.dynamics == math.inf
    assert found.events[0].action == 0
    assert "truly impossible, believed 0.5; infinity nats" in str(found)


def infinite_ledger():
    model = TabularModel(gamble(horizon=2))
    guide = Given(model.mdp, np.ones(1), np.full((2, 1, 2), 0.5), np.full((2, 1, 2, 2), 0.5))
    return ledger(model, guide)


def test_json_preserves_all_entries(tmp_path):
    model = TabularModel(random_mdp(seed=3, discount=0.9), 0.7)
    for found in (ledger(model, infer(model, 0.0)), infinite_ledger()):
        found.save(tmp_path / "ledger.json")
        read = json.loads((tmp_path / "ledger.json").read_text())
        assert read == found.to_dict()
        for name in EVERYTHING:
            again = np.vectorize(float)(np.asarray(read[name], dtype=object))
            np.testing.assert_array_equal(again, getattr(found, name).numpy())
        assert [float(each) for each in read["totals"].values()] == list(found.totals)
    assert read["gap"] == "inf"
    assert read["elbo"] == "-inf"
    assert read["action_names"] == ["work", "gamble"]
    assert read["events"][0]["tilt"] == "inf"


def test_csv_has_one_row_per_nonzero_entry(tmp_path):
    mdp = random_mdp(seed=3, discount=0.9).replace(state_names=["a, or b", "c", "d"])
    found = ledger(TabularModel(mdp, 0.7), infer(TabularModel(mdp, 0.7), 0.0))
    found.save(tmp_path / "deep" / "ledger.CSV")
    with open(tmp_path / "deep" / "ledger.CSV", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", "state", "action", "block", "nats"]
    again = {name: torch.zeros_like(getattr(found, name)) for name in ARRAYS}
    place = dict(zip(("initial", "policy", "dynamics", "survival"), ARRAYS, strict=True))
    for row in rows:
        where = (int(row["step"]), mdp.state_names.index(row["state"]))
        where = where[1:] if row["block"] == "initial" else where
        where = (*where, int(row["action"])) if row["block"] == "dynamics" else where
        assert (row["action"] == "") == (row["block"] != "dynamics")
        again[place[row["block"]]][where] = float(row["nats"])
    assert all(torch.equal(again[name], getattr(found, name)) for name in ARRAYS)
    assert sum(float(row["nats"]) for row in rows) == pytest.approx(found.gap)


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    found = infinite_ledger()
    with pytest.raises(InvalidArgument, match=r"`path` must end in .json or .csv, but is 'ledger.txt'. Take .json"):
        found.save("ledger.txt")
    path = tmp_path / "ledger.json"
    write_whole(path, b"before")

    def crash(*_):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", crash)
    with pytest.raises(OSError, match="no space left"):
        found.save(path)
    assert path.read_bytes() == b"before"
    assert [each.name for each in tmp_path.iterdir()] == ["ledger.json"]


def test_invalid_arguments_are_refused():
    model = TabularModel(gamble())
    with pytest.raises(InvalidArgument, match="`model` must have a positive temperature"):
        ledger(TabularModel(gamble(), 0.0), model)
    with pytest.raises(InvalidGuide, match=r"`log_policy` of the guide must have shape .* Build the guide from"):
        ledger(model, TabularModel(gamble(horizon=2)))
    with pytest.raises(InvalidArgument, match="`optimism` of dynamics must be a number, or name every factor"):
        ledger(model, model, Optimism(dynamics={"wind": 1.0}))


def test_the_ledger_has_no_gradients_and_raises_no_warnings():
    model = TabularModel(random_mdp(seed=3), 0.7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = ledger(model, FreeGuide(model))
    assert isinstance(found, Ledger)
    assert not any(getattr(found, name).requires_grad for name in EVERYTHING)
