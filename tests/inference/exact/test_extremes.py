"""Extreme problems: the compiled sweep and the torch recursion agree with arithmetic in fifty digits to 1e-9.

The problems have temperatures from 1e-6 to 1e6, β from −50 to 50 and very near 0, rewards of 1e6 and of 1e-6 side by
side, forbidden and impossible outcomes, and one or many states, actions and steps.
"""

import importlib.util
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import Problem, solve
from problems import random_mdp, sized
from strategies import laws, model_of

from pgm_control import InvalidArgument, Optimism, TabularMDP, TabularModel, infer, soft_values

pytestmark = pytest.mark.slow

has_numba = importlib.util.find_spec("numba") is not None
BACKENDS = ["torch", "auto"] if has_numba else ["torch"]
temperatures = st.one_of(st.sampled_from([1e-6, 1e-3, 1.0, 1e3, 1e6]), st.floats(-6, 6).map(lambda e: 10.0**e))
optimisms = st.one_of(
    st.sampled_from([-50.0, -1.0, 0.0, 1.0, 50.0, 1e-12, -1e-12, 1e-6, 0.09, 0.11]),
    st.floats(-50.0, 50.0).map(lambda b: b if abs(b) >= 1e-12 else 0.0),  # fifty digits are not enough for less
)
amounts = st.sampled_from([0.0, 1.0, -1.0, 0.5, -2.5, 1e-6, -1e-6, 1e6, -1e6, 123.456, -1e3, -np.inf])
weights = st.sampled_from([0.0, 1.0, 1.0, 3.0, 1e-12, 1e-3])


@st.composite
def extremes(draw, horizons):
    """A `Problem` with rewards and probabilities of very different size."""
    states, actions, outcomes = (draw(st.integers(1, n)) for n in (4, 3, 4))
    shape = (states, actions, outcomes)

    def table(elements, *axes):
        size = int(np.prod(axes))
        return np.asarray(draw(st.lists(elements, min_size=size, max_size=size)), dtype=float).reshape(axes)

    def rows(*axes):
        found = table(weights, *axes)
        found[found.sum(-1) == 0] = 1.0
        return found / found.sum(-1, keepdims=True)

    return Problem(
        initial=rows(states),
        probability=rows(*shape),
        successor=table(st.integers(0, states - 1), *shape).astype(int),
        reward=table(amounts, *shape),
        horizon=draw(horizons),
        temperature=draw(temperatures),
        prior=rows(states, actions),
        final_reward=table(amounts, states),
        discount=draw(st.sampled_from([1.0, 1.0, 0.9, 1e-3])),
    )


def agree(found, exact, scale):
    assert np.array_equal(np.isneginf(found), np.isneginf(exact))
    near = np.where(np.isneginf(exact), 0.0, np.abs(np.where(np.isneginf(found), 0.0, found) - exact))
    assert not np.isnan(found).any()
    assert near.max(initial=0.0) <= 1e-9 * scale, near.max()


def size(*arrays):
    finite = np.concatenate([np.abs(each[np.isfinite(each)]).reshape(-1) for each in arrays])
    return max(1.0, finite.max(initial=0.0))


@pytest.mark.parametrize("backend", BACKENDS)
@laws
@given(problem=extremes(st.integers(2, 4)), dynamics=optimisms, initial=optimisms, survival=optimisms)
def test_both_backends_agree_with_fifty_digits(backend, problem, dynamics, initial, survival):
    exact = solve(problem, dynamics, initial, survival)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGM_CONTROL_BACKEND", backend)
        posterior = infer(model_of(problem), Optimism(dynamics, initial, survival))
        values = soft_values(model_of(problem), Optimism(dynamics, initial, survival))
    scale = size(problem.reward, problem.final_reward, exact.q, exact.v)
    for v, q in ((posterior.v, posterior.q), (values.v, values.q)):
        agree(v.numpy(), exact.v, scale)
        agree(q.numpy(), exact.q, scale)
    # an error of one part in 1e-9 in the values changes the policy by this much
    slack = min(1.0, 1e-13 * scale / problem.temperature * max(1.0, abs(dynamics), abs(survival)) + 1e-9)
    assert np.abs(posterior.policy.numpy() - exact.policy).max() <= slack
    assert np.abs(posterior.dynamics.numpy() - exact.dynamics).max() <= slack


