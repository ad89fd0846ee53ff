"""The checks of Pyro programs without tables detect typical mistakes."""

import random

import linear_gaussian
import pyro
import pyro.distributions as dist
import pytest
import torch
from linear_gaussian import optimal_guide, program
from pyro.infer.autoguide import AutoMultivariateNormal

from pgm_control import (
    ClampedGaussianGuide,
    ClampedNeuralGuide,
    ContinuousGuide,
    ContinuousModel,
    FlowGuide,
    FreeGaussianGuide,
    FreeNeuralGuide,
    InvalidGuide,
    LawBroken,
    OpenLoopGaussianGuide,
    fit,
)
from pgm_control.runtime.randomness import seeded
from pgm_control.testing import check_guide, check_model


def variant(**changes):
    """A copy of a two-step program with other attributes."""

    def model():
        state = pyro.sample("state_0", dist.Normal(0.0, 1.0))
        for t in range(2):
            action = pyro.sample(f"action_{t}", dist.Normal(0.0, 1.0))
            pyro.factor(f"optimality_{t}", changes.get("reward", -1.0) * state**2)
            state = pyro.sample(f"state_{t + 1}", dist.Normal(state + action, 1.0))

    for name, value in changes.items():
        setattr(model, name, value)
    return model


def test_a_right_program_passes():
    report = check_model(program, seed=0)
    assert report.sites[:3] == ("state_0", "action_0", "state_1")
    assert report.log_evidence is None


def test_free_and_clamped_guides_are_told_apart():
    assert check_guide(program, optimal_guide(1.0), seed=0).free == ("initial", "dynamics")
    assert check_guide(program, optimal_guide(0.0), seed=0).free == ()
    assert check_guide(program, AutoMultivariateNormal(program), seed=0).free == ("initial", "dynamics")


def test_a_site_without_a_role():
    roles = {"action_*": "action", "optimality_*": "optimality"}
    with pytest.raises(LawBroken, match="`state_0` of the model must be an action or chance"):
        check_model(variant(roles=roles))


def test_a_pattern_that_fits_no_site():
    roles = {"state_*": ("state", "chance"), "action_*": "action", "optimality_*": "optimality", "torqe_*": "action"}
    with pytest.raises(LawBroken, match="'torqe_\\*', but no site fits"):
        check_model(variant(roles=roles))


def test_a_factor_that_is_not_a_number():
    with pytest.raises(LawBroken, match="`optimality_0` is nan"):
        check_model(variant(reward=float("nan")))


def test_a_temperature_that_is_not_positive():
    with pytest.raises(LawBroken, match="`temperature`"):
        check_model(variant(temperature=0.0))


def test_numbers_from_elsewhere():
    def random_model():
        state = pyro.sample("state_0", dist.Delta(torch.tensor(random.SystemRandom().random())))
        pyro.sample("action_0", dist.Normal(0.0, 1.0))
        pyro.factor("optimality_0", -(state**2))

    with pytest.raises(LawBroken, match="differs between two runs"):
        check_model(random_model)


def test_a_guide_that_leaves_the_dynamics_out():
    def guide():
        pyro.sample("state_0", dist.Normal(0.0, 1.0))
        for t in range(linear_gaussian.STEPS):
            pyro.sample(f"action_{t}", dist.Normal(0.0, 1.0))

    with pytest.raises(LawBroken, match="A site left out is not clamped"):
        check_guide(program, guide)


def test_a_guide_that_draws_the_impossible():
    def model():
        state = pyro.sample("state_0", dist.Uniform(0.0, 1.0))
        pyro.sample("action_0", dist.Normal(0.0, 1.0))
        pyro.factor("optimality_0", -(state**2))

    def guide():
        pyro.sample("state_0", dist.Normal(0.0, 1.0))
        pyro.sample("action_0", dist.Normal(0.0, 1.0))

    with pytest.raises(LawBroken, match="impossible"):
        check_guide(model, guide, seed=0)


def test_event_dimensions_that_pyro_refuses():
    def model():
        pyro.sample("state_0", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        action = pyro.sample("action_0", dist.Normal(0.0, 1.0))
        pyro.factor("optimality_0", -(action**2))

    def guide():
        pyro.sample("state_0", dist.Normal(torch.zeros(2), 1.0))
        pyro.sample("action_0", dist.Normal(0.0, 1.0))

    with pytest.raises(LawBroken, match=r"`state_0` with 0 event dimensions where the model has 1. Add .to_event\(1\)"):
        check_guide(model, guide, seed=0)


def test_fit_refuses_a_guide_that_leaves_sites_out():
    def guide():
        pyro.sample("state_0", dist.Normal(pyro.param("m", torch.tensor(0.0)), 1.0))

    with pytest.raises(InvalidGuide, match="A site left out is not clamped"):
        fit(program, guide, num_steps=2)
    pyro.clear_param_store()


def windy():
    """A model over vectors with a start and dynamics that are random."""
    zero = torch.zeros(2, dtype=torch.float64)
    return ContinuousModel(
        dist.Normal(zero, 1.0).to_event(1),
        lambda t, s, a: dist.Normal(s + a, 0.3).to_event(1),
        lambda t, s, a, ahead: -(ahead**2).sum(-1),
        2,
        1.0,
        dist.Normal(zero, 1.0).to_event(1),
    )


@pytest.mark.parametrize(
    ("build", "free"),
    [
        (ClampedGaussianGuide, ()),
        (ClampedNeuralGuide, ()),
        (OpenLoopGaussianGuide, ()),
        (FreeGaussianGuide, ("initial", "dynamics")),
        (FreeNeuralGuide, ("initial", "dynamics")),
        (FlowGuide, ()),
    ],
)
def test_continuous_guides_change_the_blocks_that_they_say(build, free):
    """At a guide's first parameters, those of the model, no block differs yet: perturbed ones show what may."""
    with seeded(0):
        guide = build(windy())
    before = {name: each.clone() for name, each in guide.state_dict().items()}
    assert check_guide(guide.model, guide, seed=0).free == free
    assert set(guide.free_blocks) == set(free)
    assert all(torch.equal(each, before[name]) for name, each in guide.state_dict().items())


class Cheat(ContinuousGuide):
    """It says to keep the dynamics, and moves them."""

    free_blocks = ()

    def __init__(self, model):
        super().__init__(model)
        self.luck = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))

    def policy_given(self, t, state, given):
        return given

    def dynamics_given(self, t, state, action, given):
        return dist.Normal(given.mean + self.luck, given.stddev).to_event(1)


def test_a_block_that_a_guide_says_to_keep_is_compared():
    model = windy()
    with pytest.raises(LawBroken, match="block 'dynamics' differ from the model's, but its `free_blocks` are"):
        check_guide(model, Cheat(model), seed=0)
