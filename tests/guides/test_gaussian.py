"""Gaussian guides: what they may change, the exact optimum, and their programs, on random and nonlinear models."""

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from ledge import HAND, ledge
from linear_quadratics import double_integrator, random_model, scalar
from pyro.infer import Trace_ELBO

from pgm_control import (
    InvalidArgument,
    InvalidGuide,
    InvalidProblem,
    LinearQuadratic,
    LinearQuadraticModel,
    Optimism,
    estimate,
    fit,
    infer,
    log_weights,
    scorecard,
    smc,
)
from pgm_control.guides import (
    ClampedGaussianGuide,
    FreeGaussianGuide,
    GaussianDialGuide,
    OpenLoopGaussianGuide,
)
from pgm_control.models.continuous import ContinuousModel
from pgm_control.testing import check_guide
from pgm_control.trajectories.gaussian.distributions import gaussian
from pgm_control.trajectories.gaussian.objective import objective_of

CHANCE = {"initial", "dynamics"}
FAMILIES = {
    ClampedGaussianGuide: set(),
    OpenLoopGaussianGuide: set(),
    FreeGaussianGuide: CHANCE,
    lambda model: GaussianDialGuide(model, 0.5): CHANCE,
    lambda model: GaussianDialGuide(model, -0.05): CHANCE,
    lambda model: GaussianDialGuide(model, Optimism(0.0, 0.5)): {"initial"},
}
SHORT = LinearQuadraticModel(scalar(horizon=2, initial_covariance=0.5), 1.0, 1.0)
START = LinearQuadraticModel(scalar(initial_covariance=0.5), 1.0, 1.0)


def shaken(guide, size=0.2, seed=0):
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for each in guide.parameters():
            each.add_(size * torch.randn(each.shape, generator=noise, dtype=each.dtype))
    return guide


def swinging(**changes):
    """A pendulum: dynamics that are curved."""

    def dynamics(t, state, action):
        angle, speed = state[..., 0], state[..., 1]
        mean = torch.stack((angle + 0.3 * speed, speed + 0.3 * angle.sin() + 0.3 * action[..., 0]), -1)
        return dist.Normal(mean, 0.1).to_event(1)

    zero = torch.zeros(2, dtype=torch.float64)
    given = {
        "start": dist.Normal(zero + 0.5, 0.2).to_event(1),
        "dynamics": dynamics,
        "reward": lambda t, s, a, ahead: -(ahead**2).sum(-1),
        "horizon": 5,
        "action_prior": dist.Normal(zero[:1], 1.0).to_event(1),
    }
    return ContinuousModel(**(given | changes))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("model", [SHORT, ledge(horizon=2), swinging(horizon=2)], ids=["linear", "ledge", "pendulum"])
def test_a_guide_changes_the_blocks_that_it_may_change(family, model):
    guide = shaken(family(model))
    due = FAMILIES[family]
    if isinstance(model, ContinuousModel) and bool((model.start().variance == 0).all()):
        due = due - {"initial"}
    assert set(guide.free_blocks) == due
    assert set(check_guide(model, guide, seed=0).free) == due


@pytest.mark.parametrize("seed", range(8))
def test_the_exact_free_guide_has_constant_log_weight(seed):
    model = random_model(seed, discounted=False, largest=(4, 3, 8))
    guide = FreeGaussianGuide(model)
    guide.assign(guide.optimum())
    found, due = log_weights(model, guide, 20, seed=0), infer(model, 1.0).log_evidence
    size = 1.0 + found.abs().max()
    problem = model.problem
    is_regular = all(
        bool((torch.linalg.cholesky_ex(each).info == 0).all()) for each in (problem.W, problem.initial_covariance)
    )
    if is_regular:
        torch.testing.assert_close(found, torch.full_like(found, due), atol=1e-9 * float(size), rtol=0.0)
    assert float(found.std()) <= (1e-11 if is_regular else 1e-5) * float(size)