@pytest.mark.skipif(not has_numba, reason="needs the extra `fast`")
@laws
@given(problem=extremes(st.sampled_from([2, 7, 60])), optimism=optimisms, seed=st.integers(0, 1000))
def test_compiled_and_torch_agree_over_long_horizons(problem, optimism, seed):
    found = []
    for backend in BACKENDS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PGM_CONTROL_BACKEND", backend)
            found.append(soft_values(model_of(problem), optimism))
    scale = size(problem.reward, problem.final_reward, *(each.numpy() for each in (found[0].q, found[0].v)))
    for ours, theirs in zip(vars(found[0]).values(), vars(found[1]).values(), strict=True):
        unit = scale if ours.ndim else scale / problem.temperature
        agree(np.atleast_1d(theirs.numpy()), np.atleast_1d(ours.numpy()), max(1.0, unit))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("optimism", [1.0, 0.0, -2.0])
def test_ten_thousand_steps(backend, optimism, monkeypatch):
    """With one state and one action V_0 is T times the certainty equivalent of one step. Torch makes 2000 steps."""
    monkeypatch.setenv("PGM_CONTROL_BACKEND", backend)
    p, r, tau = np.array([0.2, 0.5, 0.3]), np.array([1.0, -2.0, 0.25]), 0.3
    steps = 10_000 if backend == "auto" else sized(10_000, 2_000)
    mdp = TabularMDP([1.0], p[None, None], np.zeros((1, 1, 3), int), r[None, None], steps)
    once = p @ r if optimism == 0 else tau / optimism * np.log(p @ np.exp(optimism * r / tau))
    found = soft_values(TabularModel(mdp, tau), optimism)
    assert found.v[0].item() == pytest.approx(steps * once, rel=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_ten_thousand_steps_agree_with_numpy(backend, monkeypatch):
    """The same recursion in plain numpy, with six states and two actions. Torch makes 2000 steps."""
    monkeypatch.setenv("PGM_CONTROL_BACKEND", backend)
    rng = np.random.default_rng(0)
    p, n, r = rng.dirichlet(np.ones(3), (6, 2)), rng.integers(6, size=(6, 2, 3)), rng.normal(size=(6, 2, 3))
    steps = 10_000 if backend == "auto" else sized(10_000, 2_000)
    mdp = TabularMDP(np.eye(6)[0], p, n, r, steps)
    found = soft_values(TabularModel(mdp, 0.5), torch.tensor([1.0, 0.0, -1.5], dtype=torch.float64))
    for m, beta in enumerate([1.0, 0.0, -1.5]):
        v = np.zeros(6)
        for _ in range(steps):
            x = r + v[n]
            top = (beta * x).max(-1, keepdims=True)
            mean = (p * x).sum(-1)
            q = mean if beta == 0 else (top[..., 0] + 0.5 * np.log((p * np.exp((beta * x - top) / 0.5)).sum(-1))) / beta
            best = q.max(-1, keepdims=True)
            v = best[..., 0] + 0.5 * np.log(np.exp((q - best) / 0.5).mean(-1))
        np.testing.assert_allclose(found.v[m, 0].numpy(), v, rtol=1e-11)


@pytest.mark.parametrize("backend", ["auto", "torch"])
@pytest.mark.parametrize("optimism", [0.0, 1.0])
def test_values_below_the_range_of_nats_are_right_or_refused(backend, optimism, monkeypatch):
    """Rewards of −1e200 at a temperature of 1e-300 are −inf nats, but forbid nothing."""
    monkeypatch.setenv("PGM_CONTROL_BACKEND", backend)
    mdp = random_mdp(0)
    model = TabularModel(mdp.replace(reward=-1e200 * mdp.reward.abs()), 1e-300)
    refused = None
    try:
        value = infer(model, optimism).value
    except InvalidArgument as problem:
        value, refused = 0.0, str(problem)
    assert math.isfinite(value)
    assert refused is None or "exceed the range" in refused
