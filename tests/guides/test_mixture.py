"""Tests of the mixture of guides: density, ELBO and gradient by enumeration; which families a mixture improves."""

import math

import numpy as np
import oracles
import pytest
import torch
from hypothesis import assume, given, settings
from problems import gamble, random_mdp
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO, TraceEnum_ELBO, config_enumerate
from pyro.optim import PyroOptim
from strategies import laws, model_of, problem_of, problems

from pgm_control import (
    ClampedGuide,
    Estimate,
    FreeGuide,
    InvalidArgument,
    InvalidGuide,
    MarkovGuide,
    Optimism,
    TabularMDP,
    TabularModel,
    estimate,
    evaluate,
    fit,
    infer,
    log_weights,
)
from pgm_control.guides import MixtureELBO, MixtureGuide, OpenLoopGuide
from pgm_control.guides.mixture import _check
from pgm_control.inference.sampling.log_weights import log_target
from pgm_control.inference.variational.elbo import elbo
from pgm_control.testing import check_guide
from pgm_control.trajectories.process import MarkovProcess, log_probability, process_of, simulate
from pgm_control.trajectories.samples import Trajectories

pytestmark = pytest.mark.slow

FREE = Optimism(1.0, 1.0, 1.0)
MODEL = TabularModel(random_mdp(seed=1, horizon=3, discount=0.8).replace(final_reward=[0.5, -1.0, 2.0]), 0.7)


class Optimistic(MarkovGuide):
    """A guide with learned survival."""

    def __init__(self, model):
        super().__init__(model)
        self.logits = torch.nn.Parameter(torch.zeros(model.mdp.horizon, model.mdp.num_states, dtype=torch.float64))

    def blocks(self):
        return self.model.blocks().replace(log_survival=torch.nn.functional.logsigmoid(self.logits))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def batch_of(problem):
    """All trajectories, in the format of the library."""
    paths = list(oracles.paths(problem))
    return Trajectories(*(torch.tensor([path[i] for path in paths]) for i in range(3)))


def mixture_of(model, build=ClampedGuide, components=3, seed=0, spread=1.0):
    """A mixture with different components and weights."""
    mixture = MixtureGuide.apart(model, build, components, spread, seeded(seed))
    with torch.no_grad():
        mixture.weight_logits.add_(torch.randn(components, generator=seeded(seed + 1), dtype=torch.float64))
    return mixture


def log_q_by_components(mixture, together):
    """log Σ w q_z of trajectories, and log q_z of each component, by definition."""
    parts = [MarkovProcess(guide.blocks()).log_probability(together) for guide in mixture.guides]
    log_q = torch.stack(parts, -1)
    return torch.logsumexp(torch.log_softmax(mixture.weight_logits, -1) + log_q, -1), log_q


def exact_elbo(mixture, together):
    """The ELBO by enumeration, differentiable."""
    log_q, _ = log_q_by_components(mixture, together)
    return (log_q.exp() * (log_target(mixture.model, together) - log_q)).sum()


def two_ways(horizon=2):
    """A corridor with an exit at either end: only correlated actions, always in the same direction, reach an exit."""
    states = torch.arange(2 * horizon + 1)
    successor = torch.stack((states - 1, states + 1), -1).clamp(0, 2 * horizon)[..., None]
    final = torch.zeros(2 * horizon + 1, dtype=torch.float64)
    final[0] = final[-1] = 5.0
    start = torch.nn.functional.one_hot(torch.tensor(horizon), 2 * horizon + 1)
    ones = torch.ones(2 * horizon + 1, 2, 1, dtype=torch.float64)
    return TabularModel(TabularMDP(start, ones, successor, 0.0 * ones, horizon, final_reward=final))


@settings(laws, max_examples=25)
@given(problems())
def test_the_process_has_the_density_of_the_mixture(problem):
    """The product of predictions equals Σ w q_z and sums to one, for clamped and free components."""
    model, together = model_of(problem), batch_of(problem)
    assume(infer(model, 0.0).value > -math.inf)
    for build in (ClampedGuide, FreeGuide, Optimistic):
        mixture = mixture_of(model, build)
        found = log_probability(mixture.process(), model.mdp, together).detach()
        expected, _ = log_q_by_components(mixture, together)
        np.testing.assert_allclose(found.exp(), expected.detach().exp(), rtol=1e-9, atol=1e-12)
        assert float(found.exp().sum()) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("build", [ClampedGuide, FreeGuide, Optimistic])
