"""Types of inference: open-loop sequences lose utility as the dynamics become random; reacting plans do not."""

import itertools

import numpy as np
import pytest

from pgm_control import TabularMDP, TabularModel, ladder

HORIZON, TAU = 4, 0.2


def problem(concentration, seed):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(4, concentration), (4, 2)), rng.uniform(0, 1, (4, 2))


def utilities(p, r):
    """The best log E exp(Σ r/τ), reacting to states and by a blind sequence, by recursion and by enumeration."""
    gain, ahead = np.exp(r / TAU), np.ones(4)
    for _ in range(HORIZON):
        ahead = (gain * (p @ ahead)).max(1)
    blind = []
    for actions in itertools.product(range(2), repeat=HORIZON):
        value = np.ones(4)
        for a in reversed(actions):
            value = gain[:, a] * (p[:, a] @ value)
        blind.append(value[0])
    return np.log(ahead[0]), np.log(max(blind))


def test_what_a_sequence_loses_grows_with_randomness():
    lost = []
    for concentration in (0.01, 0.3, 1.0):
        gaps = []
        for seed in range(12):
            p, r = problem(concentration, seed)
            found = ladder(TabularModel(TabularMDP.from_dense([1.0, 0, 0, 0], p, r, HORIZON), TAU))
            reacting, blind = utilities(p, r)
            constant = HORIZON * np.log(2)
            assert found.planning.value == pytest.approx(reacting - constant, abs=1e-9)
            assert found.marginal_map.value == pytest.approx(blind - constant, abs=1e-9)
            values = [rung.value for rung in found.rungs[:4]]
            assert all(upper >= lower - 1e-9 for upper, lower in itertools.pairwise(values))
            gaps.append(reacting - blind)
        lost.append(np.mean(gaps))
    assert lost[0] < 0.03
    assert 0.15 < lost[1] < 0.25
    assert lost[2] > 0.5
