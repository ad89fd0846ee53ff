"""Sequential Monte Carlo of programs over vectors: lookaheads, the stated error, and the ledge against its mesh."""

import math
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from problems import sized

from pgm_control import (
    ClampedGaussianGuide,
    FreeGaussianGuide,
    InvalidArgument,
    Line,
    LinearQuadratic,
    LinearQuadraticModel,
    LineModel,
    Planar,
    PlanarModel,
    conditional_smc,
    fit,
    infer,
    smc,
)
from pgm_control.inference.sampling.resampling import standard_error
from pgm_control.models.gusty_ledge import gusty_ledge

PROBLEM = LinearQuadratic.from_cost(0.9, 0.5, 1.0, 0.2, 0.3, horizon=6, initial_mean=1.0, initial_covariance=0.5)
EXACT = LinearQuadraticModel(PROBLEM, 1.0, 1.0)
EVIDENCE = -2.7677273982


def nothing(t, state):
    return torch.zeros(len(state), dtype=torch.float64)


def within(found, exact, errors=4.0):
    assert math.isfinite(found.standard_error)
    assert abs(found.log_evidence - exact) <= errors * found.standard_error + 1e-9


def test_the_values_of_the_posterior_make_every_weight_equal():
    found = smc(EXACT, infer(EXACT, 1.0), 50, threshold=1.0, seed=0)
    assert found.log_evidence == pytest.approx(EVIDENCE, abs=1e-9)
    assert found.standard_error <= 1e-6
    torch.testing.assert_close(found.effective_sample_size, torch.full((6,), 50.0, dtype=torch.float64))


@pytest.mark.slow
@pytest.mark.parametrize("lookahead", [None, nothing, lambda t, state: -0.3 * state[:, 0] ** 2 + math.sin(t)])
def test_the_evidence_does_not_depend_on_the_lookahead(lookahead):
    """The mean of exp(log Ẑ) over many small runs of the prior is p(O); a wrong twist would change it."""
    guide, n = ClampedGaussianGuide(EXACT), sized(60, 25)
    runs = torch.tensor([smc(EXACT, guide, 40, seed=seed, lookahead=lookahead).log_evidence for seed in range(n)])
    ratio = (runs.double() - EVIDENCE).exp()
    assert abs(float(ratio.mean()) - 1.0) <= 4.0 * float(ratio.std()) / n**0.5


@pytest.mark.slow
def test_the_stated_error_is_the_spread_of_runs():
    guide = ClampedGaussianGuide(EXACT)
    runs = [smc(EXACT, guide, 300, seed=seed) for seed in range(40)]
    values = torch.tensor([run.log_evidence for run in runs], dtype=torch.float64)
    stated = torch.tensor([run.standard_error for run in runs], dtype=torch.float64)
    assert 0.5 <= float(stated.median() / values.std()) <= 2.0
    assert abs(float(values.mean()) - EVIDENCE) <= 4.0 * float(values.std()) / 40**0.5 + float(values.var()) / 2


