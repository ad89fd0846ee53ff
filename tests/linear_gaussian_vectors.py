"""The linear-Gaussian program with vectors of one coordinate, and its optimal guides."""

import math

import pyro.distributions as dist
import torch

from pgm_control.guides.continuous import ContinuousGuide
from pgm_control.models.continuous import ContinuousModel

from . import linear_gaussian as scalar

START = dist.Normal(torch.full((1,), scalar.START, dtype=torch.float64), math.sqrt(scalar.VARIANCE)).to_event(1)
PRIOR = dist.Normal(torch.zeros(1, dtype=torch.float64), 1.0).to_event(1)


def step(t, state, action):
    """The dynamics."""
    return dist.Normal(scalar.A * state + scalar.B * action, math.sqrt(scalar.W)).to_event(1)


def reward(t, state, action, ahead):
    """Minus the cost."""
    return -(scalar.Q * state.square() + scalar.R * action.square()).sum(-1) / 2


def model(temperature=1.0, **changed):
    """The program as a continuous model."""
    return ContinuousModel(
        **{
            "start": START, "dynamics": step, "reward": reward, "horizon": scalar.STEPS, "action_prior": PRIOR,
            "temperature": temperature, **changed,
        }
    )  # fmt: skip


class Optimal(ContinuousGuide):
    """The optimum of the objective at an optimism."""

    def __init__(self, of, optimism):
        super().__init__(of)
        self.beta = optimism
        self.steps, p = scalar.gains(optimism)
        self.spread = scalar.VARIANCE / (1 + optimism * scalar.VARIANCE * p)
        self.first = (1 - optimism * self.spread * p) * scalar.START

    def policy_given(self, t, state, given):
        gain, variance, _, _ = self.steps[t]
        return dist.Normal(-gain * state, math.sqrt(variance)).to_event(1)

    def start_given(self, given):
        if not self.beta:
            return None
        return dist.Normal(torch.full((1,), self.first, dtype=torch.float64), math.sqrt(self.spread)).to_event(1)

    def dynamics_given(self, t, state, action, given):
        if not self.beta:
            return None
        _, _, ahead, s = self.steps[t]
        mean = (1 - self.beta * s * ahead) * (scalar.A * state + scalar.B * action)
        return dist.Normal(mean, math.sqrt(s)).to_event(1)
