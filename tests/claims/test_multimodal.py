"""Many ways: shares of the goals, and that no Gaussian of the family is better where it was chosen."""

import numpy as np
import pytest
import torch
from gallery_examples import example

from pgm_control import TabularModel, evaluate, infer

STEP = 0.5


@pytest.fixture(scope="module")
def shown():
    return example("34_many_ways")


@pytest.fixture(scope="module")
def problem(shown):
    place, action = shown.square(shown.BOUND, STEP), shown.square(1.0, STEP)
    nearest = np.square((place[:, None] + action)[..., None, :] - shown.GOALS).sum(-1).argmin(-1)
    return shown.multi_goal(place, action, STEP), action, np.vstack([nearest, np.zeros((1, len(action)), int)])


@pytest.mark.parametrize("temperature", [10.0, 3.0])
def test_max_ent_reaches_every_goal_alike(shown, problem, temperature):
    mdp, _, nearest = problem
    policy = infer(TabularModel(mdp, temperature), 0.0).policy
    assert shown.arrivals(mdp, policy, nearest) == pytest.approx([0.25] * 4, abs=1e-3)


def test_the_best_gaussian_spreads_while_entropy_is_cheap_and_then_takes_one_goal(shown, problem):
    mdp, action, nearest = problem
    shares = {}
    for temperature in (10.0, 1.0):
        policy = shown.best_gaussian(TabularModel(mdp, temperature), action)
        shares[temperature] = shown.arrivals(mdp, policy, nearest)
    assert min(shares[10.0]) > 0.15
    assert max(shares[1.0]) > 0.99


def test_no_other_gaussian_policy_is_better(shown, problem):
    """The best is at least as good as 20 policies of random Gaussians that are mixed in at one time or at all."""
    mdp, action, _ = problem
    model, rng = TabularModel(mdp, 10.0), np.random.default_rng(0)
    best = shown.best_gaussian(model, action)
    top = evaluate(model, best).elbo
    means, spreads = shown.square(1.25, 0.25), [0.1, 0.15, 0.22, 0.33, 0.5, 0.75, 1.2, 3.0]
    for _ in range(20):
        gap = action - means[rng.integers(len(means), size=mdp.num_states)][:, None]
        other = torch.as_tensor(np.exp(-0.5 * np.square(gap / rng.choice(spreads)).sum(-1)))
        mixed = best.clone()
        mixed[rng.integers(mdp.horizon)] = other / other.sum(-1, keepdim=True)
        assert evaluate(model, mixed).elbo <= top + 1e-9
    assert top < infer(model, 0.0).objective
