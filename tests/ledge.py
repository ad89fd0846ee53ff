"""The gusty ledge, as a continuous model: a pit that the wind may blow into, beside the way to a goal."""

import pyro.distributions as dist
import torch

from pgm_control.models.continuous import ContinuousModel

HORIZON, TEMPERATURE, WIND, HAND = 16, 0.5, 0.4, 0.8
FREE, CLAMPED = -13.7133, -20.0792  # nats, of the best guides
FREE_GAUSSIAN, CLAMPED_GAUSSIAN = -16.629, -22.584  # of the best linear-Gaussian guides
GOAL = torch.tensor([8.0, 0.0], dtype=torch.float64)


def ground(state):
    """The reward of standing at a state."""
    x, y = state[..., 0], state[..., 1]
    pit = torch.sigmoid((x - 2) / 0.1) * torch.sigmoid((6 - x) / 0.1) * torch.sigmoid(-(y + 0.3) / 0.1)
    return -50 * pit - 0.1 * y**2


def wind(t, state, action):
    """The true dynamics."""
    return dist.Normal(state + action, WIND).to_event(1)


def final_reward(state):
    """The squared distance from the goal."""
    return -2 * (state - GOAL).square().sum(-1)


def ledge(dynamics=wind, horizon=HORIZON):
    """The model, with the true dynamics or others."""
    zero = torch.zeros(2, dtype=torch.float64)
    return ContinuousModel(
        dist.Delta(zero).to_event(1),
        dynamics,
        lambda t, state, action, ahead: ground(ahead),
        horizon,
        TEMPERATURE,
        dist.Normal(zero, HAND).to_event(1),
        final_reward,
    )
