"""The exponent of the advantage, with soft values, with hard ones, and under both priors."""

import numpy as np
import pytest
from problems import random_mdp

from pgm_control import TabularModel, evaluate, infer
from pgm_control.models import slippery_cliff


@pytest.mark.parametrize("seed", range(4))
def test_with_soft_values_the_exponent_is_the_policy(seed):
    mdp = random_mdp(seed, states=4, actions=3, horizon=4)
    prior = np.random.default_rng(seed).dirichlet(np.ones(3), 4)
    found = infer(TabularModel(mdp, 0.7, prior), 0.0)
    exponent = prior * np.exp((found.q - found.v[:-1, :, None]).numpy() / 0.7)
    np.testing.assert_allclose(exponent, found.policy, atol=1e-10)
    assert (found.advantage.numpy() <= -0.7 * np.log(prior) + 1e-10).all()
    assert (found.advantage.amax(-1) >= -1e-10).all(), "under a normalised prior the best action has A of at least 0"
    assert (infer(TabularModel(mdp, 0.7, "count"), 0.0).advantage <= 1e-10).all()


@pytest.mark.parametrize("seed", range(4))
def test_with_hard_values_it_is_the_boltzmann_policy_which_reaches_less(seed):
    mdp = random_mdp(seed, states=4, actions=3, horizon=4)
    hard, model = infer(TabularModel(mdp, 0.0), 0.0), TabularModel(mdp, 0.7)
    exponent = np.exp((hard.q - hard.v[:-1, :, None]).numpy() / 0.7) / 3
    assert (exponent.sum(-1) < 1).all()
    assert (exponent.sum(-1) > 1 / 3 - 1e-12).all()
    boltzmann = evaluate(model, exponent / exponent.sum(-1, keepdims=True))
    assert boltzmann.elbo < infer(model, 0.0).objective - 1e-4


def test_the_numbers_of_the_cliff():
    mdp = slippery_cliff(horizon=50)
    hard, earned = infer(TabularModel(mdp, 0.0), 0.0), {}
    for temperature in (0.3, 30.0):
        model = TabularModel(mdp, temperature)
        boltzmann = evaluate(model, (hard.q / temperature).softmax(-1))
        soft = evaluate(model, infer(model, 0.0))
        earned[temperature] = soft.true_return, boltzmann.true_return
    assert earned[0.3] == pytest.approx((-49.49, -49.12), abs=0.01), "of the plain return it earns more when cold"
    assert earned[30.0] == pytest.approx((-272.65, -370.94), abs=0.01)
