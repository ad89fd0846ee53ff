"""Negative optimism and breakdown in local searches: the worst case of a policy, and named errors beyond the limit."""

import math

import pyro.distributions as dist
import pytest
import torch
from ledge import ledge

from pgm_control import (
    InvalidArgument,
    LinearQuadratic,
    LinearQuadraticModel,
    Optimism,
    OptimismBreakdown,
    Planar,
    PlanarModel,
    breakdown,
    fit,
    infer,
)
from pgm_control.guides import FreeGaussianGuide, GaussianDialGuide
from pgm_control.inference.local.adversary import worst_case
from pgm_control.inference.local.around import around
from pgm_control.inference.local.expectations import Points
from pgm_control.inference.local.ilqg import ilqg
from pgm_control.models.continuous import ContinuousModel

A, B, W, Q, R, U, START, START_VARIANCE, STEPS = 0.9, 0.5, 0.3, 1.0, 0.2, 1.0, 1.0, 0.5, 6


def exact(q=Q, horizon=STEPS):
    problem = LinearQuadratic.from_cost(
        A, B, q, R, W, horizon=horizon, initial_mean=START, initial_covariance=START_VARIANCE
    )
    return LinearQuadraticModel(problem, 1.0, U)


def normal(mean, variance):
    return dist.Normal(mean, torch.tensor(variance, dtype=torch.float64).sqrt()).to_event(1)


def vectors(q=Q, horizon=STEPS):
    """The same problem as functions."""
    one = torch.ones(1, dtype=torch.float64)
    return ContinuousModel(
        normal(START * one, START_VARIANCE),
        lambda t, s, a: normal(A * s + B * a, W),
        lambda t, s, a, ahead: -0.5 * (q * s**2 + R * a**2).sum(-1),
        horizon,
        action_prior=normal(0.0 * one, U),
    )


def least_by_hand(gain, offset, variance, beta, start_beta):
    """min over all adversaries of the objective of a scalar policy: certainty equivalents, one after the other."""

    def equivalent(P, p, v, noise, beta):
        grown = 1.0 + beta * noise * P
        if grown <= 0:
            return None
        constant = 0.5 * noise * P if beta == 0 else math.log(grown) / (2 * beta)
        return P / grown, p / grown, v + constant - 0.5 * beta * p * p * noise / grown

    P = p = v = 0.0
    for K, kappa, spread in reversed(list(zip(gain, offset, variance, strict=True))):
        ahead = equivalent(P, p, v, W, beta)
        if ahead is None:
            return -math.inf
        slope, shift = A - B * K, -B * kappa
        paid = R + 1.0 / U
        P, p, v = (
            Q + paid * K * K + ahead[0] * slope * slope,
            paid * K * kappa + ahead[0] * slope * shift + ahead[1] * slope,
            0.5 * paid * (kappa * kappa + spread) - 0.5 - 0.5 * math.log(spread / U)
            + 0.5 * ahead[0] * (shift * shift + B * B * spread) + ahead[1] * shift + ahead[2],
        )  # fmt: skip
    start = equivalent(P, p, v, START_VARIANCE, start_beta)
    return -math.inf if start is None else -(0.5 * start[0] * START * START + start[1] * START + start[2])


@pytest.mark.parametrize(("beta", "start"), [(-0.3, -0.3), (-0.4, 0.0), (0.0, -0.2)])
def test_the_worst_case_of_a_policy_is_a_nested_certainty_equivalent(beta, start):
    model = vectors()
    guide = GaussianDialGuide(model, Optimism(dynamics=beta, initial=start))
    points = Points.quasi_random(64, 3, 0)
    for step in range(3):
        with torch.no_grad():
            for each in guide.policy_factor.parameters():
                each.add_(0.2 * torch.randn(each.shape, generator=torch.Generator().manual_seed(step)).double())
            blocks = guide.factors().detach()
        now = around(model, blocks, (start != 0, beta != 0), points)
        worst = worst_case(now, (beta, start), points)
        rows = blocks.gain[:, 0, 0].tolist(), blocks.offset[:, 0].tolist(), blocks.policy_covariance[:, 0, 0].tolist()
        due = least_by_hand(*rows, beta, start)
        assert worst.is_bounded == math.isfinite(due)
        if worst.is_bounded:
            assert worst.value == pytest.approx(due, abs=1e-9)
        assert torch.equal(worst.found.blocks.gain, blocks.gain)


def test_an_adversary_without_bound_is_found_out():
    """The prior policy lets the noise grow: it has no worst case at a β at which the best policy has one."""
    model, beta, points = vectors(), -0.5, Points.quasi_random(64, 3, 0)
    guide = GaussianDialGuide(model, beta)
    blocks = guide.factors().detach()
    assert least_by_hand([0.0] * STEPS, [0.0] * STEPS, [U] * STEPS, beta, beta) == -math.inf
    worst = worst_case(around(model, blocks, (True, True), points), (beta, beta), points)
    assert not worst.is_bounded
    assert math.isfinite(infer(exact(), beta).objective)


LIMIT = breakdown(exact()).neurotic.optimism