def test_without_resampling_the_error_is_that_of_a_mean_of_weights():
    weight = torch.randn(1, 200, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = standard_error(weight, torch.arange(200)[None])
    w = weight[0].exp()
    assert float(found) == pytest.approx(float(w.std() / 200**0.5 / w.mean()), rel=1e-9)


def test_few_families_show_no_error():
    equal = torch.zeros(1, 100, dtype=torch.float64)
    few, many = torch.arange(100)[None] % 5, torch.arange(100)[None] // 2
    assert float(standard_error(equal, few)) == math.inf
    assert 0.0 < float(standard_error(equal, many)) < 0.2
    assert float(standard_error(equal - torch.inf, many)) == math.inf
    assert float(standard_error(torch.zeros(1, 1), torch.zeros(1, 1, dtype=torch.long))) == math.inf


def test_conditional_runs_take_a_lookahead_too():
    posterior = infer(EXACT, 1.0)
    first = smc(EXACT, posterior, 20, seed=0).sample(1, seed=0)
    found = conditional_smc(EXACT, posterior, first, 20, seed=1)
    assert found.log_evidence == pytest.approx(EVIDENCE, abs=1e-9)
    drawn: Any = found.trajectories
    given: Any = first
    assert torch.equal(drawn["state_3"][0], given["state_3"][0])


def test_a_line_has_a_lookahead_on_its_mesh():
    model = LineModel(Line(lambda state: -((state - 1.0) ** 2), 4, 0.4), 0.5, 1.0)
    posterior = infer(model, 1.0)
    found = smc(model, posterior, 400, seed=0)
    assert abs(found.log_evidence - posterior.objective) <= 4 * found.standard_error + 2e-3
    assert not bool(found.resampled.any())


def test_values_on_a_mesh_are_interpolated():
    model = PlanarModel(Planar(lambda state: -state.square().sum(-1), 3, 0.3), 1.0, 0.5)
    posterior = infer(model, 1.0)
    value, points = posterior.lookahead(), posterior.mesh.points()
    inside = points[3:-3, 3:-3].reshape(-1, 2)
    torch.testing.assert_close(value(1, inside), posterior.v[1, 3:-3, 3:-3].flatten(), atol=1e-9, rtol=0.0)
    between = 0.5 * (points[5, 5] + points[6, 6])
    corners = posterior.v[1, 5:7, 5:7].mean()
    torch.testing.assert_close(value(1, between[None])[0], corners, atol=1e-9, rtol=0.0)
    assert bool(value(1, torch.full((1, 2), 1e6, dtype=torch.float64)).isfinite().all())


@pytest.mark.slow
def test_the_gusty_ledge_comes_within_its_error():
    """With the exact posterior as the proposal, and with a fitted guide, which alone is too narrow."""
    model = PlanarModel(gusty_ledge(), 0.5, 0.64)
    posterior = infer(model, 1.0)
    within(smc(model, posterior, 1000, seed=0), posterior.objective)
    guide = FreeGaussianGuide(model)
    fit(model, guide, method="natural_gradient", num_steps=25)
    known = 0
    for seed in range(4):
        found = smc(model, guide, 1000, seed=seed)
        if math.isfinite(found.standard_error):
            within(found, posterior.objective)
            known += 1
    assert known >= 2
    narrow = smc(model, guide, 1000, seed=1, lookahead=guide.lookahead())  # the guide itself, not its bridge
    assert narrow.log_evidence < posterior.objective - 0.1


def test_a_bridge_is_a_proposal_of_its_model():
    model = PlanarModel(gusty_ledge(horizon=4), 0.5, 0.64)
    guide = FreeGaussianGuide(model)
    fit(model, guide, method="natural_gradient", num_steps=10)
    wide, narrow = guide.bridge().blocks(), guide.bridge(1.0).blocks()
    assert bool(
        (wide.policy_covariance.diagonal(dim1=1, dim2=2) > narrow.policy_covariance.diagonal(dim1=1, dim2=2)).all()
    )
    exact = infer(model, 1.0)
    within(smc(model, guide.bridge(0.25), 2000, seed=0), exact.objective)
    bowl = PlanarModel(Planar(lambda state: -state.square().sum(-1), 3, 0.3), 1.0, 0.5)
    clamped = ClampedGaussianGuide(bowl).bridge()
    assert clamped.free_blocks == ()
    within(smc(bowl, clamped, 1000, seed=0), infer(bowl, 1.0).objective)
    assert "GaussianBridge" in repr(clamped)
    with pytest.raises(InvalidArgument, match="`share`"):
        guide.bridge(0.0)


def test_the_bridge_of_a_linear_quadratic_model_is_the_guide():
    guide = FreeGaussianGuide(EXACT)
    assert guide.bridge() is guide
    state = torch.tensor([[0.3], [-1.0]], dtype=torch.float64)
    torch.testing.assert_close(guide.lookahead()(2, state), infer(EXACT, 1.0).v(2, state))


@pytest.mark.parametrize(
    ("lookahead", "message"),
    [
        (torch.zeros(7, 3), "`lookahead` of a program must be a function of t and a batch of states"),
        (
            lambda t, state: torch.zeros(len(state), 1),
            r"a finite number of nats for each of the 8 states at step 1.*\(8, 1\)",
        ),
        (lambda t, state: torch.full((len(state),), math.nan), "finite number of nats"),
    ],
)
def test_lookaheads_that_do_not_fit_are_refused(lookahead, message):
    with pytest.raises(InvalidArgument, match=message):
        smc(EXACT, infer(EXACT, 1.0), 8, seed=0, lookahead=lookahead)


def test_a_program_without_states_by_step_takes_none():
    def program():
        speed = pyro.sample("speed_0", dist.Normal(0.0, 1.0))
        action = pyro.sample("action_0", dist.Normal(0.0, 1.0))
        pyro.factor("optimality_0", -((speed + action) ** 2))

    program.roles = {  # pyright: ignore[reportFunctionMemberAccess]
        "speed_*": ("state", "chance"),
        "action_*": "action",
        "optimality_*": "optimality",
    }

    def guide():
        pyro.sample("speed_0", dist.Normal(0.0, 1.0))
        pyro.sample("action_0", dist.Normal(0.0, 1.0))

    with pytest.raises(InvalidArgument, match="`lookahead` is for a program with the sites state_t and action_t"):
        smc(program, guide, 8, seed=0, lookahead=nothing)
    assert "nats, standard error 0." in str(smc(program, guide, 100, seed=0))
