"""Tests of `ClampedProcess`, a policy with a memory in the model's dynamics, against enumeration."""

import math

import numpy as np
import oracles
import pytest
import torch
from problems import random_mdp
from strategies import problem_of

from pgm_control import (
    ClampedProcess,
    InvalidArgument,
    MemoryGuide,
    TabularModel,
    estimate,
    fit,
    log_weights,
    smc,
)
from pgm_control.trajectories.process import log_probability
from pgm_control.trajectories.samples import Trajectories

MDP = random_mdp(seed=1, horizon=2, discount=0.8)
MODEL = TabularModel(MDP, 0.7)


class Persistent(ClampedProcess):
    """A policy that repeats the last action with probability .9, else samples from the action prior."""

    def log_policy(self, t, state, memory):
        policy = self.prior.policy[t, state]
        if t > 0:
            policy = 0.1 * policy + 0.9 * torch.eye(policy.shape[-1], dtype=policy.dtype)[memory[:, 0].long()]
        return policy.log()

    def remember(self, t, state, action, outcome, survives, memory):
        return action[:, None].to(memory)


class PersistentGuide(MemoryGuide):
    """The same policy, with a parameter for the probability of repeating the last action."""

    def __init__(self, model):
        super().__init__(model)
        self.logit = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))

    def process(self):
        return Sticky(self.model, torch.sigmoid(self.logit))


class Sticky(Persistent):
    def __init__(self, model, share):
        super().__init__(model)
        self.share = share

    def log_policy(self, t, state, memory):
        policy = self.prior.policy[t, state]
        if t > 0:
            again = torch.eye(policy.shape[-1], dtype=policy.dtype)[memory[:, 0].long()]
            policy = (1 - self.share) * policy + self.share * again
        return policy.log()


def densities(problem):
    """Every possible trajectory, with its probability under `Persistent` from the formula."""
    found = []
    for path in oracles.paths(problem):
        factor = 1.0
        if path.states[1] != problem.ended:
            factor = (0.1 * 0.5 + 0.9 * (path.actions[1] == path.actions[0])) / 0.5
        found.append((path, path.probability * factor))
    return found


def test_its_density_is_the_product_of_dynamics_and_policy():
    problem = problem_of(MDP, 0.7)
    every = densities(problem)
    together = Trajectories(*(torch.tensor([path[i] for path, _ in every]) for i in range(3)))
    found = log_probability(Persistent(MODEL), MDP, together).exp()
    np.testing.assert_allclose(found, [p for _, p in every], rtol=1e-12)


@pytest.mark.statistical
def test_estimate_smc_and_log_weights_accept_it():
    """The estimates are within five standard errors of the sums over all trajectories."""
    every = densities(problem_of(MDP, 0.7))
    elbo = sum(p * (path.log_weight(0.7) - math.log(p)) for path, p in every)
    earned = sum(p * path.total for path, p in every)
    found = estimate(MODEL, Persistent(MODEL), 5000, torch.Generator().manual_seed(0))
    assert abs(found.elbo.mean - elbo) <= 5 * found.elbo.standard_error
    for each in (found.true_return, found.imagined_return):  # it is clamped
        assert abs(each.mean - earned) <= 5 * each.standard_error
    evidence = math.log(sum(math.exp(path.log_weight(0.7)) for path, _ in every))
    ahead = smc(MODEL, Persistent(MODEL), 2000, seed=torch.Generator().manual_seed(1))
    assert ahead.log_evidence == pytest.approx(evidence, abs=0.1)
    assert len(log_weights(MODEL, Persistent(MODEL), 7)) == 7


def test_a_guide_that_returns_the_process_is_fitted():
    guide = PersistentGuide(MODEL)
    fit(MODEL, guide, num_steps=5, seed=0)
    assert guide.logit.item() != 0.0
    guide.to(dtype=torch.float32)
    assert guide.logit.dtype == guide.process().prior.log_policy.dtype == torch.float32


@pytest.mark.wrong_types
def test_it_requires_two_methods():
    with pytest.raises(TypeError, match=r"log_policy.*remember"):
        ClampedProcess(MODEL)  # pyright: ignore[reportAbstractUsage]
    assert Persistent(MODEL, memory_size=3).begin(torch.tensor([0, 1])).shape == (2, 3)
    with pytest.raises(InvalidArgument, match="`memory_size` must be a whole number, at least 0, but is -1"):
        Persistent(MODEL, -1)
    with pytest.raises(InvalidArgument, match="`model` must be a tabular model"):
        Persistent(MDP)
