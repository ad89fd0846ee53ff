"""Tests of the diagnosis of guides: known gaps, known tails, known gradients, and nothing is left changed."""

import json
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from problems import gamble, random_mdp
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import AutoMultivariateNormal, AutoNormal

from pgm_control import (
    ClampedGuide,
    DialGuide,
    FreeGuide,
    InvalidArgument,
    MarkovELBO,
    Optimism,
    TabularModel,
    diagnose,
    evaluate,
    fit,
    infer,
)
from pgm_control.analysis.diagnosis.gradients import gradient_noise
from pgm_control.analysis.diagnosis.importance import largest_reliable_shape, pareto_shape
from pgm_control.guides import MeanFieldGuide, MixtureGuide, OpenLoopGuide
from pgm_control.models import risky_path

MODEL = TabularModel(random_mdp(seed=0, states=4, actions=2, outcomes=3, horizon=4), 0.5)
EXACT = {"MarkovELBO": MarkovELBO()}


@pytest.mark.slow
def test_the_gap_of_a_clamped_guide_at_its_optimum_is_that_of_its_family():
    guide = ClampedGuide(MODEL)
    fit(MODEL, guide, method="exact")
    found = diagnose(MODEL, guide, 100, losses=EXACT, seed=0)
    evidence, best = infer(MODEL, 1.0).log_evidence, infer(MODEL, 0.0).objective
    assert found.log_evidence == pytest.approx(evidence, abs=1e-12)
    assert found.optimisation_gap == pytest.approx(0.0, abs=1e-9)
    assert found.family_gap == pytest.approx(evidence - best, abs=1e-9)
    assert found.gap == pytest.approx(evidence - best, abs=1e-9)
    assert found.gradients["MarkovELBO"].norm < 1e-9
    assert found.sentences[0].startswith("The guide's family is too small: its best member is")
    assert "The fit has ended: the guide is the best member of its family." in found.sentences


def test_a_fit_that_has_not_ended():
    guide = ClampedGuide(MODEL)
    found = diagnose(MODEL, guide, 100, losses=EXACT, seed=0)
    best = infer(MODEL, 0.0).objective
    assert found.optimisation_gap == pytest.approx(best - evaluate(MODEL, guide).elbo, abs=1e-9)
    assert found.optimisation_gap > 0.1
    assert found.gap == pytest.approx(found.family_gap + found.optimisation_gap, abs=1e-12)
    assert any(each.startswith("The fit has not ended: the best member of the family is") for each in found.sentences)


def test_the_exact_posterior_has_constant_weights():
    guide = FreeGuide(MODEL)
    fit(MODEL, guide, method="exact")
    found = diagnose(MODEL, guide, 100, losses=EXACT, seed=0)
    assert found.pareto_shape == -math.inf
    assert found.effective_sample_size == pytest.approx(100)
    assert found.sentences[0].startswith("The guide is the posterior")
    assert "All log-weights are equal" in found.sentences[1]


def test_the_best_guide_of_other_families_is_not_known():
    for guide in (MeanFieldGuide(MODEL), DialGuide(MODEL, 0.5), MixtureGuide.apart(MODEL, OpenLoopGuide, 2, seed=0)):
        found = diagnose(MODEL, guide, 400, losses={}, seed=0)
        assert (found.family_gap, found.optimisation_gap) == (None, None)
        assert "The best guide of the family is not known" in found.sentences[0]
    assert found.elbo.standard_error > 0  # with a memory the ELBO is estimated
    assert found.strangers is None


def test_the_tail_of_weights_of_known_shape():
    generator = torch.Generator().manual_seed(0)
    uniform = torch.rand(20_000, generator=generator, dtype=torch.float64)
    for shape in (0.3, 0.7, 1.2):
        log_weight = -shape * uniform.log()  # a Pareto variable u^(−k)
        assert pareto_shape(log_weight) == pytest.approx(shape, abs=0.1)
        assert pareto_shape(log_weight - 1000.0) == pytest.approx(pareto_shape(log_weight), abs=1e-6)
    assert math.isnan(pareto_shape((uniform > 0.5).double()))
    assert largest_reliable_shape(100) == pytest.approx(0.5)
    assert largest_reliable_shape(10_000) == 0.7


