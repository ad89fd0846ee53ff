"""The exact loss of Gaussian guides, `fit` with it, and Pyro's sampled loss."""

import pytest
import torch
from linear_quadratics import double_integrator, random_model, scalar
from problems import sized
from pyro.infer import Trace_ELBO
from pyro.optim import ClippedAdam

from pgm_control import InvalidArgument, InvalidGuide, InvalidProblem, LinearQuadraticModel, Optimism, fit, infer
from pgm_control.guides import (
    ClampedGaussianGuide,
    FreeGaussianGuide,
    GaussianDialGuide,
    OpenLoopGaussianGuide,
)
from pgm_control.inference.variational.gaussian_elbo import GaussianELBO
from pgm_control.inference.variational.optimisers import LBFGS

SCALAR = LinearQuadraticModel(scalar())
KNOWN = {ClampedGaussianGuide: 6.21835979, FreeGaussianGuide: 6.94504942}
RESTARTS = 5  # of L-BFGS, which a flat line search may end early


def by_lbfgs(model, guide, loss):
    for _ in range(RESTARTS):
        search = LBFGS(
            guide.parameters(), max_iter=400, tolerance_grad=1e-13, tolerance_change=0.0, history_size=50,
            line_search_fn="strong_wolfe",
        )  # fmt: skip

        def closure(search=search):
            search.zero_grad()
            found = loss.differentiable_loss(model, guide)
            found.backward()
            return found

        search.step(closure)
    return -loss.loss(model, guide)


@pytest.mark.parametrize("family", KNOWN)
def test_lbfgs_reaches_the_optimum_of_the_exact_loss(family):
    guide = family(SCALAR)
    found = by_lbfgs(SCALAR, guide, GaussianELBO())
    due = infer(SCALAR, guide.optimism).objective
    assert abs(found - due) <= 1e-10
    assert found == pytest.approx(KNOWN[family], abs=1e-8)


