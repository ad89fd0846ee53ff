"""Tests of the exact ELBO: it is a bound, the exact optima attain it, and its gradients are finite."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import gamble, random_mdp
from pyro.infer import SVI
from pyro.optim import PyroOptim

from pgm_control import ClampedGuide, FreeGuide, MarkovELBO, Optimism, TabularModel, infer
from pgm_control.inference.variational.elbo import elbo

# Plain arguments, built in the test: the shape checker draws random numbers, which strategies must not.
problems = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10_000),
        "states": st.integers(1, 4),
        "actions": st.integers(1, 3),
        "outcomes": st.integers(1, 3),
        "horizon": st.integers(1, 5),
        "discount": st.sampled_from([1.0, 0.9, 0.3]),
    }
)
temperatures = st.floats(0.1, 10.0)


@given(problems, temperatures)
def test_exact_optima_attain_their_objectives(problem, temperature):
    model = TabularModel(random_mdp(**problem), temperature)
    everything = infer(model, Optimism(1.0, 1.0, 1.0))
    for posterior in (everything, infer(model, 1.0), infer(model, 0.0)):
        assert elbo(model, posterior.blocks()).item() == pytest.approx(posterior.objective, abs=1e-9)
    assert everything.objective == everything.log_evidence


@given(problems, temperatures, st.integers(0, 1000))
def test_no_guide_beats_its_own_optimum_nor_the_evidence(problem, temperature, seed):
    torch.manual_seed(seed)
    model = TabularModel(random_mdp(**problem), temperature)
    evidence = infer(model, Optimism(1.0, 1.0, 1.0)).log_evidence
    for guide, optimism in ((FreeGuide(model), 1.0), (ClampedGuide(model), 0.0)):
        for parameter in guide.parameters():
            parameter.data.normal_(std=3.0)
        best = infer(model, optimism).objective
        assert elbo(model, guide.blocks()).item() <= best + 1e-9
        assert best <= evidence + 1e-9


def test_the_gradient_agrees_with_finite_differences():
    model = TabularModel(random_mdp(seed=1, horizon=3, discount=0.9), 0.7)
    guide = FreeGuide(model)
    names = [name for name, _ in guide.named_parameters()]

    def bound(*values):
        return elbo(model, torch.func.functional_call(_Wrapped(guide), dict(zip(names, values, strict=True)), ()))

    class _Wrapped(torch.nn.Module):
        def __init__(self, guide):
            super().__init__()
            self.guide = guide

        def forward(self):
            return self.guide.blocks()

    names = ["guide." + name for name in names]
    inputs = tuple(torch.randn_like(parameter).requires_grad_() for parameter in guide.parameters())
    assert torch.autograd.gradcheck(bound, inputs)


def test_the_gradient_vanishes_at_the_optimum():
    model = TabularModel(random_mdp(seed=1, horizon=3), 0.7)
    guide, exact = FreeGuide(model), infer(model, 1.0).blocks()
    guide.policy_logits.data.copy_(exact.log_policy - model.blocks().log_policy)
    guide.initial_logits.data.copy_(exact.log_initial - model.blocks().log_initial)
    possible = exact.log_dynamics > -torch.inf
    guide.dynamics_logits.data[possible] = (exact.log_dynamics - model.blocks().log_dynamics)[possible]
    MarkovELBO().loss_and_grads(model, guide)
    for parameter in guide.parameters():
        assert parameter.grad.abs().max() < 1e-12


def test_it_is_a_pyro_loss():
    model = TabularModel(gamble())
    guide = ClampedGuide(model)
    svi = SVI(model, guide, PyroOptim(torch.optim.Adam, {"lr": 0.1}), loss=MarkovELBO())
    before = svi.evaluate_loss()
    assert svi.step() == before
    assert float(svi.evaluate_loss()) < float(before)
    module = MarkovELBO()(model, guide)
    assert float(module().detach()) == pytest.approx(svi.evaluate_loss())


def test_the_elbo_of_a_guide_that_reaches_a_forbidden_outcome_is_minus_infinity():
    """The prior, used as a guide, reaches the forbidden outcome; free and clamped guides avoid it."""
    mdp = gamble().replace(reward=[[[1.0, 0.0], [3.0, -math.inf]]])
    model = TabularModel(mdp)
    assert elbo(model, model.blocks()).item() == -math.inf
    assert elbo(model, FreeGuide(model).blocks()).isfinite()
    clamped = ClampedGuide(model).blocks()
    assert clamped.log_policy[0, 0].exp().tolist() == [1.0, 0.0]
    assert elbo(model, clamped).isfinite()
