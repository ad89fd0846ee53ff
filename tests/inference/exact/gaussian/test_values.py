"""The derivatives of the objective by the envelope theorem, against autograd through the recursion."""

import pytest
import torch
from linear_quadratics import random_model, scalar

from pgm_control import (
    GaussianPrior,
    InvalidArgument,
    LinearQuadraticModel,
    Optimism,
    Risk,
    breakdown,
    infer,
    soft_values,
)
from pgm_control.inference.exact.gaussian.solve import start_equivalent
from pgm_control.problems.continuous.arrays import root
from pgm_control.trajectories.gaussian.riccati import backward_sweep, prepared


def differentiable(model):
    """The model made from leaves that require gradients, with regular noise, and the leaves."""
    problem, n = model.problem, model.problem.num_states
    names = ("A", "B", "d", "W", "C", "c", "k", "initial_mean", "initial_covariance")
    leaves = {name: getattr(problem, name).clone() for name in names}
    for name in ("W", "initial_covariance"):
        leaves[name] = leaves[name] + 0.05 * torch.eye(n)
    final = [each.clone().requires_grad_() for each in (problem.final_P, problem.final_p, problem.final_v)]
    leaves = {name: each.requires_grad_() for name, each in leaves.items()}
    prior, given = model.action_prior, []
    if prior is not None:
        given = [each.clone().requires_grad_() for each in (prior.gain, prior.offset, prior.covariance)]
        prior = GaussianPrior(*given)
    made = problem.replace(**leaves, final_cost=tuple(final))
    return LinearQuadraticModel(made, model.temperature, prior), [*leaves.values(), *final, *given]


def by_recursion(model, beta, tau):
    swept = backward_sweep(prepared(model, tau), beta / tau)
    start = start_equivalent(swept, root(model.problem.initial_covariance), beta / tau)
    mean = model.problem.initial_mean
    return (-((0.5 * start.P @ mean + start.p) * mean).sum(-1) - start.v) / tau


@pytest.mark.parametrize("seed", range(10))
def test_derivatives_are_those_of_the_recursion(seed):
    model, leaves = differentiable(random_model(seed, largest=(4, 2, 8)))
    numbers = LinearQuadraticModel(model.problem.replace(), model.temperature, model.action_prior)
    with torch.no_grad():
        lowest = breakdown(numbers).neurotic.optimism
    for value in (1.0, 0.4, 0.0, max(0.5 * lowest, -0.05)):
        beta = torch.tensor(value, dtype=torch.float64, requires_grad=True)
        tau = torch.tensor(model.temperature, dtype=torch.float64, requires_grad=True)
        ours = torch.autograd.grad(
            soft_values(model, beta, temperature=tau).objective, [*leaves, tau, beta], retain_graph=True
        )
        compiled = torch.autograd.grad(soft_values(model, value).objective, leaves, retain_graph=True)
        for one, other in zip(compiled, ours, strict=False):
            assert float((one - other).abs().max()) <= 1e-10 * float(other.abs().max().clamp(min=1e-6))
        by = [*leaves, tau, *([beta] if value else [])]
        theirs = torch.autograd.grad(by_recursion(model, beta, tau), by, retain_graph=True)
        for one, other in zip(ours, theirs, strict=False):
            assert float((one - other).abs().max()) <= 1e-10 * float(other.abs().max().clamp(min=1e-6))


@pytest.mark.parametrize("seed", range(3))
def test_the_derivative_by_optimism_at_zero(seed):
    model = random_model(seed, largest=(3, 2, 6))
    beta = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(soft_values(model, beta).objective, beta)
    ends = [float(soft_values(model, step).objective) for step in (1e-5, -1e-5)]
    assert float(slope) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4)


def test_values_are_those_of_infer_in_a_batch():
    wide = scalar().replace(W=torch.tensor([0.1, 0.2, 0.3]).reshape(3, 1, 1, 1), initial_covariance=[[0.5]])
    betas, taus = torch.tensor([1.0, 0.0, -0.2]), torch.tensor([0.5, 1.0, 2.0])
    found = soft_values(LinearQuadraticModel(wide), betas, temperature=taus)
    for i in range(3):
        one = infer(LinearQuadraticModel(wide[i], float(taus[i])), float(betas[i]))
        assert float(found.objective[i]) == pytest.approx(one.objective, rel=1e-13)
        assert torch.allclose(found.gain[i], one.gain, rtol=1e-13)
    parts = soft_values(LinearQuadraticModel(wide[0]), Optimism(dynamics=1.0, initial=Risk(0.0))).objective
    assert float(parts) == pytest.approx(infer(LinearQuadraticModel(wide[0]), Optimism(1.0, 0.0)).objective, rel=1e-13)


def test_arguments_of_tables_are_refused():
    with pytest.raises(InvalidArgument, match="`reward` must be None for a linear-quadratic model"):
        soft_values(LinearQuadraticModel(scalar()), 1.0, reward=torch.zeros(1, 1, 1))
    with pytest.raises(InvalidArgument, match="`temperature` must be positive, but is 0"):
        soft_values(LinearQuadraticModel(scalar()), 1.0, temperature=0.0)
    with pytest.raises(InvalidArgument, match=r"`optimism` must be a number, or have the batch axes \(\)"):
        soft_values(LinearQuadraticModel(scalar()), torch.zeros(3))
