"""The certainty equivalent and its tilt, tested against fifty digits and by the laws they obey."""

import decimal
from decimal import Decimal

import hypothesis.strategies as st
import numpy as np
import oracles
import pytest
import torch
from hypothesis import given
from strategies import distributions, laws, optimisms, rewards, temperatures

from pgm_control.chance.operators import certainty_equivalent, tilt

TINY = [sign * 10.0**-power for power in (3, 6, 9, 12, 15, 300) for sign in (1, -1)]


@st.composite
def rows(draw, forbidden=False):
    """Values and weights of up to five outcomes; with `forbidden` some values are −inf."""
    size = draw(st.integers(1, 5))
    value = st.one_of(rewards, st.just(-np.inf)) if forbidden else rewards
    x = np.asarray(draw(st.lists(value, min_size=size, max_size=size)), dtype=float)
    return torch.as_tensor(x), torch.as_tensor(draw(distributions(size)))


def oracle(x, weight, temperature, optimism):
    with decimal.localcontext(oracles.FIFTY_DIGITS):
        numbers = [list(oracles.exact(x.numpy())), list(oracles.exact_shares(weight.numpy()))]
        number = [Decimal(temperature), Decimal(optimism)]
        equal, weights = oracles.certainty_equivalent(*numbers, *number), oracles.tilt(*numbers, *number)
        return float(equal), np.asarray(weights, dtype=float)


@laws
@given(rows(forbidden=True), st.one_of(temperatures, st.just(0.0)), st.one_of(optimisms, st.sampled_from(TINY[:-2])))
def test_certainty_equivalent_and_tilt_equal_fifty_digits(row, temperature, optimism):
    x, weight = row
    equal, weights = oracle(x, weight, temperature, optimism)
    found = certainty_equivalent(x, weight.log(), temperature, optimism)
    if abs(equal) < 1e9:  # with a forbidden outcome and β near 0 it is −|log w| τ/β, however large
        assert float(found) == pytest.approx(equal, abs=1e-11, rel=1e-11)
    else:
        assert float(found) == pytest.approx(equal, rel=1e-6)
    np.testing.assert_allclose(tilt(x, weight.log(), temperature, optimism).exp(), weights, atol=1e-11)


@laws
@given(rows(), temperatures, st.sampled_from(TINY))
def test_the_certainty_equivalent_is_continuous_at_zero_optimism(row, temperature, optimism):
    """Hoeffding: |L_β − L_0| ≤ |β| (range)²/(8τ), without rounding errors however small β is."""
    x, weight = row
    mean = certainty_equivalent(x, weight.log(), temperature, 0.0)
    near = certainty_equivalent(x, weight.log(), temperature, optimism)
    assert abs(float(near - mean)) <= abs(optimism) * 6.0**2 / (8 * temperature) + 1e-14


@laws
@given(rows(forbidden=True), temperatures, optimisms, optimisms)
def test_the_certainty_equivalent_grows_with_optimism_between_the_extremes(row, temperature, one, other):
    x, weight = row
    low, high = (float(certainty_equivalent(x, weight.log(), temperature, b)) for b in sorted((one, other)))
    possible = x[weight > 0]
    assert float(possible.min()) - 1e-12 <= low <= high + 1e-12 <= float(possible.max()) + 2e-12


@laws
@given(distributions(4, sure=True), st.floats(-1e6, 1e6), temperatures, optimisms)
def test_a_certain_outcome_has_its_value_to_the_last_bit(weight, value, temperature, optimism):
    x = torch.full((4,), value, dtype=torch.float64)
    assert float(certainty_equivalent(x, torch.as_tensor(weight).log(), temperature, optimism)) == value
    other = torch.where(torch.as_tensor(weight) > 0, x, 7.0)
    assert float(certainty_equivalent(other, torch.as_tensor(weight).log(), temperature, optimism)) == value


@laws
@given(rows(), temperatures, optimisms, st.floats(-1e3, 1e3))
def test_adding_a_constant_adds_it_to_the_certainty_equivalent(row, temperature, optimism, constant):
    x, weight = row
    before = float(certainty_equivalent(x, weight.log(), temperature, optimism))
    after = float(certainty_equivalent(x + constant, weight.log(), temperature, optimism))
    assert after == pytest.approx(before + constant, abs=1e-9)


@laws
@given(rows(), temperatures, optimisms, st.sampled_from([0.01, 2.0, 1000.0]))
def test_values_and_temperature_scale_together(row, temperature, optimism, factor):
    x, weight = row
    before = float(certainty_equivalent(x, weight.log(), temperature, optimism))
    after = float(certainty_equivalent(factor * x, weight.log(), factor * temperature, optimism))
    assert after == pytest.approx(factor * before, abs=1e-11 * factor)


@laws
@given(rows(), temperatures, optimisms)
def test_the_tilt_is_the_gradient(row, temperature, optimism):
    """∂V/∂Q = π, by central differences and by automatic differentiation."""
    x, weight = row
    log_weight, step = weight.log(), 1e-5 * temperature
    expected = tilt(x, log_weight, temperature, optimism).exp()
    up, down = x + step * torch.eye(len(x)), x - step * torch.eye(len(x))
    ends = [certainty_equivalent(each, log_weight.expand_as(each), temperature, optimism) for each in (up, down)]
    np.testing.assert_allclose((ends[0] - ends[1]) / (2 * step), expected, atol=2e-6)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(certainty_equivalent(leaf, log_weight, temperature, optimism), leaf)
    np.testing.assert_allclose(gradient, expected, atol=1e-9)


