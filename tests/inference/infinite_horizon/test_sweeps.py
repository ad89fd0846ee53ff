"""Compiled and torch sweeps agree for every form of the dynamics and any number of threads."""

import importlib.util

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles_infinite import bellman as by_definition
from problems import endless, random_mdp, thinned
from strategies import laws, mdp_of, optimisms, problems

from pgm_control import TabularMDP, value_iteration
from pgm_control.inference.infinite_horizon.methods import Anderson
from pgm_control.inference.infinite_horizon.operators import bellman as bellman_module
from pgm_control.inference.infinite_horizon.operators.certificate import span_certificate, sup_norm_certificate
from pgm_control.inference.infinite_horizon.operators.share import Change, best_form
from pgm_control.inference.infinite_horizon.problem import InfiniteHorizonProblem

needs_numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="needs the extra `fast`")
FORMS = ("padded", "rows", "dense")


def swept(problem, v, threads=1, form=None, patch=None, where="auto", **options):
    """T v, Q, the change, and v after a sweep in place, on the backend `where`."""
    with pytest.MonkeyPatch.context() as context:
        context.setenv("PGM_CONTROL_BACKEND", where)
        for name, value in (patch or {}).items():
            context.setattr(bellman_module, name, value)
        with problem.bellman(threads, form) as bellman:
            out, q, v = torch.empty_like(v), v.new_empty(problem.num_states, problem.num_actions), v.clone()
            if bellman.tables.dead is not None:
                v[bellman.tables.dead] = 0.0
            choice = torch.empty(len(v), dtype=torch.int32) if problem.temperature == 0 else None
            policy = q.clone() if choice is None else None
            change = bellman.sweep(v, out, q=q, choice=choice, policy=policy, **options)
            found = {"out": out, "q": q, "change": torch.tensor(change[:2])}
            chain = bellman.linear_part(v, policy if choice is None else choice)
            found["relaxed"] = bellman.relax(chain, out - v, torch.empty_like(v), 3)
            found |= {"policy": policy} if choice is None else {"choice": choice}
            if not options:
                for backwards in (False, True):
                    bellman.sweep_in_place(v, backwards)
                    found[f"in place {backwards}"] = v.clone()
            return found


def same(one, other, tolerance=1e-12):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(
            one[name], other[name], rtol=tolerance, atol=20 * tolerance, msg=lambda m, n=name: n + m
        )


def garnet(states, actions=3, outcomes=4, seed=0, padding=0.0):
    rng = np.random.default_rng(seed)
    shape = (states, actions, outcomes)
    p = rng.dirichlet(np.ones(outcomes), shape[:2])
    p[..., 1:] *= rng.random((*shape[:2], outcomes - 1)) >= padding
    p /= p.sum(-1, keepdims=True)
    return TabularMDP(np.eye(states)[0], p, rng.integers(states, size=shape), rng.normal(size=shape), 1, 0.9)


@laws
@given(problems(), optimisms, st.lists(st.floats(-9, 9), min_size=3, max_size=3), st.booleans())
def test_sweeps_agree_with_the_definition(problem, beta, v, hard):
    """Only for problems without dead ends, since these are stored as 0."""
    beta, temperature = (0.0, 0.0) if hard else (beta, problem.temperature)
    posed = InfiniteHorizonProblem.of(endless(mdp_of(problem), temperature, 0.9, problem.prior), beta)
    v = torch.tensor(v[: posed.num_states], dtype=torch.float64)
    tables = (problem.probability, problem.successor, problem.reward, problem.prior)
    with posed.bellman(1) as bellman:
        if bellman.tables.dead is not None:
            return
    q, out = by_definition(*tables, temperature, beta, 0.9, v.numpy().astype(np.longdouble))
    for where in ("auto", "torch"):
        found = swept(posed, v, where=where)
        np.testing.assert_allclose(found["out"], out.astype(float), rtol=1e-12, atol=1e-12)
        allowed = problem.prior > 0
        lost = ~np.isfinite(found["q"].numpy())[allowed] & np.isfinite(q.astype(float))[allowed]
        assert not (lost & (beta >= 0)).any()
        np.testing.assert_allclose(found["q"].numpy()[allowed], q.astype(float)[allowed], rtol=1e-12, atol=1e-12)
        if not hard and not lost.any():
            taken = np.where(allowed, q, -np.inf)
            weight = problem.prior * np.exp((taken - taken.max(-1, keepdims=True)) / temperature)
            expected = (weight / weight.sum(-1, keepdims=True)).astype(float)
            np.testing.assert_allclose(found["policy"].numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("temperature", "beta"), [(0.0, 0.0), (0.4, 0.0), (0.4, 1.0), (0.4, -0.7)])
