"""Tests of the dial guide: two ways to fit every optimism agree with the exact answer."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import objective as objective_oracle
from oracles import solve
from problems import gamble, random_mdp, some
from pyro.infer import SVI, Trace_ELBO, TraceEnum_ELBO, config_enumerate
from pyro.optim import PyroOptim
from strategies import laws, model_of, problems

from pgm_control import (
    ClampedGuide,
    DialGuide,
    FreeGuide,
    InvalidArgument,
    MarkovELBO,
    MarkovObjective,
    MarkovRenyi,
    Optimism,
    TabularModel,
    evaluate,
    fit,
    infer,
    objective,
    renyi_bound,
    with_optimism,
)
from pgm_control.inference.variational.elbo import objective_of
from pgm_control.models import restaurant, risky_path
from pgm_control.testing import check_guide

pytestmark = pytest.mark.slow

BETAS = (-1.0, -0.3, 0.05, 0.25, 0.5, 0.9, 1.5, 3.0)
MODELS = {
    "restaurant": TabularModel(restaurant()),
    "risky path": TabularModel(risky_path(), 10.0),
    "random": TabularModel(random_mdp(seed=0, horizon=5), 0.7),
}
betas = st.sampled_from([-2.0, -0.3, 0.0, 0.4, 1.0, 3.0])


@pytest.mark.parametrize("beta", some(BETAS))
@pytest.mark.parametrize("name", MODELS)
def test_two_ways_of_svi_agree_with_the_exact_answer(name, beta):
    model = MODELS[name]
    exact = infer(model, beta)
    dialled = fit(model, DialGuide(model, beta), num_steps=2000)
    assert objective(model, dialled.guide) == pytest.approx(exact.objective, abs=1e-4)
    bounded = fit(model, ClampedGuide(model), MarkovRenyi(1 - beta), num_steps=2000)
    assert renyi_bound(model, bounded.guide, 1 - beta) == pytest.approx(exact.objective, abs=1e-4)
    for guide in (dialled.guide, bounded.guide):  # in visited states the policies agree, too
        visited = exact.marginals().state[0] > 1e-3
        torch.testing.assert_close(
            guide.blocks().log_policy.exp()[0, visited], exact.policy[0, visited], atol=0.02, rtol=0
        )


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_objective_rises_with_optimism(model):
    values = [infer(model, beta).objective for beta in sorted([*BETAS, 0.0, 1.0])]
    assert (np.diff(np.array(values)) >= -1e-12).all()
    assert values[-1] > values[0]


@laws
@given(problems(forbidden=False), betas, betas)
def test_natural_gradients_reach_the_exact_answer(problem, dynamics, initial):
    model, optimism = model_of(problem), Optimism(dynamics, initial, 0.5)
    exact = infer(model, optimism).objective
    found = fit(model, DialGuide(model, optimism), method="natural_gradient", tolerance=1e-12, num_steps=30)
    assert objective(model, found.guide) == pytest.approx(exact, rel=1e-8, abs=1e-8)


@laws
@given(problems(), betas, betas, betas)
def test_the_exact_answer_can_be_assigned(problem, dynamics, initial, survival):
    model, optimism = model_of(problem), Optimism(dynamics, initial, survival)
    guide, exact = DialGuide(model, optimism), infer(model, optimism)
    if exact.objective == -np.inf:
        return
    found = fit(model, guide, method="exact")
    assert objective(model, found.guide) == pytest.approx(exact.objective, rel=1e-9, abs=1e-9)
    torch.testing.assert_close(guide.blocks().log_policy.exp(), exact.policy)


@laws
@given(problems(forbidden=False), betas, betas, betas)
def test_the_objective_equals_its_definition(problem, dynamics, initial, survival):
    model = model_of(problem)
    guide = DialGuide(model, Optimism(dynamics, initial, survival))
    for parameter in guide.parameters():
        parameter.data.normal_(generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        blocks = guide.blocks()
    solution = solve(problem, 0.0)._replace(
        initial=blocks.log_initial.exp().numpy(),
        policy=blocks.log_policy.exp().numpy(),
        dynamics=blocks.log_dynamics.exp().numpy(),
        survival=np.full((problem.horizon, problem.ended), problem.discount)
        if blocks.log_survival is None
        else blocks.log_survival.exp().numpy(),
    )
    wanted = objective_oracle(problem, solution, dynamics, initial, survival) / problem.temperature
    assert objective(model, guide) == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def test_free_and_clamped_guides_are_special_cases():
    model = MODELS["random"]
    for beta, kind in ((1.0, FreeGuide), (0.0, ClampedGuide)):
        guide, plain = DialGuide(model, beta), kind(model)
        ours, theirs = (dict(each.named_parameters()) for each in (guide, plain))
        assert len(ours) == len(theirs)
        one, other = (fit(model, each, num_steps=50).elbo_history for each in (guide, plain))
        torch.testing.assert_close(one, other)
        assert objective(model, guide) == pytest.approx(evaluate(model, guide).elbo)


def test_the_optimum_of_a_negative_optimism_is_a_saddle_point():
    model = TabularModel(gamble(), 0.5)
    guide = DialGuide(model, -1.0)
    with torch.no_grad():
        best = fit(model, guide, method="exact").guide.blocks()
    at = objective(model, guide)
    for block, worse in (("log_policy", True), ("log_dynamics", False)):
        moved = torch.log_softmax(getattr(best, block) + 0.3 * torch.randn_like(getattr(best, block)), -1)
        changed = objective_of(model, best.__class__(**{**vars(best), block: moved}), guide.optimism)
        assert (float(changed) < at) is worse


impossible_outcomes = pytest.mark.filterwarnings("ignore:Encountered .inf")  # −inf times a negative price


@impossible_outcomes
@pytest.mark.parametrize("discount", [1.0, 0.8])
@pytest.mark.parametrize(
    "optimism",
    [
        Optimism(0.3, 0.3),
        Optimism(-0.5, -0.5),
        Optimism(2.0, 0.7, 0.4),
        Optimism(0.0, 0.0),
        Optimism(torch.tensor([[0.5, -1.0], [0.0, 1.0], [2.0, 0.3]], dtype=torch.float64), 0.7, -0.3),
    ],
    ids=["mild", "robust", "each block its own", "clamped", "by state and action"],
)
def test_enumeration_in_pyro_gives_the_same_gradient(optimism, discount):
    model = TabularModel(random_mdp(seed=0, horizon=3, discount=discount), 0.7)
    guide = DialGuide(model, optimism)
    for parameter in guide.parameters():
        parameter.data.normal_()
    value = objective_of(model, guide.blocks(), optimism)
    exact = torch.autograd.grad(value, list(guide.parameters()))
    guide.zero_grad()
    loss = TraceEnum_ELBO(max_plate_nesting=0)
    found = loss.loss_and_grads(
        with_optimism(model, model, optimism), config_enumerate(with_optimism(guide, model, optimism))
    )
    assert -found == pytest.approx(value.item(), rel=1e-10)
    for one, parameter in zip(exact, guide.parameters(), strict=True):
        torch.testing.assert_close(-parameter.grad, one, atol=1e-12, rtol=1e-10)


@pytest.mark.statistical
def test_sampling_in_pyro_gives_the_same_objective():
    """The false-alarm rate is one in two million (five standard errors); the seed is fixed."""
    model, optimism = TabularModel(random_mdp(seed=0, horizon=2), 0.7), Optimism(0.4)
    guide = DialGuide(model, optimism)
    pair = with_optimism(model, model, optimism), with_optimism(guide, model, optimism)
    values = torch.tensor([-Trace_ELBO().loss(*pair) for _ in range(1000)])
    assert float(values.mean()) == pytest.approx(objective(model, guide), abs=5 * float(values.std()) / 1000**0.5)


@impossible_outcomes
def test_svi_in_pyro_converges_to_the_exact_answer():
    model, optimism = TabularModel(restaurant()), Optimism(-0.5)
    guide = DialGuide(model, optimism)
    optim = PyroOptim(torch.optim.Adam, {"lr": 0.1, "betas": (0.9, 0.9)})
    loss = TraceEnum_ELBO(max_plate_nesting=0)
    step = SVI(
        with_optimism(model, model, optimism), config_enumerate(with_optimism(guide, model, optimism)), optim, loss
    ).step
    for _ in range(400):
        step()
    assert objective(model, guide) == pytest.approx(infer(model, optimism).objective, abs=1e-3)


@laws
@given(problems(), st.sampled_from([-3.0, -0.5, 0.4, 0.999, 2.5]))
def test_renyi_bounds_fall_with_the_order_and_agree_with_enumeration(problem, order):
    from oracles import paths

    model = model_of(problem)
    guide = ClampedGuide(model)
    for parameter in guide.parameters():
        parameter.data.normal_(generator=torch.Generator().manual_seed(1))
    policy = guide.blocks().log_policy.detach().exp().numpy()
    beta, total = 1 - order, 0.0
    for path in paths(problem):
        q, rho = 1.0, 1.0
        for t, (s, a) in enumerate(zip(path.states, path.actions, strict=False)):
            if s != problem.ended:
                q, rho = q * policy[t, s, a], rho * problem.prior[s, a]
        if q > 0:
            world = path.probability / rho
            with np.errstate(over="ignore"):
                total += (
                    world * q * (rho / q * np.exp(path.total / problem.temperature)) ** beta
                    if (path.total > -np.inf)
                    else (np.inf if beta < 0 else 0.0)
                )
    wanted = np.log(total) / beta if total > 0 else -np.inf
    found = renyi_bound(model, guide, order)
    assert found == wanted or found == pytest.approx(wanted, rel=1e-8, abs=1e-8)
    higher = renyi_bound(model, guide, order + 0.3)
    assert higher <= found + 1e-9 or found == -np.inf


def test_the_order_one_is_the_elbo_and_zero_is_the_evidence():
    model = MODELS["random"]
    guide = ClampedGuide(model)
    assert renyi_bound(model, guide, 1.0) == evaluate(model, guide).elbo
    assert renyi_bound(model, guide, 0.0) == pytest.approx(infer(model, 1.0).log_evidence)
    assert renyi_bound(model, guide, -1.0) > infer(model, 1.0).log_evidence
    assert renyi_bound(model, infer(model, 1.0), 0.3) == pytest.approx(infer(model, 1.0).log_evidence)


def test_the_renyi_bound_is_refused_at_order_zero():
    with pytest.raises(InvalidArgument, match=r"`order` must not be 0, which is β = 1: .* whatever the policy"):
        MarkovRenyi(0.0)
    with pytest.raises(InvalidArgument, match=r"`order` must be a finite number"):
        MarkovRenyi(float("nan"))


def test_the_dial_guide_satisfies_the_laws_and_its_free_blocks_are_found():
    model = TabularModel(random_mdp(seed=1, horizon=2, discount=0.8), 0.7)
    assert check_guide(model, DialGuide(model, Optimism(0.5, 0.0, 0.3)), seed=0).free == ("dynamics", "survival")
    assert check_guide(model, DialGuide(model, Optimism(0.0, -0.5)), seed=0).free == ("initial",)


def test_a_fit_is_saved_and_resumed(tmp_path):
    model = MODELS["random"]
    whole = fit(model, DialGuide(model, -0.3), num_steps=60, tolerance=0.0)
    half = fit(model, DialGuide(model, -0.3), num_steps=30, tolerance=0.0, checkpoint=tmp_path / "half.pt")
    rest = fit(model, DialGuide(model, -0.3), num_steps=60, tolerance=0.0, resume=tmp_path / "half.pt")
    assert torch.equal(whole.elbo_history, rest.elbo_history)
    assert half.num_steps == 30


def test_errors_name_the_argument():
    model = MODELS["random"]
    with pytest.raises(InvalidArgument, match=r"`optimism` of dynamics must broadcast"):
        DialGuide(model, Optimism(torch.rand(4, 4)))
    with pytest.raises(InvalidArgument, match=r"`optimism` must be given, because Posterior|does not define its own"):
        objective(model, TabularModel(model.mdp))
    with pytest.raises(InvalidArgument, match=r"whose sites are whole events.*MarkovObjective"):
        with_optimism(
            model, TabularModel(model.mdp.replace(discount=0.5)), Optimism(1.0, 1.0, torch.tensor([0.0, 1.0, 0.0]))
        )


def test_losses_equal_their_definitions():
    model = MODELS["random"]
    guide = FreeGuide(model)
    assert MarkovObjective(1.0).loss(model, guide) == MarkovELBO().loss(model, guide)
    assert MarkovRenyi(0.5).loss(model, guide) == -renyi_bound(model, guide, 0.5)
    loss = MarkovRenyi(-1.0).differentiable_loss(model, guide)
    assert loss.item() == -renyi_bound(model, guide, -1.0)
