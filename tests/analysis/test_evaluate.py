"""Tests of exact evaluation: returns, entropy and ELBO, of guides and policies; invalid factors are refused."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from problems import gamble, random_mdp

from pgm_control import (
    FreeGuide,
    InvalidArgument,
    InvalidGuide,
    MarkovGuide,
    Optimism,
    TabularMDP,
    TabularModel,
    TabularPolicy,
    estimate,
    evaluate,
    infer,
    ledger,
    objective,
    zoo,
)
from pgm_control.models import frozen_lake
from pgm_control.trajectories.program import run_program


def returns_by_enumeration(mdp, initial, policy, dynamics, t=0, state=None):
    """The expected return, as a sum over all trajectories."""
    if state is None:
        starts = range(mdp.num_states)
        return sum(initial[s] * returns_by_enumeration(mdp, initial, policy, dynamics, 0, s) for s in starts)
    if t == mdp.horizon:
        return 0.0 if mdp.final_reward is None else float(mdp.final_reward[state])
    total = 0.0
    for a in range(mdp.num_actions):
        for k in range(mdp.num_outcomes):
            weight = float(policy[t, state, a] * dynamics[t, state, a, k])
            if weight > 0:
                after = returns_by_enumeration(mdp, initial, policy, dynamics, t + 1, int(mdp.successor[state, a, k]))
                total += weight * (float(mdp.reward[state, a, k]) + mdp.discount * after)
    return total


@pytest.mark.parametrize("discount", [1.0, 0.6])
@pytest.mark.parametrize("optimism", [1.0, 0.0, -1.0])
def test_returns_equal_enumeration(discount, optimism):
    mdp = random_mdp(seed=4, horizon=3, discount=discount).replace(final_reward=[1.0, -2.0, 0.5])
    model = TabularModel(mdp, 0.7)
    posterior = infer(model, optimism)
    found = evaluate(model, posterior)
    truth = mdp.probability.expand(3, *mdp.probability.shape)
    assert found.true_return == pytest.approx(returns_by_enumeration(mdp, mdp.initial, posterior.policy, truth))
    imagined = returns_by_enumeration(mdp, posterior.initial, posterior.policy, posterior.dynamics)
    assert found.imagined_return == pytest.approx(imagined)
    assert found.delusion == pytest.approx(found.imagined_return - found.true_return)


def test_the_entropy_of_the_policy_ends_with_the_episode():
    """A fair coin ends the episode after heads: the entropy is log 2 for each of 1 + 1/2 + 1/4 decisions, not 3."""
    mdp = TabularMDP(
        initial=[1.0, 0.0],
        probability=np.full((2, 2, 2), 0.5),
        successor=[[[0, 1], [0, 1]], [[1, 1], [1, 1]]],
        reward=[[[1.0, 2.0], [1.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]]],
        horizon=3,
    )
    model = TabularModel(mdp)
    assert evaluate(model, model).policy_entropy == pytest.approx(1.75 * np.log(2))
    assert estimate(model, model, 4000, seed=0).policy_entropy.mean == pytest.approx(1.75 * np.log(2), abs=0.03)
    traced = estimate(model, lambda: run_program(model.blocks()), 300, seed=0)
    assert traced.policy_entropy.mean == pytest.approx(1.75 * np.log(2), abs=0.2)
    forbidden = mdp.replace(reward=[[[1.0, 2.0], [1.0, 2.0]], [[0.0, 0.0], [-np.inf, -np.inf]]])
    found = evaluate(TabularModel(forbidden), np.full((2, 2), 0.5))
    assert found.policy_entropy == pytest.approx(1.75 * np.log(2))


def test_most_of_the_entropy_on_the_lake_came_after_the_end():
    lake = zoo()["frozen_lake"].build()
    model = TabularModel(lake)
    guide = infer(model, 1.0)
    assert evaluate(model, guide).policy_entropy == pytest.approx(10.6563, abs=1e-4)
    assert lake.horizon * np.log(lake.num_actions) == pytest.approx(138.63, abs=0.01)


def test_max_ent_identity():
    """For a uniform prior, ELBO · τ = return + τ (entropy − T log A) of a clamped guide."""
    model = TabularModel(random_mdp(seed=4, horizon=5), 0.7)
    found = evaluate(model, infer(model, 0.0))
    assert found.elbo == pytest.approx(found.true_return / 0.7 + found.policy_entropy - 5 * np.log(2))
    assert found.delusion == pytest.approx(0.0, abs=1e-12)


def test_a_policy_is_evaluated_under_the_true_dynamics():
    model = TabularModel(random_mdp(seed=4, horizon=3), 0.7)
    free = infer(model, 1.0)
    expected = evaluate(model, free).true_return
    for policy in (free.policy, free.policy.numpy(), TabularPolicy(free.policy)):
        found = evaluate(model, policy)
        assert found.true_return == pytest.approx(expected)
        assert found.delusion == 0.0
    stationary = torch.full((3, 2), 0.5, dtype=torch.float64)
    assert evaluate(model, stationary) == evaluate(model, stationary.expand(3, 3, 2))


def test_free_survival_changes_the_imagined_return():
    """With negative rewards an agent that controls its survival imagines an early end."""
    mdp = gamble(horizon=30).replace(reward=[[[-1.0, 0.0], [-1.0, -1.0]]], discount=0.9)
    model = TabularModel(mdp)
    freed, clamped = (infer(model, Optimism(1.0, 1.0, survival)) for survival in (1.0, 0.0))
    assert evaluate(model, freed).elbo == pytest.approx(freed.log_evidence)
    assert evaluate(model, freed).imagined_return > evaluate(model, clamped).imagined_return + 5
    assert evaluate(model, freed).true_return == pytest.approx(evaluate(model, clamped).true_return)


@pytest.mark.parametrize(("optimism", "true_return"), [(0.0, -49.8002), (1.0, -486.2090)])
def test_known_answers_on_the_slippery_cliff(optimism, true_return):
    mdp = TabularMDP.from_gymnasium(gymnasium.make("CliffWalkingSlippery-v1"), horizon=50)
    model = TabularModel(mdp)
    assert evaluate(model, infer(model, optimism)).true_return == pytest.approx(true_return, abs=5e-5)


def test_forbidden_outcomes():
    mdp = gamble().replace(reward=[[[1.0, 0.0], [3.0, -torch.inf]]])
    model = TabularModel(mdp)
    free, clamped = evaluate(model, infer(model, 1.0)), evaluate(model, infer(model, 0.0))
    assert free.true_return == -torch.inf
    assert np.isfinite(free.imagined_return)
    assert clamped.true_return == clamped.imagined_return == 1.0
    doomed = evaluate(model, model.action_prior)
    assert (doomed.true_return, doomed.delusion) == (-torch.inf, 0.0)


def test_factors_that_do_not_fit_are_refused():
    model, longer = TabularModel(gamble(horizon=2)), TabularModel(gamble(horizon=3))
    with pytest.raises(InvalidGuide, match=r"`log_policy` of the guide must have shape \(2, 1, 2\)"):
        evaluate(model, FreeGuide(longer))

    class Unnormalised(MarkovGuide):
        def blocks(self):
            prior = self.model.blocks()
            return prior.replace(log_policy=prior.log_policy + 0.1)

    with pytest.raises(InvalidGuide, match=r"`log_policy` of the guide must hold normalised.*log_softmax"):
        evaluate(model, Unnormalised(model))


def test_at_temperature_zero_returns_are_exact_and_there_is_no_elbo():
    hard = TabularModel(gamble(), 0.0)
    found = evaluate(hard, infer(hard, 0.0))
    assert found.true_return == found.imagined_return == 1.0
    assert found.elbo is None


def test_an_invalid_survival_is_refused_and_an_impossible_one_has_elbo_minus_infinity():
    model = TabularModel(gamble(horizon=2))
    blocks = infer(model, 1.0).blocks()

    class Dying:
        def __init__(self, log_survival):
            self.log_survival = log_survival

        def blocks(self):
            return replace(blocks, log_survival=self.log_survival)

    for wrong in (torch.ones(2, 1).double(), torch.full((2, 1), torch.nan).double()):
        with pytest.raises(InvalidGuide, match=r"`log_survival` of the guide must be .* Leave it None to clamp it"):
            evaluate(model, Dying(wrong))
    assert evaluate(model, Dying(torch.full((2, 1), -0.1).double())).elbo == -torch.inf


@pytest.mark.parametrize("clamped", [Optimism(0.0, 1.0), Optimism(1.0, 0.0), 0.0])
def test_the_objective_of_a_guide_that_leaves_a_clamped_block_is_minus_infinity(clamped):
    """Here the free posterior changes the start and the dynamics; the ledger agrees."""
    model = TabularModel(random_mdp(3), 0.7)
    free = infer(model, 1.0)
    assert objective(model, free, clamped) == ledger(model, free, clamped).elbo == -torch.inf
    assert objective(model, infer(model, clamped), clamped) == pytest.approx(infer(model, clamped).objective)


@pytest.mark.parametrize("exponent", range(5, 16))
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_objective_keeps_its_digits_near_zero(exponent, sign):
    model, beta = TabularModel(frozen_lake(horizon=50)), sign * 10.0**-exponent
    posterior = infer(model, beta)
    assert objective(model, posterior, beta) == pytest.approx(posterior.objective, abs=1e-12)


def test_a_guide_of_another_problem_is_refused():
    """The tables fit, but the outcomes lead elsewhere."""
    one, other = (TabularModel(random_mdp(seed)) for seed in (0, 1))
    with pytest.raises(InvalidGuide, match=r"`guide` must belong to the problem.*Pass its policy alone"):
        evaluate(one, infer(other, 1.0))
    assert evaluate(one, TabularPolicy.of(infer(other, 1.0))).delusion == 0
    rewarded = TabularModel(one.mdp.replace(reward=one.mdp.reward + 1))
    assert evaluate(one, infer(rewarded, 0.0)).delusion == pytest.approx(0.0, abs=1e-12)


def test_a_model_whose_blocks_depend_on_time_is_refused():
    class Seasons:
        def __init__(self):
            self.base = TabularModel(random_mdp(0))
            self.mdp, self.temperature, self.action_prior = self.base.mdp, 1.0, self.base.action_prior
            self.tilt = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)[:, None, None, None]

        def blocks(self):
            prior = self.base.blocks()
            even = (prior.log_dynamics > -torch.inf).double().log().log_softmax(-1)
            mixed = self.tilt * even.exp() + (1 - self.tilt) * prior.dynamics
            return prior.replace(log_dynamics=mixed.log())

        def __call__(self):
            raise NotImplementedError

    model = Seasons()
    for call in (lambda: infer(model, 1.0), lambda: evaluate(model, model.action_prior), lambda: FreeGuide(model)):
        with pytest.raises(InvalidArgument, match=r"`model.blocks\(\)` must be the tables.*`log_dynamics`.*pairs"):
            call()
    model.tilt = torch.zeros_like(model.tilt)
    assert infer(model, 1.0).objective == pytest.approx(infer(model.base, 1.0).objective)


def test_the_size_of_what_does_not_fit_into_memory_is_said_before_it_is_allocated():
    model = TabularModel(gamble(horizon=10**12))
    for call in (lambda: infer(model, 1.0), lambda: evaluate(model, model.action_prior), lambda: FreeGuide(model)):
        with pytest.raises(InvalidArgument, match=r"`model` must fit into memory, but .* steps need [\d.]+ TiB, and "):
            call()


def test_a_guide_of_float64_in_a_model_of_float32():
    model = TabularModel(random_mdp(seed=0, horizon=3), 0.7)
    single, guide = model.to(dtype=torch.float32), infer(model, 0.0)
    assert objective(single, guide, 0.0) == pytest.approx(guide.objective, abs=1e-5)
    assert evaluate(single, guide).elbo == pytest.approx(guide.objective, abs=1e-5)
    assert ledger(single, guide, 0.0).elbo == pytest.approx(guide.objective, abs=1e-5)
