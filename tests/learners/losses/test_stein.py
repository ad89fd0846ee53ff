"""The Stein variational gradient: the formula in plain loops, its fixed points, and a network that learns to sample."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from strategies import laws

from pgm_control import InvalidArgument
from pgm_control.learners.losses.amortised_sampler import AmortisedSampler
from pgm_control.learners.losses.stein import stein_direction, stein_loss


def by_the_formula(u, score):
    """φ of one set, pair by pair, with derivatives of the kernel by autograd and without Pyro."""
    number, size = u.shape
    pairs = [(i, j) for i in range(number) for j in range(i)]
    squares = torch.stack([(u[i] - u[j]) ** 2 for i, j in pairs])
    width = squares.sort(0).values[(len(pairs) - 1) // 2] / math.log(number + 1)
    direction = torch.zeros(number, size, dtype=u.dtype)
    for i in range(number):
        for j in range(number):
            other = u[j].clone().requires_grad_()
            kernel = torch.exp(-((other - u[i]) ** 2 / width).sum())
            (slope,) = torch.autograd.grad(kernel, other)
            direction[i] += (kernel.detach() * score[j] + slope) / number
    return direction


@laws
@given(st.integers(2, 6), st.integers(1, 3), st.integers(0, 10**6))
def test_it_agrees_with_the_formula_for_each_state_separately(number, size, seed):
    generator = torch.Generator().manual_seed(seed)
    u, score = torch.randn(2, 3, number, size, dtype=torch.float64, generator=generator)
    together = stein_direction(u, score)
    for i in range(3):
        torch.testing.assert_close(together[i], stein_direction(u[i], score[i]), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(together[i], by_the_formula(u[i], score[i]))


def test_particles_without_a_score_repel_each_other():
    u = torch.tensor([[-1.0], [0.5], [2.0]])
    moved = stein_direction(u, torch.zeros(3, 1))
    assert moved[0] < 0 < moved[2]


def test_particles_that_coincide_move_together():
    u, score = torch.zeros(4, 2), torch.tensor([[1.0, 0.0]] * 3 + [[5.0, 0.0]])
    torch.testing.assert_close(stein_direction(u, score), torch.tensor([[2.0, 0.0]] * 4))
    apart = u.clone()
    apart[3] = 1.0  # a single other particle; the median distance is still 0
    moved = stein_direction(apart, score)
    torch.testing.assert_close(moved[:3], torch.tensor([[0.75, 0.0]] * 3))
    torch.testing.assert_close(moved[3], torch.tensor([1.25, 0.0]))


def test_one_particle_is_refused():
    with pytest.raises(InvalidArgument, match=r"`particles` must be at least 2 in each set, but are 1. Take 16"):
        stein_direction(torch.zeros(3, 1, 2), torch.zeros(3, 1, 2))


# Fixed points


def rest(log_density, u, steps=500, rate=0.05):
    """The final particles, as actions, and the size of their last step."""
    u = u.clone().requires_grad_()
    ascent, size = torch.optim.Adam([u], lr=rate), math.inf
    for step in range(steps):
        ascent.param_groups[0]["lr"] = rate * (1 - step / steps)
        ascent.zero_grad()
        found = stein_loss(u, log_density)
        (found.loss * len(u[..., 0].flatten())).backward()  # of the sum, so that Adam's epsilon does not matter
        ascent.step()
        size = float(found.size)
    return u.detach().tanh(), size


def test_particles_converge_to_both_modes_of_a_bimodal_energy():
    """Peaks of standard deviation .1 at ±.5: means within .01, deviations within a tenth, at least a third of particles
    on either."""

    def energy(a):
        return torch.logaddexp(-50 * (a - 0.5).square(), -50 * (a + 0.5).square()).sum(-1)

    actions, size = rest(energy, 0.8 * torch.randn(1, 30, 1, dtype=torch.float64))
    assert size < 0.01
    for side in (-1, 1):
        peak = side * actions[side * actions > 0]
        assert len(peak) >= 10
        assert float(peak.mean()) == pytest.approx(0.5, abs=0.01)
        assert float(peak.std()) == pytest.approx(0.1, abs=0.01)


def test_particles_of_the_uniform_density_fill_the_box():
    """Only the Jacobian acts: without it, or with the wrong sign, the particles would go to the boundary."""
    actions, _ = rest(lambda a: torch.zeros_like(a[..., 0]), torch.randn(1, 40, 1, dtype=torch.float64))
    ordered = actions[0, :, 0].sort().values
    torch.testing.assert_close(ordered, (torch.arange(40) + 0.5).to(ordered) / 20 - 1, atol=0.12, rtol=0)


def test_a_density_that_rises_towards_the_boundary_is_sampled():
    """p ∝ e^{2a}: its mean and second moment, by quadrature."""
    actions, _ = rest(lambda a: 2 * a[..., 0], torch.randn(1, 40, 1, dtype=torch.float64))
    a = torch.linspace(-1, 1, 20001, dtype=torch.float64)
    weight = (2 * a).softmax(0)
    for power in (1, 2):
        assert float((actions**power).mean()) == pytest.approx(float((weight * a**power).sum()), abs=0.03)


def test_the_gradient_of_the_loss_is_the_direction_through_the_sampler():
    u = torch.randn(2, 5, 3, dtype=torch.float64)
    bent = u.clone().requires_grad_()
    found = stein_loss(bent * 2, lambda a: -a.square().sum(-1))
    found.loss.backward()
    at = (2 * u).requires_grad_()
    density = -at.tanh().square().sum(-1) + (1 - at.tanh().square()).log().sum(-1)
    (score,) = torch.autograd.grad(density.sum(), at)
    direction = stein_direction(at.detach(), score)
    torch.testing.assert_close(bent.grad, -direction * 2 / 10)
    torch.testing.assert_close(found.size, direction.square().mean().sqrt())


def test_a_network_learns_to_sample_one_density_for_each_state():
    """One state has two peaks, the other one; the network is the same, the noise new. Some seeds find only one peak."""
    torch.manual_seed(4)
    sampler = AmortisedSampler(2, 1, (32, 32))
    states = torch.eye(2)

    def energy(a):
        two = torch.logaddexp(-30 * (a[0] - 0.6).square(), -30 * (a[0] + 0.6).square())
        return torch.stack((two, -30 * (a[1] - 0.2).square()))[..., 0]

    ascent = torch.optim.Adam(sampler.parameters(), lr=3e-3)
    for _ in range(400):
        ascent.zero_grad()
        stein_loss(sampler(states, 32), energy).loss.backward()
        ascent.step()
    actions = sampler(states, 2000).tanh().detach()[..., 0]
    for side in (-1, 1):
        peak = side * actions[0][side * actions[0] > 0.2]
        assert 500 < len(peak) < 1500
        assert float(peak.mean()) == pytest.approx(0.6, abs=0.06)
    assert float(actions[1].mean()) == pytest.approx(0.2, abs=0.05)
    assert float(actions[1].std()) == pytest.approx(1 / math.sqrt(60), rel=0.35)
    assert torch.equal(sampler.same(states), sampler.same(states))