def test_lbfgs_reaches_the_best_plan_and_a_dial():
    guide = OpenLoopGaussianGuide(SCALAR)
    found = by_lbfgs(SCALAR, guide, GaussianELBO())
    best = OpenLoopGaussianGuide(SCALAR)
    best.assign(best.optimum())
    assert abs(found + GaussianELBO().loss(SCALAR, best)) <= 1e-10
    dial = GaussianDialGuide(SCALAR, 0.5)
    assert by_lbfgs(SCALAR, dial, GaussianELBO(0.5)) == pytest.approx(6.62906262, abs=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_lbfgs_on_random_models(seed):
    model = random_model(seed, largest=(3, 2, 6))
    for family in (ClampedGaussianGuide, FreeGaussianGuide):
        guide = family(model)
        due = infer(model, guide.optimism).objective
        assert abs(by_lbfgs(model, guide, GaussianELBO()) - due) <= 1e-7 * (1 + abs(due))


@pytest.mark.parametrize("family", [*KNOWN, OpenLoopGaussianGuide])
def test_fit_sets_a_guide_to_its_optimum(family):
    found = fit(SCALAR, family(SCALAR), method="exact")
    assert found.status.name == "converged"
    assert found.objective_name == "ELBO"
    if family in KNOWN:
        assert found.elbo == pytest.approx(KNOWN[family], abs=1e-8)
    gradients = torch.autograd.grad(GaussianELBO().bound(SCALAR, found.guide), list(found.guide.parameters()))
    assert all(float(each.abs().max()) <= 1e-9 for each in gradients)


@pytest.mark.parametrize("beta", [1.0, 0.5, 0.0, -0.5])
def test_a_dial_has_the_objective_of_its_optimism(beta):
    guide = GaussianDialGuide(SCALAR, beta)
    found = fit(SCALAR, guide, method="exact")
    assert found.objective_name == ("ELBO" if beta in (0.0, 1.0) else "objective J_β")
    value = -GaussianELBO(beta).loss(SCALAR, guide)
    assert value == pytest.approx(infer(SCALAR, beta).objective, abs=1e-11)


def test_the_default_loss_is_exact_and_an_adversarial_block_finds_the_saddle():
    guide = GaussianDialGuide(SCALAR, -0.5)
    found = fit(SCALAR, guide, num_steps=200)
    assert found.objective_name == "objective J_β"
    assert float(found.elbo_history[-1]) == pytest.approx(5.65444977, abs=0.01)
    assert float(guide.blocks().noise.detach()[0]) > 0.3  # the adversary widens the noise


def test_a_discount_is_weighed():
    problem = scalar(discount=0.8)
    model = LinearQuadraticModel(problem)
    guide = ClampedGaussianGuide(model)
    fit(model, FreeGaussianGuide(model), num_steps=2)
    assert fit(model, guide, method="exact").elbo == pytest.approx(infer(model, 0.0).objective, abs=1e-11)
    with pytest.raises(InvalidProblem, match="`discount` must be 1 to run the model"):
        fit(model, guide, loss=Trace_ELBO(), optim=ClippedAdam({"lr": 0.03}), num_steps=1)


@pytest.mark.slow
@pytest.mark.parametrize("family", KNOWN)
def test_sampled_svi_comes_within_five_thousandths_of_a_nat(family):
    """The reduced form: 300 steps in place of 1500, and within two hundredths."""
    guide, (steps, near) = family(SCALAR), sized((1500, 0.005), (300, 0.02))
    loss = Trace_ELBO(num_particles=32, vectorize_particles=True, max_plate_nesting=0)
    fit(SCALAR, guide, loss=loss, optim=ClippedAdam({"lr": 0.1, "lrd": 0.01 ** (1 / steps)}), num_steps=steps, seed=0)
    assert KNOWN[family] - near <= -GaussianELBO().loss(SCALAR, guide) <= KNOWN[family] + 1e-7


def test_the_sampled_loss_estimates_the_exact_one():
    model = LinearQuadraticModel(double_integrator(), 1.0, 4.0)
    guide = FreeGaussianGuide(model)
    loss = Trace_ELBO(num_particles=2000, vectorize_particles=True, max_plate_nesting=0)
    exact = GaussianELBO().loss(model, guide)
    assert loss.loss(model, guide) == pytest.approx(exact, rel=0.1)
    guide.assign(guide.optimum())
    assert loss.loss(model, guide) == pytest.approx(13.68924369, abs=1e-8)


def test_a_fit_can_be_resumed():
    first = FreeGaussianGuide(SCALAR)
    half = fit(SCALAR, first, num_steps=10, tolerance=0.0)
    whole = fit(SCALAR, FreeGaussianGuide(SCALAR), num_steps=20, tolerance=0.0)
    again = fit(SCALAR, first, num_steps=20, tolerance=0.0, resume=half)
    assert torch.equal(again.elbo_history, whole.elbo_history)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InvalidGuide, match="`guide` must be a Gaussian guide"):
        GaussianELBO().loss(SCALAR, infer(SCALAR, 1.0))
    with pytest.raises(InvalidArgument, match='`model` must be over vectors, such as ContinuousModel, for method="nat'):
        fit(SCALAR, ClampedGaussianGuide(SCALAR), method="natural_gradient")
    with pytest.raises(InvalidGuide, match="`guide` must be a guide of this model, whose dynamics have shape"):
        fit(SCALAR, ClampedGaussianGuide(LinearQuadraticModel(scalar(horizon=3))))
    with pytest.raises(InvalidArgument, match='for method="em"'):
        fit(SCALAR, ClampedGaussianGuide(SCALAR), method="em")
    with pytest.raises(InvalidArgument, match="`guide` must have parameters"):
        fit(SCALAR, infer(SCALAR, 1.0))


def test_the_name_of_the_bound():
    assert GaussianELBO(Optimism(0.0, 0.0)).objective_name == "ELBO"
    assert GaussianELBO(0.3).objective_name == "objective J_β"
    assert repr(GaussianELBO(0.3)).startswith("GaussianELBO(")
