"""Numbers in words: an estimate has as many digits as its error leaves."""

import math

import pytest

from pgm_control import Estimate
from pgm_control.text.wording import above_rounding, plus_minus


@pytest.mark.parametrize(
    ("mean", "error", "said"),
    [
        (1.234567, 0.0123, "1.235 ± 0.012"),
        (-1234.5, 67.0, "-1234 ± 67"),
        (1.0, 1e-17, "1 ± 1e-17"),
        (1 / 3, 1e-16, "0.333333333 ± 1e-16"),
        (123456.0, 3e-13, "123456 ± 3e-13"),
        (1.2345e300, 1e299, "1.23e+300 ± 1e+299"),
        (1.234e-8, 2e-10, "1.234e-08 ± 2e-10"),
        (0.0, 1e-20, "0 ± 1e-20"),
        (-35.0, 0.0, "-35 ± 0"),
        (2 / 3, math.inf, "0.666667 ± inf"),
        (-math.inf, 0.0, "-inf ± 0"),
        (math.nan, 1.0, "nan ± 1"),
    ],
)
def test_an_estimate_has_the_digits_that_its_error_leaves(mean, error, said):
    assert plus_minus(mean, error) == said
    assert repr(Estimate(mean, error, 100)) == f"Estimate({said}, 100 draws)"


@pytest.mark.parametrize(("value", "shown"), [(-5.97e-15, 0.0), (1e-9, 1e-9), (-math.inf, -math.inf), (0.0, 0.0)])
def test_a_rounding_error_beside_larger_numbers_is_0(value, shown):
    assert above_rounding(value, 0.96) == shown


def test_a_small_number_beside_small_numbers_is_itself():
    assert above_rounding(-5.97e-15, 5.97e-15) == -5.97e-15
