"""Compiled loops and torch give the same results, and one function chooses between them."""

import importlib.util

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import gamble, random_mdp
from strategies import laws, model_of, optimisms, problems

from pgm_control import ClampedGuide, DialGuide, FreeGuide, MarkovGuide, Optimism, TabularMDP, TabularModel, infer
from pgm_control.inference.variational.elbo import elbo
from pgm_control.inference.variational.natural_gradient import improved
from pgm_control.kernels import backend

needs_numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="needs the extra `fast`")
in_torch = pytest.mark.parametrize("guide_class", [FreeGuide, ClampedGuide])


def value_and_gradients(model, guide, monkeypatch, where):
    monkeypatch.setenv("PGM_CONTROL_BACKEND", where)
    guide.zero_grad()
    value = elbo(model, guide.blocks())
    if value.isfinite():
        (-2.5 * value).backward()
    return value.item(), [None if p.grad is None else p.grad.clone() for p in guide.parameters()]


def same(model, guide, monkeypatch, tolerance=1e-12):
    value, gradients = value_and_gradients(model, guide, monkeypatch, "torch")
    compiled, theirs = value_and_gradients(model, guide, monkeypatch, "auto")
    assert compiled == pytest.approx(value, rel=tolerance, abs=tolerance)
    for one, other in zip(gradients, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=10 * tolerance, atol=10 * tolerance * max(1.0, abs(value)))


@needs_numba
@laws
@given(problems(), st.integers(0, 1000))
def test_compiled_equals_torch_on_awkward_problems(problem, seed):
    """The problems have impossible and forbidden outcomes, masked actions, final rewards and discounts."""
    model = model_of(problem)
    torch.manual_seed(seed)
    with pytest.MonkeyPatch.context() as patch:
        for guide in (FreeGuide(model), ClampedGuide(model)):
            for parameter in guide.parameters():
                parameter.data.normal_()
            same(model, guide, patch)


@needs_numba
@laws
@given(problems(), st.integers(0, 1000), st.sampled_from([1.0, 0.3]))
def test_the_compiled_step_of_the_natural_gradient_equals_torch(problem, seed, step_size):
    model = model_of(problem)
    torch.manual_seed(seed)
    for guide in (FreeGuide(model), ClampedGuide(model), DialGuide(model, -0.5)):
        for parameter in guide.parameters():
            parameter.data.normal_()
        found = {}
        for where in ("torch", "auto"):
            with pytest.MonkeyPatch.context() as patch, torch.no_grad():
                patch.setenv("PGM_CONTROL_BACKEND", where)
                found[where] = improved(model, guide.blocks(), step_size, guide.optimism)
        (expected, value), (better, same_value) = found["torch"], found["auto"]
        assert same_value == pytest.approx(value, rel=1e-12, abs=1e-12, nan_ok=True)
        for name in ("initial", "policy", "dynamics"):
            torch.testing.assert_close(getattr(better, name), getattr(expected, name), rtol=1e-11, atol=1e-12)


@needs_numba
@in_torch
def test_compiled_equals_torch_in_float32(guide_class, monkeypatch):
    model = TabularModel(random_mdp(seed=1, horizon=20).to(dtype=torch.float32), 0.7)
    same(model, guide_class(model), monkeypatch, tolerance=1e-5)


@needs_numba
def test_compiled_equals_torch_without_gradients(monkeypatch):
    model = TabularModel(random_mdp(seed=1, horizon=20, discount=0.9), 0.7)
    for posterior in (infer(model, 1.0), infer(model, 0.0)):
        assert elbo(model, posterior.blocks()).item() == pytest.approx(posterior.objective, abs=1e-11)


class Stationary(MarkovGuide):
    """A guide with one table expanded over all times; the gradient is summed over time."""

    def __init__(self, model):
        super().__init__(model)
        self.policy = torch.nn.Parameter(torch.randn_like(model.action_prior))
        self.tilt_logits = torch.nn.Parameter(torch.randn_like(model.mdp.probability))

    def blocks(self):
        prior, steps = self.model.blocks(), self.model.mdp.horizon
        policy = torch.log_softmax(self.policy, -1).expand(steps, -1, -1)
        dynamics = torch.log_softmax(prior.log_dynamics[0] + self.tilt_logits, -1)
        return prior.replace(log_policy=policy, log_dynamics=dynamics.expand(steps, -1, -1, -1))


@needs_numba
def test_nan_in_the_logits_gives_nan():
    model = TabularModel(random_mdp(seed=1, horizon=6), 0.7)
    for name in ("policy_logits", "dynamics_logits", "initial_logits"):
        guide = FreeGuide(model)
        getattr(guide, name).data.fill_(torch.nan)
        assert elbo(model, guide.blocks()).isnan()


@needs_numba
def test_stationary_tables_agree(monkeypatch):
    model = TabularModel(random_mdp(seed=1, horizon=6, discount=0.9), 0.7)
    same(model, Stationary(model), monkeypatch)


@needs_numba
def test_a_guide_that_allows_forbidden_outcomes(monkeypatch):
    mdp = gamble(horizon=2).replace(reward=[[[1.0, 0.0], [3.0, -torch.inf]]])
    model = TabularModel(mdp)
    for where in ("torch", "auto"):
        monkeypatch.setenv("PGM_CONTROL_BACKEND", where)
        assert elbo(model, model.blocks()).item() == -torch.inf


def curvature(model, guide):
    value = elbo(model, guide.blocks())
    first = torch.autograd.grad(value, list(guide.parameters()), create_graph=True)
    return torch.autograd.grad(torch.stack([each.square().sum() for each in first]).sum(), list(guide.parameters()))