@pytest.mark.slow
def test_the_noise_of_gradients_is_that_of_their_sample():
    model, guide = TabularModel(gamble()), ClampedGuide(TabularModel(gamble()))
    torch.manual_seed(0)
    found = gradient_noise(model, guide, {**EXACT, "Trace_ELBO": Trace_ELBO()}, 800)
    exact, sampled = found["MarkovELBO"], found["Trace_ELBO"]
    assert (exact.noise, exact.signal_to_noise, exact.is_clear) == (0.0, math.inf, True)
    assert sampled.norm == pytest.approx(exact.norm, abs=5 * sampled.noise / 800**0.5)
    assert sampled.noise > 0.1


def test_nothing_is_left_changed():
    guide = MeanFieldGuide(MODEL)
    for parameter in guide.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    before = {name: each.detach().clone() for name, each in guide.named_parameters()}
    state = torch.get_rng_state()
    one, two = (diagnose(MODEL, guide, 100, num_gradients=3, seed=1) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert one.to_dict() == two.to_dict()
    for name, parameter in guide.named_parameters():
        assert torch.equal(parameter, before[name])
        assert bool((parameter.grad == 3.0).all())
    assert not dict(pyro.get_param_store())


def test_states_that_the_guide_does_not_expect():
    model = TabularModel(risky_path(), 1.0)
    guide = FreeGuide(model)
    fit(model, guide, method="exact")
    found = diagnose(model, guide, 100, losses={}, seed=0)
    assert found.strangers is not None
    posterior = infer(model, 1.0).blocks()
    believed = posterior.marginals().state[:-1]
    true = model.blocks().replace(log_policy=posterior.log_policy).marginals().state[:-1]
    expected = float(true[believed < 0.01 * true].sum() / true.sum())
    assert found.strangers.share == pytest.approx(expected)
    assert expected > 0.1
    assert 'expect, state "pit": there its policy is untrained.' in found.sentences[-1]
    clamped = ClampedGuide(model)
    assert diagnose(model, clamped, 100, losses={}, seed=0).strangers == (0.0, {})


def program():
    """A linear-Gaussian regulator of three steps."""
    s = pyro.sample("state_0", dist.Normal(torch.tensor(1.0), 0.7))
    for t in range(3):
        u = pyro.sample(f"action_{t}", dist.Normal(torch.tensor(0.0), 1.0))
        pyro.factor(f"optimality_{t}", -0.5 * (s.square() + 0.2 * u.square()))
        s = pyro.sample(f"state_{t + 1}", dist.Normal(0.9 * s + 0.5 * u, 0.5))


def test_a_program_without_tables():
    guide = AutoNormal(program)
    fit(program, guide, num_steps=20, seed=0)
    found = diagnose(program, guide, 200, num_gradients=3, seed=0)
    assert (found.log_evidence, found.gap, found.strangers) == (None, None, None)
    assert "log p(O) is not known" in found.sentences[0]
    assert set(found.gradients) == {"Trace_ELBO", "TraceGraph_ELBO", "RenyiELBO(0.5)", "ReweightedWakeSleep"}
    assert 1 <= found.effective_sample_size <= 200
    assert not dict(pyro.get_param_store())
    late = AutoMultivariateNormal(program)  # its parameters are made by the first call
    assert diagnose(program, late, 50, num_gradients=2, losses={"Trace_ELBO": Trace_ELBO()}, seed=0).gradients


def test_what_is_said_and_saved():
    guide = ClampedGuide(MODEL)
    found = diagnose(MODEL, guide, 100, num_gradients=3, seed=0)
    text = str(found)
    for each in ("Diagnosis of ClampedGuide", "of the family", "Pareto k̂", "effective sample size", "MarkovELBO", "%"):
        assert each in text
    assert repr(found) == text
    assert "<table" in found._repr_html_()
    numbers = found.to_dict()
    assert json.loads(json.dumps(numbers))["gap"] == found.gap
    assert list(numbers["sentences"]) == list(found.sentences)


def test_a_discounted_problem():
    model = TabularModel(random_mdp(seed=1, horizon=3, discount=0.8), 0.5)
    guide = FreeGuide(model)
    fit(model, guide, method="exact")
    found = diagnose(model, guide, 100, losses={}, seed=0)
    free = infer(model, Optimism(1.0, 1.0, 1.0)).log_evidence
    assert found.family_gap == pytest.approx(free - infer(model, 1.0).objective, abs=1e-9)
    assert found.optimisation_gap == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 24}, "`num_samples` must be at least 25"),
        ({"num_gradients": 1}, "`num_gradients` must be"),
        ({"losses": {"mine": 3}}, "`losses` must map names to Pyro losses"),
    ],
)
@pytest.mark.wrong_types
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(InvalidArgument, match=message):
        diagnose(MODEL, ClampedGuide(MODEL), **{"seed": 0, **arguments})
