"""Natural gradients of Gaussian guides: linear-quadratic problems in a step, the gusty ledge, curved dynamics."""

import pyro.distributions as dist
import pytest
import torch
from ledge import ledge

from pgm_control import LinearQuadratic, LinearQuadraticModel, estimate, fit, infer
from pgm_control.guides import ClampedGaussianGuide, FreeGaussianGuide, GaussianDialGuide, OpenLoopGaussianGuide
from pgm_control.inference.local.around import around
from pgm_control.inference.local.expectations import Points
from pgm_control.inference.local.step import improved_around
from pgm_control.models.continuous import ContinuousModel

STEPS, START_VARIANCE = 6, 0.5
PROBLEM = LinearQuadratic.from_cost(
    0.9, 0.5, 1.0, 0.2, 0.3, horizon=STEPS, initial_mean=1.0, initial_covariance=START_VARIANCE
)
EXACT = LinearQuadraticModel(PROBLEM, 1.0, 1.0)


def normal(mean, variance):
    return dist.Normal(mean, torch.tensor(variance, dtype=torch.float64).sqrt()).to_event(1)


def vectors(reward=None, dynamics=None, **changes):
    """The scalar problem as a continuous model."""
    one = torch.ones(1, dtype=torch.float64)
    return ContinuousModel(
        start=normal(one, START_VARIANCE),
        dynamics=dynamics or (lambda t, s, a: normal(0.9 * s + 0.5 * a, 0.3)),
        reward=reward or (lambda t, s, a, ahead: -0.5 * (s**2 + 0.2 * a**2).sum(-1)),
        horizon=STEPS,
        action_prior=normal(0.0 * one, 1.0),
        **changes,
    )


@pytest.mark.parametrize("beta", [0.0, 1.0, 0.5])
def test_a_linear_quadratic_problem_is_solved_in_one_step(beta):
    guide = GaussianDialGuide(vectors(), beta)
    fit(guide.model, guide, method="natural_gradient", num_steps=1)
    found = fit(guide.model, guide, method="natural_gradient", num_steps=1)
    assert found.remeasured == pytest.approx(infer(EXACT, beta).objective, abs=1e-9)
    due, got = infer(EXACT, beta), guide.blocks().detach()
    for name in ("gain", "policy_covariance", "transition", "noise", "initial_mean", "initial_covariance"):
        torch.testing.assert_close(getattr(got, name), getattr(due, name), atol=1e-7, rtol=1e-7)


