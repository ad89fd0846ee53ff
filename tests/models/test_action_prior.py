"""Tests of the action prior "count": maximum entropy by counting measure, in tables, programs, bounds and queries."""

import math

import numpy as np
import pyro
import pytest
import torch
from oracles import Problem, enumerate_posterior
from oracles import objective as objective_by_definition
from problems import random_mdp

from pgm_control import (
    ClampedGuide,
    FreeGuide,
    InvalidArgument,
    InvalidProblem,
    Optimism,
    PartiallyObservedModel,
    SimulatorModel,
    TabularMDP,
    TabularModel,
    average_reward,
    condition_on_return,
    debias,
    evaluate,
    explain,
    fit,
    freed_survival,
    growth_rate,
    infer,
    ladder,
    ledger,
    log_weights,
    objective,
    policy_evaluation,
    remember,
    scorecard,
    smc,
    soft_values,
    value_iteration,
)
from pgm_control.exchange import feasible_prior
from pgm_control.guides.zoo import guide_zoo
from pgm_control.inference.sampling.log_weights import log_target
from pgm_control.inverse_rl import Demonstrations, FreeDemonstrator, LinearReward, inverse
from pgm_control.learners import SAC, MaxEntPolicyGradient, SoftQLearning
from pgm_control.models import tiger
from pgm_control.reports.explorer.page import explorer_page
from pgm_control.testing import check_guide, check_model
from pgm_control.trajectories.blocks import HasBlocks

BACKENDS = pytest.mark.parametrize("backend", ["compiled", "torch"])


def graph(horizon=2):
    """Ziebart et al. 2008, figure 3: from A one path leads to B, and two more branch off at C. All rewards are 0."""
    no = -math.inf
    return TabularMDP(
        initial=[1.0, 0.0, 0.0],
        probability=np.ones((3, 2, 1)),
        successor=[[[2], [1]], [[2], [2]], [[2], [2]]],
        reward=[[[0.0], [0.0]], [[0.0], [0.0]], [[0.0], [no]]],
        horizon=horizon,
        state_names=("A", "C", "B"),
    )


def ragged(seed=0, horizon=3, discount=1.0, partly=True):
    """A random MDP with 3, 2 and 1 actions; if `partly`, one of them has an outcome that is forbidden."""
    mdp = random_mdp(seed, actions=3, horizon=horizon, discount=discount)
    reward = mdp.reward.clone()
    reward[1, 2] = reward[2, 1] = reward[2, 2] = -math.inf
    if partly:
        reward[0, 1, 0] = -math.inf
    return mdp.replace(reward=reward, final_reward=[0.3, -0.2, 0.5])


def counted(mdp, temperature):
    """The problem of the oracle, whose prior is 1 for each action: a sum over trajectories without a prior."""
    prior = (mdp.reward > -torch.inf).any(-1).double().numpy()
    final = np.zeros(mdp.num_states) if mdp.final_reward is None else mdp.final_reward.numpy()
    tables = mdp.initial.numpy(), mdp.probability.numpy(), mdp.successor.numpy(), mdp.reward.numpy()
    initial, probability, successor, reward = tables
    return Problem(initial, probability, successor, reward, mdp.horizon, temperature, prior, final, mdp.discount)


@BACKENDS
@pytest.mark.parametrize("optimism", [0.0, 1.0, 0.4, -0.7])
def test_no_label_bias(backend, optimism, monkeypatch):
    monkeypatch.setenv("PGM_CONTROL_BACKEND", backend)
    model = TabularModel(graph(), action_prior="count")
    found = infer(model, optimism)
    direct, through_c = found.policy[0, 0].tolist()
    paths = [direct, *(through_c * found.policy[1, 1]).tolist()]
    np.testing.assert_allclose(paths, [1 / 3, 1 / 3, 1 / 3], rtol=1e-14)
    assert found.v[0, 0].item() == pytest.approx(1.0986122886681098, abs=1e-14)
    assert found.objective == pytest.approx(math.log(3), abs=1e-14)
    biased = infer(TabularModel(graph(), action_prior=feasible_prior(graph())), optimism).policy
    np.testing.assert_allclose([biased[0, 0, 0], biased[0, 0, 1] * biased[1, 1, 0]], [0.5, 0.25])


def test_the_measure_is_one_for_each_feasible_action():
    assert TabularModel(graph(), action_prior="count").action_prior.tolist() == [[1, 1], [1, 1], [1, 0]]
    assert TabularModel(graph(), action_prior="count").blocks().policy[0].tolist() == [[0.5, 0.5], [0.5, 0.5], [1, 0]]
    assert TabularModel(ragged(), action_prior="count").action_prior.sum(-1).tolist() == [3, 2, 1]


