"""Any Pyro program by the roles of its sites: a linear-Gaussian program by hand, and tables written as programs."""

import math
from typing import Any, cast

import linear_gaussian
import pyro
import pyro.distributions as dist
import pytest
import torch
from linear_gaussian import CLAMPED_ELBO, LOG_EVIDENCE, STEPS, optimal_guide, program
from problems import random_mdp, sized
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import AutoDelta, AutoDiagonalNormal, AutoMultivariateNormal, AutoNormal

from pgm_control import (
    ClampedGuide,
    FreeGuide,
    InvalidArgument,
    InvalidGuide,
    LawBroken,
    Optimism,
    TabularModel,
    conditional_smc,
    estimate,
    estimate_elbo,
    evaluate,
    fit,
    infer,
    iwae_bound,
    log_weights,
    smc,
    with_optimism,
)
from pgm_control.programs.roles import DEFAULT_ROLES, Roles
from pgm_control.testing import check_guide

FREE = Optimism(1.0, 1.0, 1.0)
MODEL = TabularModel(random_mdp(seed=1, horizon=3, discount=0.8).replace(final_reward=[0.5, -1.0, 2.0]), 0.7)


@pytest.fixture(autouse=True)
def float64():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def as_program(model):
    """The program of a tabular model, of which the library sees the sites only."""

    def hidden():
        model()

    return stated(hidden, temperature=model.temperature)


def stated(program: Any, **attributes):
    """The program with attributes, such as its roles."""
    for name, value in attributes.items():
        setattr(program, name, value)
    return program


def within(found, exact, errors=4.0, most=0.02):
    """Agreement within four standard errors, which are small; the seeds make the result reproducible."""
    assert found.standard_error <= most
    assert abs(found.mean - exact) <= errors * found.standard_error, (str(found), exact)


def test_the_log_weights_of_the_exact_posterior_are_constant():
    found = log_weights(program, optimal_guide(1.0), 100, seed=0)
    torch.testing.assert_close(found, torch.full_like(found, LOG_EVIDENCE), atol=1e-9, rtol=0)


def test_the_elbo_of_the_best_clamped_guide():
    within(estimate_elbo(program, optimal_guide(0.0), 40_000, seed=0), CLAMPED_ELBO)


def test_importance_weights_and_particles_reach_the_evidence():
    within(iwae_bound(program, optimal_guide(0.0), 2000, 100, seed=0), LOG_EVIDENCE)
    runs = [smc(program, optimal_guide(0.0), 2000, seed=i).log_evidence for i in range(20)]
    mean, error = float(torch.tensor(runs).mean()), float(torch.tensor(runs).std()) / math.sqrt(20)
    assert error <= 0.02
    assert abs(mean - LOG_EVIDENCE) <= 4 * error


def test_imagined_and_true_returns_of_linear_gaussian_guides():
    """The moments of a linear-Gaussian process, by a forward recursion."""
    for optimism in (0.0, 1.0, 0.4):
        steps, p = linear_gaussian.gains(optimism)
        expected = []
        for believed in (True, False):
            beta = optimism if believed else 0.0
            spread = linear_gaussian.VARIANCE / (1 + beta * linear_gaussian.VARIANCE * p)
            mean, second = (1 - beta * spread * p) * linear_gaussian.START, 0.0
            second, total = spread + mean**2, 0.0
            for gain, variance, ahead, believed_variance in steps:
                total -= (linear_gaussian.Q * second + linear_gaussian.R * (gain**2 * second + variance)) / 2
                s = believed_variance if believed else linear_gaussian.W
                shrink = 1 - beta * s * ahead
                slope = shrink * (linear_gaussian.A - linear_gaussian.B * gain)
                second = slope**2 * second + (shrink * linear_gaussian.B) ** 2 * variance + s
            expected.append(total)
        found = estimate(program, optimal_guide(optimism), 40_000, seed=1)
        within(found.imagined_return, expected[0], most=0.1)
        within(found.true_return, expected[1], most=0.1)
        entropy = sum(0.5 * math.log(2 * math.pi * math.e * variance) for _, variance, _, _ in steps)
        within(found.policy_entropy, entropy)


