"""Laws of returns at extreme levels, in extreme units, and of few noises: an answer within its bounds, or none."""

import numpy as np
import pytest
from scipy import integrate, special, stats

from pgm_control import InvalidArgument, LinearQuadratic, LinearQuadraticModel, infer, return_distribution
from pgm_control.analysis.continuous.inversion import Inverted
from pgm_control.analysis.continuous.returns import GaussianReturns


def law(curvatures, slopes, constant=0.0):
    return GaussianReturns(np.array(curvatures), np.array(slopes), constant)


@pytest.mark.parametrize("level", [1e-9, 0.01, 0.5, 1 - 1e-9])
def test_quantiles_of_a_normal(level):
    found = law([0.0], [2.0], 1.0)
    z = stats.norm.ppf(level)
    assert found.quantile(level) == pytest.approx(1.0 + 2.0 * z, abs=1e-6)
    assert found.cvar(level) == pytest.approx(
        1.0 - 2.0 * stats.norm.pdf(z) / level, abs=found.shortfall_error / level + 1e-9
    )


@pytest.mark.parametrize("level", [1e-20, 1e-300, 1.0 - 2e-16])
def test_no_quantile_within_the_error_of_probabilities(level):
    with pytest.raises(InvalidArgument, match="`level` must be further from 0 and 1"):
        law([0.0], [2.0]).quantile(level)


def test_no_tail_whose_error_is_a_deviation():
    with pytest.raises(InvalidArgument, match="`level` must be more than"):
        law([0.0], [2.0]).cvar(1e-20)


def test_a_quantile_that_is_not_known_is_not_shown():
    """One squared noise with a little of two others, whose probabilities have errors of a percent."""
    found = law([1.0, 1e-9, 1e-9], [0.0, 0.0, 0.0])
    assert found.probability_error > 0.001
    with pytest.raises(InvalidArgument, match="`level`"):
        found.quantile(0.9999)
    assert found.below(-0.2) == pytest.approx(stats.chi2.sf(0.4, 1), abs=found.probability_error)


FEW = {  # λ, g, k, and the law of −R
    "one square": ([2.0], [0.0], 0.0, stats.chi2(1)),
    "one square, off centre": ([2.0], [2.0], -1.0, stats.ncx2(1, 1.0)),
    "one square that is a gain": ([-2.0], [2.0], 1.0, None),
    "a line": ([0.0, 0.0, 0.0], [1.0, 2.0, 2.0], -4.0, stats.norm(4.0, 3.0)),
    "an exponential": ([2.0, 2.0], [0.0, 0.0], 0.0, stats.chi2(2)),
    "two squares, off centre": ([6.0, 6.0], [0.0, 12.0], -13.0, stats.ncx2(2, 4.0, loc=1.0, scale=3.0)),
}


@pytest.mark.parametrize("name", FEW)
def test_laws_of_one_and_two_noises_to_twelve_digits(name):
    curvatures, slopes, constant, due = FEW[name]
    found = law(curvatures, slopes, constant)
    assert found.probability_error < 1e-13
    for share in (1e-10, 1e-4, 0.05, 0.5, 0.9, 0.999):
        if due is None:  # the mirror image of the case before
            one = stats.ncx2(1, 1.0)
            assert found.below(one.ppf(share)) == pytest.approx(share, rel=1e-8, abs=1e-8)  # the edge is 1 − 1
            assert found.quantile(share) == pytest.approx(one.ppf(share), abs=1e-12)
            continue
        r = -due.isf(share)
        assert found.below(r) == pytest.approx(share, rel=1e-10)
        assert found.quantile(share) == pytest.approx(r, rel=1e-11, abs=1e-12)
        if share > 1e-5:
            nodes, weights = np.polynomial.legendre.leggauss(60)
            z = 20.0 * (0.5 * (nodes + 1.0)) ** 3  # the mean of the tail as an integral over log u, u = share·exp(−z)
            steps = 0.5 * weights * 60.0 * (0.5 * (nodes + 1.0)) ** 2
            tail = (steps * np.exp(-z) * -due.isf(share * np.exp(-z))).sum()
            assert found.cvar(share) == pytest.approx(tail, rel=1e-7)


def test_the_difference_of_two_squares():
    """½ λ (y₁² − y₂²) = λ u v with normal u, v; the density of the product is K₀/π."""
    found = law([2.0, -2.0], [0.0, 0.0])
    for c in (0.3, 2.0, 9.0):
        tail, _ = integrate.quad(lambda x: special.k0(abs(x)) / np.pi, c / 2.0, np.inf, epsabs=1e-13)
        assert found.below(-c) == pytest.approx(tail, abs=3e-13)
        assert found.at_least(c) == pytest.approx(tail, abs=3e-13)