def test_the_program_has_that_density(build):
    mixture = mixture_of(MODEL, build)
    for seed in range(20):
        with poutine.seed(rng_seed=seed), torch.no_grad():
            trace = poutine.trace(mixture).get_trace()
        trace.compute_log_prob()
        values = {name: int(node["value"]) for name, node in trace.nodes.items() if node["type"] == "sample"}
        names = (("state", 4), ("action", 3), ("outcome", 3))
        states, actions, outcomes = (torch.tensor([[values[f"{kind}_{t}"] for t in range(n)]]) for kind, n in names)
        drawn = Trajectories(states, actions, outcomes)
        log_q, _ = log_q_by_components(mixture, drawn)
        assert float(trace.log_prob_sum()) == pytest.approx(log_q.item(), abs=1e-9)


@settings(laws, max_examples=20)
@given(problems())
def test_one_component_is_that_component(problem):
    model, together = model_of(problem), batch_of(problem)
    assume(infer(model, 0.0).value > -math.inf)
    mixture = MixtureGuide.apart(model, ClampedGuide, 1, 1.0, seeded())
    (guide,) = mixture.guides
    with torch.no_grad():
        found = log_probability(mixture.process(), model.mdp, together)
        expected = MarkovProcess(guide.blocks()).log_probability(together)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert mixture.elbo(2) == Estimate(evaluate(model, guide).elbo, 0.0, 2)


@settings(laws, max_examples=25)
@given(problems())
def test_the_elbo_is_the_mean_of_its_components_plus_the_information(problem):
    """ELBO = Σ w ELBO_z + I, I within [0, entropy of w]; no mixture exceeds the optimum of clamped or free guides."""
    model, together = model_of(problem), batch_of(problem)
    assume(infer(model, 0.0).value > -math.inf)
    for build, best in ((ClampedGuide, infer(model, 0.0)), (FreeGuide, infer(model, 1.0))):
        mixture = mixture_of(model, build)
        with torch.no_grad():
            log_q, parts = log_q_by_components(mixture, together)
            target, weight = log_target(model, together), mixture.weights
            possible = log_q > -torch.inf
            exact = float((log_q.exp() * (target - log_q))[possible].sum())
            known = float(sum(w * elbo(model, each.blocks()) for w, each in zip(weight, mixture.guides, strict=True)))
            ratio = torch.where(parts > -torch.inf, parts - log_q[:, None], 0.0)
            information = float((weight * parts.exp() * ratio).sum())
        assert exact == pytest.approx(known + information, abs=1e-8)
        assert -1e-9 <= information <= float(-(weight * weight.log()).sum()) + 1e-9
        assert exact <= best.objective + 1e-8


@pytest.mark.statistical
@pytest.mark.parametrize("build", [ClampedGuide, FreeGuide])
def test_the_estimate_of_the_elbo_is_unbiased_and_has_less_variance_than_log_weights(build):
    mixture = mixture_of(MODEL, build)
    with torch.no_grad():
        log_q, _ = log_q_by_components(mixture, batch_of(problem_of(MODEL.mdp, 0.7)))
        exact = float(exact_elbo(mixture, batch_of(problem_of(MODEL.mdp, 0.7))))
    assert float(log_q.exp().sum()) == pytest.approx(1.0)
    quiet = mixture.elbo(5000, seeded())
    plain = Estimate.of(log_weights(MODEL, mixture, 15_000, seeded()))
    for found in (quiet, plain):
        assert abs(found.mean - exact) < 5 * found.standard_error
    assert quiet.num_samples == plain.num_samples
    assert 0 < quiet.standard_error < plain.standard_error / 2
    again = [mixture.elbo(20, seeded(seed)) for seed in range(150)]
    spread = float(np.std([each.mean for each in again], ddof=1))
    assert np.mean([each.standard_error for each in again]) == pytest.approx(spread, rel=0.25)
    losses = torch.tensor([-MixtureELBO(20).loss(MODEL, mixture) for _ in range(60)])
    assert abs(float(losses.mean()) - exact) < 5 * float(losses.std()) / 60**0.5