@pytest.mark.slow
@pytest.mark.parametrize("build", [ClampedGuide, FreeGuide])
def test_a_table_seen_as_a_program_scores_as_the_table(build):
    guide = build(MODEL)
    with torch.no_grad():
        for parameter in guide.parameters():
            parameter += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))
    exact, found = evaluate(MODEL, guide), estimate(as_program(MODEL), guide, 20_000, seed=0)
    within(found.elbo, exact.elbo, most=0.1)
    within(found.imagined_return, exact.imagined_return, most=0.1)
    within(found.true_return, exact.true_return, most=0.1)
    runs = torch.tensor([smc(as_program(MODEL), guide, 500, seed=i).log_evidence for i in range(20)])
    assert abs(float(runs.mean()) - infer(MODEL, FREE).log_evidence) <= 4 * float(runs.std()) / math.sqrt(20) + 1e-3


def test_the_posterior_of_a_table_is_a_guide_of_its_program():
    posterior = infer(MODEL, FREE)
    found = log_weights(as_program(posterior.model), posterior, 50, seed=0)
    torch.testing.assert_close(found, torch.full_like(found, posterior.log_evidence), atol=1e-9, rtol=0)


@pytest.mark.slow
def test_conditional_smc_leaves_the_posterior_as_it_is():
    """A chain that starts in the posterior stays there: the mean of the first action is that of the exact posterior."""
    exact, chain, runs, draws = optimal_guide(1.0), [], sized(300, 80), sized(2000, 500)
    for i in range(runs):
        pyro.set_rng_seed(i)
        trace = pyro.poutine.trace(exact).get_trace()
        reference = {name: trace.nodes[name]["value"][None] for name in trace.stochastic_nodes}
        run = conditional_smc(program, optimal_guide(0.0), reference, 5, seed=i)
        chain.append(float(cast("Any", run.sample(1, seed=i))["action_0"][0]))
    pyro.set_rng_seed(0)
    drawn = torch.stack([pyro.poutine.trace(exact).get_trace().nodes["action_0"]["value"] for _ in range(draws)])
    error = math.sqrt(float(torch.tensor(chain).var()) / runs + float(drawn.var()) / draws)
    assert abs(float(torch.tensor(chain).mean() - drawn.mean())) <= 4 * error


def test_conditional_smc_keeps_its_reference():
    reference: Any = smc(program, optimal_guide(0.0), 50, seed=0).sample(1, seed=0)
    run = conditional_smc(program, optimal_guide(0.0), reference, 20, seed=1, threshold=1.0)
    assert bool(run.resampled.any())
    for name, value in reference.items():
        torch.testing.assert_close(run.trajectories[name][0], value[0])


@pytest.mark.slow
@pytest.mark.parametrize("build", [AutoNormal, AutoDiagonalNormal, AutoMultivariateNormal])
def test_autoguides_are_scored_by_their_joint_density(build):
    """The log-weights of ten draws, recomputed by Pyro's own ELBO from the same draws."""
    guide = build(program)
    found = estimate(program, guide, 4000, seed=0)
    runs = sized(1000, 200)
    losses = torch.tensor([-Trace_ELBO().loss(program, guide) for _ in range(runs)])
    error = math.hypot(found.elbo.standard_error, float(losses.std()) / math.sqrt(runs))
    assert abs(found.elbo.mean - float(losses.mean())) <= 4 * error
    assert found.policy_entropy is None
    with pytest.raises(InvalidGuide, match="auxiliary"):
        smc(program, guide, 10)
    pyro.clear_param_store()


def test_auxiliary_variables_give_a_lower_bound_and_a_proposal():
    def guide():
        z = pyro.sample("z", dist.Normal(0.0, 1.0), infer={"is_auxiliary": True})
        state = pyro.sample("state_0", dist.Normal(0.7, 0.6))
        for t in range(STEPS):
            action = pyro.sample(f"action_{t}", dist.Normal(-0.5 * state + 0.2 * z, 0.9))
            mean = linear_gaussian.A * state + linear_gaussian.B * action
            state = pyro.sample(f"state_{t + 1}", dist.Normal(mean, math.sqrt(linear_gaussian.W)))

    assert float(log_weights(program, guide, 20_000, seed=0).mean()) < LOG_EVIDENCE
    within(iwae_bound(program, guide, 2000, 100, seed=0), LOG_EVIDENCE)
    runs = torch.tensor([smc(program, guide, 2000, seed=i).log_evidence for i in range(20)])
    assert abs(float(runs.mean()) - LOG_EVIDENCE) <= 4 * float(runs.std()) / math.sqrt(20)
    assert "z" in smc(program, guide, 10, seed=0).sample(1, seed=0)
    true = estimate(program, guide, 4000, seed=0).true_return
    assert math.isfinite(true.mean)


