"""The cold limit: max-ent tends to the optimum, free inference to a maximum over luck, within the stated bounds."""

import numpy as np
import pytest
from problems import random_mdp

from pgm_control import TabularModel, evaluate, infer
from pgm_control.models import slippery_cliff


def limits(mdp):
    """max mean and max max, backwards in numpy."""
    p, to, r = mdp.probability.numpy(), mdp.successor.numpy(), mdp.reward.numpy()
    mean, luck = np.zeros(mdp.num_states), np.zeros(mdp.num_states)
    for _ in range(mdp.horizon):
        mean = (p * (r + mean[to])).sum(-1).max(-1)
        luck = np.where(p > 0, r + luck[to], -np.inf).max((-1, -2))
    start = mdp.initial.numpy()
    return start @ mean, np.max(luck[start > 0])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("temperature", [1.0, 0.1, 0.01])
def test_both_values_are_within_their_bounds(seed, temperature):
    mdp = random_mdp(seed, states=4, actions=3, horizon=5).replace(initial=[1.0, 0.0, 0.0, 0.0])
    mean, luck = limits(mdp)
    model, possible = TabularModel(mdp, temperature), mdp.probability[mdp.probability > 0]
    clamped, free = infer(model, 0.0).value, infer(model, 1.0).value
    assert mean - temperature * 5 * np.log(3) - 1e-9 <= clamped <= mean + 1e-9
    assert luck - temperature * 5 * np.log(3 / float(possible.min())) - 1e-9 <= free <= luck + 1e-9
    assert luck > mean + 1e-3


def test_the_cold_optimist_of_the_cliff():
    mdp = slippery_cliff(horizon=50)
    mean, luck = limits(mdp)
    assert f"{luck:.3f}" == "-13.000"
    assert f"{mean:.3f}" == "-47.102"
    model = TabularModel(mdp, 0.003)
    free, clamped = (evaluate(model, infer(model, optimism)) for optimism in (1.0, 0.0))
    assert free.imagined_return == pytest.approx(-13.0, abs=1e-3)
    assert free.true_return == pytest.approx(-496.72, abs=0.01)
    assert clamped.true_return == pytest.approx(-47.11, abs=0.01)