@pytest.mark.parametrize("share", [0.5, 0.99, 0.9999])
def test_just_inside_the_breakdown_both_searches_are_exact(share):
    due = infer(exact(), share * LIMIT)
    guide = GaussianDialGuide(vectors(), share * LIMIT)
    found = fit(guide.model, guide, method="natural_gradient", num_steps=10)
    assert found.remeasured == pytest.approx(due.objective, rel=1e-9)
    path = ilqg(vectors(), share * LIMIT)
    for gain in (guide.factors().gain.detach(), path.guide.gain):
        torch.testing.assert_close(gain, due.gain, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("share", [1.0001, 1.5, 10.0])
def test_beyond_the_breakdown_both_searches_name_it(share):
    guide = GaussianDialGuide(vectors(), share * LIMIT)
    with pytest.raises(OptimismBreakdown, match=r"of this model .neurotic.*at the start") as raised:
        fit(guide.model, guide, method="natural_gradient", num_steps=10)
    assert raised.value.limit == pytest.approx(LIMIT, rel=1e-9)
    assert raised.value.time == -1
    with pytest.raises(OptimismBreakdown, match="linear-quadratic problem around the last guide") as raised:
        ilqg(vectors(), share * LIMIT)
    assert raised.value.limit == pytest.approx(LIMIT, rel=1e-6)


def test_the_breakdown_of_the_dynamics_alone_has_its_step_and_direction():
    model, beta = vectors(), Optimism(dynamics=-4.0, initial=0.0)
    edge = breakdown(exact(), initial=False).neurotic
    guide = GaussianDialGuide(model, beta)
    with pytest.raises(OptimismBreakdown) as raised:
        fit(model, guide, method="natural_gradient", num_steps=10)
    assert raised.value.limit == pytest.approx(edge.optimism, rel=1e-9)
    assert raised.value.time == edge.time
    assert raised.value.direction == pytest.approx((1.0,))


def test_a_reward_that_rises_is_euphoric():
    """With r = +½ q s² log p(O) is infinite from some β on: no number, and below it the exact one."""
    rises = exact(-0.3)
    limit = breakdown(rises).euphoric.optimism
    for share, search in ((0.98, "natural"), (0.98, "path"), (1.02, "natural"), (1.02, "path")):
        model = vectors(-0.3)
        guide = GaussianDialGuide(model, share * limit)

        def run(search=search, model=model, guide=guide, beta=share * limit):
            if search == "natural":
                fit(model, guide, method="natural_gradient", num_steps=10)
                return guide.factors().detach()
            return ilqg(model, beta).guide

        if share < 1:
            torch.testing.assert_close(run().gain, infer(rises, share * limit).gain, atol=1e-9, rtol=1e-9)
        else:
            with pytest.raises(OptimismBreakdown, match="euphoric: log p"):
                run()


def test_a_cost_that_is_concave_in_the_actions_has_no_best_one():
    one = torch.ones(1, dtype=torch.float64)
    model = ContinuousModel(
        normal(one, 0.5),
        lambda t, s, a: normal(A * s + B * a, W),
        lambda t, s, a, ahead: (a**2).sum(-1),
        3,
        action_prior=normal(0.0 * one, 1.0),
    )
    guide = GaussianDialGuide(model, 0.0)
    with pytest.raises(OptimismBreakdown, match="convex in the actions"):
        fit(model, guide, method="natural_gradient", num_steps=5)


def test_against_an_adversary_the_worst_case_of_the_ledge_never_falls():
    model = ledge(horizon=5)
    guide = GaussianDialGuide(model, Optimism(dynamics=-0.05, initial=0.0))
    found = fit(model, guide, method="natural_gradient", num_steps=12)
    bounded = found.elbo_history[2:]
    assert bool((bounded.diff() >= -1e-5).all())
    assert bounded[-1] > bounded[0]
    points = Points.quasi_random(4096, 6, 0)
    blocks = guide.factors().detach()
    best = worst_case(around(model, blocks, (False, True), points), (-0.05, 0.0), points)
    assert best.is_bounded
    assert best.value == pytest.approx(float(found.elbo_history[-1]), abs=0.05)
    noise = torch.Generator().manual_seed(0)
    for _ in range(3):  # no policy nearby is better against its own adversary
        moved = blocks.replace(offset=blocks.offset + 0.05 * torch.randn(5, 2, generator=noise, dtype=torch.float64))
        other = worst_case(around(model, moved, (False, True), points), (-0.05, 0.0), points)
        assert other.value < best.value


def test_an_adversary_that_no_policy_of_the_search_bounds_is_refused():
    model = ledge(horizon=4)  # −2 |s − goal|² at the end: the last gust alone has its limit at β = −τ / (4 · .16)
    guide = GaussianDialGuide(model, Optimism(dynamics=-0.9, initial=0.0))
    with pytest.raises(OptimismBreakdown):
        fit(model, guide, method="natural_gradient", num_steps=40)


@pytest.mark.parametrize("worth", [-math.inf, math.nan])
def test_rewards_that_are_no_numbers_are_not_called_an_adversary(worth):
    walled = Planar(lambda s: torch.where(s[..., 0] < -0.5, worth, 0.0 * s[..., 0]), 2, 0.09)
    model = PlanarModel(walled, 1.0, 0.5)
    with pytest.raises(InvalidArgument, match="finite rewards where a Gaussian guide goes") as refusal:
        fit(model, FreeGaussianGuide(model), method="natural_gradient", num_steps=20, seed=0)
    assert not isinstance(refusal.value, OptimismBreakdown)
