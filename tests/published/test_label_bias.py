"""Label bias: which distribution over paths inference computes depends on the action prior."""

import numpy as np
import pytest

from pgm_control import TabularMDP, TabularModel, infer
from pgm_control.exchange import feasible_prior


def forks(count):
    """State 0: direct to the end, or into `count` forks in a row, each with two roads that meet again."""
    states = 3 * count + 2  # direct road, forks and their roads, the end
    end, successor, reward = states - 1, np.zeros((states, 2, 1), int), np.zeros((states, 2, 1))
    successor[0] = [[end], [1]]
    for n in range(count):
        fork, after = 3 * n + 1, 3 * n + 4 if n + 1 < count else end
        successor[fork] = [[fork + 1], [fork + 2]]
        successor[fork + 1 : fork + 3, 0, 0] = after
        reward[fork + 1 : fork + 3, 1] = -np.inf
    successor[end], reward[end, 1] = end, -np.inf
    return TabularMDP(np.eye(states)[0], np.ones((states, 2, 1)), successor, reward, horizon=2 * count + 1)


def direct(mdp, prior):
    return float(infer(TabularModel(mdp, 1.0, prior), 0.0).policy[0, 0, 0])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_paths_count_alike_under_path_entropy_and_not_under_the_feasible_prior(count):
    mdp = forks(count)
    assert direct(mdp, "count") == pytest.approx(1 / (1 + 2**count), abs=1e-12)
    assert direct(mdp, None) == pytest.approx(1 / (1 + 2**count), abs=1e-12)
    assert direct(mdp, feasible_prior(mdp)) == pytest.approx(0.5, abs=1e-12)


def test_three_paths_of_equal_reward():
    mdp = forks(1)
    for prior, shares in (("count", (1 / 3, 1 / 3)), (feasible_prior(mdp), (0.25, 0.25))):
        visits = infer(TabularModel(mdp, 1.0, prior), 0.0).marginals().state
        assert visits[2, 2:4].tolist() == pytest.approx(shares, abs=1e-12)
    assert infer(TabularModel(mdp, 1.0, "count"), 0.0).objective == pytest.approx(np.log(3), abs=1e-12)
    assert infer(TabularModel(mdp, 1.0), 0.0).objective == pytest.approx(np.log(3 / 8), abs=1e-12)
