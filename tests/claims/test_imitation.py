"""Cloning against inverse RL: who arrives behind a door that was closed after the demonstrations."""

import numpy as np
import pytest
import torch
from gallery_examples import example

from pgm_control import infer
from pgm_control.inverse_rl import Demonstrations, LinearReward, inverse


@pytest.fixture(scope="module")
def shown():
    return example("33_imitation_or_intent")


def earned(model, policy):
    """The return of a policy (T, S, A) in the tables of a model, forwards."""
    mdp = model.mdp
    here, total = mdp.initial.numpy(), 0.0
    p, to, r = mdp.probability.numpy(), mdp.successor.numpy(), mdp.reward.numpy()
    for t in range(mdp.horizon):
        flow = here[:, None, None] * policy[t].numpy()[..., None] * p
        total, here = total + (flow * r).sum(), np.bincount(to.ravel(), flow.ravel(), mdp.num_states)
    return total


def test_a_reward_of_two_features_travels_and_actions_do_not(shown):
    """Over five sets of demonstrations, not only that of the example."""
    true = shown.features() @ shown.WEIGHTS
    home, closed = (shown.world(shown.WORLDS[name], true) for name in ("as demonstrated", "near door closed"))
    knows = infer(home, 0.0)
    for seed in range(5):
        watched = knows.sample(20, torch.Generator().manual_seed(seed))
        copied = shown.clone(watched)
        reward = LinearReward(home.mdp, shown.features())
        inverse(home, Demonstrations.from_trajectories(home.mdp, watched), reward, "clamped")
        learned = shown.features() @ reward.weight.detach()
        there = infer(shown.world(shown.WORLDS["near door closed"], learned), 0.0).policy
        assert earned(closed, there) > earned(closed, infer(closed, 0.0).policy) - 1.5
        assert earned(closed, copied) < -40.0  # it never arrives
        assert earned(home, copied) > earned(home, knows.policy) - 2.5  # at home it is nearly as good
