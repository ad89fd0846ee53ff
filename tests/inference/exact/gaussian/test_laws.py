"""Laws of linear-quadratic models on random problems, against oracles that share no code."""

import dataclasses
import math
import os

import pytest
import torch
from linear_quadratics import dense_log_evidence, precise_objective, random_model, scalar

from pgm_control import (
    GaussianPrior,
    InvalidArgument,
    LinearQuadraticModel,
    Optimism,
    OptimismBreakdown,
    breakdown,
    infer,
)
from pgm_control.trajectories.gaussian.objective import gaussian_terms, objective_of
from pgm_control.trajectories.gaussian.one_problem import sweep_of_one
from pgm_control.trajectories.gaussian.riccati import backward_sweep, prepared

FULL = os.environ.get("PGM_CONTROL_TESTS") == "full"
SEEDS = range(1000 if FULL else 12)


def size_of(model, terms, beta):
    """The sum of the absolute values of the terms of an objective, in nats."""
    paid = terms.dynamics.abs().sum() + terms.initial.abs()
    return float(terms.reward.abs().sum() / model.temperature + terms.policy.abs().sum() + paid / (abs(beta) or 1.0))


def betas_of(model):
    try:
        edge = breakdown(model)
    except InvalidArgument:  # over many steps a cost that is not positive may leave no best action
        with pytest.raises(OptimismBreakdown, match="convex in the actions"):
            infer(model, 0.0)
        return []
    low, high = 0.95 * edge.neurotic.optimism, 0.95 * edge.euphoric.optimism
    return [beta for beta in (1.0, 0.4, 0.0, -0.05, low) if math.isfinite(beta) and low <= beta <= high]


@pytest.mark.parametrize("seed", SEEDS)
def test_backward_is_forward(seed):
    model = random_model(seed, largest=(6, 3, 50) if FULL else (5, 3, 12))
    for beta in betas_of(model):
        found = infer(model, beta)
        terms = gaussian_terms(model, found.blocks())
        forward = float(objective_of(model, found.blocks(), beta, beta, terms))
        assert abs(forward - found.objective) <= 1e-11 * size_of(model, terms, beta)


@pytest.mark.parametrize("seed", range(500, 540 if FULL else 506))
def test_fifty_digits_agree(seed):
    model = random_model(seed, largest=(4, 2, 8))
    for beta in betas_of(model):
        found = infer(model, beta)
        size = size_of(model, gaussian_terms(model, found.blocks()), beta)
        assert abs(float(precise_objective(model, beta, beta)) - found.objective) <= 1e-12 * size


@pytest.mark.parametrize("seed", range(600, 800 if FULL else 610))
def test_the_evidence_is_a_dense_integral(seed):
    model = random_model(seed, discounted=False, largest=(4, 2, 12))
    if breakdown(model).euphoric.optimism > 1.05:
        found = infer(model, 1.0)
        size = size_of(model, gaussian_terms(model, found.blocks()), 1.0)
        assert abs(dense_log_evidence(model) - found.log_evidence) <= 1e-12 * size


@pytest.mark.parametrize("seed", range(700, 712))
def test_no_guide_is_better_than_the_optimum(seed):
    """Moving any factor lowers the objective, and a clamped objective is −∞ for other dynamics."""
    model = random_model(seed, largest=(3, 2, 5))
    found, noise = infer(model, 0.3), torch.Generator().manual_seed(seed)

    def moved(value):
        return value + 0.02 * torch.randn(value.shape, dtype=value.dtype, generator=noise)

    blocks = found.blocks()
    for name in ("gain", "offset"):
        other = blocks.replace(**{name: moved(getattr(blocks, name))})
        assert float(objective_of(model, other, 0.3, 0.3)) < found.objective
    other = blocks.replace(policy_covariance=1.1 * blocks.policy_covariance)
    assert float(objective_of(model, other, 0.3, 0.3)) < found.objective
    if breakdown(model).euphoric.optimism > 1 and bool((found.noise != 0).any()):
        assert float(objective_of(model, infer(model, 1.0).blocks(), 0.0, 0.0)) == -math.inf


@pytest.mark.parametrize("seed", range(800, 806))
def test_values_are_those_of_shorter_problems(seed):
    """V_t(s) times its weight is the objective of the rest from a fixed s, under the dynamics' β."""
    model = random_model(seed, discounted=False, largest=(3, 2, 6))
    problem, found = model.problem, infer(model, Optimism(dynamics=0.2, initial=0.0))
    n, steps = problem.num_states, problem.horizon
    for t in range(steps):
        state = torch.linspace(-1, 1, n, dtype=torch.float64)
        tail = problem.replace(
            **{name: getattr(problem, name)[t:] for name in ("A", "B", "d", "W", "C", "c", "k")},
            horizon=steps - t, initial_mean=state, initial_covariance=torch.zeros(n, n),
        )  # fmt: skip
        prior = model.action_prior
        if prior is not None:
            parts = (getattr(prior, name) for name in ("gain", "offset", "covariance"))
            prior = GaussianPrior(*(each[t:] if len(each) > 1 else each for each in parts))
        rest = infer(LinearQuadraticModel(tail, model.temperature, prior), 0.2)
        assert float(found.v(t, state)) == pytest.approx(rest.value, rel=1e-11, abs=1e-11)