@needs_numba
@pytest.mark.parametrize("guide_class", [FreeGuide, ClampedGuide, Stationary])
def test_second_derivatives_agree(guide_class, monkeypatch):
    model = TabularModel(random_mdp(seed=1, horizon=3, discount=0.9), 0.7)
    guide = guide_class(model)
    for parameter in guide.parameters():
        parameter.data.normal_()
    compiled = curvature(model, guide)
    monkeypatch.setenv("PGM_CONTROL_BACKEND", "torch")
    for one, other in zip(compiled, curvature(model, guide), strict=True):
        assert other.abs().max() > 0
        torch.testing.assert_close(one, other)


def test_kernels_are_chosen_by_device_steps_and_environment(monkeypatch):
    table = torch.zeros(2)
    assert backend.kernels_for(table, 1) is None
    assert backend.kernels_for(torch.zeros(2, device="meta"), 5) is None
    monkeypatch.setenv("PGM_CONTROL_BACKEND", "torch")
    assert backend.kernels_for(table, 5) is None
    monkeypatch.delenv("PGM_CONTROL_BACKEND")
    assert (backend.kernels_for(table, 5) is None) == (importlib.util.find_spec("numba") is None)
    backend._finite_horizon.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert backend.kernels_for(table, 5) is None
    backend._finite_horizon.cache_clear()


def test_freed_survival_works_with_guides():
    model = TabularModel(random_mdp(seed=1, horizon=5, discount=0.8), 0.7)
    posterior = infer(model, Optimism(1.0, 1.0, 1.0))
    assert elbo(model, posterior.blocks()).item() == pytest.approx(posterior.log_evidence, abs=1e-11)


@needs_numba
@laws
@given(problems(), optimisms, optimisms, optimisms)
def test_compiled_messages_equal_torch(problem, dynamics, initial, survival):
    model, beta = model_of(problem), Optimism(dynamics, initial, survival)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGM_CONTROL_BACKEND", "torch")
        by_torch = infer(model, beta)
        patch.setenv("PGM_CONTROL_BACKEND", "auto")
        compiled = infer(model, beta)
    near = {"rtol": 1e-11, "atol": 1e-11}
    torch.testing.assert_close(compiled.q, by_torch.q, **near)
    torch.testing.assert_close(compiled.v, by_torch.v, **near)
    for field in ("log_initial", "log_policy", "log_dynamics", "log_survival"):
        ours, theirs = getattr(compiled.distribution, field), getattr(by_torch.distribution, field)
        if theirs is None:
            assert ours is None
            continue
        assert torch.equal(ours == -torch.inf, theirs == -torch.inf)
        torch.testing.assert_close(ours.exp(), theirs.exp(), rtol=1e-9, atol=1e-12)


@needs_numba
def test_compiled_messages_at_temperature_zero_and_in_float32(monkeypatch):
    mdp = random_mdp(seed=5, horizon=10, discount=0.9)
    cases = [
        (TabularModel(mdp, 0.0), 0.0),
        *((TabularModel(mdp.to(dtype=torch.float32), 0.5), b) for b in (1.0, 0.0, -1.0)),
    ]
    for model, optimism in cases:
        monkeypatch.setenv("PGM_CONTROL_BACKEND", "torch")
        by_torch = infer(model, optimism)
        monkeypatch.setenv("PGM_CONTROL_BACKEND", "auto")
        compiled = infer(model, optimism)
        assert compiled.q.dtype == by_torch.q.dtype
        torch.testing.assert_close(compiled.q, by_torch.q)
        torch.testing.assert_close(compiled.policy, by_torch.policy)


def one_state(probability, reward, **more):
    shape = (1, 1, len(probability))
    return TabularMDP([1.0], [[probability]], torch.zeros(shape, dtype=torch.int64), [[reward]], horizon=2, **more)


@pytest.mark.parametrize("where", ["torch", "auto"])
@pytest.mark.parametrize(("optimism", "temperature"), [(1e-300, 1.0), (1e-320, 1e6), (-1e-320, 1e6)])
def test_vanishing_optimism_equals_no_optimism(where, optimism, temperature, monkeypatch):
    monkeypatch.setenv("PGM_CONTROL_BACKEND", where)
    model = TabularModel(one_state([0.5, 0.4, 0.1], [1.0, 2.0, -torch.inf], discount=0.9), temperature)
    posterior = infer(model, Optimism(optimism, optimism, optimism))
    torch.testing.assert_close(posterior.dynamics, infer(model, 0.0).dynamics)
    assert posterior.initial.tolist() == [1.0]
    assert posterior.v[0].item() == -torch.inf


@pytest.mark.parametrize("where", ["torch", "auto"])
def test_a_far_outcome_costs_no_digits_at_small_optimism(where, monkeypatch):
    monkeypatch.setenv("PGM_CONTROL_BACKEND", where)
    forbidden = TabularModel(one_state([0.5, 0.5, 1e-20], [1.0, 2.0, -torch.inf]))
    # the mean is 1.5, and the forbidden outcome adds log(1 - 1e-20) / 1e-12 = -1e-8
    assert infer(forbidden, Optimism(1e-12, 0.0)).q[-1].item() == pytest.approx(1.49999999, abs=1e-12)
    far = TabularModel(one_state([0.5, 0.5, 1e-30], [1.0, 2.0, -1e15]))
    assert infer(far, Optimism(1e-12, 0.0)).q[-1].item() == pytest.approx(1.5, abs=1e-11)


@pytest.mark.parametrize("where", ["torch", "auto"])
def test_values_beyond_the_range_are_refused(where, monkeypatch):
    monkeypatch.setenv("PGM_CONTROL_BACKEND", where)
    model = TabularModel(gamble(horizon=2), 1e-310)
    with pytest.raises(ValueError, match=r"exceed the range of torch\.float64\. Raise the temperature"):
        infer(model, 0.0)