def test_roles_of_other_names_and_a_temperature():
    def renamed():
        speed = pyro.sample("speed_0", dist.Normal(1.0, 0.5))
        for t in range(2):
            torque = pyro.sample(f"torque_{t}", dist.Normal(0.0, 1.0))
            pyro.factor(f"cost_{t}", -(speed**2 + torque**2) / 2)
            speed = pyro.sample(f"speed_{t + 1}", dist.Normal(speed + torque, 0.3))

    def guide():
        speed = pyro.sample("speed_0", dist.Normal(1.0, 0.5))
        for t in range(2):
            torque = pyro.sample(f"torque_{t}", dist.Normal(-speed, 1.0))
            speed = pyro.sample(f"speed_{t + 1}", dist.Normal(speed + torque, 0.3))

    with pytest.raises(InvalidArgument, match="roles = "):
        estimate(renamed, guide)
    stated(renamed, roles={"speed_*": ("state", "chance"), "torque_*": "action", "cost_*": "optimality"})
    in_nats = estimate(renamed, guide, 500, seed=0)
    stated(renamed, temperature=2.0)
    in_units = estimate(renamed, guide, 500, seed=0)
    assert in_units.true_return.mean == pytest.approx(2 * in_nats.true_return.mean)
    assert in_units.elbo.mean == pytest.approx(in_nats.elbo.mean)
    # The guide is clamped: what it imagines is what it earns.
    assert abs(in_nats.delusion.mean) <= 4 * in_nats.delusion.standard_error


def test_a_program_that_branches_is_run_in_a_loop():
    def branching():
        state = pyro.sample("state_0", dist.Normal(0.0, 1.0))
        action = pyro.sample("action_0", dist.Normal(1.0 if state > 0 else -1.0, 1.0))
        pyro.factor("optimality_0", -(action**2))

    def guide():
        pyro.sample("state_0", dist.Normal(0.0, 1.0))
        pyro.sample("action_0", dist.Normal(0.0, 1.0))

    found = log_weights(branching, guide, 20, seed=0)
    assert found.shape == (20,)
    assert bool(found.isfinite().all())


def test_a_guide_that_draws_the_future_first_cannot_act():
    def guide():
        states = [pyro.sample(f"state_{t}", dist.Normal(0.0, 1.0)) for t in range(STEPS + 1)]
        for t in range(STEPS):
            pyro.sample(f"action_{t}", dist.Normal(-states[t], 1.0))

    assert log_weights(program, guide, 10, seed=0).isfinite().all()
    with pytest.raises(InvalidGuide, match="`action_0` before `state_1`"):
        estimate(program, guide, 10, seed=0)
    with pytest.raises(InvalidGuide, match="before"):
        smc(program, guide, 10, seed=0)


def missing():
    pyro.sample("state_0", dist.Normal(0.0, 1.0))


def wide():
    for t in range(STEPS + 1):
        pyro.sample(f"state_{t}", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        if t < STEPS:
            pyro.sample(f"action_{t}", dist.Normal(0.0, 1.0))


def weighing():
    optimal_guide(1.0)()
    pyro.factor("extra", torch.tensor(0.0))


def extra():
    optimal_guide(1.0)()
    pyro.sample("another", dist.Normal(0.0, 1.0))


@pytest.mark.parametrize(
    ("guide", "message"),
    [
        (missing, "`action_0` is missing"),
        (extra, "`another` is extra"),
        (weighing, "`extra`"),
        (wide, r"`state_0` with shape \(\)"),
        (3.0, "`guide` must be"),
        (ClampedGuide, "is the class|is a class|but is"),
    ],
)
@pytest.mark.wrong_types
def test_guides_that_do_not_fit_are_refused(guide, message):
    for verb in (log_weights, estimate):
        with pytest.raises((InvalidGuide, InvalidArgument), match=message):
            verb(program, guide)
    with pytest.raises((InvalidGuide, InvalidArgument), match=message):
        smc(program, guide, 10)


def test_a_point_mass_is_no_density():
    guide = AutoDelta(program)
    with pytest.raises(InvalidGuide, match="density"):
        estimate_elbo(program, guide)


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    "wrong", [3, "state", {}, {"a": "reward"}, {"a": 3}, {"a": ()}, {3: "action"}, {"a": ("action", "chance")}]
)
def test_roles_must_be_roles(wrong):
    with pytest.raises(InvalidArgument, match="`roles` of the model must map"):
        Roles(wrong)