@laws
@given(rows(), st.sampled_from([-2.0, -0.5, 0.5, 1.0]))
def test_low_temperatures_approach_the_limit_at_zero(row, optimism):
    x, weight = row
    cold, frozen = (certainty_equivalent(x, weight.log(), tau, optimism) for tau in (1e-6, 0.0))
    assert float(cold) == pytest.approx(float(frozen), abs=2e-5)
    cold, frozen = (tilt(x, weight.log(), tau, optimism).exp() for tau in (1e-6, 0.0))
    np.testing.assert_allclose(cold, frozen, atol=1e-9)


def test_a_batch_equals_a_loop():
    x, weight = torch.randn(4, 3, 5, dtype=torch.float64), torch.rand(4, 3, 5, dtype=torch.float64)
    log_weight = torch.log_softmax(weight, -1)
    for operator in (certainty_equivalent, tilt):
        looped = [[operator(x[i, j], log_weight[i, j], 0.7, -0.4) for j in range(3)] for i in range(4)]
        batch = operator(x, log_weight, 0.7, -0.4)
        torch.testing.assert_close(batch, torch.stack([torch.stack(row) for row in looped]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("optimism", [-50.0, -1.0, -1e-7, 0.0, 1e-7, 1.0, 50.0])
@pytest.mark.parametrize("temperature", [0.0, 1e-3, 1.0, 1e3])
def test_trap_8_no_nan_and_no_overflow(dtype, optimism, temperature):
    """−inf, masked and enormous outcomes: exp(1e6·50/1e-3) overflows any float, log-space is not affected."""
    none = -torch.inf
    half = torch.tensor([0.5, 0.5, 0.0], dtype=dtype).log()
    sure = torch.tensor([1.0, 0.0, 0.0], dtype=dtype).log()
    cases = {
        "all forbidden": ([none, none, none], half),
        "one forbidden": ([1.0, none, none], half),
        "forbidden and impossible": ([1.0, none, none], sure),
        "masked and tempting": ([1.0, 2.0, torch.inf], half),
        "enormous": ([1e6, -1e6, 0.0], half),
        "equal": ([-1e6, -1e6, 1e6], half),
    }
    for name, (x, log_weight) in cases.items():
        row = torch.tensor(x, dtype=dtype)
        value = certainty_equivalent(row, log_weight, temperature, optimism)
        weights = tilt(row, log_weight, temperature, optimism).exp()
        assert not value.isnan(), name
        assert weights.sum().item() == pytest.approx(1.0, abs=1e-6), name
        assert float(weights[2]) == 0.0, name
        if name == "all forbidden":
            assert value == none
            torch.testing.assert_close(weights, half.exp())
        elif name == "one forbidden" and temperature > 0:
            loss = temperature / optimism * np.log(0.5) if optimism > 0 else none
            assert float(value) == pytest.approx(1.0 + loss, rel=1e-5, abs=1e-5)
        elif name == "forbidden and impossible":
            assert value == 1.0
        elif name == "equal":
            assert value == -1e6


@pytest.mark.parametrize(("dtype", "penalty"), [(torch.float32, 1e9), (torch.float64, 1e18)])
def test_a_large_penalty_costs_no_digits(dtype, penalty):
    """A large penalty is far from the mean of the other values; centring the row on its mean would lose all digits."""
    third = torch.full((3,), 1 / 3, dtype=dtype)
    for sign in (1.0, -1.0):
        x = sign * torch.tensor([-penalty, 0.0, 1.0], dtype=dtype)
        equal, weights = oracle(x, third, 1.0, sign)
        precision = 4 * torch.finfo(dtype).eps
        assert float(certainty_equivalent(x, third.log(), 1.0, sign)) == pytest.approx(equal, rel=precision)
        np.testing.assert_allclose(tilt(x, third.log(), 1.0, sign).exp(), weights, rtol=2 * precision)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("optimism", [1e-320, -1e-320, 1e-300, 1e-40, -1e-46, 1e-36])
def test_vanishing_optimism_gives_the_mean(dtype, optimism):
    """The cases are those where β or β x/τ underflows, or τ/β overflows."""
    x, weight = torch.tensor([-3.0, 1.0, 2.0], dtype=dtype), torch.tensor([0.25, 0.5, 0.25], dtype=dtype)
    for temperature in (1e-3, 1.0, 1e3):
        assert float(certainty_equivalent(x, weight.log(), temperature, optimism)) == pytest.approx(0.25, rel=1e-6)


def test_trap_13_a_row_far_below_the_maximum():
    """exp(v − max v) and a matrix product: rows that lead only to bad states underflow, the operator does not."""
    v = torch.tensor([0.0, -2000.0, -2001.0], dtype=torch.float64)
    transition = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]], dtype=torch.float64)
    naive = (transition @ (v - v.max()).exp()).log() + v.max()
    assert naive.tolist() == [0.0, -torch.inf]
    ours = certainty_equivalent(v.expand(2, 3), transition.log(), 1.0, 1.0)
    assert float(ours[0]) == 0.0
    assert float(ours[1]) == pytest.approx(oracle(v, transition[1], 1.0, 1.0)[0], rel=1e-15)