@BACKENDS
@pytest.mark.parametrize("discount", [1.0, 0.8])
def test_evidence_and_posterior_equal_sums_over_trajectories(backend, discount, monkeypatch):
    monkeypatch.setenv("PGM_CONTROL_BACKEND", backend)
    mdp = ragged(discount=discount)
    model = TabularModel(mdp, 0.7, action_prior="count")
    found, expected = infer(model, Optimism(1.0, 1.0, 1.0)), enumerate_posterior(counted(mdp, 0.7))
    assert found.log_evidence == pytest.approx(expected.log_evidence, rel=1e-12)
    np.testing.assert_allclose(found.marginals().outcome, expected.outcome, atol=1e-13)
    if discount == 1:
        assert mdp.final_reward is not None
        last = (found.forward[-1] + mdp.final_reward / 0.7).logsumexp(-1)
        assert float(last) == pytest.approx(found.log_evidence, rel=1e-12)


@BACKENDS
@pytest.mark.parametrize("optimism", [0.0, 1.0, 0.5, -0.5, 1e-7])
def test_the_optimum_obeys_the_equations_and_the_definition_of_its_objective(backend, optimism, monkeypatch):
    monkeypatch.setenv("PGM_CONTROL_BACKEND", backend)
    mdp = ragged(seed=3, discount=0.9, partly=False)
    model = TabularModel(mdp, 0.7, action_prior="count")
    found = infer(model, optimism)
    np.testing.assert_allclose(found.v[:-1], 0.7 * (found.q / 0.7).logsumexp(-1), rtol=1e-12)
    np.testing.assert_allclose(found.policy, ((found.q - found.v[:-1, :, None]) / 0.7).exp(), rtol=1e-11)
    digits = 1e-6 if optimism == 1e-7 else 1e-10
    reached = objective_by_definition(counted(mdp, 0.7), _arrays(found), optimism, optimism) / 0.7
    assert found.objective == pytest.approx(reached, rel=digits)
    assert objective(model, found) == pytest.approx(found.objective, rel=digits)


def _arrays(found):
    class Solution:
        initial, policy, dynamics = (each.numpy() for each in (found.initial, found.policy, found.dynamics))
        survival = np.full((len(found.q), found.q.shape[1]), found.model.mdp.discount)

    return Solution


@BACKENDS
def test_where_every_action_counts_only_a_constant_changes(backend, monkeypatch):
    monkeypatch.setenv("PGM_CONTROL_BACKEND", backend)
    mdp = random_mdp(5, actions=3, horizon=4)
    uniform, counts = TabularModel(mdp, 0.7), TabularModel(mdp, 0.7, action_prior="count")
    for optimism in (0.0, 1.0, -0.5):
        one, other = infer(uniform, optimism), infer(counts, optimism)
        assert other.objective == pytest.approx(one.objective + 4 * math.log(3))
        np.testing.assert_allclose(other.policy, one.policy, rtol=1e-11)
        np.testing.assert_allclose(other.dynamics, one.dynamics, rtol=1e-11)
        left = 0.7 * math.log(3) * np.arange(4, -1, -1)
        np.testing.assert_allclose(other.v - one.v, left[:, None] * np.ones(3), rtol=1e-11, atol=1e-12)


def test_the_program_is_the_tables():
    model = TabularModel(ragged(discount=0.8), 0.7, action_prior="count")
    for seed in range(20):
        pyro.set_rng_seed(seed)
        trace = pyro.poutine.trace(model).get_trace()
        values = [[trace.nodes[f"{kind}_{t}"]["value"] for t in range(3 + (kind == "state"))] for kind in SITES]
        drawn = [torch.stack(each)[None] for each in values]
        density = log_target(model, type(infer(model, 1.0).sample(1, 0))(*drawn))
        assert float(trace.log_prob_sum()) == pytest.approx(float(density), abs=1e-12)
    check_model(TabularModel(ragged(), 0.7, action_prior="count"))
    check_guide(model, FreeGuide(model))


SITES = ("state", "action", "outcome")


def test_no_guide_exceeds_the_log_partition_function_and_every_account_adds_up():
    model = TabularModel(ragged(), 0.7, action_prior="count")
    posterior = infer(model, 1.0)
    assert log_weights(model, posterior, 50, seed=0).tolist() == pytest.approx([posterior.log_evidence] * 50)
    for entry in guide_zoo().values():
        guide = entry.build(model)
        if not isinstance(guide, HasBlocks):
            assert float(log_weights(model, guide, 200, seed=0).exp().mean()) > 0
            continue
        found, account = evaluate(model, guide), ledger(model, guide)
        assert found.elbo <= posterior.log_evidence + 1e-9, entry.name
        assert found.elbo == pytest.approx(found.imagined_return / 0.7 - found.policy_kl - found.dynamics_kl)
        assert account.gap == pytest.approx(posterior.log_evidence - found.elbo, abs=1e-9), entry.name
    clamped = evaluate(model, infer(model, 0.0))
    assert clamped.elbo == pytest.approx(clamped.true_return / 0.7 + clamped.policy_entropy)
    assert clamped.policy_kl == pytest.approx(-clamped.policy_entropy)