def test_the_default_roles_are_those_of_the_tabular_models():
    roles = Roles(DEFAULT_ROLES)
    assert roles("state_3") == {"state", "chance"}
    assert roles("action_0") == {"action"}
    assert roles("outcome_10") == {"chance"}
    assert roles("optimality_2") == {"optimality"}
    assert roles("other") == frozenset()


@pytest.mark.wrong_types
def test_what_is_no_model_is_refused():
    for wrong in (3.0, "model", TabularModel, lambda x: x):
        with pytest.raises(InvalidArgument, match="`model` must"):
            log_weights(wrong, optimal_guide(1.0))
    with pytest.raises(InvalidArgument, match="factors of optimality"):
        log_weights(optimal_guide(1.0), optimal_guide(1.0))
    with pytest.raises(InvalidArgument, match=r"estimate\(model, guide\)"):
        evaluate(program, optimal_guide(1.0))


def test_optimism_scales_the_chance_of_a_program():
    """The mean of log p~ − log q with prices 1/β is J_β, whose optimum the recursion gives."""
    for beta in (0.4, 1.0, -0.2):
        scaled = with_optimism(program, program, beta), with_optimism(optimal_guide(beta), program, beta)
        found = log_weights(*scaled, 40_000, seed=1)
        error = float(found.std()) / 200
        assert abs(float(found.mean()) - linear_gaussian.objective(beta)) <= 4 * error + 1e-9
    with pytest.raises(InvalidArgument, match="`optimism` must be a number for the dynamics"):
        with_optimism(program, program, Optimism(dynamics=torch.tensor([[0.5], [0.2]])))


def test_roles_are_found_inside_of_handlers():
    def other():
        x = pyro.sample("x_0", dist.Normal(0.0, 1.0))
        u = pyro.sample("u_0", dist.Normal(0.0, 1.0))
        pyro.factor("cost_0", -(x**2 + u**2))

    def guide():
        pyro.sample("x_0", dist.Normal(0.0, 1.0))
        pyro.sample("u_0", dist.Normal(0.0, 1.0))

    roles = {"x_*": ("state", "chance"), "u_*": "action", "cost_*": "optimality"}
    stated(other, roles=roles, temperature=3.0)
    plain = estimate(other, guide, 100, seed=0)
    wrapped = estimate(with_optimism(other, other, 1.0), with_optimism(guide, other, 1.0), 100, seed=0)
    assert str(plain) == str(wrapped)
    known = pyro.condition(other, data={"x_0": torch.tensor(1.0)})
    found = estimate(known, lambda: pyro.sample("u_0", dist.Normal(0.0, 1.0)), 4000, seed=0)
    within(found.true_return, -3.0 * 2.0, most=0.1)


def plates(policy=None):
    """Five agents at once; with a policy a guide."""
    with pyro.plate("agents", 5):
        state = pyro.sample("state_0", dist.Normal(0.0, 1.0))
        for t in range(2):
            action = pyro.sample(f"action_{t}", dist.Normal(0.0 if policy is None else policy(state), 1.0))
            if policy is None:
                pyro.factor(f"optimality_{t}", -(state**2 + action**2))
            state = pyro.sample(f"state_{t + 1}", dist.Normal(state + action, 0.3))


def computed(policy=None):
    """Dynamics that are no site, or sites of which the model computes the value."""
    state = pyro.sample("state_0", dist.Delta(torch.tensor(1.0)))
    for t in range(3):
        action = pyro.sample(f"action_{t}", dist.Normal(0.0 if policy is None else policy(state), 1.0))
        if policy is None:
            pyro.factor(f"optimality_{t}", -(state**2 + action**2))
        state = pyro.sample(f"state_{t + 1}", dist.Delta(state + action))


