"""Howard's toymaker: values, gains and policies, risk-neutral and risk-sensitive, against small matrices."""

import itertools
import math

import numpy as np
import pytest

from pgm_control import Risk, TabularMDP, TabularModel, average_reward, infer, value_iteration

P = np.array([[[0.5, 0.5], [0.8, 0.2]], [[0.4, 0.6], [0.7, 0.3]]])
R = np.array([[[9.0, 3.0], [4.0, 4.0]], [[3.0, -7.0], [1.0, -19.0]]])


def toymaker(discount=1.0):
    return TabularModel(TabularMDP.from_dense([1.0, 0.0], P, R, horizon=4, discount=discount), 0.0)


@pytest.mark.parametrize(
    ("weeks", "values", "actions"),
    [(1, (6.0, -3.0), (0, 0)), (2, (8.2, -1.7), (1, 1)), (3, (10.22, 0.23), (1, 1)), (4, (12.222, 2.223), (1, 1))],
)
def test_values_with_weeks_to_go(weeks, values, actions):
    found = infer(toymaker(), 0.0)
    assert found.v[4 - weeks].tolist() == pytest.approx(values, abs=1e-12)
    assert tuple(found.policy[4 - weeks].argmax(-1).tolist()) == actions


def test_the_gain_is_2_and_success_is_worth_10_more():
    found = average_reward(toymaker(), 0.0, 1e-10)
    assert found.gain == pytest.approx(2.0, abs=1e-9)
    assert float(found.bias[0] - found.bias[1]) == pytest.approx(10.0, abs=1e-8)
    assert found.policy.argmax(-1).tolist() == [1, 1]


def test_values_with_a_discount():
    found = value_iteration(toymaker(0.9), 0.0, 1e-10)
    at = np.arange(2), [1, 1]
    np.testing.assert_allclose(found.v, np.linalg.solve(np.eye(2) - 0.9 * P[at], (P * R)[at].sum(1)), atol=1e-8)
    assert [f"{v:.1f}" for v in found.v.tolist()] == ["22.2", "12.3"]


@pytest.mark.parametrize(
    ("theta", "actions"),
    [(-1.0, (1, 0)), (-0.1, (1, 0)), (-0.01, (1, 1)), (0.01, (1, 1)), (0.1, (0, 1)), (1.0, (0, 0))],
)
def test_gains_with_an_attitude_to_risk(theta, actions):
    gains = {}
    for each in itertools.product(range(2), repeat=2):
        at = np.arange(2), list(each)
        gains[each] = math.log(max(np.linalg.eigvals(P[at] * np.exp(theta * R[at])).real)) / theta
    found = average_reward(toymaker(), Risk(theta), 1e-10)
    assert max(gains, key=lambda each: gains[each]) == actions == tuple(found.policy.argmax(-1).tolist())
    assert found.gain == pytest.approx(gains[actions], abs=1e-8)