@pytest.mark.parametrize("where", ["auto", "torch"])
def test_the_linear_part_is_the_derivative(temperature, beta, where, monkeypatch):
    """Compared with differences of the definition; the prior masks actions, and some outcomes are impossible."""
    monkeypatch.setenv("PGM_CONTROL_BACKEND", where)
    mdp, rng = garnet(40, padding=0.4), np.random.default_rng(2)
    prior = rng.dirichlet(np.ones(3), 40)
    prior[::3, 1] = 0
    prior /= prior.sum(-1, keepdims=True)
    v, d = rng.normal(size=40), rng.normal(size=40)
    tables = (mdp.probability.numpy(), mdp.successor.numpy(), mdp.reward.numpy(), prior, temperature, beta, 0.9)
    above, below = (by_definition(*tables, (v + sign * 1e-6 * d).astype(np.longdouble))[1] for sign in (1, -1))
    problem = InfiniteHorizonProblem.of(endless(mdp, temperature, 0.9, prior), beta)
    for form in FORMS if beta == 0 else FORMS[:2]:
        with problem.bellman(1, form) as bellman:
            value, step = torch.from_numpy(v), torch.from_numpy(d)
            q, choice = torch.empty(40, 3, dtype=torch.float64), torch.empty(40, dtype=torch.int32)
            hard = {"choice": choice} if temperature == 0 else {"policy": q}
            bellman.sweep(value, torch.empty_like(value), **hard)
            chain = bellman.linear_part(value, *hard.values())
            relaxed = bellman.relax(chain, step, torch.empty_like(step), 1) - step
        np.testing.assert_allclose(relaxed, ((above - below) / 2e-6).astype(float), atol=1e-8)


@needs_numba
@laws
@given(problems(), optimisms, st.lists(st.floats(-9, 9), min_size=3, max_size=3), st.booleans())
def test_compiled_equals_torch_in_every_form(problem, beta, v, hard):
    beta, temperature = (0.0, 0.0) if hard else (beta, problem.temperature)
    posed = InfiniteHorizonProblem.of(endless(mdp_of(problem), temperature, 0.9, problem.prior), beta)
    v = torch.tensor(v[: posed.num_states], dtype=torch.float64)
    reference = swept(posed, v, form="padded", where="torch")
    for form in FORMS if beta == 0 else FORMS[:2]:
        for where in ("auto", "torch"):
            found = swept(posed, v, form=form, where=where)
            if hard:  # ties may be resolved differently
                for each in (reference, found):
                    each.pop("choice", None)
                    each.pop("relaxed", None)
            same(found, reference)


@pytest.mark.parametrize(
    ("setting", "where"), thinned([(0.0, 0.0), (0.3, 0.0), (0.3, 1.0), (0.3, -1.0)], ["auto", "torch"]), ids=str
)
def test_blocks_threads_and_unrolled_loops_change_nothing(setting, where):
    temperature, beta = setting
    """600 states are several blocks, of which the last is incomplete."""
    mdp = garnet(600, padding=0.4)
    prior = np.random.default_rng(1).dirichlet(np.ones(3), 600)
    prior[::3, 1] = 0
    prior /= prior.sum(-1, keepdims=True)
    v = torch.randn(600, dtype=torch.float64)
    for action_prior in (None, prior):
        posed = InfiniteHorizonProblem.of(endless(mdp, temperature, 0.9, action_prior), beta)
        reference = swept(posed, v, where="torch")
        for patch in ({}, {"_UNROLLED": 1, "_ALONE": 1}):
            for form in FORMS[:2]:
                same(swept(posed, v, threads=3, patch=patch, form=form, where=where), reference)


@needs_numba
def test_the_result_does_not_depend_on_the_number_of_threads(monkeypatch):
    monkeypatch.setattr(bellman_module, "_ALONE", 1)
    for temperature in (0.0, 0.3):
        one, two, five = (value_iteration(endless(garnet(2000), temperature), 0.0, num_threads=n) for n in (1, 2, 5))
        assert torch.equal(one.v, two.v)
        assert torch.equal(one.v, five.v)
        assert one.error_bound == five.error_bound


