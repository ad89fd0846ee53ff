"""First exit: the desirability of a linear system is the value of free inference, and tends to shortest paths."""

from collections import deque

import numpy as np
import pytest

from pgm_control import TabularMDP, TabularModel, value_iteration

MAZE = ["......#....", ".####.#.##.", ".#..#.#.#..", ".#..#...#..", ".#....###..", "...##.....G"]
CELLS = [(i, j) for i, row in enumerate(MAZE) for j, each in enumerate(row) if each != "#"]
INDEX = {cell: n for n, cell in enumerate(CELLS)}
GOAL = INDEX[5, 10]
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))


def transitions(slip):
    """Four moves; with the probability `slip` a random one of them happens instead. The goal is absorbing."""
    sure = np.zeros((len(CELLS), 4, len(CELLS)))
    for (i, j), n in INDEX.items():
        for a, (down, right) in enumerate(MOVES):
            sure[n, a, n if n == GOAL else INDEX.get((i + down, j + right), n)] = 1.0
    return (1 - slip) * sure + slip * sure.mean(1)[:, None]


def log_desirability(cost):
    walk, inside = transitions(0.0).mean(1), np.arange(len(CELLS)) != GOAL
    tilted, z = np.exp(-cost) * walk[inside], np.ones(len(CELLS))
    z[inside] = np.linalg.solve(np.eye(len(CELLS) - 1) - tilted[:, inside], tilted[:, GOAL])
    return np.log(z)


def model_of(cost, slip):
    reward = np.where(np.arange(len(CELLS)) == GOAL, 0.0, -cost)[:, None].repeat(4, 1)
    start = np.eye(len(CELLS))[0]
    return TabularModel(TabularMDP.from_dense(start, transitions(slip), reward, horizon=1), 1.0)


@pytest.mark.parametrize(("cost", "slip"), [(1.0, 0.0), (1.0, 0.5), (5.0, 0.2)])
def test_log_z_is_the_free_value_whatever_the_slips(cost, slip):
    found = value_iteration(model_of(cost, slip), 1.0, 1e-11)
    np.testing.assert_allclose(found.v, log_desirability(cost), atol=1e-8)


def test_log_z_is_the_clamped_value_only_without_slips():
    sure, slipping = (value_iteration(model_of(1.0, slip), 0.0, 1e-11).v.numpy() for slip in (0.0, 0.5))
    np.testing.assert_allclose(sure, log_desirability(1.0), atol=1e-8)
    assert slipping[0] < log_desirability(1.0)[0] - 10


def test_values_over_the_cost_tend_to_shortest_paths():
    steps, queue = {GOAL: 0}, deque([GOAL])
    while queue:
        here = queue.popleft()
        for down, right in MOVES:
            there = INDEX.get((CELLS[here][0] + down, CELLS[here][1] + right))
            if there is not None and there not in steps:
                steps[there] = steps[here] + 1
                queue.append(there)
    length = np.array([steps[n] for n in range(len(CELLS))])
    share = -log_desirability(20.0) / 20.0
    assert (share <= length * (1 + np.log(4) / 20) + 1e-9).all()
    assert (share >= length * 0.9999).all()
    assert length[INDEX[0, 0]] == 15
