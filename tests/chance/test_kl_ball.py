"""The best mean within a KL ball, against a dual that shares no code, brute force, and its edges."""

import math

import numpy as np
import pytest
import torch

from pgm_control.chance.kl_ball import extreme_mean, tilted

MINUS_INFINITY = -math.inf


def rows(seed, count=60, outcomes=4):
    """Random values and weights, of many sizes, with impossible outcomes and ties."""
    rng = np.random.default_rng(seed)
    weight = rng.dirichlet(np.full(outcomes, 0.5), count)
    weight[weight < 0.02] = 0.0
    weight /= weight.sum(1, keepdims=True)
    x = rng.normal(size=weight.shape)
    x[::5] = np.round(x[::5])
    return torch.tensor(x * 10.0 ** rng.uniform(-3, 3, (count, 1))), torch.tensor(weight)


def dual(x, weight, radius):
    """min over λ of λ ε + λ log E exp(x/λ), by golden sections of log λ."""
    x, weight = x[weight > 0], weight[weight > 0]
    top = x.max()
    size = np.ptp(x) or 1.0

    def bound(log_price):
        price = size * math.exp(log_price)
        return top + price * (radius + math.log(weight @ np.exp((x - top) / price)))

    grid = np.linspace(-25.0, 25.0, 201)
    best = int(np.argmin([bound(each) for each in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, 200)]
    for _ in range(100):
        one, other = low + 0.382 * (high - low), high - 0.382 * (high - low)
        low, high = (low, other) if bound(one) < bound(other) else (one, high)
    return min(bound(low), top)


@pytest.mark.parametrize("radius", [1e-6, 0.01, 0.3, 1.0, 30.0])
@pytest.mark.parametrize("adversarial", [False, True])
def test_it_attains_the_dual_bound_within_the_ball(radius, adversarial):
    x, weight = rows(0)
    found = extreme_mean(x, weight.log(), radius, adversarial)
    sign, q = (-1 if adversarial else 1), found.log_q.exp()
    for i in range(len(x)):
        bound = dual(sign * x[i].numpy(), weight[i].numpy(), radius)
        assert sign * float(found.value[i]) == pytest.approx(bound, abs=1e-9 * float(x[i].abs().max()))
    ratio = torch.where(q > 0, found.log_q - weight.log(), 0.0)
    torch.testing.assert_close((q * ratio).sum(-1), found.kl, atol=1e-13, rtol=1e-9)
    torch.testing.assert_close(q.sum(-1), torch.ones(len(x), dtype=q.dtype))
    assert bool((found.kl <= radius * (1 + 1e-12)).all())
    binds = found.price > 0
    torch.testing.assert_close(found.kl[binds], torch.full_like(found.kl[binds], radius))


@pytest.mark.parametrize("radius", [0.05, 0.4])
def test_no_distribution_on_a_grid_is_better(radius):
    """Three outcomes: all distributions with steps of 1/400 that lie in the ball."""
    grid = np.arange(401) / 400
    q = np.stack(np.broadcast_arrays(grid[:, None], grid[None, :], 1 - grid[:, None] - grid), -1).reshape(-1, 3)
    q = q[q[:, 2] >= -1e-12].clip(0)
    x, weight = np.array([2.0, -1.0, 0.5]), np.array([0.2, 0.5, 0.3])
    kl = np.where(q > 0, q * np.log(np.maximum(q, 1e-300) / weight), 0.0).sum(1)
    means = q[kl <= radius] @ x
    for adversarial, best in ((False, means.max()), (True, means.min())):
        found = extreme_mean(torch.tensor(x), torch.tensor(weight).log(), radius, adversarial)
        assert float(found.value) == pytest.approx(best, abs=0.01)
        assert (float(found.value) - best) * (-1 if adversarial else 1) >= 0


def test_a_ball_that_reaches_the_best_outcomes_puts_all_mass_on_them():
    x, log_weight = torch.tensor([[1.0, 3.0, 3.0, -2.0]]), torch.tensor([[0.4, 0.1, 0.2, 0.3]]).log()
    for radius in (-math.log(0.3) + 1e-9, 5.0):
        found = extreme_mean(x, log_weight, radius, False)
        torch.testing.assert_close(found.log_q.exp(), torch.tensor([[0.0, 1 / 3, 2 / 3, 0.0]]))
        assert float(found.value) == pytest.approx(3.0)
        assert float(found.price) == 0.0
    inside = extreme_mean(x, log_weight, -math.log(0.3) - 1e-3, False)
    assert float(inside.value) < 3.0
    assert 0 < float(inside.price) < math.inf


def test_values_that_differ_by_rounding_are_equal():
    x = torch.tensor([0.1 + 0.2, 0.3, 0.0], dtype=torch.float64)
    found = extreme_mean(x, torch.tensor([0.25, 0.25, 0.5], dtype=torch.float64).log(), 10.0, False)
    assert found.log_q.exp().tolist() == pytest.approx([0.5, 0.5, 0.0])


def test_a_certain_outcome_and_an_empty_ball():
    certain = extreme_mean(torch.tensor([2.0, 5.0]), torch.tensor([1.0, 0.0]).log(), 0.5, False)
    assert (float(certain.value), float(certain.price), float(certain.kl)) == (2.0, 0.0, 0.0)
    weight = torch.tensor([0.3, 0.7])
    empty = extreme_mean(torch.tensor([2.0, 5.0]), weight.log(), 0.0, True)
    torch.testing.assert_close(empty.log_q.exp(), weight)
    assert (float(empty.price), float(empty.kl)) == (math.inf, 0.0)


def test_forbidden_outcomes():
    """They cost −log of the probability of the others; a smaller ball cannot avoid them, nor can an adversary miss."""
    x, log_weight = torch.tensor([1.0, 0.0, MINUS_INFINITY]), torch.tensor([0.25, 0.25, 0.5]).log()
    least = math.log(2)
    avoided = extreme_mean(x, log_weight, least + 0.1, False)
    assert float(avoided.kl) == pytest.approx(least + 0.1)
    assert avoided.log_q[2] == MINUS_INFINITY
    assert 0.5 < float(avoided.value) < 1
    for radius, adversarial in ((least - 0.1, False), (1.0, True)):
        kept = extreme_mean(x, log_weight, radius, adversarial)
        assert float(kept.value) == MINUS_INFINITY
        torch.testing.assert_close(kept.log_q, log_weight)
    hopeless = extreme_mean(torch.full((3,), MINUS_INFINITY), log_weight, 1.0, False)
    assert float(hopeless.value) == MINUS_INFINITY


def test_a_small_divergence_keeps_its_digits():
    y = torch.tensor([1e-9, 0.0], dtype=torch.float64)
    found = tilted(y, torch.tensor([0.5, 0.5], dtype=torch.float64).log())
    assert float(found.kl) == pytest.approx(1e-18 / 8, rel=1e-6)
