"""Langevin sampling: densities in a box by quadrature, exact invariance for large steps, and what is rejected."""

import math

import numpy as np
import pytest
import torch

from pgm_control.learners.losses.langevin import LangevinSampler, langevin
from pgm_control.networks.squashed_gaussian import log_jacobian

NUMBER = 6000


def hills(a):
    """log p of an action in (−1, 1), up to a constant: two maxima of different width, one of them at the bound."""
    return torch.logaddexp(-8.0 * (a + 0.4) ** 2, 0.7 - 3.0 * (a - 1.0) ** 2)


def in_u(u):
    return hills(u.tanh()[..., 0]) + log_jacobian(u).sum(-1)


def quantiles(number):
    """Points of the density at equally spaced levels, by quadrature in a."""
    a = torch.linspace(-1, 1, 400_001, dtype=torch.float64)
    mass = hills(a).exp().cumsum(0)
    levels = (torch.arange(number, dtype=torch.float64) + 0.5) / number
    return a[torch.searchsorted(mass / mass[-1], levels).clamp(max=len(a) - 2)].clamp(min=-1 + 1e-9)


def distance(actions):
    """The Kolmogorov–Smirnov distance of actions from the density."""
    a = torch.linspace(-1, 1, 400_001, dtype=torch.float64)
    mass = hills(a).exp().cumsum(0)
    level = (mass / mass[-1])[torch.searchsorted(a, actions.double().sort().values.contiguous()).clamp(max=len(a) - 1)]
    return float((level - (torch.arange(len(actions)) + 0.5) / len(actions)).abs().max())


@pytest.mark.parametrize("step", [0.05, 0.3, 1.5])
def test_steps_of_any_size_leave_the_density_invariant(step):
    """By chance the distance is above 1.95/√n once in 1000."""
    torch.manual_seed(0)
    start = quantiles(NUMBER).atanh()[:, None, None]
    found = langevin(start, in_u, step, 25)
    assert 0.1 < float(found.acceptance) <= 1
    assert distance(found.u.tanh().flatten()) < 1.95 / math.sqrt(NUMBER)
    assert float((found.u != start).double().mean()) > 0.9


def test_a_density_without_its_jacobian_is_another_one():
    """The mutation that the test above must see."""
    torch.manual_seed(0)
    wrong = langevin(quantiles(NUMBER).atanh()[:, None, None], lambda u: hills(u.tanh()[..., 0]), 0.5, 25)
    assert distance(wrong.u.tanh().flatten()) > 0.05


def test_a_sampler_begins_at_the_prior_and_ends_at_the_density():
    """From 64 uniform actions for each state, in two coordinates that depend on each other."""

    def log_p(a):
        return -6.0 * (a[..., 0] - a[..., 1]) ** 2 + 2.0 * a[..., 0]

    torch.manual_seed(1)
    sampler = LangevinSampler(2, 15)
    starts = 2 * torch.rand(NUMBER, 64, 2) - 1
    for _ in range(150):
        sampler.adapt(sampler(starts[:20], log_p, log_p)[1])
    found, acceptance = sampler(starts, log_p, log_p)
    assert float(acceptance) == pytest.approx(0.574, abs=0.06)
    line = torch.linspace(-1, 1, 1001, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1)
    weight = log_p(grid).exp() / log_p(grid).exp().sum()
    for values, ours in ((grid, found), (grid[..., :1] * grid[..., 1:], found[:, :1] * found[:, 1:])):
        exact = (weight[..., None] * values).sum((0, 1))
        spread = ((weight[..., None] * values**2).sum((0, 1)) - exact**2).sqrt()
        assert (((ours.double().mean(0) - exact).abs() / spread) < 5 / math.sqrt(NUMBER)).all()


def test_separate_maxima_keep_the_shares_of_their_weights():
    """Chains do not cross; the starts, of weight e^Q, have the shares already. Five standard errors, and 1/64."""

    def log_p(a):
        return torch.logaddexp(-200.0 * (a[..., 0] - 0.6) ** 2, math.log(0.5) - 200.0 * (a[..., 0] + 0.5) ** 2)

    torch.manual_seed(2)
    starts = 2 * torch.rand(NUMBER, 64, 1) - 1
    found, _ = LangevinSampler(1, 20)(starts, log_p, log_p)
    assert float((found > 0).double().mean()) == pytest.approx(2 / 3, abs=5 * 0.47 / math.sqrt(NUMBER) + 1 / 64)


def test_what_is_not_finite_is_rejected():
    """A density that is 0 for a > .3: the chain stays in its support, and no number is nan."""

    def cut(a):
        return torch.where(a[..., 0] < 0.3, 2.0 * a[..., 0], -torch.inf)

    torch.manual_seed(0)
    found = langevin(torch.full((2000, 1, 1), -0.5), lambda u: cut(u.tanh()) + log_jacobian(u).sum(-1), 0.3, 60)
    actions = found.u.tanh().flatten().numpy()
    assert (actions < 0.3).all()
    a = np.linspace(-1, 0.3, 4001)
    mean = (a * np.exp(2 * a)).sum() / np.exp(2 * a).sum()
    assert actions.mean() == pytest.approx(mean, abs=5 * float(actions.std()) / math.sqrt(2000))


def test_the_best_action_is_a_maximum_of_the_density_in_the_box():
    torch.manual_seed(0)
    sampler = LangevinSampler(1, 60)
    found = sampler.best(torch.zeros(3, 4), lambda a: -30.0 * (a[..., 0] - 0.123456) ** 2)
    assert found.flatten().tolist() == pytest.approx([0.123456] * 3, abs=1e-4)
    bound = sampler.best(torch.zeros(1, 4), lambda a: 3.0 * a[..., 0])
    assert 0.99 < float(bound) < 1
