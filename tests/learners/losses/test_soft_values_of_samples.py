"""The sampled soft value: it agrees with quadrature, and is exact for the optimal proposal and else too low."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from strategies import laws, temperatures

from pgm_control import InvalidArgument
from pgm_control.learners.losses.soft_values_of_samples import soft_value_of_samples
from pgm_control.networks.squashed_gaussian import SquashedGaussian


def hill(a):
    """A Q with two maxima, in reward units."""
    return 2 * torch.cos(3 * a) - a.square() + 0.5 * a


def by_quadrature(temperature):
    """V of the hill under the uniform prior on [−1, 1]."""
    a = (torch.arange(100000, dtype=torch.float64) + 0.5) / 50000 - 1
    return float(temperature * ((hill(a) / temperature).logsumexp(0) - math.log(100000)))


@pytest.mark.statistical
@pytest.mark.parametrize("temperature", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("proposal", ["uniform", "gaussian"])
def test_it_agrees_with_the_integral(temperature, proposal):
    """50 estimates of 4000 draws, and the bias, at most τ / 2 / effective. False alarm: 6e-7 each."""
    if proposal == "uniform":
        a = torch.rand(50, 4000, dtype=torch.float64) * 2 - 1
        log_proposal = torch.full_like(a, -math.log(2))
    else:
        policy = SquashedGaussian(torch.full((1,), 0.2, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
        action, log_proposal = policy.rsample_with_log_prob((50, 4000))
        a = action[..., 0]
    found = soft_value_of_samples(hill(a), torch.full_like(a, -math.log(2)), log_proposal, temperature)
    error = 5 * float(found.value.std()) / math.sqrt(50) + temperature / 2 / float(found.effective.min())
    assert error < 0.03 * temperature
    assert abs(float(found.value.mean()) - by_quadrature(temperature)) < error


@laws
@given(temperatures, st.integers(1, 5), st.floats(-50.0, 50.0))
def test_the_optimal_proposal_makes_it_exact_for_any_number_of_samples(temperature, number, value):
    """q = ρ exp((Q − V)/τ): every weight is the same."""
    q, log_prior = torch.randn(3, number, dtype=torch.float64), torch.randn(3, number, dtype=torch.float64)
    found = soft_value_of_samples(q, log_prior, log_prior + (q - value) / temperature, temperature)
    torch.testing.assert_close(found.value, torch.full((3,), value, dtype=torch.float64))
    torch.testing.assert_close(found.effective, torch.full((3,), float(number), dtype=torch.float64))


@laws
@given(temperatures, st.floats(-1e4, 1e4))
def test_it_shifts_with_q_and_does_not_overflow(temperature, shift):
    q, log_prior, log_proposal = torch.randn(3, 2, 8, dtype=torch.float64)
    here = soft_value_of_samples(q, log_prior, log_proposal, temperature)
    there = soft_value_of_samples(q + shift, log_prior, log_proposal, temperature)
    torch.testing.assert_close(there.value, here.value + shift)
    torch.testing.assert_close(there.effective, here.effective, rtol=1e-5, atol=0)


def test_with_few_samples_it_is_too_low_on_average():
    a = torch.rand(20000, 4, dtype=torch.float64) * 2 - 1
    alike = torch.zeros_like(a)
    few = soft_value_of_samples(hill(a), alike, alike, 0.3)
    assert float(few.value.mean()) < by_quadrature(0.3) - 0.05
    assert float(few.effective.min()) >= 1
    assert float(few.effective.max()) <= 4 + 1e-9


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_the_temperature_must_be_positive(temperature):
    with pytest.raises(InvalidArgument, match=r"`temperature` must be a positive number.*take a small one"):
        soft_value_of_samples(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1, 2), temperature)