class Vectors(torch.nn.Module):
    """States of two numbers, and a network as the policy of the guide."""

    def __init__(self, is_guide):
        super().__init__()
        self.is_guide, self.network = is_guide, torch.nn.Linear(2, 1)

    def forward(self):
        state = pyro.sample("state_0", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        for t in range(3):
            mean = self.network(state) if self.is_guide else torch.zeros(1)
            action = pyro.sample(f"action_{t}", dist.Normal(mean, 1.0).to_event(1))
            if not self.is_guide:
                pyro.factor(f"optimality_{t}", -(state**2).sum() - (action**2).sum())
            state = pyro.sample(f"state_{t + 1}", dist.MultivariateNormal(state + action, 0.1 * torch.eye(2)))


@pytest.mark.parametrize(
    ("model", "guide"),
    [
        (plates, lambda: plates(lambda state: -0.5 * state)),
        (computed, lambda: computed(lambda state: -0.5 * state)),
        (Vectors(is_guide=False), Vectors(is_guide=True).double()),
    ],
    ids=["plates", "computed", "vectors"],
)
def test_clamped_guides_of_other_programs_earn_what_they_imagine(model, guide):
    found = estimate(model, guide, 2000, seed=0)
    assert abs(found.delusion.mean) <= 4 * found.delusion.standard_error
    evidence = iwae_bound(model, guide, 300, 50, seed=0)
    particles = torch.tensor([smc(model, guide, 500, seed=i).log_evidence for i in range(10)])
    error = math.hypot(evidence.standard_error, float(particles.std()) / math.sqrt(10))
    assert abs(evidence.mean - float(particles.mean())) <= 4 * error + 0.2  # both are a little too low
    assert found.elbo.mean < evidence.mean


def bandit():
    """log p(O) = log((1 + 1/e)/2) = −0.3799 nats."""
    action = pyro.sample("action_0", dist.Categorical(torch.tensor([0.5, 0.5])))
    pyro.factor("optimality_0", -action.double())


def one_action():
    """log p(O) = −½ log 2 = −0.3466 nats."""
    action = pyro.sample("action_0", dist.Normal(0.0, 1.0))
    pyro.factor("optimality_0", -(action**2) / 2)


def hidden(build):
    """A guide whose action is a function of an auxiliary variable."""

    def guide():
        pyro.sample("action_0", dist.Delta(build()))

    return guide


def auxiliary(distribution):
    return pyro.sample("z", distribution, infer={"is_auxiliary": True})


def test_actions_computed_from_auxiliary_variables_give_a_bound_or_are_refused():
    found = estimate(bandit, hidden(lambda: auxiliary(dist.Categorical(torch.ones(10))) // 9), 4000, seed=0)
    assert found.elbo.mean < math.log((1 + math.exp(-1)) / 2)
    with pytest.raises(InvalidGuide, match="`guide` must have a density at `action_0`"):
        estimate(one_action, hidden(lambda: 0.1 * auxiliary(dist.Normal(0.0, 1.0))), 10)


def test_fit_refuses_auxiliary_variables_without_a_reverse_model():
    def guide():
        scale = pyro.param("scale", torch.tensor(1.0))
        auxiliary(dist.Normal(0.0, scale))
        pyro.sample("action_0", dist.Normal(0.0, 0.7))

    with pytest.raises(InvalidGuide, match="reverse model"):
        fit(one_action, guide, num_steps=2)
    with pytest.raises(LawBroken, match="reverse model"):
        check_guide(one_action, guide, seed=0)
    pyro.clear_param_store()


def test_a_site_of_the_model_is_not_auxiliary():
    guide = lambda: pyro.sample("action_0", dist.Normal(0.0, 0.7), infer={"is_auxiliary": True})  # noqa: E731
    for verb in (log_weights, estimate):
        with pytest.raises(InvalidGuide, match="marks `action_0`"):
            verb(one_action, guide, 10)


def test_sites_that_vary_between_runs_are_refused():
    def model(is_guide=False):
        pyro.sample("state_0", dist.Bernoulli(torch.tensor(0.5)))
        for t in range(3):
            pyro.sample(f"action_{t}", dist.Bernoulli(torch.tensor(0.5)))
            if not is_guide:
                pyro.factor(f"optimality_{t}", torch.tensor(-1.0))
            if pyro.sample(f"state_{t + 1}", dist.Bernoulli(torch.tensor(0.5))) == 1:
                break

    for seed in range(3):
        for verb in (log_weights, estimate, smc):
            with pytest.raises((InvalidArgument, InvalidGuide), match=r"same sites in every run|is missing|is extra"):
                verb(model, lambda: model(is_guide=True), 50, seed=seed)


def test_a_density_that_is_not_a_number_is_named():
    def guide():
        pyro.sample("action_0", dist.Normal(0.0, torch.randn(()) - 1.0, validate_args=False))

    with pytest.raises((InvalidGuide, ValueError), match=r"`action_0`|scale"):
        log_weights(one_action, guide, 100, seed=0)


def test_a_reference_of_another_shape_is_refused():
    reference = {name: torch.zeros(1, 2) for name in smc(one_action, prior_action, 5, seed=0).trajectories}
    with pytest.raises(InvalidArgument, match="`reference` must have the shape"):
        conditional_smc(one_action, prior_action, reference, 5)


def prior_action():
    pyro.sample("action_0", dist.Normal(0.0, 1.0))