@pytest.mark.statistical
@pytest.mark.parametrize("build", [ClampedGuide, FreeGuide])
def test_the_gradient_is_unbiased(build):
    """The mean of 300 estimates, of eight draws per component, is within five standard errors of the exact gradient."""
    mdp = random_mdp(seed=5, states=2, actions=2, outcomes=2, horizon=2, discount=0.9)
    model = TabularModel(mdp, 0.7)
    mixture, together = mixture_of(model, build, 2), batch_of(problem_of(mdp, 0.7))
    parameters = list(mixture.parameters())
    exact = torch.cat([each.flatten() for each in torch.autograd.grad(exact_elbo(mixture, together), parameters)])
    torch.manual_seed(0)
    found = []
    for _ in range(300):
        mixture.zero_grad()
        MixtureELBO(8).loss_and_grads(model, mixture)
        found.append(torch.cat([-each.grad.flatten() for each in parameters]))
    gradients = torch.stack(found)
    error = gradients.std(0) / len(found) ** 0.5
    assert ((gradients.mean(0) - exact).abs() <= 5 * error + 1e-9).all()
    assert float(exact.abs().max()) > 10 * float(error.max())
    step = 1e-5
    with torch.no_grad():  # the enumerated gradient agrees with finite differences
        parameters[-1].view(-1)[0] += step
        above = float(exact_elbo(mixture, together))
        parameters[-1].view(-1)[0] -= 2 * step
        below = float(exact_elbo(mixture, together))
    at = len(exact) - parameters[-1].numel()
    assert (above - below) / (2 * step) == pytest.approx(float(exact[at]), abs=1e-7)


def test_a_mixture_of_plans_is_strictly_better_than_a_plan():
    """Two plans reach both exits; one plan must choose an exit, and loses the entropy of the choice, log 2."""
    model = two_ways()
    best = infer(model, 1.0).objective
    plan = fit(model, OpenLoopGuide(model), num_steps=1)
    alone = max(
        float(fit(model, MixtureGuide.apart(model, OpenLoopGuide, 1, 2.0, seeded(s)).guides[0], num_steps=200).elbo)
        for s in range(2)
    )
    assert plan.elbo < alone
    mixture = MixtureGuide.apart(model, OpenLoopGuide, 2, seed=seeded(3))
    fit(model, mixture, loss=MixtureELBO(16), num_steps=100, seed=0, tolerance=0.0)
    together = batch_of(problem_of(model.mdp))
    found = float(exact_elbo(mixture, together).detach())
    assert alone + 0.5 < found <= best + 1e-9
    assert found == pytest.approx(best, abs=0.01)
    np.testing.assert_allclose(mixture.weights, 0.5, atol=0.05)


def test_equal_components_stay_equal_and_perturbed_ones_do_not():
    model = two_ways()
    together = MixtureGuide(model, [OpenLoopGuide(model), OpenLoopGuide(model)])
    apart = MixtureGuide.apart(model, OpenLoopGuide, 2, seed=seeded())
    for mixture in (together, apart):
        torch.autograd.backward(exact_elbo(mixture, batch_of(problem_of(model.mdp))))
    one, other = (guide.policy_logits.grad for guide in together.guides)
    assert torch.equal(one, other)
    one, other = (guide.policy_logits.grad for guide in apart.guides)
    assert not torch.equal(one, other)
    torch.manual_seed(3)
    first = MixtureGuide.apart(model, OpenLoopGuide).guides[0].policy_logits
    torch.manual_seed(3)
    assert torch.equal(first, MixtureGuide.apart(model, OpenLoopGuide).guides[0].policy_logits)


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize(("build", "free"), [(OpenLoopGuide, ()), (FreeGuide, ("initial", "dynamics"))])
def test_the_mixture_satisfies_the_laws_of_guides(build, free):
    model = TabularModel(random_mdp(seed=5, horizon=2, discount=0.9), 0.7)
    assert check_guide(model, mixture_of(model, build, 2), seed=0).free == free


def test_forbidden_outcomes_and_masks_leave_gradients_finite():
    mdp = gamble(horizon=3).replace(reward=[[[1.0, 0.0], [3.0, -math.inf]]], discount=0.9)
    for model in (TabularModel(mdp), TabularModel(mdp, action_prior=np.asarray([[1.0, 0.0]]))):
        for build in (ClampedGuide, FreeGuide):
            mixture = mixture_of(model, build)
            for loss in (MixtureELBO(4), Trace_ELBO()):
                mixture.zero_grad()
                assert math.isfinite(loss.loss_and_grads(model, mixture))
                assert all(each.grad.isfinite().all() for each in mixture.parameters())


