"""Tests of the Pyro program of a tabular model, with Pyro's own inference."""

import graphviz
import pyro
import pytest
import torch
from problems import gamble, random_mdp
from pyro import poutine
from pyro.infer import Predictive, Trace_ELBO, TraceEnum_ELBO, config_enumerate, infer_discrete

from pgm_control import ClampedGuide, FreeGuide, Optimism, TabularMDP, TabularModel, infer
from pgm_control.inference.variational.elbo import elbo

EVERYTHING_FREE = Optimism(1.0, 1.0, 1.0)


def enumerated_evidence(model):
    return -TraceEnum_ELBO(max_plate_nesting=0).loss(config_enumerate(model), lambda: None)


@pytest.mark.parametrize("horizon", [1, 2, 5, 50])
@pytest.mark.parametrize("discount", [1.0, 0.8])
def test_model_side_enumeration_is_the_exact_evidence(horizon, discount):
    model = TabularModel(random_mdp(seed=horizon, horizon=horizon, discount=discount), 0.7)
    assert enumerated_evidence(model) == pytest.approx(infer(model, EVERYTHING_FREE).log_evidence, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("horizon", [1, 3, 12, 50])
@pytest.mark.parametrize("guide_class", [FreeGuide, ClampedGuide])
@pytest.mark.parametrize("discount", [1.0, 0.8])
def test_guide_side_enumeration_has_the_exact_value_and_gradient(horizon, guide_class, discount):
    model = TabularModel(random_mdp(seed=7, horizon=horizon, discount=discount), 0.7)
    guide = guide_class(model)
    for parameter in guide.parameters():
        parameter.data.normal_()
    exact = elbo(model, guide.blocks())
    (-exact).backward()
    ours = {name: parameter.grad.clone() for name, parameter in guide.named_parameters()}
    guide.zero_grad()
    enumerated = -TraceEnum_ELBO(max_plate_nesting=0).loss_and_grads(model, config_enumerate(guide))
    assert enumerated == pytest.approx(exact.item(), rel=1e-10, abs=1e-10)
    for name, parameter in guide.named_parameters():
        torch.testing.assert_close(parameter.grad, ours[name], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("survival", [0.0, 1.0, -0.5])
def test_posterior_serves_as_a_guide_with_its_own_survival(survival):
    model = TabularModel(random_mdp(seed=3, horizon=4, discount=0.7), 0.7)
    posterior = infer(model, Optimism(1.0, 1.0, survival))
    enumerated = -TraceEnum_ELBO(max_plate_nesting=0).loss(model, config_enumerate(posterior))
    assert enumerated == pytest.approx(float(elbo(model, posterior.blocks())), abs=1e-10)
    if survival == 1.0:
        assert enumerated == pytest.approx(posterior.log_evidence, abs=1e-10)
    if survival == 0.0:
        assert enumerated == pytest.approx(posterior.objective, abs=1e-10)


def test_exact_free_posterior_has_constant_log_weight():
    for discount, final_reward in ((1.0, None), (0.7, [0.5, -1.0, 2.0])):
        mdp = random_mdp(seed=11, horizon=5, discount=discount).replace(final_reward=final_reward)
        model = TabularModel(mdp, 0.7)
        posterior = infer(model, EVERYTHING_FREE)
        for seed in range(30):
            with poutine.seed(rng_seed=seed):
                guided = poutine.trace(posterior).get_trace()
                played = poutine.trace(poutine.replay(model, trace=guided)).get_trace()
            weight = float(played.log_prob_sum() - guided.log_prob_sum())
            assert weight == pytest.approx(posterior.log_evidence, abs=1e-10)


@pytest.mark.statistical
def test_vectorised_particles_agree_with_the_exact_elbo():
    """Five standard errors: a false alarm once in 1.7 million seeds."""
    model = TabularModel(random_mdp(seed=5, horizon=4), 0.7)
    guide = infer(model, 0.0)
    particles = 20_000
    one = Trace_ELBO(num_particles=particles, vectorize_particles=True, max_plate_nesting=0)
    weights = torch.stack([torch.tensor(-one.loss(model, guide)) for _ in range(10)])
    error = float(weights.std()) / len(weights) ** 0.5
    assert abs(float(weights.mean()) - guide.objective) < 5 * error + 1e-12


@pytest.mark.slow
@pytest.mark.statistical
def test_infer_discrete_draws_from_the_posterior():
    """The frequency of each first action is within five standard errors."""
    model = TabularModel(gamble(horizon=2), 1.0)
    posterior = infer(model, 1.0)
    draws = 400
    sampled = infer_discrete(config_enumerate(model), first_available_dim=-1, temperature=1)
    actions = torch.stack([poutine.trace(sampled).get_trace().nodes["action_0"]["value"] for _ in range(draws)])
    expected = posterior.marginals().state_action[0].sum(0)
    error = (expected * (1 - expected) / draws).sqrt()
    frequency = torch.bincount(actions, minlength=2) / draws
    assert ((frequency - expected).abs() <= 5 * error + 1e-12).all()


def test_infer_discrete_finds_the_mode():
    model = TabularModel(random_mdp(seed=8, horizon=3), 0.3)
    best = infer_discrete(config_enumerate(model), first_available_dim=-1, temperature=0)
    trace = poutine.trace(best).get_trace()
    mode = infer(model, 1.0).mode()
    assert [int(trace.nodes[f"action_{t}"]["value"]) for t in range(3)] == mode.actions.tolist()
    assert [int(trace.nodes[f"state_{t}"]["value"]) for t in range(4)] == mode.states.tolist()


@pytest.mark.parametrize("parallel", [False, True])
def test_predictive_samples_the_guide(parallel):
    model = TabularModel(random_mdp(seed=2, horizon=3), 0.7)
    with poutine.seed(rng_seed=0):
        drawn = Predictive(model, guide=ClampedGuide(model), num_samples=50, parallel=parallel)()
    states, actions, outcomes = (
        torch.stack([drawn[f"{site}_{t}"].flatten() for t in range(3)]) for site in ("state", "action", "outcome")
    )
    arrived = torch.stack([drawn[f"state_{t}"].flatten() for t in range(1, 4)])
    assert torch.equal(model.mdp.successor[states, actions, outcomes], arrived)


def test_render_model_draws_every_site():
    drawing = pyro.render_model(TabularModel(random_mdp(seed=2, horizon=2)))
    assert isinstance(drawing, graphviz.Digraph)
    for site in ("state_0", "action_0", "outcome_0", "optimality_0", "state_1", "action_1", "outcome_1", "state_2"):
        assert f"{site} [" in drawing.source or f'"{site}"' in drawing.source


def test_sites_come_in_the_documented_order():
    mdp = random_mdp(seed=2, horizon=2).replace(final_reward=[1.0, 2.0, 3.0])
    trace = poutine.trace(TabularModel(mdp)).get_trace()
    turns = [f"{site}_{t}" for t in range(2) for site in ("state", "action", "outcome", "optimality")]
    assert [name for name in trace.nodes if not name.startswith("_")] == [*turns, "state_2", "optimality_2"]


def test_float32_model_runs_in_float32():
    model = TabularModel(random_mdp(seed=2, horizon=3).to(dtype=torch.float32), 0.7)
    double = TabularModel(random_mdp(seed=2, horizon=3), 0.7)
    assert enumerated_evidence(model) == pytest.approx(infer(double, 1.0).log_evidence, rel=1e-5)


def test_a_model_at_temperature_zero_cannot_be_run():
    with pytest.raises(ValueError, match="`temperature` must be positive to run"):
        TabularModel(gamble(), 0.0)()


def test_forbidden_outcomes_stay_impossible_under_enumeration():
    """Trap 8 in Pyro: −inf factors and masked actions give finite gradients."""
    mdp = TabularMDP(
        initial=[0.5, 0.5],
        probability=[[[0.3, 0.7], [1.0, 0.0]], [[0.5, 0.5], [0.0, 1.0]]],
        successor=[[[0, 1], [1, 0]], [[0, 1], [1, 0]]],
        reward=[[[-torch.inf, 1.0], [0.5, 0.0]], [[0.2, -0.3], [0.0, -1.0]]],
        horizon=3,
    )
    model = TabularModel(mdp, 0.5, action_prior=torch.tensor([[0.5, 0.5], [1.0, 0.0]], dtype=torch.float64))
    assert enumerated_evidence(model) == pytest.approx(infer(model, 1.0).log_evidence, abs=1e-10)
    for guide, optimism in ((FreeGuide(model), 1.0), (ClampedGuide(model), 0.0)):
        loss = TraceEnum_ELBO(max_plate_nesting=0).loss_and_grads(model, config_enumerate(guide))
        assert -torch.inf < -loss <= infer(model, optimism).objective
        assert all(parameter.grad.isfinite().all() for parameter in guide.parameters())