@pytest.mark.parametrize("many", [pytest.param(10**7, marks=pytest.mark.slow), 2 * 10**5])
@pytest.mark.parametrize(
    ("curvatures", "slopes"),
    [([1.0, 0.3], [0.5, 1.0]), ([1.0, -0.3], [0.5, 1.0]), ([1e-3, 1.0], [1.0, 0.0]), ([1.0, 1e-4], [0.0, 0.0])],
)
def test_two_noises_beside_draws(curvatures, slopes, many):
    found = law(curvatures, slopes)
    y = np.random.default_rng(0).normal(size=(many, 2))
    returns = np.sort(-((0.5 * np.array(curvatures) * y + np.array(slopes)) * y).sum(1))
    for level in (0.001, 0.05, 0.5, 0.9):
        q = returns[int(level * many)]
        assert found.below(q) == pytest.approx(level, abs=4.5 * np.sqrt(level * (1 - level) / many))
        short = q + np.minimum(returns - q, 0.0) / level
        assert found.cvar(level) == pytest.approx(short.mean(), abs=4.5 * short.std() / np.sqrt(many))


@pytest.mark.parametrize("ratio", [1e-12, 1e-6, 1e-3, 1.0, -0.5])
def test_two_noises_beside_the_inversion(ratio):
    few = law([1.0, ratio], [0.3, 1.0])
    inverted = Inverted.of(few.curvatures, few.slopes)
    for r in (-6.0, -2.0, -0.3, 0.4):
        assert few.below(r) == pytest.approx(inverted.below(r - few.mean), abs=inverted.probability_error + 1e-12)
        q = few.quantile(0.1)
        short = inverted.shortfall(q - few.mean)
        assert 0.1 * (q - few.cvar(0.1)) == pytest.approx(short, abs=inverted.shortfall_error + 1e-9)


def test_a_noise_of_rounding_does_not_count():
    few, more = law([1.0, 0.5], [0.3, 1.0]), law([1.0, 0.5, 1e-17], [0.3, 1.0, -1e-16])
    assert more.quantile(0.3) == few.quantile(0.3)
    assert law([1.0, 0.5, 0.0, 0.0], [0.3, 0.0, 0.6, 0.8]).below(-2.0) == pytest.approx(
        law([1.0, 0.5, 0.0], [0.3, 0.0, 1.0]).below(-2.0), abs=1e-12
    )


def test_one_step_is_one_noise():
    """A step without noise: the return is a square of the action's, and of the start's."""
    problem = LinearQuadratic.from_cost(1.0, 1.0, 1.0, 2.0, 0.0, horizon=1, initial_mean=0.0)
    model = LinearQuadraticModel(problem, 1.0, 0.5)
    found = return_distribution(model, infer(model, 0.0))
    variance = float(infer(model, 0.0).policy_covariance[0, 0, 0])
    assert found.quantile(0.3) == pytest.approx(-variance * stats.chi2.isf(0.3, 1), rel=1e-12)
    assert found.probability_error < 1e-13


@pytest.mark.parametrize("unit", [1e-300, 1e-150, 1e-14, 1e150, 1e250])
def test_units_of_reward_do_not_matter(unit):
    here, there = law([1.0, 0.3], [0.5, 1.0]), law([unit, 0.3 * unit], [0.5 * unit, unit])
    for level in (0.05, 0.5, 0.9):
        assert there.quantile(level) / unit == pytest.approx(here.quantile(level), rel=1e-9)
        assert there.cvar(level) / unit == pytest.approx(here.cvar(level), rel=1e-9)
    assert there.below(-unit) == pytest.approx(here.below(-1.0), rel=1e-9)
    assert there.shortfall_error / unit == pytest.approx(here.shortfall_error, rel=1e-9)


def test_a_curvature_that_is_almost_nothing():
    assert law([1e-300], [1.0]).quantile(0.1) == pytest.approx(stats.norm.ppf(0.1), abs=1e-9)


def test_no_return_is_larger_than_the_largest():
    found = law([1.0], [0.0], 2.0)
    assert found.below(2.0) == 1.0
    assert found.at_least(2.0 + 1e-9) == 0.0
    assert found.below(1.9) == pytest.approx(stats.chi2.sf(0.2, 1), abs=found.probability_error)
