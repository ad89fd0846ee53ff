"""The distribution of the return: quadratic forms beside laws of scipy and samples, and sampled returns."""

import math

import numpy as np
import pytest
import torch
from linear_quadratics import double_integrator, random_model, scalar
from scipy import stats

from pgm_control import (
    Estimate,
    InvalidArgument,
    InvalidProblem,
    Line,
    LinearQuadraticModel,
    LineModel,
    evaluate,
    frontier,
    infer,
    return_distribution,
    return_moments,
    rollout,
    to_gymnasium,
)
from pgm_control.analysis.continuous.returns import GaussianReturns
from pgm_control.analysis.continuous.sampled_returns import SampledReturns


def tail_mean(law, level):
    """The mean of the largest share of a law of scipy, by its quantiles."""
    u, weight = np.polynomial.legendre.leggauss(200)
    return float(0.5 * (weight * law.isf(0.5 * level * (1.0 + u))).sum())


FORMS = {  # λ, g, k, and the law of −R
    **{f"chi2 {d}": (np.full(d, 2.0), np.zeros(d), 0.0, stats.chi2(d)) for d in (1, 2, 3, 8)},
    "scaled": (np.full(5, 6.0), np.zeros(5), -1.0, stats.chi2(5, loc=1.0, scale=3.0)),
    # ½·2 (y + 1)² = y² + 2 y + 1
    "off centre": (np.full(3, 2.0), np.array([2.0, 0.0, 0.0]), -1.0, stats.ncx2(3, 1.0)),
    "normal": (np.zeros(3), np.array([1.0, 2.0, 2.0]), -4.0, stats.norm(4.0, 3.0)),
    "both signs": (np.array([2.0, 2.0, -2.0, -2.0]), np.zeros(4), 0.0, stats.laplace(0.0, 2.0)),
}


@pytest.mark.parametrize("name", FORMS)
def test_known_laws_to_the_stated_error(name):
    curvatures, slopes, constant, law = FORMS[name]
    found = GaussianReturns(curvatures, slopes, constant)
    assert found.mean == pytest.approx(-law.mean())
    assert found.variance == pytest.approx(law.var())
    for share in (1e-4, 0.01, 0.1, 0.5, 0.9, 0.999):
        r = -law.isf(share)
        assert abs(found.below(r) - share) <= found.probability_error + 1e-12
        assert found.at_least(r) == pytest.approx(1.0 - found.below(r), abs=1e-15)
        if min(share, 1.0 - share) > found.probability_error:
            assert abs(float(law.sf(-found.quantile(share))) - share) <= found.probability_error + 1e-9
    for level in (0.01, 0.1, 0.5):
        due = -tail_mean(law, level)
        assert abs(found.cvar(level) - due) <= found.shortfall_error / level + 2e-5 * abs(due)
    assert found.cvar(1.0) == found.mean
    if len(slopes) > 2:
        assert found.shortfall_error < 1e-9


def test_the_largest_return():
    assert GaussianReturns(np.array([2.0]), np.array([2.0]), 3.0).quantile(1.0) == 4.0
    assert GaussianReturns(np.array([-2.0, 2.0]), np.zeros(2), 3.0).quantile(1.0) == math.inf
    assert GaussianReturns(np.array([0.0, 2.0]), np.array([1.0, 0.0]), 3.0).quantile(1.0) == math.inf


def test_a_sure_return():
    sure = GaussianReturns(np.zeros(2), np.zeros(2), -3.0)
    assert sure.mean == sure.cvar(0.1) == sure.quantile(0.3) == -3.0
    assert (sure.below(-3.0), sure.below(-3.1), sure.at_least(-3.0), sure.at_least(-2.9)) == (1.0, 0.0, 1.0, 0.0)
    assert sure.probability_error == sure.shortfall_error == 0.0


@pytest.mark.parametrize("seed", range(8))
def test_moments_are_those_of_the_sweeps(seed):
    model = random_model(seed, largest=(5, 3, 12))
    guide = infer(model, 0.0)
    law, moments = return_distribution(model, guide), return_moments(model, guide)
    assert law.mean == pytest.approx(moments.mean, rel=1e-10, abs=1e-10)
    assert law.mean == pytest.approx(evaluate(model, guide).true_return, rel=1e-10, abs=1e-10)
    assert law.variance == pytest.approx(moments.variance, rel=1e-9)


