"""FrozenLake: 14/17 without a time limit and .7442 with Gymnasium's, by exact fractions of Gymnasium's own table."""

from fractions import Fraction
from typing import Any

import gymnasium
import pytest

from pgm_control import TabularModel, infer, value_iteration
from pgm_control.models import frozen_lake

POLICY = "0 3 3 3 0 0 0 0 3 1 0 0 0 2 1 0"  # left, down, right, up; the entries of holes and of the goal do not matter


@pytest.fixture
def table():
    """Gymnasium's table with probabilities as fractions: probability, next state, reward and the end, by s and a."""
    world: Any = gymnasium.make("FrozenLake-v1").unwrapped
    rows = world.P
    return [[[(Fraction(p).limit_denominator(3), *rest) for p, *rest in rows[s][a]] for a in range(4)] for s in rows]


def worth(outcomes, value):
    return sum(p * (int(paid) + (0 if ended else value[to])) for p, to, paid, ended in outcomes)


def test_the_best_probability_without_a_limit_is_14_17(table):
    """The value of one policy, in fractions, solves Bellman's equation, whose least solution is the optimum."""
    policy, states = [int(a) for a in POLICY.split()], range(16)
    rows = [[Fraction(int(i == j)) for j in states] + [Fraction(0)] for i in states]
    for s in states:
        for p, to, paid, ended in table[s][policy[s]]:
            rows[s][to] -= 0 if ended else p
            rows[s][16] += p * int(paid)
        if all(ended for *_, ended in table[s][policy[s]]):
            rows[s] = [Fraction(int(j == s)) for j in range(17)]
            rows[s][16] = Fraction(worth(table[s][policy[s]], [0] * 16))
    for i in states:
        first = next(j for j in range(i, 16) if rows[j][i])
        rows[i], rows[first] = rows[first], rows[i]
        rows[i] = [each / rows[i][i] for each in rows[i]]
        for j in states:
            if j != i:
                rows[j] = [x - rows[j][i] * y for x, y in zip(rows[j], rows[i], strict=True)]
    value = [row[16] for row in rows]
    assert value[0] == Fraction(14, 17)
    for s in states:
        assert max(worth(table[s][a], value) for a in range(4)) == value[s]
    found = value_iteration(TabularModel(frozen_lake(), 0.0), 0.0, 1e-12)
    assert [round(float(v), 9) for v in value] == pytest.approx(found.v[:16].tolist(), abs=1e-8)


def test_the_best_probability_within_100_steps(table):
    value = [Fraction(0)] * 16
    for _ in range(100):
        value = [max(worth(table[s][a], value) for a in range(4)) for s in range(16)]
        value = [Fraction(float(v)) for v in value]  # keep the fractions short
    assert f"{float(value[0]):.10f}" == "0.7441902878"
    assert f"{infer(TabularModel(frozen_lake(), 0.0), 0.0).value:.10f}" == "0.7441902878"
