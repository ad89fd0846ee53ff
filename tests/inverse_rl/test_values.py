"""Inverse reinforcement learning with an infinite horizon: the fixed point, its derivatives, and learned rewards."""

import numpy as np
import pytest
import torch
from problems import random_mdp

from pgm_control import Optimism, TabularMDP, TabularModel, infer, value_iteration
from pgm_control.inverse_rl import (
    BoltzmannDemonstrator,
    ClampedDemonstrator,
    Demonstrations,
    DialDemonstrator,
    FreeDemonstrator,
    TabularReward,
    inverse,
)
from pgm_control.inverse_rl.values import stationary_values

INFINITE_HORIZON = [
    ClampedDemonstrator("matching", infinite_horizon=True),
    ClampedDemonstrator(infinite_horizon=True),
    FreeDemonstrator(infinite_horizon=True),
    DialDemonstrator(0.4, infinite_horizon=True),
    DialDemonstrator(-0.6, "believed", infinite_horizon=True),
    BoltzmannDemonstrator(infinite_horizon=True),
]


def model_of(seed=0, horizon=6, discount=0.8):
    mdp = random_mdp(seed, states=4, actions=3, horizon=horizon, discount=discount)
    return TabularModel(mdp, 0.7, np.random.default_rng(seed).dirichlet(np.ones(3), 4))


@pytest.mark.parametrize("optimism", [0.0, 1.0, -0.7, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_the_fixed_point_agrees_with_value_iteration(seed, optimism):
    model = model_of(seed)
    q, v = stationary_values(model, optimism, model.mdp.reward, 0.7)
    found = value_iteration(model, optimism, tolerance=1e-10)
    torch.testing.assert_close(v, found.v, atol=1e-8, rtol=0)
    torch.testing.assert_close(q, found.q, atol=1e-8, rtol=0)


def test_the_hard_fixed_point_agrees_with_value_iteration():
    model = model_of(4)
    found = value_iteration(TabularModel(model.mdp, 0.0), 0.0, tolerance=1e-10)
    q, v = stationary_values(model, 0.0, model.mdp.reward, 0.7, hard=True)
    torch.testing.assert_close(v, found.v, atol=1e-8, rtol=0)
    torch.testing.assert_close(q, found.q, atol=1e-8, rtol=0)


@pytest.mark.parametrize("optimism", [0.0, 0.6, -0.9])
def test_derivatives_of_the_fixed_point_agree_with_finite_differences(optimism):
    model = model_of(1)
    reward = model.mdp.reward.clone().requires_grad_()
    tau, beta = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.7, optimism or 0.2))

    def values(reward, tau, beta):
        return stationary_values(model, beta if optimism else 0.0, reward, tau)

    assert torch.autograd.gradcheck(values, (reward, tau, beta), atol=1e-6)
    assert torch.autograd.gradgradcheck(values, (reward, tau, beta), atol=1e-5)


@pytest.mark.parametrize("demonstrator", INFINITE_HORIZON, ids=repr)
def test_the_likelihood_agrees_with_that_of_a_long_horizon(demonstrator):
    """A horizon of 300 steps at γ = .8 equals an infinite one to 1e-29; the recordings have six steps."""
    near, far = model_of(2), model_of(2, horizon=300)
    found = infer(near, Optimism(0.0, initial=0.0)).sample(8, torch.Generator().manual_seed(0))
    short = [next((t for t, s in enumerate(row) if s == 4), 6) for row in found.states.tolist()]
    states = [row[: n + 1] for row, n in zip(found.states.tolist(), short, strict=True) if n > 1]
    actions = [row[:n] for row, n in zip(found.actions.tolist(), short, strict=True) if n > 1]
    states = [row[: row.index(4)] if 4 in row else row for row in states]
    values = []
    for model, one in (
        (near, demonstrator),
        (far, type(demonstrator)(**{**vars(demonstrator), "infinite_horizon": False})),
    ):
        demonstrations = Demonstrations.from_trajectories(model.mdp, states, actions)
        reward = model.mdp.reward.clone().requires_grad_()
        value = one.log_likelihood(model, demonstrations, reward, torch.zeros(4, dtype=torch.float64), 0.7)
        values.append((value, *torch.autograd.grad(value, reward)))
    torch.testing.assert_close(values[0], values[1], atol=1e-8, rtol=0)


def test_the_behaviour_of_a_demonstrator_with_an_infinite_horizon_is_learned():
    model = model_of(3, horizon=40)
    mdp = model.mdp
    weight = torch.randn(4, 1, 1, dtype=torch.float64)
    reward = weight.expand_as(mdp.reward).contiguous()
    truth = TabularModel(
        TabularMDP(mdp.initial, mdp.probability, mdp.successor, reward, 40, discount=0.8), 0.7, model.action_prior
    )
    q, v = stationary_values(truth, 0.0, reward, 0.7)
    policy = (model.action_prior.log() + (q - v[:, None]) / 0.7).exp()
    occupancies, here = [], mdp.initial
    for _ in range(40):
        occupancies.append(here[:, None] * policy)
        moved = 0.8 * (occupancies[-1][..., None] * mdp.probability).flatten()
        here = torch.zeros(4, dtype=torch.float64).index_add_(0, mdp.successor.flatten(), moved)
    demonstrations = Demonstrations.from_occupancies(mdp, torch.stack(occupancies))
    for criterion in ("likelihood", "matching"):
        found = inverse(
            model, demonstrations, "state", ClampedDemonstrator(criterion, infinite_horizon=True), prior=1e3
        )
        torch.testing.assert_close(found.behaviour.log_policy[0].exp(), policy, atol=1e-3, rtol=0)
        assert found.occupancy_error < 1e-3


def test_an_infinite_horizon_without_discount_or_with_a_last_reward_is_refused():
    model = model_of(0, discount=1.0)
    found = infer(model, 0.0).sample(3)
    demonstrations = Demonstrations.from_trajectories(model.mdp, found)
    with pytest.raises(ValueError, match="discount below 1"):
        inverse(model, demonstrations, demonstrator=ClampedDemonstrator(infinite_horizon=True))
    model = model_of(0)
    demonstrations = Demonstrations.from_trajectories(model.mdp, infer(model, 0.0).sample(3))
    with pytest.raises(ValueError, match="there is none"):
        inverse(
            model,
            demonstrations,
            TabularReward(model.mdp, "state", pays_last=True),
            ClampedDemonstrator(infinite_horizon=True),
        )
