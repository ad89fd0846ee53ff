"""Where exact inference of a linear-quadratic model could be confident and wrong: edges, null directions, batches."""

import math

import numpy as np
import pytest
import torch

from pgm_control import (
    InvalidArgument,
    LinearQuadratic,
    LinearQuadraticModel,
    Optimism,
    OptimismBreakdown,
    Risk,
    breakdown,
    infer,
    soft_values,
)
from pgm_control.problems.continuous.arrays import root

V = np.array([0.2, -0.4, 0.1])


def regulator(temperature=2.0, **changes):
    given = {"horizon": 6, "initial_mean": 1.0, "initial_covariance": 0.5} | changes
    return LinearQuadraticModel(LinearQuadratic.from_cost(0.9, 0.5, 1.0, 0.2, 0.3, **given), temperature)


def one_step(seed):
    """A problem of one step with singular noise and three actions."""
    rng = np.random.default_rng(seed)

    def covariance(size, rank):
        L = rng.normal(size=(size, rank))
        return L @ L.T / size

    A, B = 0.35 * rng.normal(size=(4, 4)), rng.normal(size=(4, 3))
    W, C = 0.3 * covariance(4, 3), covariance(7, 7) + np.diag([0.0] * 4 + [0.3] * 3)
    c, d, k = rng.normal(size=7), rng.normal(size=4), rng.normal()
    problem = LinearQuadratic(
        A, B, W, C, c=c, d=d, k=k, horizon=1, initial_mean=rng.normal(size=4),
        initial_covariance=0.5 * covariance(4, 1), final_cost=(covariance(4, 4), rng.normal(size=4), rng.normal()),
    )  # fmt: skip
    return LinearQuadraticModel(problem, rng.uniform(0.3, 2.0))


@pytest.mark.parametrize("seed", [12, 30, 33, 48])
def test_an_adversary_never_lacks_an_action(seed):
    """With β < 0 the cost of the actions only grows, so that the block is never that of the actions."""
    edge = breakdown(one_step(seed)).neurotic
    assert edge.block in ("dynamics", "start")
    assert edge.direction is not None
    assert all(math.isfinite(each) for each in edge.direction)


def test_a_singular_start_has_no_noise_in_its_null_directions():
    """Rounding is not a direction: with a reward that rises nowhere in the range there is no euphoric breakdown."""
    S = np.outer(V, V)
    S[0, 1] += 1e-17
    L = root(torch.tensor(S))
    assert torch.linalg.matrix_rank(L, tol=0.0) == 1
    assert torch.allclose(L @ L.T, torch.tensor(S), atol=1e-16)
    # The reward rises along directions across the range of S, where the start has no spread.
    across = np.eye(3) - 3.0 * np.outer(V, V) / (V @ V)
    problem = LinearQuadratic(
        np.eye(3), np.eye(3), np.zeros((3, 3)), np.diag([0.0] * 3 + [1.0] * 3), horizon=1, initial_mean=np.zeros(3),
        initial_covariance=S, final_cost=-0.1 * across,
    )  # fmt: skip
    model = LinearQuadraticModel(problem)
    assert breakdown(model).euphoric.time is None
    assert math.isfinite(infer(model, 1e20).objective)


def test_a_root_keeps_components_in_small_units():
    W = torch.diag(torch.tensor([0.0, 1e-12, 1e6], dtype=torch.float64))
    assert torch.allclose(root(W).square().sum(-1), W.diagonal(), rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("dynamics", [0.0, 0.5])
def test_the_start_breaks_down_by_its_own_price(dynamics):
    """Where β of the start and of the dynamics differ the error names the start and its limit, which holds."""
    model = regulator()
    with pytest.raises(OptimismBreakdown, match=r"neurotic.* at the start, along") as found:
        infer(model, Optimism(dynamics=dynamics, initial=-10.0))
    limit = found.value.limit
    assert math.isfinite(infer(model, Optimism(dynamics=dynamics, initial=0.999999 * limit)).objective)
    with pytest.raises(OptimismBreakdown):
        infer(model, Optimism(dynamics=dynamics, initial=1.000001 * limit))


def test_the_start_breaks_down_at_temperature_0():
    with pytest.raises(OptimismBreakdown, match=r"θ.* at the start"):
        infer(regulator(0.0), Optimism(dynamics=0.0, initial=Risk(-10.0)))


def test_a_batch_is_not_sampled():
    """A batch whose size is that of the draws would broadcast to wrong trajectories."""
    found = infer(regulator(initial_mean=[[1.0], [5.0], [2.0], [3.0], [1.0], [0.0]]), 1.0)
    with pytest.raises(InvalidArgument, match="`model` must be one problem to draw trajectories from"):
        found.sample(6, seed=1)


@pytest.mark.wrong_types
def test_values_take_numbers_of_any_kind():
    found = infer(regulator(), 1.0)
    exact = float(found.v(0, torch.tensor([2.0], dtype=torch.float64)))
    for state in (torch.tensor([2.0]), torch.tensor([2]), np.array([2.0]), [2.0]):
        assert float(found.v(0, state)) == exact
    for wrong in (torch.ones(3), 1.0):
        with pytest.raises(InvalidArgument, match="`state` must be vectors of 1 numbers"):
            found.v(0, wrong)


def test_gradients_in_singular_covariances_are_those_of_soft_values():
    """The root of a singular covariance has no derivative, so that `infer` refuses what it would get wrong."""
    W = torch.tensor([[0.3, 0.0], [0.0, 0.0]], dtype=torch.float64, requires_grad=True)

    def model(W):
        problem = LinearQuadratic(
            [[1.0, 0.2], [0.1, 0.9]], [[0.1], [1.0]], W, np.eye(3), horizon=4, initial_mean=[1.0, 0.5],
        )  # fmt: skip
        return LinearQuadraticModel(problem)

    with pytest.raises(InvalidArgument, match="`W` must be positive definite where it needs gradients"):
        infer(model(W), 1.0)
    (slope,) = torch.autograd.grad(soft_values(model(W), 1.0).objective, W)
    h = 1e-6
    up = W.detach() + torch.diag(torch.tensor([0.0, h], dtype=torch.float64))
    ends = [infer(model(each.detach()), 1.0).objective for each in (up, W)]
    assert float(slope[1, 1]) == pytest.approx((ends[0] - ends[1]) / h, rel=1e-4)