def test_fits_particles_and_planning_reach_the_exact_values():
    model = TabularModel(ragged(), 0.7, action_prior="count")
    exact = infer(model, 1.0).log_evidence
    assert fit(model, FreeGuide(model), method="natural_gradient").elbo == pytest.approx(exact, abs=1e-6)
    assert fit(model, ClampedGuide(model), method="exact").elbo == pytest.approx(infer(model, 0.0).objective)
    assert smc(model, FreeGuide(model), 4000, seed=0).log_evidence == pytest.approx(exact, abs=0.1)
    rungs = ladder(model)
    assert rungs.marginal.value == pytest.approx(exact)
    assert rungs.marginal.value > rungs.planning.value >= rungs.marginal_map.value > rungs.map.value
    path = infer(model, 1.0).mode()
    weights = log_target(model, type(infer(model, 1.0).sample(1, 0))(*(each[None] for each in path[:3])))
    assert rungs.map.value == pytest.approx(float(weights))


@BACKENDS
def test_soft_values_count_too_and_have_the_derivatives(backend, monkeypatch):
    monkeypatch.setenv("PGM_CONTROL_BACKEND", backend)
    mdp = ragged(seed=1)
    counts, uniform = TabularModel(mdp, 0.7, action_prior="count"), TabularModel(mdp, 0.7)
    tau = torch.tensor([0.5, 0.7, 30.0], dtype=torch.float64, requires_grad=True)
    found, taus = soft_values(counts, 0.5, temperature=tau), tau.tolist()
    same = soft_values(uniform, 0.5, temperature=tau, action_prior="count")
    for name in ("q", "v", "objective", "value"):
        torch.testing.assert_close(getattr(found, name), getattr(same, name))
    assert found.objective[1].item() == pytest.approx(infer(counts, 0.5).objective)
    assert found.value[1].item() == pytest.approx(infer(counts, 0.5).value)
    (slope,) = torch.autograd.grad(found.objective.sum(), tau)
    for i in range(3):
        step = 1e-5 * taus[i]
        high, low = (infer(TabularModel(mdp, taus[i] + d, action_prior="count"), 0.5) for d in (step, -step))
        assert float(slope[i]) == pytest.approx((high.objective - low.objective) / (2 * step), rel=1e-6)


@pytest.mark.wrong_types
def test_another_word_than_count_is_refused():
    with pytest.raises(InvalidArgument, match="`action_prior` must be one of count"):
        soft_values(TabularModel(ragged(seed=1), 0.7), 0.0, action_prior="counts")  # pyright: ignore[reportArgumentType]


@BACKENDS
@pytest.mark.parametrize("optimism", [0.0, 1.0, -0.5])
@pytest.mark.parametrize("method", ["value_iteration", "gauss_seidel", "modified_policy_iteration", "anderson"])
def test_without_a_horizon_the_fixed_point_counts(backend, optimism, method, monkeypatch):
    monkeypatch.setenv("PGM_CONTROL_BACKEND", backend)
    if method == "modified_policy_iteration" and optimism != 0:
        pytest.skip("policies are evaluated under the true dynamics")
    mdp = ragged(seed=2, discount=0.9).replace(final_reward=None)
    model = TabularModel(mdp, 0.7, action_prior="count")
    found = value_iteration(model, optimism, method=method)
    ahead = infer(TabularModel(mdp.replace(horizon=400), 0.7, action_prior="count"), optimism).v[0]
    np.testing.assert_allclose(found.v, ahead, atol=found.error_bound + 1e-12)
    assert found.error_bound <= 1e-6
    np.testing.assert_allclose(found.v, 0.7 * (found.q / 0.7).logsumexp(-1), atol=1e-7)
    np.testing.assert_allclose(found.policy.sum(-1), 1.0)
    if optimism == 0:
        np.testing.assert_allclose(policy_evaluation(model, found.policy).v, found.v, atol=1e-7)


