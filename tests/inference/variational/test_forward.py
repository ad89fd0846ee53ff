"""Tests of the moment projection: forward KL and its minimum against enumerated trajectories."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import paths
from problems import gamble, random_mdp
from strategies import laws, model_of, problem_of, problems
from timed_models import timed_model

from pgm_control import (
    ClampedGuide,
    DialGuide,
    FitStatus,
    FreeGuide,
    InvalidArgument,
    Optimism,
    TabularModel,
    evaluate,
    infer,
)
from pgm_control import fit as fit_guide
from pgm_control.guides import (
    DeterministicGuide,
    LowRankGuide,
    MeanFieldGuide,
    MixtureGuide,
    NeuralGuide,
    OpenLoopGuide,
    StationaryGuide,
    ViewGuide,
)
from pgm_control.inference.variational.projection import forward_kl

FREE = Optimism(1.0, 1.0, 1.0)
SMALL = random_mdp(seed=3, states=3, actions=2, outcomes=2, horizon=3)
MODEL = TabularModel(SMALL, 0.5)


def fit(model, guide, **more):
    return fit_guide(model, guide, method="forward", **more)


def shaken(guide, seed=0):
    noise = torch.Generator().manual_seed(seed)
    for parameter in guide.parameters():
        parameter.data.add_(torch.randn(parameter.shape, generator=noise, dtype=parameter.dtype))
    return guide


def weighed(problem):
    """Each trajectory with its posterior probability."""
    found = list(paths(problem))
    weights = np.array([path.log_weight(problem.temperature) for path in found])
    return [
        (path, share)
        for path, share in zip(found, np.exp(weights - np.logaddexp.reduce(weights)), strict=True)
        if share
    ]


def log_density(path, blocks, problem):
    """log q of a trajectory, block by block; blocks are tables of probabilities."""
    log_initial, log_policy, log_dynamics, survival = blocks
    total = log_initial[path.states[0]]
    for t, (s, a, k) in enumerate(zip(path.states, path.actions, path.outcomes, strict=False)):
        if s == problem.ended:
            break
        target = problem.successor[s, a, k]
        alive = path.states[t + 1] != problem.ended
        total = total + log_policy[t, s, a] + log_dynamics[t, s, a, k]
        total = total + math.log(survival[t, target] if alive else 1 - survival[t, target])
    return total


def enumerated_kl(problem, guide):
    with torch.no_grad():
        found = guide.blocks()
    blocks = [each.numpy() for each in (found.log_initial, found.log_policy, found.log_dynamics, found.survival)]
    return sum(share * (math.log(share) - log_density(path, blocks, problem)) for path, share in weighed(problem))


def kl(model, guide):
    target = infer(model, FREE).blocks()
    with torch.no_grad():
        return float(forward_kl(target, target.marginals(), guide.blocks()))


@laws
@given(problems(forbidden=False), st.sampled_from([FreeGuide, ClampedGuide]))
def test_the_forward_kl_is_the_sum_over_trajectories(problem, guide_class):
    model = model_of(problem)
    guide = shaken(guide_class(model))
    assert kl(model, guide) == pytest.approx(enumerated_kl(problem, guide), abs=1e-9)


def test_the_forward_kl_of_a_free_survival():
    mdp = random_mdp(seed=1, states=2, horizon=3, discount=0.6)
    model = TabularModel(mdp, 0.5)
    guide = shaken(DialGuide(model, Optimism(0.5, 1.0, 0.3)))
    assert kl(model, guide) == pytest.approx(enumerated_kl(problem_of(mdp, 0.5), guide), abs=1e-9)
    assert kl(model, infer(model, FREE)) == pytest.approx(0.0, abs=1e-12)


@laws
@given(problems(forbidden=False))
def test_a_clamped_guide_gets_the_policy_of_the_free_posterior(problem):
    model = model_of(problem)
    guide = ClampedGuide(model)
    found = fit(model, guide)
    assert found.status is FitStatus.converged
    torch.testing.assert_close(guide.blocks().policy, infer(model, FREE).policy, atol=1e-12, rtol=0)
    assert found.elbo <= infer(model, Optimism(0.0, 0.0, 0.0)).objective + 1e-9


def test_a_free_guide_becomes_the_posterior():
    guide = FreeGuide(MODEL)
    fit(MODEL, guide)
    assert kl(MODEL, guide) == pytest.approx(0.0, abs=1e-12)
    assert evaluate(MODEL, guide).elbo == pytest.approx(infer(MODEL, 1.0).log_evidence, abs=1e-12)


def test_the_optimism_is_back():
    """The lottery ticket wins in hindsight: the clamped guide that copies the posterior buys it."""
    mdp = gamble(horizon=1)
    model = TabularModel(mdp)
    hopeful, sensible = ClampedGuide(model), ClampedGuide(model)
    fit(model, hopeful)
    fit_guide(model, sensible, method="exact")
    assert evaluate(model, hopeful).elbo < evaluate(model, sensible).elbo - 0.01
    assert kl(model, hopeful) < kl(model, sensible) - 0.01


@pytest.mark.parametrize("shared", ["state", "time", "view"])
def test_a_shared_policy_is_the_mean_over_the_visits_of_the_posterior(shared):
    problem = problem_of(SMALL, 0.5)
    view = [0, 1, 1]
    key = {"state": lambda t, s: (0, s), "time": lambda t, s: (t, 0), "view": lambda t, s: (t, view[s])}[shared]
    guide = {"state": StationaryGuide, "time": OpenLoopGuide, "view": lambda model: ViewGuide(model, view)}[shared](
        MODEL
    )
    counts = {}
    for path, share in weighed(problem):
        for t, (s, a) in enumerate(zip(path.states, path.actions, strict=False)):
            counts.setdefault(key(t, s), np.zeros(2))[a] += share
    found = fit(MODEL, guide, tolerance=1e-13)
    policy = guide.blocks().policy.detach().numpy()
    for t in range(3):
        for s in range(3):
            row = counts[key(t, s)]
            np.testing.assert_allclose(policy[t, s], row / row.sum(), atol=1e-6)
    assert found.objective_name == "negative forward KL"
    assert found.elbo_history.diff().min() >= 0
    assert found.elbo_history[-1] == pytest.approx(-enumerated_kl(problem, guide), abs=1e-9)
    assert "of a guide fitted to the negative forward KL" in str(found)


@pytest.mark.parametrize("guide_class", [MeanFieldGuide, LowRankGuide])
def test_restricted_free_guides_against_numerical_minimisation(guide_class):
    problem, guide = problem_of(SMALL, 0.5), guide_class(MODEL)
    fit(MODEL, guide, tolerance=1e-12)
    other, ways = shaken(guide_class(MODEL), seed=1), weighed(problem)
    optimiser = torch.optim.LBFGS(other.parameters(), max_iter=150, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        found = other.blocks()
        blocks = found.log_initial, found.log_policy, found.log_dynamics, found.survival
        value = -torch.stack([share * log_density(path, blocks, problem) for path, share in ways]).sum()
        value.backward()
        return value

    optimiser.step(loss)
    assert kl(MODEL, guide) == pytest.approx(enumerated_kl(problem, other), abs=1e-6)


def test_a_network_comes_near_the_posterior_and_resumes(tmp_path):
    def fresh():
        return NeuralGuide(MODEL, hidden=(16,), seed=0)

    whole = fit(MODEL, fresh(), num_steps=12, tolerance=0.0)
    fit(MODEL, fresh(), num_steps=5, tolerance=0.0, checkpoint=tmp_path / "fit.pt")
    rest = fit(MODEL, fresh(), num_steps=12, tolerance=0.0, resume=tmp_path / "fit.pt")
    assert torch.equal(rest.elbo_history, whole.elbo_history)
    target = ClampedGuide(MODEL)
    fit(MODEL, target)
    assert kl(MODEL, target) <= kl(MODEL, whole.guide) < kl(MODEL, target) + 1e-4


@pytest.mark.parametrize("kind", ["tables", "temperature", "prior"])
def test_models_that_depend_on_time(kind):
    model = timed_model(kind, 1)
    guide = ClampedGuide(model)
    fit(model, guide)
    torch.testing.assert_close(guide.blocks().policy, infer(model, FREE).policy, atol=1e-12, rtol=0)


def test_refusals_say_what_the_guide_excludes():
    risky = gamble().replace(reward=[[[1.0, 0.0], [3.0, -math.inf]]])
    model = TabularModel(risky)
    for guide in (ClampedGuide(model), StationaryGuide(model), DeterministicGuide(MODEL)):
        before = guide.blocks().policy.detach().clone()
        with pytest.raises(InvalidArgument, match="`guide` must have mass wherever the exact posterior has"):
            fit(guide.model, guide)
        assert torch.equal(guide.blocks().policy, before)
    lost = TabularModel(gamble().replace(reward=[[[-math.inf, -math.inf], [-math.inf, -math.inf]]]))
    with pytest.raises(InvalidArgument, match="`model` must have a posterior"):
        fit(lost, FreeGuide(lost))
    with pytest.raises(InvalidArgument, match=r'must have blocks\(\) for method="forward"'):
        fit(MODEL, MixtureGuide.apart(MODEL, OpenLoopGuide, 2, seed=0))
    with pytest.raises(InvalidArgument, match='`model` must be tabular for method="forward"'):
        fit(lambda: None, ClampedGuide(MODEL))
    with pytest.raises(InvalidArgument, match='`step_size` is for method="natural_gradient" and "em"'):
        fit(MODEL, ClampedGuide(MODEL), step_size=0.5)