def test_a_plan_of_a_linear_quadratic_problem_is_found_in_one_step():
    guide, best = OpenLoopGaussianGuide(vectors()), OpenLoopGaussianGuide(EXACT)
    fit(guide.model, guide, method="natural_gradient", num_steps=1)
    torch.testing.assert_close(guide.blocks().offset, best.optimum().offset, atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(guide.blocks().policy_covariance, best.optimum().policy_covariance, atol=1e-8, rtol=1e-8)


def test_the_known_answers():
    found = {}
    for family in (ClampedGaussianGuide, FreeGaussianGuide):
        guide = family(vectors())
        found[family] = fit(guide.model, guide, method="natural_gradient", num_steps=4).remeasured
    assert found[FreeGaussianGuide] == pytest.approx(-2.7677273982, abs=1e-8)
    assert found[ClampedGaussianGuide] == pytest.approx(-4.3584123900, abs=1e-8)


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_a_reward_of_the_next_state_counts_and_shares_terms_with_the_action(beta):
    """r = −½ (s' − a)² has a cross term of action and next state; as a cost of (s, a) it is a mean over true noise."""

    def reward(t, s, a, ahead):
        return -0.5 * ((ahead - a) ** 2).sum(-1)

    guide = GaussianDialGuide(vectors(reward=reward), beta)
    found = fit(guide.model, guide, method="natural_gradient", num_steps=30, tolerance=1e-12)
    if beta == 0.0:  # E r = −½ ((.9 s − .5 a)² + .3)
        C = torch.tensor([[0.81, -0.45], [-0.45, 0.25]], dtype=torch.float64)
        same = LinearQuadratic(
            0.9, 0.5, 0.3, C, horizon=STEPS, initial_mean=1.0, initial_covariance=START_VARIANCE, k=0.15
        )
        assert found.remeasured == pytest.approx(infer(LinearQuadraticModel(same, 1.0, 1.0), 0.0).objective, abs=1e-8)
    else:  # the log-weight of the exact posterior is constant
        from pgm_control import log_weights

        weights = log_weights(guide.model, guide, 50, seed=0)
        assert float(weights.std()) <= 1e-6
        assert float(weights.mean()) == pytest.approx(found.remeasured, abs=1e-6)


def test_a_guide_is_the_optimum_of_its_own_rewards():
    """The step of size η is taken from the guide, wherever it stands: a small step changes it by a little."""
    model = ledge(horizon=4)
    guide = FreeGaussianGuide(model)
    with torch.no_grad():
        for each in guide.parameters():
            each.add_(0.1 * torch.randn(each.shape, generator=torch.Generator().manual_seed(0), dtype=each.dtype))
    points = Points.quasi_random(256, 6, 0)
    now = around(model, guide.factors().detach(), (False, True), points)
    small = improved_around(now, (1.0, 0.0), 1e-6, points)
    for name in ("gain", "offset", "policy_covariance", "transition", "drift", "noise"):
        old, new = getattr(now.blocks, name), getattr(small.found.blocks, name)
        assert float((old - new).abs().max()) <= 1e-3 * (1.0 + float(old.abs().max()))
    assert small.size > 0
    assert small.objective > small.before


@pytest.mark.parametrize("family", [ClampedGaussianGuide, FreeGaussianGuide, OpenLoopGaussianGuide])
def test_the_objective_never_falls(family):
    model = ledge(horizon=5)
    guide = family(model)
    history = fit(model, guide, method="natural_gradient", num_steps=12, tolerance=0.0).elbo_history
    assert bool((history.diff() >= 0).all())
    assert history[-1] > history[0]


def test_points_of_the_fit_and_others_agree_with_draws():
    model = ledge(horizon=5)
    guide = ClampedGaussianGuide(model)
    found = fit(model, guide, method="natural_gradient", num_steps=15)
    assert found.elbo is None
    assert "measured at other points" in repr(found)
    assert abs(found.remeasured - float(found.elbo_history[-1])) <= 0.3
    drawn = estimate(model, guide, 4000, seed=0).elbo
    assert abs(drawn.mean - found.remeasured) <= 5 * drawn.standard_error


@pytest.mark.slow
def test_curved_dynamics():
    """Free: the objective is an ELBO, whatever the dynamics. Clamped: at matched moments, and the name says so."""

    def dynamics(t, state, action):
        return normal(state + 0.3 * (2.0 * state).sin() + 0.5 * action, 0.1)

    model = vectors(dynamics=dynamics)
    free = FreeGaussianGuide(model)
    found = fit(model, free, method="natural_gradient", num_steps=40, tolerance=1e-9)
    drawn = estimate(model, free, 20_000, seed=0).elbo
    assert abs(drawn.mean - found.remeasured) <= 5 * drawn.standard_error + 1e-3
    before = found.remeasured
    from pyro.infer import Trace_ELBO
    from pyro.optim import ClippedAdam

    loss = Trace_ELBO(num_particles=200, vectorize_particles=True, max_plate_nesting=0)
    fit(model, free, loss=loss, optim=ClippedAdam({"lr": 0.003}), num_steps=60, seed=0)
    again = fit(model, free, method="natural_gradient", num_steps=1)
    assert float(again.elbo_history[0]) <= before + 2e-3  # SVI finds nothing better nearby
    clamped = ClampedGaussianGuide(model)
    found = fit(model, clamped, method="natural_gradient", num_steps=40)
    assert found.objective_name == "ELBO at Gaussian marginals"
    drawn = estimate(model, clamped, 20_000, seed=0).elbo
    assert 0.0 < abs(drawn.mean - found.remeasured) <= 0.3  # the marginals are not Gaussian


def test_a_negative_optimism_ends_at_the_saddle_of_a_linear_quadratic_problem():
    guide = GaussianDialGuide(vectors(), -0.2)
    found = fit(guide.model, guide, method="natural_gradient", num_steps=5)
    assert found.objective_name == "objective J_β"
    assert found.remeasured == pytest.approx(infer(EXACT, -0.2).objective, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "least", "most"), [(ClampedGaussianGuide, -22.65, -20.0792), (FreeGaussianGuide, -16.70, -13.7133)]
)
def test_the_gusty_ledge(family, least, most):
    model = ledge()
    guide = family(model)
    found = fit(model, guide, method="natural_gradient", num_steps=60)
    assert least <= found.remeasured <= most
    drawn = estimate(model, guide, 10_000, seed=0).elbo
    assert abs(drawn.mean - found.remeasured) <= 5 * drawn.standard_error


def test_a_fit_can_be_resumed():
    model = ledge(horizon=3)
    first, second = ClampedGaussianGuide(model), ClampedGaussianGuide(model)
    whole = fit(model, first, method="natural_gradient", num_steps=6, tolerance=0.0)
    half = fit(model, second, method="natural_gradient", num_steps=3, tolerance=0.0)
    again = fit(model, second, method="natural_gradient", num_steps=6, tolerance=0.0, resume=half)
    torch.testing.assert_close(again.elbo_history, whole.elbo_history, atol=1e-9, rtol=1e-9)