@BACKENDS
def test_rates_without_a_horizon_count(backend, monkeypatch):
    monkeypatch.setenv("PGM_CONTROL_BACKEND", backend)
    mdp = ragged(seed=2).replace(final_reward=None)
    model = TabularModel(mdp, 0.7, action_prior="count")
    allowed = np.isfinite(mdp.reward.numpy())
    weight = np.where(allowed, mdp.probability.numpy() * np.exp(np.where(allowed, mdp.reward.numpy(), 0) / 0.7), 0)
    matrix = np.zeros((3, 3))
    for s in range(3):
        np.add.at(matrix[s], mdp.successor.numpy()[s].ravel(), weight[s].ravel())
    assert growth_rate(model).rate == pytest.approx(math.log(max(abs(np.linalg.eigvals(matrix)))), abs=1e-8)
    long, longer = (
        infer(TabularModel(mdp.replace(horizon=t), 0.7, action_prior="count"), 0.0).value for t in (400, 401)
    )
    assert average_reward(model, 0.0).gain == pytest.approx(longer - long, abs=1e-6)
    dear = mdp.replace(reward=mdp.reward - 4.0, discount=0.8)
    free = TabularModel(dear.replace(horizon=300), 0.7, action_prior="count")
    expected = infer(free, Optimism(1.0, 1.0, 1.0)).v[0]
    np.testing.assert_allclose(freed_survival(free).v, expected, atol=1e-7)


def test_queries_keep_the_measure():
    model = TabularModel(ragged(), 0.7, action_prior="count")
    changed = debias(model)
    assert infer(changed.model, 1.0).log_evidence == pytest.approx(infer(model, 0.0).objective)
    uniform = TabularModel(ragged(), 0.7, action_prior=feasible_prior(ragged()))
    one, other = (condition_on_return(each, 0.5) for each in (model, uniform))  # the behaviour is the program's
    assert one.behaviour == pytest.approx(other.behaviour)
    half = model.to(dtype=torch.float32)
    assert half.action_prior.sum(-1).tolist() == [3, 2, 1]
    assert infer(half, 1.0).log_evidence == pytest.approx(infer(model, 1.0).log_evidence, rel=1e-5)


def test_maximum_entropy_inverse_reinforcement_learning_without_label_bias():
    """Paths that are equally frequent are explained by a reward of 0 at C; the feasible prior needs log 2 for it."""
    mdp = graph()
    paths = [([0, 2, 2], [0, 0]), ([0, 1, 2], [1, 0]), ([0, 1, 2], [1, 1])]
    seen = Demonstrations.from_trajectories(mdp, [s for s, _ in paths], [a for _, a in paths])
    features = torch.tensor([[0.0], [1.0], [0.0]], dtype=torch.float64)
    for prior, weight in (("count", 0.0), (feasible_prior(mdp), math.log(2))):
        model = TabularModel(mdp, action_prior=prior)
        found = inverse(model, seen, LinearReward(mdp, features), demonstrator=FreeDemonstrator())
        assert found.reward.get_parameter("weight").item() == pytest.approx(weight, abs=1e-5)
        assert found.model.action_prior is model.action_prior


def test_the_evidence_is_called_a_log_partition_function():
    model = TabularModel(ragged(), 0.7, action_prior="count")
    posterior = infer(model, 1.0)
    assert 'action prior "count"' in repr(model)
    assert "&quot;count&quot;" in model._repr_html_() or '"count"' in model._repr_html_()
    guides = {"free": posterior, "clamped": infer(model, 0.0)}
    shown = [str(scorecard(model, guides)), str(ledger(model, guides["clamped"])), str(explain(model))]
    shown += [posterior._repr_html_(), repr(debias(model))]
    for text in shown:
        assert "log partition function" in text
        assert "log p(O)" not in text


def test_other_words_are_refused_by_name():
    with pytest.raises(InvalidProblem, match=r"must be probabilities, .count. or None .* but is 'uniform'"):
        TabularModel(graph(), action_prior="uniform")


@pytest.mark.wrong_types
def test_agents_that_do_not_see_the_state_and_learners_refuse_it_by_name():
    with pytest.raises(InvalidProblem, match=r"`action_prior` must be probabilities.* reveal the state"):
        PartiallyObservedModel(tiger(), action_prior="count")
    with pytest.raises(InvalidProblem, match=r"`action_prior` must be probabilities.* reveal the state"):
        remember(tiger(), window=1).action_prior("count")
    with pytest.raises(InvalidArgument, match=r"`problem` must have an action prior of probabilities"):
        explorer_page(TabularModel(graph(), action_prior="count"))
    for learner in (SAC, SoftQLearning, MaxEntPolicyGradient, SimulatorModel):
        with pytest.raises(InvalidArgument, match=r"`action_prior` must be probabilities.* but is 'count'"):
            learner("CartPole-v1", action_prior="count")
