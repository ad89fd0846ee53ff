"""Tests of expectation maximisation: it equals the natural gradient for tables, and is near SVI for other guides."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import random_mdp, some
from strategies import laws, model_of, problems
from timed_models import timed_model

from pgm_control import (
    ClampedGuide,
    DialGuide,
    FreeGuide,
    InvalidArgument,
    Optimism,
    TabularMDP,
    TabularModel,
    evaluate,
    fit,
    infer,
)
from pgm_control.guides import (
    DeterministicGuide,
    LowRankGuide,
    MeanFieldGuide,
    NeuralGuide,
    OpenLoopGuide,
    StationaryGuide,
    ViewGuide,
)
from pgm_control.inference.variational.elbo import elbo
from pgm_control.inference.variational.em import em_step
from pgm_control.inference.variational.natural_gradient import improved
from pgm_control.models import restaurant, risky_path

pytestmark = pytest.mark.slow

MODELS = {
    "restaurant": lambda: TabularModel(restaurant()),
    "risky path": lambda: TabularModel(risky_path(), 1.0),
    "random": lambda: TabularModel(random_mdp(seed=0, states=5, actions=3, horizon=8), 0.5),
    "random, all": lambda: TabularModel(
        random_mdp(seed=1, horizon=4, discount=0.7).replace(final_reward=[1.0, 0.0, -1.0]), 0.5
    ),
}
every_model = pytest.mark.parametrize("build", MODELS.values(), ids=MODELS.keys())


def value(model, guide):
    with torch.no_grad():
        return elbo(model, guide.blocks()).item()


def stepped(model, guide, steps, step_size=1.0):
    """The guide after this number of steps."""
    for _ in range(steps):
        em_step(model, guide, step_size)
    return guide


def shaken(guide, seed=0, size=1.0):
    noise = torch.Generator().manual_seed(seed)
    for parameter in guide.parameters():
        parameter.data.add_(size * torch.randn(parameter.shape, generator=noise, dtype=parameter.dtype))
    return guide


@laws
@given(problems(), st.sampled_from([FreeGuide, ClampedGuide]), st.sampled_from([0.2, 0.7, 1.0]))
def test_tables_reach_their_targets_wherever_they_visit(problem, guide_class, step_size):
    model = model_of(problem)
    guide = shaken(guide_class(model))
    with torch.no_grad():
        old = guide.blocks()
    target, before = improved(model, old, step_size)
    if before == -torch.inf:
        return
    assert em_step(model, guide, step_size, maximisation_steps=200) == before
    visits = old.marginals()
    with torch.no_grad():
        new = guide.blocks()
    tables = [("log_policy", visits.state[:-1])]
    if guide_class is FreeGuide:
        tables += [("log_dynamics", visits.outcome.sum(-1)), ("log_initial", torch.ones(()))]
    for name, weight in tables:
        off = (getattr(new, name).exp() - getattr(target, name).exp()).abs().amax(-1)
        assert (weight * off.square()).max() < 1e-6, name


@every_model
@pytest.mark.parametrize(("guide_class", "optimism"), [(ClampedGuide, 0.0), (FreeGuide, 1.0)])
def test_tables_reach_the_exact_answer(build, guide_class, optimism):
    model = build()
    guide = stepped(model, guide_class(model), 20)
    best = infer(model, optimism).objective
    assert best - 1e-3 <= value(model, guide) <= best + 1e-9


@every_model
@pytest.mark.parametrize("step_size", [0.3, 1.0])
def test_a_network_comes_within_a_hundredth_of_the_clamped_optimum(build, step_size):
    model = build()
    guide = stepped(model, NeuralGuide(model, hidden=(32,)), 20, step_size)
    best = infer(model, 0.0).objective
    assert best - 1e-2 <= value(model, guide) <= best + 1e-9


@pytest.mark.parametrize("build", some([*MODELS.values()]))
@pytest.mark.parametrize("guide_class", [StationaryGuide, OpenLoopGuide])
def test_small_steps_reach_what_svi_reaches(build, guide_class):
    model = build()
    best = fit(model, guide_class(model), num_steps=600).elbo
    assert value(model, stepped(model, guide_class(model), 30, 0.15)) == pytest.approx(best, abs=1e-2)


def test_the_loss_of_a_compromise_falls_with_the_square_of_the_step_size():
    model = MODELS["random"]()
    best = value(model, fit(model, OpenLoopGuide(model), num_steps=1000, tolerance=1e-9).guide)
    one, half = (best - value(model, stepped(model, OpenLoopGuide(model), int(10 / eta), eta)) for eta in (0.6, 0.3))
    assert one > 0.05
    assert 2.5 < one / half < 6


@pytest.mark.parametrize("guide_class", [MeanFieldGuide, LowRankGuide, StationaryGuide])
def test_small_steps_increase_the_elbo(guide_class):
    model = MODELS["random"]()
    guide = guide_class(model)
    found = [em_step(model, guide, 0.1) for _ in range(5)]
    assert found == sorted(found)
    assert found[-1] > found[0] + 0.1


def test_a_step_reports_the_elbo_before_it_and_leaves_no_gradient():
    model = MODELS["random"]()
    guide = shaken(ClampedGuide(model))
    before = value(model, guide)
    with torch.no_grad():
        assert em_step(model, guide) == pytest.approx(before, abs=1e-12)
    assert value(model, guide) > before
    assert guide.policy_logits.grad is None


@pytest.mark.parametrize("guide_class", [ClampedGuide, NeuralGuide, LowRankGuide])
def test_the_next_step_depends_only_on_the_guide(guide_class):
    model = MODELS["random"]()
    guide = stepped(model, guide_class(model), 2, 0.5)
    twin = guide_class(model)
    twin.load_state_dict(copy.deepcopy(guide.state_dict()))
    for each in (guide, twin):
        stepped(model, each, 2, 0.5)
    for one, other in zip(guide.parameters(), twin.parameters(), strict=True):
        assert torch.equal(one, other)


def test_parameters_without_gradients_are_not_changed():
    model = MODELS["random"]()
    guide = FreeGuide(model)
    guide.dynamics_logits.requires_grad_(False)
    guide.initial_logits.requires_grad_(False)
    stepped(model, guide, 10)
    assert not guide.dynamics_logits.any()
    assert not guide.initial_logits.any()
    assert value(model, guide) == pytest.approx(infer(model, 0.0).objective, abs=1e-3)


def test_free_survival_is_optimised():
    model = MODELS["random, all"]()
    optimism = Optimism(0.0, 0.0, 1.0)
    guide = stepped(model, DialGuide(model, optimism), 15)
    assert value(model, guide) == pytest.approx(infer(model, optimism).objective, abs=1e-3)


def test_assigned_zeros_stay_zero():
    model = MODELS["random"]()
    guide = ClampedGuide(model)
    blocks = DeterministicGuide(model).blocks()
    guide.assign(blocks)
    em_step(model, guide)
    assert torch.equal(guide.blocks().log_policy.exp(), blocks.log_policy.exp())


def test_single_precision_reaches_the_optimum():
    mdp = random_mdp(seed=0, states=4, horizon=5).to(dtype=torch.float32)
    model = TabularModel(mdp, 0.5)
    assert value(model, stepped(model, ClampedGuide(model), 10)) == pytest.approx(infer(model, 0.0).objective, abs=1e-3)


@pytest.mark.parametrize("guide_class", [MeanFieldGuide, OpenLoopGuide])
@pytest.mark.parametrize("seed", [0, 1])
def test_an_action_that_one_state_masks(guide_class, seed):
    model = timed_model("prior", seed)  # the target takes it in other states, so that the whole KL is infinite
    start = evaluate(model, guide_class(model)).elbo
    best = fit(model, guide_class(model), num_steps=1500, seed=0).elbo
    assert fit(model, guide_class(model), method="em", num_steps=200).elbo > max(start, best - 0.05)


def test_a_guide_with_an_infinite_elbo_is_not_changed():
    lost = TabularMDP([1.0], [[[1.0]]], [[[0]]], [[[-torch.inf]]], horizon=2)
    model = TabularModel(lost)
    guide = ClampedGuide(model)
    assert em_step(model, guide) == -torch.inf
    assert not guide.policy_logits.any()


def test_refusals_name_the_remedy():
    model = MODELS["random"]()
    with pytest.raises(InvalidArgument, match=r"DeterministicGuide has none.*natural_gradient"):
        em_step(model, DeterministicGuide(model))
    with pytest.raises(InvalidArgument, match="Posterior has none"):
        em_step(model, infer(model, 1.0))
    with pytest.raises(InvalidArgument, match=r'every β 0 or 1, but DialGuide.*"svi"'):
        em_step(model, DialGuide(model, 0.5))


def test_states_with_the_same_view_keep_the_same_policy():
    model = MODELS["random"]()
    guide = stepped(model, ViewGuide(model, [0, 0, 1, 1, 0]), 3)
    policy = guide.blocks().log_policy
    assert torch.equal(policy[:, 0], policy[:, 4])
    assert not torch.allclose(policy[:, 0], policy[:, 2])
