"""Breakdown of plans that do not see the state, against the eigenvalues of the dense form."""

import numpy as np
import open_loop_plans as open_loop
import pytest
import torch
from linear_quadratics import double_integrator, scalar
from pyro import distributions as dist

from pgm_control import ContinuousModel, LinearQuadraticModel, OptimismBreakdown, Risk, infer
from pgm_control.planners import CEM, ESS, MPPI, PlanStatus

MODEL = LinearQuadraticModel(scalar())
FEW = {"num_plans": 16, "num_noise_samples": 4, "seed": 0}
C = np.diag([1.0, 0.2])


@pytest.mark.parametrize("planner", [MPPI, CEM])
def test_plans_break_down_earlier_than_policies(planner):
    assert infer(MODEL, -0.5).is_free is False  # a policy has not
    with pytest.raises(OptimismBreakdown, match="optimism") as caught:
        planner(MODEL, optimism=-0.5, **FEW).act([1.0])
    assert caught.value.limit == pytest.approx(-0.3762708747, abs=1e-9)
    assert caught.value.optimism == -0.5
    planner(MODEL, optimism=-0.3762, **FEW).act([1.0])
    with pytest.raises(OptimismBreakdown):
        planner(MODEL, optimism=-0.3763, **FEW).act([1.0])


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_edge_of_a_shorter_plan(steps):
    """A plan of h steps sees h − 1 costly states; the last window, with the final cost, has one more."""
    final = 0.5
    model = LinearQuadraticModel(scalar(final_cost=final))
    window = open_loop.edge(0.9, 0.5, 0.3, C, [1.0], steps) if steps > 1 else -np.inf
    last = open_loop.edge(0.9, 0.5, 0.3, C, [1.0], steps, final=np.array([[final]]))
    with pytest.raises(OptimismBreakdown) as caught:
        MPPI(model, optimism=-50.0, horizon=steps, **FEW).act([1.0])
    assert caught.value.limit == pytest.approx(max(window, last), rel=1e-9)


def test_the_edge_with_an_exact_terminal_value():
    value = infer(MODEL, 0.0)
    hessians = value.value_hessian[2:, 0, 0]
    edges = [open_loop.edge(0.9, 0.5, 0.3, C, [1.0], 2, final=np.array([[float(P)]])) for P in hessians]
    with pytest.raises(OptimismBreakdown) as caught:
        MPPI(MODEL, optimism=-50.0, horizon=2, terminal_value=value, **FEW).act([1.0])
    assert caught.value.limit == pytest.approx(max(edges), rel=1e-9)


def test_the_edge_of_a_second_order_system():
    problem = double_integrator()
    edge = open_loop.edge(problem.A[0], problem.B[0], problem.W[0], problem.C[0], [2.0, 0.0], 20)
    model = LinearQuadraticModel(problem, 0.5, 4.0)
    with pytest.raises(OptimismBreakdown) as caught:
        MPPI(model, optimism=Risk(2 * edge), **FEW).act([2.0, 0.0])
    assert caught.value.limit == pytest.approx(0.5 * edge, rel=1e-9)


def test_a_temperature_that_is_solved_for_is_checked_too():
    with pytest.raises(OptimismBreakdown):
        MPPI(LinearQuadraticModel(scalar(), 1.0, 4.0), optimism=-5.0, temperature=ESS(0.3), **FEW).act([1.0])


def test_elsewhere_one_draw_that_decides_is_reported():
    """A model over vectors is not known to be quadratic: far below the breakdown one noise has most of the average."""
    zero = torch.zeros(1, dtype=torch.float64)
    model = ContinuousModel(
        dist.Delta(zero + 1.0).to_event(1), lambda t, s, a: dist.Normal(0.9 * s + 0.5 * a, 0.3**0.5).to_event(1),
        lambda t, s, a, ahead: (-0.5 * s**2 - 0.1 * a**2).sum(-1), 6, 1.0, dist.Normal(zero, 2.0).to_event(1),
    )  # fmt: skip
    given = {"num_plans": 512, "num_noise_samples": 16, "seed": 0, "spread": 0.7, "num_sweeps": 3}
    fine = MPPI(model, optimism=0.0, **given).plan([1.0])
    assert fine.status is PlanStatus.complete
    assert float(fine.largest_noise_weight[0]) == 1 / 16
    wrong = MPPI(model, optimism=-20.0, **given).plan([1.0])
    assert float(wrong.largest_noise_weight[0]) > 0.5
    assert wrong.status is PlanStatus.degenerate
