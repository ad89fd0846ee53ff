"""Linear-quadratic models in extreme units, and results that share no memory with the model."""

import warnings

import pytest
import torch

from pgm_control import (
    InvalidArgument,
    LinearQuadratic,
    LinearQuadraticModel,
    OptimismBreakdown,
    breakdown,
    infer,
    soft_values,
)

SIZES = [1e-150, 1e-30, 1e30, 1e150]


def in_units(state=1.0, action=1.0, reward=1.0, **changes):
    """The scalar problem whose breakdown is at β = −2.023795, in other units."""
    problem = LinearQuadratic.from_cost(
        0.9, 0.5 * state / action, reward / state**2, 0.2 * reward / action**2, 0.3 * state**2, horizon=6,
        initial_mean=state, **changes,
    )  # fmt: skip
    return LinearQuadraticModel(problem, temperature=reward)


@pytest.mark.parametrize("unit", ["state", "action", "reward"])
@pytest.mark.parametrize("size", SIZES)
def test_the_breakdown_does_not_depend_on_units(unit, size):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        edge = breakdown(in_units(**{unit: size})).neurotic
    assert edge.optimism == pytest.approx(-2.023795, rel=1e-6)
    assert (edge.block, edge.time, edge.direction) == ("dynamics", 0, (1.0,))


@pytest.mark.parametrize("beta", [0.0, 1.0, -1.0])
@pytest.mark.parametrize("size", [*SIZES, 1e300])
def test_the_objective_does_not_depend_on_units_of_reward(size, beta):
    assert infer(in_units(reward=size), beta).objective == pytest.approx(infer(in_units(), beta).objective, rel=1e-9)


@pytest.mark.parametrize("beta", [0.0, 0.5, -0.5])
def test_results_share_no_memory_with_the_model(beta):
    model = in_units(initial_covariance=0.5)
    before = infer(model, beta)
    found = infer(model, beta)
    for name in ("initial_mean", "initial_covariance", "transition", "drift", "noise", "gain", "value_hessian"):
        getattr(found, name).mul_(3.0)
    again = infer(model, beta)
    assert again.objective == before.objective
    assert torch.equal(again.noise, before.noise)
    assert torch.equal(model.problem.initial_mean, torch.ones(1, dtype=torch.float64))
    assert again.value_hessian.is_contiguous()


def test_no_lookahead_in_nats_at_temperature_0():
    model = LinearQuadraticModel(in_units().problem, temperature=0.0)
    with pytest.raises(InvalidArgument, match="positive temperature"):
        infer(model, 0.0).lookahead()


@pytest.mark.parametrize("beta", [0.0, 1.0, -0.2])
@pytest.mark.parametrize("size", [1e155, 1e160, 1e161])
def test_actions_whose_cost_float64_cannot_hold_are_refused(size, beta):
    """At 1e160 the gain would be wrong by 3e-4, with R a number of few digits; at 1e155 the covariance infinite."""
    problem = LinearQuadratic.from_cost(0.9, 0.5 / size, 1.0, 0.2 / size / size, 0.3, horizon=6, initial_mean=1.0)
    model = LinearQuadraticModel(problem)
    for call in (lambda: infer(model, beta), lambda: soft_values(model, beta), lambda: breakdown(model)):
        with pytest.raises(InvalidArgument, match="Rescale the model"):
            call()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_an_action_that_moves_too_far_for_float64_is_refused(batch, temperature):
    """The gain would be 0, and the value that of no action."""
    start = torch.ones(*batch, 1, dtype=torch.float64)
    problem = LinearQuadratic.from_cost(0.9, 1e160, 1.0, 1.0, 0.3, horizon=3, initial_mean=start)
    with pytest.raises(InvalidArgument, match=r"(cost of its actions|its start and its values).*Rescale"):
        infer(LinearQuadraticModel(problem, temperature), 0.0)


def test_the_remedy_of_numbers_beyond_float64_at_optimism_0():
    far = LinearQuadratic.from_cost(0.9, 0.5, 1.0, 0.2, 0.3, horizon=6, initial_mean=1e200)
    with pytest.raises(InvalidArgument, match=r"its start and its values.*Rescale"):
        infer(LinearQuadraticModel(far), 0.0)
    tiny = LinearQuadratic.from_cost(0.9, 0.5e-300, 1.0, 0.2e-300 * 1e-300, 0.3, horizon=6, initial_mean=1.0)
    with pytest.raises(OptimismBreakdown, match=r"no action is best.*units in which `B` is nearer to 1"):
        infer(LinearQuadraticModel(tiny), 0.0)
