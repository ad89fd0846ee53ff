"""Tests of guides with learned dynamics: mean field equals enumerated products; low rank, between clamped and free."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from oracles import paths
from problems import random_mdp
from strategies import problem_of

from pgm_control import FreeGuide, InvalidArgument, Optimism, TabularMDP, TabularModel, fit, infer
from pgm_control.guides import LowRankGuide, MeanFieldGuide, OpenLoopGuide
from pgm_control.inference.variational.elbo import elbo

pytestmark = pytest.mark.slow


def value(model, guide):
    with torch.no_grad():
        return elbo(model, guide.blocks()).item()


def shaken(guide, seed=0):
    noise = torch.Generator().manual_seed(seed)
    for parameter in guide.parameters():
        parameter.data.add_(torch.randn(parameter.shape, generator=noise, dtype=parameter.dtype))
    return guide


def best(model, build, steps=400):
    """The ELBO after a fit."""
    return value(model, fit(model, build(model), num_steps=steps).guide)


# Mean field


def dense(seed, states=3, actions=2, horizon=3, double=False):
    """A problem where every state can follow every (s, a); with `double`, by two outcomes with different rewards."""
    rng = np.random.default_rng(seed)
    outcomes = states * (1 + double)
    successor = np.broadcast_to(np.arange(outcomes) % states, (states, actions, outcomes))
    return TabularMDP(
        rng.dirichlet(np.ones(states)),
        rng.dirichlet(np.ones(outcomes), (states, actions)),
        successor.copy(),
        rng.normal(size=successor.shape),
        horizon,
        final_reward=rng.normal(size=states),
    )


def product_of_marginals(guide, problem):
    """q_t(s_t) and q_t(a_t) from the guide's logits and the prior's marginals, by enumeration."""
    marginals = [Counter() for _ in range(problem.horizon + 1)]
    for path in paths(problem):
        for t, s in enumerate(path.states):
            marginals[t][s] += path.probability
    logits = np.concatenate([guide.initial_logits.detach()[None], guide.state_logits.detach()])
    states = [
        np.array([marginals[t][s] * math.exp(logits[t, s]) for s in range(problem.ended)])
        for t in range(problem.horizon + 1)
    ]
    actions = np.exp(guide.policy_logits.detach().numpy()) * problem.prior[0]
    return [q / q.sum() for q in states], actions / actions.sum(-1, keepdims=True)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_mean_field_is_a_product_of_marginals(seed, double):
    mdp, tau = dense(seed, double=double), 0.7
    model, problem = TabularModel(mdp, tau), problem_of(mdp, tau)
    guide = shaken(MeanFieldGuide(model), seed)
    of_state, of_action = product_of_marginals(guide, problem)

    def q(path):
        """The probability of a trajectory: its marginals times the share of each outcome in its transition."""
        found = math.prod(of_state[t][s] for t, s in enumerate(path.states))
        for t, (s, a, k) in enumerate(zip(path.states, path.actions, path.outcomes, strict=False)):
            ways = [outcome for outcome in problem.outcomes(s, a) if outcome[2] == path.states[t + 1]]
            weight = {j: p * math.exp(r / tau) for j, p, _, r in ways}
            found *= of_action[t][a] * weight[k] / sum(weight.values())
        return found

    every = [(q(path), path) for path in paths(problem)]
    assert math.fsum(each for each, _ in every) == pytest.approx(1.0)
    expected = math.fsum(each * (path.log_weight(tau) - math.log(each)) for each, path in every)
    assert value(model, guide) == pytest.approx(expected, abs=1e-9)
    visits = guide.blocks().marginals()
    for t in range(mdp.horizon):
        joint = torch.zeros(3, 2, 3, dtype=torch.float64).scatter_add(-1, mdp.successor, visits.outcome[t].detach())
        product = of_state[t][:, None, None] * of_action[t][:, None] * of_state[t + 1]
        np.testing.assert_allclose(joint.numpy(), product, atol=1e-12)


def test_mean_field_reaches_the_optimum_of_coordinate_ascent():
    """Coordinate ascent on the free energy of a product, written as loops."""
    mdp, tau = dense(5), 0.7
    problem = problem_of(mdp, tau)
    steps, states, actions = problem.horizon, 3, 2
    energy = np.full((states, actions, states), -np.inf)
    for s, a in itertools.product(range(states), range(actions)):
        for _, p, following, r in problem.outcomes(s, a):
            energy[s, a, following] = np.logaddexp(energy[s, a, following], math.log(p) + r / tau)
    q = [np.full(states, 1 / states) for _ in range(steps + 1)]
    u = [np.full(actions, 1 / actions) for _ in range(steps)]
    ends = {0: np.log(problem.initial), steps: problem.final_reward / tau}

    def softmax(x):
        return np.exp(x - x.max()) / np.exp(x - x.max()).sum()

    for _ in range(300):
        for t in range(steps + 1):
            before = np.einsum("i,a,iaj->j", q[t - 1], u[t - 1], energy) if t > 0 else 0.0
            after = np.einsum("a,j,iaj->i", u[t], q[t + 1], energy) if t < steps else 0.0
            q[t] = softmax(before + after + ends.get(t, 0.0))
            if t < steps:
                u[t] = softmax(np.einsum("i,j,iaj->a", q[t], q[t + 1], energy))
    free_energy = q[0] @ ends[0] + q[steps] @ ends[steps] - sum(each @ np.log(each) for each in q)
    for t in range(steps):
        inside = np.einsum("i,a,j,iaj->", q[t], u[t], q[t + 1], energy)
        free_energy += inside - u[t] @ np.log(u[t]) + math.log(0.5)
    model = TabularModel(mdp, tau)
    found = best(model, MeanFieldGuide, steps=1500)
    assert found == pytest.approx(free_energy, abs=1e-3)
    assert found < infer(model, 1.0).objective - 0.01


def test_with_deterministic_dynamics_mean_field_is_an_open_loop_plan():
    mdp = TabularMDP(
        initial=[1.0, 0.0],
        probability=np.ones((2, 2, 1)),
        successor=[[[0], [1]], [[0], [1]]],
        reward=[[[0.0], [1.0]], [[2.0], [0.0]]],
        horizon=3,
    )
    model = TabularModel(mdp)
    assert best(model, MeanFieldGuide) == pytest.approx(best(model, OpenLoopGuide), abs=1e-4)


# Low-rank dynamics


def test_rank_zero_clamps_the_dynamics_and_full_rank_represents_any():
    model = TabularModel(random_mdp(seed=0, horizon=4), 0.5)
    zero = shaken(LowRankGuide(model, 0))
    assert torch.equal(zero.blocks().log_dynamics, model.blocks().log_dynamics)
    assert len(list(zero.parameters())) == 2
    free, full = shaken(FreeGuide(model)), LowRankGuide(model, 99)
    assert full.rank == 4
    full.initial_logits.data.copy_(free.initial_logits)
    full.policy_logits.data.copy_(free.policy_logits)
    inverse = torch.linalg.inv(full.time_factors.detach())
    full.dynamics_factors.data.copy_(torch.tensordot(inverse, free.dynamics_logits.detach(), 1))
    for name in ("log_initial", "log_policy", "log_dynamics"):
        torch.testing.assert_close(getattr(full.blocks(), name).exp(), getattr(free.blocks(), name).exp())


def test_rank_zero_avoids_forbidden_outcomes_by_actions_higher_rank_by_dynamics():
    """Action 0 may lead to a forbidden outcome; only a guide with perturbed dynamics can take it safely."""
    mdp = TabularMDP([1.0], [[[0.5, 0.5], [0.5, 0.5]]], [[[0, 0], [0, 0]]], [[[1.0, -np.inf], [0.0, 0.0]]], horizon=2)
    model = TabularModel(mdp)
    zero, one = LowRankGuide(model, 0), LowRankGuide(model, 1)
    assert torch.equal(zero.blocks().log_dynamics, model.blocks().log_dynamics)
    assert zero.blocks().log_policy[:, 0].exp().tolist() == [[0.0, 1.0]] * 2
    assert one.blocks().log_policy[:, 0].exp().tolist() == [[0.5, 0.5]] * 2
    assert one.blocks().log_dynamics[:, 0, 0].exp().tolist() == [[1.0, 0.0]] * 2
    assert math.isfinite(value(model, zero))
    assert math.isfinite(value(model, one))


def test_a_higher_rank_has_a_higher_elbo():
    model = TabularModel(random_mdp(seed=3, horizon=4), 0.3)
    found = [best(model, lambda model, rank=rank: LowRankGuide(model, rank), steps=300) for rank in range(4)]
    assert found[0] == pytest.approx(infer(model, Optimism(0.0, 1.0)).objective, abs=1e-3)
    assert found[0] < found[1] - 0.1
    assert found[1] < found[2] - 1e-3 < found[3]
    assert found[3] <= infer(model, 1.0).objective + 1e-9


def test_every_factor_of_the_dynamics_is_used():
    """Factors that start equal would stay equal, and every rank would be rank 1."""
    model = TabularModel(random_mdp(seed=3, horizon=5), 0.3)
    guide = fit(model, LowRankGuide(model, 3), num_steps=100).guide
    residual = torch.tensordot(guide.time_factors, guide.dynamics_factors, 1).flatten(1)
    assert torch.linalg.matrix_rank(residual.detach()) == 3


def test_an_invalid_rank_is_refused():
    with pytest.raises(InvalidArgument, match=r"`rank` must be a whole number, at least 0, but is -1.*clamps"):
        LowRankGuide(TabularModel(random_mdp(0)), -1)
