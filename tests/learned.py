"""Comparison of a learner with the exact answer, on a tabular problem whose observation contains the time."""

from dataclasses import dataclass

import numpy as np
import torch

from pgm_control import Optimism, infer
from pgm_control.learners import SAC, SoftQLearning
from pgm_control.learners.descent import Descent

# With these settings networks on one-hot features are tables.
TABLE = {"hidden": (), "batch_size": 256, "target_rate": 0.05, "num_envs": 16, "capacity": 60_000}


@dataclass
class Found:
    """The error of a learner relative to the exact answer at an optimism.

    Attributes:
        divergence: Σ_t E[KL(π_t ‖ π*_t)] along the learner's own trajectories, in nats. For the clamped optimum this is
            exactly the gap between the learner's objective and the best one.
        value: the learner's estimate of V at the start minus the exact one, in reward units.
    """

    divergence: float
    value: float


def log_policy(learner, mdp):
    """The learner's policy as a table (T, S, A), in nats, for observations that contain the time."""
    table = learner.log_policy if isinstance(learner, SoftQLearning) else learner.actor
    with torch.no_grad():
        return table(_all(mdp)).double()[: mdp.horizon * mdp.num_states].reshape(mdp.horizon, mdp.num_states, -1)


def soft_value(learner, mdp, temperature):
    """The learner's estimate of V at every time and state before the last (T, S), in reward units."""
    with torch.no_grad():
        if isinstance(learner, SAC):
            log_ratio = learner.actor(_all(mdp)) - learner.prior.log_probabilities(_all(mdp))
            chosen = learner.actor(_all(mdp)).exp()
            worth = learner.critics(_all(mdp)).amin(0) - temperature * log_ratio
            found = torch.where(chosen > 0, chosen * worth, 0.0).sum(-1)
        else:
            found = learner.soft_value(_all(mdp)).reshape(-1)
    return found.double()[: mdp.horizon * mdp.num_states].reshape(mdp.horizon, mdp.num_states)


def _all(mdp):
    return torch.eye((mdp.horizon + 1) * mdp.num_states)


def compare(learner, model, optimism):
    """Compare a learner with `infer(model, …)`, with β for the dynamics and the true initial distribution."""
    mdp, exact = model.mdp, infer(model, Optimism(dynamics=optimism, initial=0.0))
    ours, theirs = log_policy(learner, mdp), exact.distribution.log_policy
    gap = torch.where(ours > -torch.inf, ours.exp() * (ours - theirs), 0.0).sum(-1)
    stays = (mdp.successor == torch.arange(mdp.num_states)[:, None, None]) & (mdp.reward == 0)
    gap[:, (stays | (mdp.probability == 0)).all(-1).all(-1)] = 0.0  # the episode is over: no action is taken there
    here, divergence = mdp.initial.clone(), 0.0
    for t in range(mdp.horizon):
        divergence += float(torch.where(here > 0, here * gap[t], 0.0).sum())
        moves = here[:, None, None] * ours[t].exp()[..., None] * mdp.probability
        here = torch.zeros_like(here).index_add_(0, mdp.successor.flatten(), mdp.discount * moves.flatten())
    error = mdp.initial @ (soft_value(learner, mdp, model.temperature)[0] - exact.v[0])
    return Found(divergence, float(error))


def learn(learner, steps, rate=0.05, last=0.005, share=0.6):
    """Learn with a large learning rate, which then falls to a small one, so that the noise vanishes.

    Args:
        steps: as in `learn`.
        rate, last: the learning rates of Adam.
        share: the fraction of the steps made at the large rate.
    """
    starts = learner.config["learning_starts"]
    stages = (starts + np.linspace(share, 1, 5) * (steps - starts)).astype(int)
    for number, until in enumerate(stages):
        for part in learner.parts().values():
            if isinstance(part, Descent):
                part.rate = rate * (last / rate) ** (number / (len(stages) - 1))
        learner.learn(int(until))
    return learner
