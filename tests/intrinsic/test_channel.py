"""The capacity of channels with known capacities, and of random ones against a general solver."""

import math

import numpy as np
import pytest
import scipy.optimize
import torch

from pgm_control.intrinsic.channel import capacity, information


def solved(rows, tolerance=1e-9, max_steps=100_000):
    return capacity(torch.as_tensor(np.array(rows), dtype=torch.float64), tolerance, max_steps)


def entropy(p):
    return -sum(x * math.log(x) for x in (p, 1 - p) if x > 0)


@pytest.mark.parametrize("flip", [0.0, 0.03, 0.11, 0.5])
def test_a_symmetric_binary_channel(flip):
    assert solved([[1 - flip, flip], [flip, 1 - flip]]).value == pytest.approx(math.log(2) - entropy(flip), abs=1e-12)


@pytest.mark.parametrize("lost", [0.0, 0.2, 0.9])
def test_a_channel_with_erasures(lost):
    found = solved([[1 - lost, 0, lost], [0, 1 - lost, lost]])
    assert found.value == pytest.approx((1 - lost) * math.log(2), abs=1e-12)


def test_the_z_channel():
    found = solved([[1, 0], [0.5, 0.5]])
    assert found.value == pytest.approx(math.log(1.25), abs=1e-9)
    assert found.inputs.tolist() == pytest.approx([0.6, 0.4], abs=1e-4)
    assert found.gap <= 1e-9


def test_inputs_with_equal_rows_and_useless_ones():
    found = solved([[0.9, 0.1], [0.9, 0.1], [0.5, 0.5], [0.1, 0.9]])
    assert found.value == pytest.approx(math.log(2) - entropy(0.1), abs=1e-9)
    assert float(found.inputs[2]) < 1e-3
    assert solved([[0.3, 0.7]] * 3).value == 0.0


@pytest.mark.parametrize("seed", range(8))
def test_random_channels_by_a_general_solver(seed):
    random = np.random.default_rng(seed)
    rows = random.dirichlet(np.full(5, 0.4), size=4)

    def minus(logits):
        p = np.exp(logits - logits.max())
        p /= p.sum()
        mixed = p @ rows
        return -float((p[:, None] * rows * np.log(np.maximum(rows, 1e-300) / mixed)).sum())

    best = min(scipy.optimize.minimize(minus, random.normal(size=4), tol=1e-13).fun for _ in range(5))
    found = solved(rows, 1e-8)
    assert found.value == pytest.approx(-best, abs=1e-7)
    assert found.value <= -best + 1e-9
    assert -best <= found.value + found.gap + 1e-9


def test_too_few_steps_leave_a_gap_that_bounds_the_error():
    rows = np.random.default_rng(1).dirichlet(np.full(6, 0.5), size=6)
    best = solved(rows, 1e-8).value
    for steps in (0, 1, 5):
        few = solved(rows, 1e-12, steps)
        assert few.num_steps == steps
        assert few.value <= best <= few.value + few.gap


def test_information_of_a_perfect_and_of_a_useless_channel():
    half = torch.full((2,), 0.5, dtype=torch.float64)
    assert float(information(half, torch.eye(2, dtype=torch.float64))) == pytest.approx(math.log(2), abs=1e-15)
    assert float(information(half, torch.full((2, 3), 1 / 3, dtype=torch.float64))) == pytest.approx(0.0, abs=1e-15)


def test_longer_steps_save_most_of_those_of_the_plain_iteration():
    """By steps of length 1 this noisy channel takes 1344 to the same gap; here 82."""
    found = solved([[0.6, 0.4], [0.45, 0.55], [0.41, 0.59]])
    assert found.gap <= 1e-9
    assert found.num_steps < 300