def test_a_batch_is_its_problems():
    models = [scalar(initial_mean=[float(i)]) for i in range(3)]
    many = scalar(initial_mean=torch.arange(3.0)[:, None])
    wide = scalar().replace(W=torch.tensor([0.1, 0.2, 0.3]).reshape(3, 1, 1, 1))
    assert many.batch_shape == wide.batch_shape == (3,)
    for batch, singles in ((many, models), (wide, [wide[i] for i in range(3)])):
        for beta in (1.0, 0.0, -0.5):
            found = infer(LinearQuadraticModel(batch), beta)
            each = [infer(LinearQuadraticModel(one), beta) for one in singles]
            assert torch.allclose(
                found.objective, torch.tensor([one.objective for one in each], dtype=torch.float64), rtol=1e-13
            )
            assert torch.allclose(found.gain, torch.stack([one.gain for one in each]), rtol=1e-13)
    assert "batch (3,)" in repr(many)
    long = infer(LinearQuadraticModel(scalar(initial_mean=torch.arange(6.0)[:, None])), 0.0)  # as many as steps
    with pytest.raises(InvalidArgument, match=r"a batch \(6,\). Choose one of them"):
        long.sample(2)


def test_layers_add_if_clamped_and_with_the_dynamics_if_free():
    """Two rewards one after the other are their sum; a free optimum needs the believed dynamics and start too."""
    first, second = random_model(3, discounted=False), random_model(3, discounted=False)
    n, m = first.problem.num_states, first.problem.num_actions
    extra = torch.eye(n + m, dtype=torch.float64) * 0.3
    second = LinearQuadraticModel(
        first.problem.replace(C=extra, c=torch.zeros(n + m), k=0.0, final_cost=None), first.temperature
    )
    total = first.problem.replace(C=first.problem.C + extra)
    both = LinearQuadraticModel(total, first.temperature, first.action_prior)
    for beta, handed in ((0.0, {}), (1.0, {"dynamics": True, "initial": True})):
        below = infer(first, beta)
        above = infer(second.with_prior(below, **handed), beta)
        whole = infer(both, beta)
        assert torch.allclose(above.gain, whole.gain, rtol=1e-9, atol=1e-10)
        assert torch.allclose(above.policy_covariance, whole.policy_covariance, rtol=1e-9, atol=1e-10)
        assert below.objective + above.objective == pytest.approx(whole.objective, rel=1e-10)
    alone = infer(second.with_prior(infer(first, 1.0)), 1.0)
    assert not torch.allclose(alone.gain, infer(both, 1.0).gain, rtol=1e-3)


def test_a_discount_is_clamped_survival():
    problem = scalar().replace(discount=0.9)
    found = infer(LinearQuadraticModel(problem), 1.0)
    with pytest.raises(InvalidArgument, match="with a discount"):
        _ = found.log_evidence
    with pytest.raises(InvalidArgument, match="`optimism` of survival must be 0 with a discount"):
        infer(LinearQuadraticModel(problem), Optimism(1.0, 1.0, 1.0))


def test_gradients_pass_through():
    W = torch.tensor([[0.3]], dtype=torch.float64, requires_grad=True)
    for beta in (1.0, 0.0, -0.5):
        model = LinearQuadraticModel(scalar().replace(W=W))
        found = infer(model, beta).objective
        (slope,) = torch.autograd.grad(found, W)  # pyright: ignore[reportCallIssue]
        with torch.no_grad():
            ends = [infer(LinearQuadraticModel(scalar().replace(W=[[0.3 + h]])), beta).objective for h in (1e-5, -1e-5)]
        assert float(slope) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-7)


@pytest.mark.parametrize("seed", range(900, 912))
@pytest.mark.parametrize("scale", [0.0, 0.5, -0.5, -0.9999, -2.0, 30.0])
def test_one_problem_is_swept_in_numpy_like_a_batch_in_torch(seed, scale):
    model = random_model(seed)
    edge = -breakdown(model, initial=False).neurotic.risk
    theta = scale * (min(edge, 1e3) if scale < 0 else 1.0)
    expected, found = (
        backward_sweep(prepared(model), torch.tensor(theta, dtype=torch.float64)),
        sweep_of_one(prepared(model), theta),
    )
    assert (int(found.reason), int(found.at)) == (int(expected.reason), int(expected.at))
    for ours, theirs in zip(found[:-2], expected[:-2], strict=True):
        assert torch.equal(ours.isnan(), theirs.isnan())
        largest = float(theirs.nan_to_num().abs().max())
        torch.testing.assert_close(ours, theirs, atol=1e-9 * largest, rtol=0.0, equal_nan=True)


@pytest.mark.parametrize("seed", range(900, 906))
@pytest.mark.parametrize("betas", [(0.0, 0.0), (1.0, 1.0), (0.6, 0.0), (-0.3, 0.5)])
def test_the_optimum_of_one_problem_is_that_of_a_batch_of_one(seed, betas):
    model = random_model(seed)
    optimism = Optimism(*(beta if beta >= 0 else beta * min(1.0, reach(model)) for beta in betas))
    problem = model.problem
    batch = LinearQuadraticModel(
        problem.replace(initial_mean=problem.initial_mean[None]), model.temperature, model.action_prior
    )
    ours, theirs = infer(model, optimism), infer(batch, optimism)
    assert ours.value == pytest.approx(float(theirs.value), rel=1e-10, abs=1e-10)
    for each in dataclasses.fields(ours.blocks()):
        found, expected = getattr(ours, each.name), getattr(theirs, each.name)[0]
        largest = float(expected.abs().max())
        torch.testing.assert_close(found, expected.expand_as(found), atol=1e-10 * largest, rtol=0.0)


def reach(model):
    return -breakdown(model, initial=False).neurotic.optimism
