"""exp and log of the compiled loops equal those of numpy to the last places."""

import numpy as np
import pytest

numba = pytest.importorskip("numba", reason="needs the extra `fast`")

from pgm_control.kernels import vector_math  # noqa: E402  after the check above


def over(function):
    """The function of a number, applied to each entry of an array."""

    @numba.njit
    def all_of_it(x, out):
        for i in range(x.shape[0]):
            out[i] = function(x[i])

    def call(x):
        out = np.empty_like(x)
        all_of_it(x, out)
        return out

    return call


@numba.njit
def expm1(x):
    return vector_math.exp_and_expm1(x)[1]


def last_places(found, exact):
    return (np.abs(found - exact) / np.spacing(np.abs(exact))).max()


@pytest.fixture
def numbers():
    rng = np.random.default_rng(0)
    return np.concatenate([rng.uniform(-708, 709, 20_000), rng.normal(size=20_000), 1e-9 * rng.normal(size=1000)])


def test_exp(numbers):
    assert last_places(over(vector_math.exp)(numbers), np.exp(numbers)) <= 1
    assert last_places(over(expm1)(numbers), np.expm1(numbers)) <= 2


def test_log(numbers):
    for x in (np.exp(numbers), 1 + 1e-3 * numbers[20_000:], np.array([5e-324, 1e-310, 2.3e-308, 1e308])):
        assert last_places(over(vector_math.log)(x), np.log(x)) <= 1
    small = numbers[20_000:][np.abs(numbers[20_000:]) < 0.4]
    assert last_places(over(vector_math.log1p)(small), np.log1p(small)) <= 2


def test_limits():
    edge = np.array([-np.inf, -1e300, -709.0, 0.0, np.nan])
    np.testing.assert_array_equal(over(vector_math.exp)(edge), [0.0, 0.0, 0.0, 1.0, np.nan])
    np.testing.assert_array_equal(over(expm1)(edge), [-1.0, -1.0, -1.0, 0.0, np.nan])
    np.testing.assert_array_equal(over(vector_math.log)(np.array([0.0, 1.0, np.nan])), [-np.inf, 0.0, np.nan])