@pytest.mark.parametrize("form", FORMS)
def test_float32_tables_in_every_form(form):
    mdp = garnet(50).to(dtype=torch.float32)
    posed = InfiniteHorizonProblem.of(endless(mdp, 0.3, 0.9), 0.0)
    v = torch.randn(50, dtype=torch.float64)
    same(swept(posed, v, form=form), swept(posed, v, form="padded", where="torch"))


def test_the_form_follows_the_rule():
    def chosen(mdp, optimism=0.0, compiled=True):
        return best_form(mdp, optimism, compiled, int((mdp.probability > 0).sum()))

    assert chosen(garnet(200)) == "padded"
    assert chosen(garnet(200, padding=0.9)) == "rows"
    assert chosen(garnet(40, outcomes=20)) == "dense"
    assert chosen(garnet(40, outcomes=20), optimism=1.0) == "padded"
    assert chosen(garnet(100, outcomes=20)) == "padded"
    assert chosen(garnet(100, outcomes=20), compiled=False) == "dense"


def test_a_dense_matrix_is_shared_and_not_copied():
    rng = np.random.default_rng(0)
    mdp = TabularMDP.from_dense(np.eye(40)[0], rng.dirichlet(np.ones(40), (40, 2)), rng.normal(size=(40, 2)), 1, 0.9)
    with InfiniteHorizonProblem.of(endless(mdp), 0.0).bellman(1) as bellman:
        assert bellman.tables.form == "dense"
        assert bellman.tables.probability.data_ptr() == mdp.probability.data_ptr()


def test_tables_are_shared_and_not_copied():
    mdp = garnet(100)
    mdp = mdp.replace(successor=mdp.successor.to(torch.int32))
    with InfiniteHorizonProblem.of(endless(mdp, 0.5), 1.0).bellman(1) as bellman:
        for name in ("probability", "successor", "reward"):
            assert getattr(bellman.tables, name).data_ptr() == getattr(mdp, name).data_ptr()


def test_extreme_values_are_exact_row_by_row():
    """A state whose successors are all far below the others is exact, since no common maximum is subtracted."""
    p, successor = np.full((3, 1, 2), 0.5), np.array([[[1, 1]], [[1, 1]], [[2, 2]]])
    mdp = TabularMDP(np.eye(3)[0], p, successor, np.array([[[0.0, 1.0]], [[0.0, 0.0]], [[0.0, 0.0]]]), 1, 1.0)
    v = torch.tensor([0.0, -1e5, 1e5], dtype=torch.float64)
    for where in ("auto", "torch"):
        out = swept(InfiniteHorizonProblem.of(endless(mdp, 0.1), 1.0), v, where=where)["out"]
        assert out[0].item() == pytest.approx(-1e5 + 0.1 * np.log(0.5 + 0.5 * np.exp(10)), rel=1e-15)


def test_certificates_by_hand():
    change = Change(1.0, 3.0, True)
    found = span_certificate(change, 0.5, 0.0, 0.0)
    assert found == (2.0, 1.0)
    assert sup_norm_certificate(change, 0.5, 0.0, 0.0) == (0.0, 3.0)
    wider = span_certificate(change, 0.5, 0.0, 0.25)
    assert wider == (2.0, 1.25 + 0.25)
    assert span_certificate(change, 0.5, 0.1, 0.0).bound > 1.0
    for certify in (span_certificate, sup_norm_certificate):
        assert certify(change, 1.0, 0.0, 0.0).bound == np.inf
        assert certify(Change(1.0, np.inf, False), 0.5, 0.0, 0.0).bound == np.inf
        assert certify(Change(np.inf, -np.inf, True), 0.5, 0.0, 0.0) == (0.0, 0.0)


def test_a_bad_combination_is_replaced_by_a_plain_sweep():
    """Anderson's safeguard: values far from the solution cost one more sweep but no progress."""
    mdp = random_mdp(seed=3, states=30, actions=3, horizon=1, discount=0.95)
    problem = InfiniteHorizonProblem.of(endless(mdp), 0.0)
    with problem.bellman(1) as bellman:
        step = Anderson(bellman, {"v": torch.zeros(30, dtype=torch.float64), "sweeps": torch.tensor(0.0)})
        for _ in range(4):
            step.iterate()
            step.go_on(0.0)
        span = step.iterate().span
        for wild in (1e6 * torch.randn(30, dtype=torch.float64), torch.full((30,), torch.nan, dtype=torch.float64)):
            sweeps, step.v = step.sweeps, wild
            assert step.iterate().span <= span
            assert step.sweeps == sweeps + 2
            step.iterate()  # rebuilds the window of stored sweeps