def test_tails_are_those_of_episodes():
    """Returns that are added up in numpy, from the matrices."""
    model = LinearQuadraticModel(double_integrator().replace(discount=0.95), 1.0, 4.0)
    guide, problem, rng = infer(model, 0.5), model.problem, np.random.default_rng(0)
    many, T = 100_000, problem.horizon
    A, B, W, C = (np.asarray(each[0]) for each in (problem.A, problem.B, problem.W, problem.C))
    s = np.asarray(problem.initial_mean) + rng.normal(size=(many, 2)) @ np.linalg.cholesky(0.1 * np.eye(2)).T
    total = np.zeros(many)
    for t in range(T):
        noise = np.sqrt(float(guide.policy_covariance[t, 0, 0])) * rng.normal(size=(many, 1))
        a = -s @ np.asarray(guide.gain[t]).T - np.asarray(guide.offset[t]) + noise
        z = np.concatenate((s, a), 1)
        total -= 0.95**t * 0.5 * ((z @ C) * z).sum(1)
        s = s @ A.T + a @ B.T + rng.normal(size=(many, 2)) * np.sqrt(np.diag(W))
    law, values = return_distribution(model, guide), np.sort(total)
    for level in (0.01, 0.1, 0.5):
        q = values[int(level * many)]
        assert law.below(q) == pytest.approx(level, abs=4.5 * math.sqrt(level * (1 - level) / many) + 1e-5)
        spread = (q - np.clip(q - values, 0.0, None) / level).std() / math.sqrt(many)
        assert law.cvar(level) == pytest.approx(values[: int(level * many)].mean(), abs=4.5 * spread)
    assert law.shortfall_error < 1e-9


def test_the_frontier_has_tails():
    model = LinearQuadraticModel(scalar(horizon=4), 1.0, 1.0)
    found = frontier(model, [-0.2, 0.0, 1.0], cvar_level=0.2, target=-3.0)
    assert found.cvar_level == 0.2
    for point in found.points:
        law = return_distribution(model, infer(model, point.optimism))
        assert point.cvar == pytest.approx(law.cvar(0.2), abs=1e-9)
        assert point.success == pytest.approx(law.at_least(-3.0), abs=1e-9)
    assert frontier(model, [0.0], cvar_level=None).points[0].cvar is None
    assert "CVaR 20 %" in str(found)


def test_sampled_returns_are_within_their_errors():
    model = LinearQuadraticModel(scalar(horizon=4), 1.0, 1.0)
    guide = infer(model, 1.0)
    law, drawn = return_distribution(model, guide), return_distribution(model, guide, num_samples=4000, seed=1)
    assert isinstance(drawn, SampledReturns)
    pairs = [(law.mean, drawn.mean), (law.at_least(-4.0), drawn.at_least(-4.0))]
    pairs += [(law.cvar(level), drawn.cvar(level)) for level in (0.05, 0.1, 0.5)]
    pairs += [(law.quantile(level), drawn.quantile(level)) for level in (0.05, 0.5, 0.95)]
    for exact, estimated in pairs:
        assert isinstance(estimated, Estimate)
        assert 0 < estimated.standard_error < 0.5
        assert abs(estimated.mean - exact) <= 4.5 * estimated.standard_error
    assert drawn.variance == pytest.approx(law.variance, rel=0.15)
    assert torch.equal(drawn.values, return_distribution(model, guide, num_samples=4000, seed=1).values)


def test_the_error_of_a_sampled_cvar_is_its_spread():
    rng = np.random.default_rng(3)
    draws = [SampledReturns(torch.from_numpy(np.sort(rng.normal(size=500)))) for _ in range(300)]
    for statistic in (lambda each: each.cvar(0.1), lambda each: each.quantile(0.25), lambda each: each.mean):
        found = [statistic(each) for each in draws]
        spread = np.std([each.mean for each in found])
        assert np.mean([each.standard_error for each in found]) == pytest.approx(spread, rel=0.2)


def test_returns_on_a_mesh_are_sampled():
    model = LineModel(Line(lambda s: -(s**2), 2, lambda s, a: 0.2 + 0.1 * a.abs(), initial_mean=1.0), 0.5, 0.5)
    guide = infer(model, 0.0)
    drawn = return_distribution(model, guide, num_samples=2000, seed=0)
    assert abs(drawn.mean.mean - guide.true_return) < 4.5 * drawn.mean.standard_error
    played = rollout(to_gymnasium(model), guide, 200, seed=1)
    tail = SampledReturns(torch.from_numpy(np.sort(played.returns))).cvar(0.2)
    assert abs(tail.mean - drawn.cvar(0.2).mean) < 4.5 * math.hypot(tail.standard_error, drawn.cvar(0.2).standard_error)
    assert "CVaR 10 %" in str(drawn)
    assert "±" in drawn._repr_html_()
    assert len(drawn.to_dict()["values"]) == 2000


def test_what_is_refused():
    model = LinearQuadraticModel(scalar(horizon=2), 1.0, 1.0)
    guide = infer(model, 0.0)
    with pytest.raises(InvalidArgument, match="`resolution` must be left out"):
        return_distribution(model, guide, resolution=0.1)
    with pytest.raises(InvalidArgument, match="`level` must be a share"):
        return_distribution(model, guide).cvar(0.0)
    with pytest.raises(InvalidArgument, match="`level` must be at least 2 of the 10 episodes"):
        return_distribution(model, guide, num_samples=10, seed=0).cvar(0.1)
    many = LinearQuadraticModel(scalar(horizon=2, initial_mean=torch.zeros(3, 1)), 1.0, 1.0)
    with pytest.raises(InvalidProblem, match="one problem for the distribution of the return"):
        return_distribution(many, infer(many, 0.0))