@pytest.mark.statistical
def test_the_true_return_is_that_of_its_policy_given_the_history():
    """The estimate agrees with enumeration; free components may reach histories that none of them allows."""
    mixture = mixture_of(MODEL)
    found = estimate(MODEL, mixture, 20_000, seeded())
    together = batch_of(problem_of(MODEL.mdp, 0.7))
    with torch.no_grad():
        log_q, _ = log_q_by_components(mixture, together)
    paths = list(oracles.paths(problem_of(MODEL.mdp.replace(), 0.7)))
    exact = float(log_q.exp() @ torch.tensor([path.total for path in paths], dtype=torch.float64))
    for each in (found.true_return, found.imagined_return):  # equal, because the mixture is clamped
        assert abs(each.mean - exact) < 5 * each.standard_error
    model = TabularModel(gamble(horizon=3), 0.05)
    sure = MixtureGuide(model, [FreeGuide(model), FreeGuide(model)])
    with torch.no_grad():
        for guide in sure.guides:
            guide.dynamics_logits[..., 1] = -math.inf  # only jackpots
    score = estimate(model, sure, 500, seeded())
    assert score.imagined_return.mean > score.true_return.mean
    assert math.isfinite(score.true_return.mean)
    assert math.isfinite(score.policy_entropy.mean)


@pytest.mark.statistical
def test_draws_in_a_plate_give_the_same_elbo():
    mixture = mixture_of(MODEL)
    exact = float(exact_elbo(mixture, batch_of(problem_of(MODEL.mdp, 0.7))).detach())
    many = Trace_ELBO(num_particles=20_000, vectorize_particles=True, max_plate_nesting=0)
    error = float(log_weights(MODEL, mixture, 2000, seeded()).std()) / 20_000**0.5
    assert abs(-many.loss(MODEL, mixture) - exact) < 5 * error


def test_parallel_enumeration_is_refused():
    with pytest.raises(InvalidGuide, match=r"`action_0` of a guide with a memory cannot be enumerated.*MixtureELBO"):
        TraceEnum_ELBO(max_plate_nesting=0).loss(MODEL, config_enumerate(mixture_of(MODEL)))


def test_svi_and_resuming_work_as_for_other_guides():
    one, other = mixture_of(MODEL), mixture_of(MODEL)
    whole = fit(MODEL, one, loss=MixtureELBO(4), num_steps=20, seed=1, tolerance=0.0)
    half = fit(MODEL, other, loss=MixtureELBO(4), num_steps=10, seed=1, tolerance=0.0)
    resumed = fit(MODEL, other, loss=MixtureELBO(4), num_steps=20, resume=half, tolerance=0.0)
    assert torch.equal(whole.elbo_history, resumed.elbo_history)
    svi = SVI(MODEL, one, PyroOptim(torch.optim.Adam, {"lr": 0.1}), loss=MixtureELBO(4))
    before = one.weight_logits.detach().clone()
    svi.step()
    assert not torch.equal(before, one.weight_logits)


def test_draws_follow_the_weights():
    model = two_ways()
    mixture = MixtureGuide.apart(model, OpenLoopGuide, 2, seed=seeded())
    with torch.no_grad():
        mixture.weight_logits.copy_(torch.tensor([math.log(0.8), math.log(0.2)]))
        for guide, sign in zip(mixture.guides, (1.0, -1.0), strict=True):
            guide.policy_logits.copy_(sign * torch.tensor([[20.0, 0.0]] * 2))
        drawn = simulate(process_of(model, mixture), model.mdp, 10_000, seeded())
    assert (drawn.actions[:, 0] == drawn.actions[:, 1]).all()
    assert float((drawn.actions[:, 0] == 0).double().mean()) == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: MixtureGuide(MODEL, []), InvalidArgument, "`guides` must be a list of guides of this model, but is"),
        (lambda: _check(MODEL, [ClampedGuide]), InvalidArgument, r"`guides\[0\]` must be a MarkovGuide.*is the class"),
        (lambda: _check(MODEL, [infer(MODEL, 1.0)]), InvalidArgument, "but is a Posterior"),
        (lambda: MixtureGuide(MODEL, [ClampedGuide(two_ways())]), InvalidArgument, "built from another. Build all"),
        (lambda: MixtureGuide(MODEL, [ClampedGuide(MODEL)] * 2), InvalidArgument, r"`guides\[1\]`.*occurs twice"),
        (
            lambda: MixtureGuide.apart(MODEL, ClampedGuide, 0),
            InvalidArgument,
            "`num_components` must be a whole number",
        ),
        (lambda: mixture_of(MODEL).elbo(1), InvalidArgument, "`num_samples` must be a whole number, at least 2"),
        (lambda: MixtureELBO(1), InvalidArgument, "`num_particles` must be a whole number, at least 2"),
        (lambda: MixtureELBO().loss(MODEL, ClampedGuide(MODEL)), InvalidGuide, "take MarkovELBO"),
        (lambda: MixtureELBO().loss(two_ways(), mixture_of(MODEL)), InvalidGuide, "Pass guide.model"),
    ],
)
def test_errors_name_the_argument_and_the_remedy(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()