def test_the_log_weight_is_constant_to_twelve_digits():
    for problem, prior in ((scalar(), None), (double_integrator(), 4.0)):
        model = LinearQuadraticModel(problem, 1.0, prior)
        guide = FreeGaussianGuide(model)
        guide.assign(guide.optimum())
        found = log_weights(model, guide, 50, seed=0)
        assert float(found.max() - found.min()) <= 1e-12
        assert abs(float(found[0]) - infer(model, 1.0).log_evidence) <= 1e-12


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(4))
def test_assigned_blocks_are_returned(family, seed):
    model = random_model(seed, largest=(4, 2, 6))
    guide, other = family(model), shaken(family(model), seed=seed)
    with torch.no_grad():
        due = other.blocks()
        guide.assign(due)
        found = guide.blocks()
    for name in due.__dataclass_fields__:
        torch.testing.assert_close(getattr(found, name), getattr(due, name), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_start_is_the_prior(family):
    with torch.no_grad():
        found = family(START).blocks()
    assert float(found.gain.abs().max()) == float(found.offset.abs().max()) == 0.0
    assert torch.equal(found.policy_covariance, torch.ones(6, 1, 1, dtype=torch.float64))
    assert torch.equal(found.transition, START.problem.F)
    torch.testing.assert_close(found.noise, START.problem.W)
    torch.testing.assert_close(found.initial_covariance, START.problem.initial_covariance)


def test_a_clamped_guide_takes_the_dynamics_from_the_model_and_not_from_the_caller():
    model = LinearQuadraticModel(scalar())
    free, guide = infer(model, 1.0).blocks(), ClampedGaussianGuide(model)
    guide.assign(free)  # the policy of the posterior, whose dynamics are believed
    found = guide.blocks()
    assert torch.equal(found.transition, model.problem.F)
    assert torch.equal(found.noise, model.problem.W)
    value = float(objective_of(model, found, 0.0, 0.0).detach())
    assert value == pytest.approx(6.12555859, abs=1e-8)  # below 6.21835979, the best clamped guide
    unpriced = objective_of(model, free, float("inf"), float("inf"))  # the mistake: believed dynamics, no KL
    assert float(unpriced) > 6.21835979


@pytest.mark.parametrize("seed", range(6))
def test_no_open_loop_plan_is_better_than_the_optimum(seed):
    model = random_model(seed, largest=(3, 2, 6))
    guide = OpenLoopGaussianGuide(model)
    guide.assign(guide.optimum())
    bound = objective_of(model, guide.blocks(), 0.0, 0.0)
    gradients = torch.autograd.grad(bound, list(guide.parameters()))
    bound = bound.item()
    assert all(float(each.abs().max()) <= 1e-8 * (1.0 + abs(bound)) for each in gradients)
    assert bound <= infer(model, 0.0).objective + 1e-9
    for other in range(5):
        worse = shaken(OpenLoopGaussianGuide(model), 0.1, other)
        assert float(objective_of(model, worse.blocks(), 0.0, 0.0).detach()) <= bound


def test_an_open_loop_plan_sees_nothing():
    guide = shaken(OpenLoopGaussianGuide(START))
    one, two = guide.policy(2, torch.zeros(1).double()), guide.policy(2, torch.ones(1).double())
    assert torch.equal(one.mean, two.mean)


@pytest.mark.slow
def test_estimates_agree_with_the_exact_objective():
    model = START
    for family in (ClampedGaussianGuide, FreeGaussianGuide, OpenLoopGaussianGuide):
        guide = family(model)
        guide.assign(guide.optimum())
        exact = objective_of(model, guide.blocks(), 1.0, 1.0).item()
        found = estimate(model, guide, 1000, seed=0)
        assert abs(found.elbo.mean - exact) <= 5 * found.elbo.standard_error + 1e-9


def test_smc_and_the_scorecard_take_gaussian_guides():
    model = START
    clamped, free = ClampedGaussianGuide(model), FreeGaussianGuide(model)
    clamped.assign(clamped.optimum())
    free.assign(free.optimum())
    due = infer(model, 1.0).log_evidence
    assert smc(model, free, 20, seed=0).log_evidence == pytest.approx(due, abs=1e-9)
    assert smc(model, clamped, 1000, seed=0).log_evidence == pytest.approx(due, abs=0.2)
    assert "clamped" in repr(scorecard(model, {"clamped": clamped, "free": free}, num_samples=200, seed=0))


def test_a_noise_that_the_model_lacks_is_not_learned():
    problem = LinearQuadratic(
        [[1.0, 0.2], [0.0, 1.0]], [[0.0], [0.2]], np.diag([0.0, 0.05]), np.diag([1.0, 0.1, 0.1]), horizon=4,
        initial_mean=[2.0, 0.0],
    )  # fmt: skip
    model = LinearQuadraticModel(problem, 1.0, 4.0)
    guide = shaken(FreeGaussianGuide(model))
    assert guide.free_blocks == ("dynamics",)
    noise = guide.blocks().noise.detach()
    assert float(noise[:, 0].abs().max()) == 0.0
    assert bool((noise[:, 1, 1] > 0).all())
    assert bool(log_weights(model, guide, 30, seed=0).isfinite().all())
    wide = guide.blocks().replace(noise=torch.eye(2, dtype=torch.float64).expand(4, 2, 2)).detach()
    before = {name: each.clone() for name, each in guide.state_dict().items()}
    with pytest.raises(InvalidGuide, match="`blocks` must have a dynamics that this guide can represent"):
        guide.assign(wide)
    assert all(torch.equal(before[name], each) for name, each in guide.state_dict().items())


def test_gradients_through_a_singular_noise_are_those_of_the_exact_objective():
    problem = LinearQuadratic(
        [[1.0, 0.2], [0.0, 1.0]], [[0.0], [0.2]], np.diag([0.0, 0.05]), np.diag([1.0, 0.1, 0.1]), horizon=3,
        initial_mean=[2.0, 0.0],
    )  # fmt: skip
    model = LinearQuadraticModel(problem, 1.0, 4.0)
    guide = shaken(FreeGaussianGuide(model), 0.1)
    parameters = list(guide.parameters())
    exact = torch.autograd.grad(objective_of(model, guide.blocks(), 1.0, 1.0), parameters, allow_unused=True)
    loss = Trace_ELBO(num_particles=20_000, vectorize_particles=True, max_plate_nesting=0)
    loss.loss_and_grads(model, guide)
    for parameter, due in zip(parameters, exact, strict=True):
        if due is not None:
            assert float((parameter.grad + due).abs().max()) <= 0.05 * (1.0 + float(due.abs().max()))


def test_a_continuous_model_that_is_linear_has_the_blocks_of_the_linear_quadratic_one():
    for family in (ClampedGaussianGuide, FreeGaussianGuide):
        guide = family(ledge(horizon=3))
        found = guide.blocks().detach()
        assert float((found.transition - torch.eye(2).double().repeat(1, 2)).abs().max()) <= 1e-12
        assert float((found.policy_covariance - HAND**2 * torch.eye(2)).abs().max()) <= 1e-7


def test_curved_dynamics_have_no_blocks_where_they_are_kept():
    model = swinging()
    with pytest.raises(InvalidGuide, match=r"`guide` must have affine-Gaussian factors for `blocks\(\)`"):
        ClampedGaussianGuide(model).blocks()
    FreeGaussianGuide(model).blocks()


def test_what_does_not_fit_is_refused():
    with pytest.raises(InvalidArgument, match="`model` must have noise in every direction, or affine dynamics"):
        FreeGaussianGuide(swinging(dynamics=_half_noisy))
    with pytest.raises(InvalidArgument, match="`model` must be a LinearQuadraticModel for an exact optimum"):
        ClampedGaussianGuide(ledge(horizon=2)).optimum()
    with pytest.raises(InvalidGuide, match="`blocks` must have a policy of shape"):
        ClampedGaussianGuide(START).assign(infer(LinearQuadraticModel(scalar(horizon=3)), 0.0).blocks())


@pytest.mark.wrong_types
def test_wrong_types_are_refused():
    with pytest.raises(InvalidArgument, match="`model` must be a LinearQuadraticModel, or a model over vectors"):
        ClampedGaussianGuide(3)
    with pytest.raises(InvalidGuide, match="`blocks` must be GaussianBlocks"):
        ClampedGaussianGuide(START).assign(3)


def mixing(prior, dtype):
    """The model of the guides' cards, with matrices of one dtype and a final reward."""
    origin, mix = torch.zeros(2, dtype=dtype), torch.tensor([[1.0, 0.2], [0.0, 1.0]], dtype=dtype)
    return ContinuousModel(
        start=dist.Normal(origin, 1.0).to_event(1),
        dynamics=lambda t, s, a: dist.Normal(s + a @ mix, 0.5).to_event(1),
        reward=lambda t, s, a, s_next: -s_next.square().sum(-1),
        horizon=3,
        action_prior=prior(origin).to_event(1),
        final_reward=lambda s: -s.sum(-1),
    )


def wide(origin):
    return dist.Normal(origin, 1.0)


@pytest.mark.parametrize("family", [ClampedGaussianGuide, FreeGaussianGuide, OpenLoopGaussianGuide])
def test_a_model_in_single_precision_has_the_same_guide(family):
    found = {}
    for dtype in (torch.float32, torch.float64):
        model = mixing(wide, dtype)
        guide = family(model)
        found[dtype] = fit(model, guide, method="natural_gradient").remeasured
        sampled = estimate(model, guide, 400, seed=0).elbo
        assert abs(sampled.mean - found[dtype]) <= 4.0 * sampled.standard_error + 1e-4
        assert guide.policy(0, torch.zeros(4, 2, dtype=dtype)).sample().dtype == dtype
        fit(model, guide, num_steps=2, seed=0)
    assert found[torch.float32] == pytest.approx(found[torch.float64], abs=1e-4)


def test_bounds_are_refused():
    def within(origin):
        return dist.Uniform(origin - 1.0, origin + 1.0)

    for make in (ClampedGaussianGuide, lambda model: GaussianDialGuide(model, 0.5)):
        with pytest.raises(
            InvalidProblem, match=r"`action_prior` must be a distribution without bounds.*ClampedNeural"
        ):
            make(mixing(within, torch.float32))
    origin = torch.zeros(1, dtype=torch.float64)
    model = ContinuousModel(
        start=within(origin).to_event(1),
        dynamics=lambda t, s, a: dist.Normal(s + a, 0.5).to_event(1),
        reward=lambda t, s, a, s_next: -s_next.square().sum(-1),
        horizon=2,
        action_prior=wide(origin).to_event(1),
    )
    ClampedGaussianGuide(model)  # it keeps the start
    with pytest.raises(InvalidProblem, match="`start` must be a distribution without bounds"):
        FreeGaussianGuide(model)


def _half_noisy(t, state, action):
    angle, speed = state[..., 0], state[..., 1]
    mean = torch.stack((angle + 0.3 * speed.sin(), speed + 0.3 * action[..., 0]), -1)
    return gaussian(mean, torch.diag(torch.tensor([0.0, 0.01], dtype=torch.float64)))
