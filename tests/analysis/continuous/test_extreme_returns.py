"""Laws of returns at extreme levels, in extreme units, and of few noises: an answer within its bounds, or none."""

import numpy as np
import pytest
from scipy import stats

from pgm_control import InvalidArgument
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
    """One squared noise, whose probabilities have errors of a percent: the largest return is 0."""
    found = law([1.0], [0.0])
    assert found.probability_error > 0.01
    with pytest.raises(InvalidArgument, match="`level`"):
        found.quantile(0.999)
    assert "not known" in str(found)


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
