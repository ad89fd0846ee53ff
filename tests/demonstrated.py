"""Small problems and demonstrations of exact posteriors for the tests of inverse reinforcement learning."""

import numpy as np
import torch
from problems import random_mdp

from pgm_control import Optimism, TabularMDP, TabularModel, infer


def problem(seed=0, horizon=4, discount=1.0, temperature=0.7):
    """Return a model with an action prior that is not uniform."""
    mdp = random_mdp(seed, states=3, actions=2, outcomes=3, horizon=horizon, discount=discount)
    prior = np.random.default_rng(seed).dirichlet(np.ones(2), 3)
    return TabularModel(mdp, temperature, prior)


def seen(model, n=7, seed=0, optimism=0.0):
    generator = torch.Generator().manual_seed(seed)
    found = infer(model, Optimism(optimism, initial=0.0)).sample(n, generator)
    return found.states.tolist(), found.actions.tolist()


def corridor(horizon=5):
    """Return three cells and an absorbing end without reward; a step forward fails one time in five."""
    probability = np.zeros((4, 2, 4))
    for s in range(3):
        probability[s, 0, s] = 1.0
        probability[s, 1, s + 1], probability[s, 1, s] = 0.8, 0.2
    probability[3, :, 3] = 1.0
    reward = np.zeros((4, 2))
    reward[:3] = -0.5
    return TabularMDP.from_dense([1.0, 0, 0, 0], probability, reward, horizon)
