"""Tests of exact inference: against a recursion in fifty digits, by its laws, and against wrong implementations."""

import dataclasses

import hypothesis.strategies as st
import numpy as np
import oracles
import pytest
import torch
from hypothesis import given
from problems import gamble, random_mdp
from strategies import laws, model_of, optimisms, problem_of, problems

from pgm_control import InvalidArgument, InvalidProblem, Optimism, TabularMDP, TabularModel, infer, soft_values

survivals = st.sampled_from([0.0, 0.0, 1.0, -0.5, 3.0])
blocks = st.builds(Optimism, optimisms, optimisms, survivals)
plain = st.sampled_from([-50.0, -1.0, -0.5, 0.0, 0.3, 1.0, 50.0])  # a price of 1/β magnifies rounding near 0
plain_blocks = st.builds(Optimism, plain, plain, survivals)


def close(found, expected, tolerance=1e-10):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@laws
@given(problems(), blocks)
def test_it_agrees_with_the_recursion_for_any_optimism_of_any_block(problem, optimism):
    found = infer(model_of(problem), optimism)
    expected = oracles.solve(problem, optimism.dynamics, optimism.initial, optimism.survival)
    close(found.q, expected.q)
    close(found.v, expected.v)
    close(found.value, expected.value)
    close(found.policy, expected.policy)
    close(found.dynamics, expected.dynamics)
    close(found.initial, expected.initial)
    assert (found.blocks().log_survival is not None) == (problem.discount < 1 and optimism.survival != 0)
    if found.blocks().log_survival is not None:
        close(found.blocks().log_survival.exp(), expected.survival)


@laws
@given(problems())
def test_temperature_zero_is_hard_value_iteration(problem):
    problem = dataclasses.replace(problem, temperature=0.0)
    found = infer(model_of(problem), 0.0)
    expected = oracles.solve(problem, 0.0)
    close(found.v, expected.v)
    close(found.value, oracles.best_return(problem))
    chosen = found.policy > 0  # rounding decides which of equally good actions are chosen
    assert bool((found.q >= found.v[:-1, :, None] - 1e-12)[chosen].all())
    close(found.policy.sum(-1), np.ones(found.policy.shape[:2]))


@laws
@given(problems(forbidden=False), plain_blocks, st.integers(0, 10**6))
def test_its_value_is_the_objective_and_no_guide_has_a_better_one(problem, optimism, seed):
    """J_β from its definition is a maximum over policy and optimistic blocks, a minimum over pessimistic ones."""
    found = infer(model_of(problem), optimism)
    survival = found.blocks().log_survival
    shape = (problem.horizon, problem.ended)
    alive = np.full(shape, problem.discount) if survival is None else survival.exp().numpy()
    best = oracles.Solution(
        found.q, found.v, found.value, found.initial.numpy(), found.policy.numpy(), found.dynamics.numpy(), alive
    )
    betas = (optimism.dynamics, optimism.initial, optimism.survival)
    assert oracles.objective(problem, best, *betas) == pytest.approx(found.value, abs=1e-9)
    rng = np.random.default_rng(seed)
    moves = {"policy": 1.0, "dynamics": betas[0], "initial": betas[1], "survival": betas[2]}
    for block, beta in moves.items():
        moved = getattr(best, block) ** rng.uniform(0.5, 2.0, getattr(best, block).shape)
        if block == "survival":
            moved = np.minimum(moved, 1.0) if problem.discount < 1 else alive
        else:
            moved = moved / moved.sum(-1, keepdims=True)
        if beta != 0:
            change = oracles.objective(problem, best._replace(**{block: moved}), *betas) - found.value
            assert change <= 1e-9 if beta > 0 else change >= -1e-9, block


@laws
@given(problems())
def test_values_increase_with_optimism(problem):
    free, middle, clamped, robust = (infer(model_of(problem), b) for b in (1.0, 0.5, 0.0, -1.0))
    for high, low in ((free, middle), (middle, clamped), (clamped, robust)):
        assert bool((high.v >= low.v - 1e-10).all())
        assert high.value >= low.value - 1e-10


@laws
@given(problems(forbidden=False), st.sampled_from([1e-12, -1e-12, 1e-300]))
def test_it_is_continuous_at_zero_optimism(problem, optimism):
    near, clamped = infer(model_of(problem), optimism), infer(model_of(problem), 0.0)
    close(near.v, clamped.v, 1e-9)
    close(near.policy, clamped.policy, 1e-9)


@laws
@given(problems(forbidden=False), optimisms, st.floats(-1e3, 1e3))
def test_a_constant_reward_is_added_for_every_step_survived(problem, optimism, constant):
    richer = dataclasses.replace(problem, reward=problem.reward + constant)
    before, after = infer(model_of(problem), optimism), infer(model_of(richer), optimism)
    steps = sum(problem.discount**t for t in range(problem.horizon))
    assert after.value == pytest.approx(before.value + constant * steps, abs=1e-8)
    close(after.policy, before.policy, 1e-7)


@laws
@given(problems(), optimisms, st.sampled_from([0.01, 7.0, 1000.0]))
def test_rewards_and_temperature_scale_together(problem, optimism, factor):
    scaled = dataclasses.replace(
        problem,
        reward=problem.reward * factor,
        final_reward=problem.final_reward * factor,
        temperature=problem.temperature * factor,
    )
    before, after = infer(model_of(problem), optimism), infer(model_of(scaled), optimism)
    close(after.policy, before.policy, 1e-9)
    close(after.dynamics, before.dynamics, 1e-9)
    close(after.v / factor, before.v)


@laws
@given(problems(deterministic=True), optimisms)
def test_optimism_makes_no_difference_in_deterministic_problems(problem, optimism):
    some, clamped = infer(model_of(problem), optimism), infer(model_of(problem), 0.0)
    close(some.v, clamped.v)
    close(some.policy, clamped.policy)
    close(some.objective, clamped.objective)


@laws
@given(problems(state_rewards=True, discounted=False))
def test_it_agrees_with_the_linearly_solvable_mdp(problem):
    """With state-only rewards and a uniform prior, log z_0 = V_0/τ, where z = exp(r/τ) P̄ z and P̄ is the mean."""
    passive = np.zeros((problem.ended, problem.ended))
    for s in range(problem.ended):
        for a, rho in problem.choices(s):
            for _, p, n, _ in problem.outcomes(s, a):
                passive[s, n] += rho * p
    state_reward = problem.reward[:, 0, 0]
    log_z = oracles.log_desirability(state_reward, passive, problem.horizon, problem.temperature)
    close(infer(model_of(problem), 1.0).v[0] / problem.temperature, log_z, 1e-12)


def test_the_start_has_an_optimism_of_its_own():
    model = TabularModel(random_mdp(seed=6, horizon=4), 0.7)
    both, start_only = infer(model, 1.0), infer(model, Optimism(dynamics=0.0, initial=1.0))
    clamped = infer(model, Optimism(dynamics=0.0, initial=0.0))
    torch.testing.assert_close(start_only.policy, clamped.policy)
    torch.testing.assert_close(clamped.initial, model.mdp.initial)
    tilted = model.mdp.initial * (clamped.v[0] / 0.7).exp()
    torch.testing.assert_close(start_only.initial, tilted / tilted.sum())
    assert clamped.objective < start_only.objective < both.objective


def test_free_survival_ends_early_and_clamped_survival_does_not():
    """With γ < 1 and only costs, the operator of free survival is τ log(γ exp(V/τ) + 1 − γ)."""
    mdp = gamble(horizon=2).replace(reward=[[[-2.0, 0.0], [-1.0, -3.0]]], discount=0.6)
    freed = infer(TabularModel(mdp, 0.7), Optimism(1.0, 1.0, 1.0))
    last = freed.v[1, 0]
    ahead = 0.7 * torch.log(0.6 * (last / 0.7).exp() + 0.4)
    assert float(freed.q[0, 0, 0]) == pytest.approx(float(-2.0 + ahead), rel=1e-14)
    believed = 0.6 * (last / 0.7).exp() / (0.6 * (last / 0.7).exp() + 0.4)
    assert float(freed.blocks().log_survival[0, 0].exp()) == pytest.approx(float(believed), rel=1e-14)
    assert float(freed.blocks().log_survival[0, 0].exp()) < 0.2
    assert infer(TabularModel(mdp, 0.7), 1.0).blocks().log_survival is None


@pytest.mark.parametrize("optimism", [1.0, 0.0, -0.5])
def test_float32_and_large_rewards(optimism):
    """With rewards of a thousand, five hundred steps and τ = 1, results are finite and within 1e-4 of float64."""
    mdp = random_mdp(seed=12, states=5, actions=3, outcomes=4, horizon=500)
    mdp = mdp.replace(reward=1e3 * mdp.reward)
    double, single = (infer(TabularModel(each), optimism) for each in (mdp, mdp.to(dtype=torch.float32)))
    assert single.v.dtype == torch.float32
    assert bool(single.v.isfinite().all() and single.q.isfinite().all())
    torch.testing.assert_close(single.v.double(), double.v, rtol=1e-4, atol=1e-4 * 1e3)
    torch.testing.assert_close(single.q.double(), double.q, rtol=1e-4, atol=1e-4 * 1e3)
    assert single.value == pytest.approx(double.value, rel=1e-4)
    for table in (single.policy, single.dynamics, single.initial[None]):
        torch.testing.assert_close(table.sum(-1), torch.ones_like(table.sum(-1)))


def test_trap_7_averaging_the_reward_first_changes_the_free_answer():
    mdp = gamble(horizon=3)
    mean = (mdp.probability * mdp.reward).sum(-1, keepdim=True).expand_as(mdp.reward)
    averaged = TabularModel(mdp.replace(reward=mean))
    kept = TabularModel(mdp)
    evidence = oracles.enumerate_posterior(problem_of(mdp)).log_evidence
    assert infer(kept, 1.0).log_evidence == pytest.approx(evidence, abs=1e-12)
    assert infer(averaged, 1.0).log_evidence < evidence - 1
    assert infer(averaged, 0.0).objective == pytest.approx(infer(kept, 0.0).objective, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("optimism", [1.0, 0.0, -0.5])
def test_trap_8_forbidden_outcomes_and_masked_actions(dtype, optimism):
    """A state in which every action is forbidden, a mask, and rewards whose exponentials overflow float32."""
    none = -torch.inf
    mdp = TabularMDP(
        initial=[0.5, 0.5, 0.0],
        probability=[[[0.5, 0.5], [1.0, 0.0]], [[1.0, 0.0], [0.5, 0.5]], [[1.0, 0.0], [1.0, 0.0]]],
        successor=[[[0, 1], [2, 0]], [[1, 0], [0, 1]], [[2, 2], [2, 2]]],
        reward=[[[500.0, 900.0], [2000.0, none]], [[0.0, none], [-700.0, 1e4]], [[none, none], [none, none]]],
        horizon=3,
    ).to(dtype=dtype)
    prior = torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.5, 0.5]], dtype=dtype)
    found = infer(TabularModel(mdp, 1.0, prior), optimism)
    expected = oracles.solve(dataclasses.replace(problem_of(mdp), prior=prior.numpy()), optimism)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    close(found.v, expected.v, tolerance)
    close(found.q, expected.q, tolerance)
    close(found.policy, expected.policy, 10 * tolerance)
    assert bool((found.v[:3, 2] == none).all())
    assert bool((found.policy[:, 1, 1] == 0).all())
    assert float(found.policy[0, 0, 1]) == 0.0, "the action leads to state 2, in which every action is forbidden"
    nowhere = infer(TabularModel(mdp.replace(initial=[0.0, 0.0, 1.0]), 1.0, prior), optimism)
    assert nowhere.value == none
    assert not bool(nowhere.policy.isnan().any() or nowhere.dynamics.isnan().any() or nowhere.initial.isnan().any())


@pytest.mark.parametrize("optimism", [1.0, 0.0])
def test_trap_9_the_prior_is_a_mean_over_actions_not_a_sum(optimism):
    """A prior of ones adds log A nats at every step. With zero rewards the objective must be zero."""
    steps, mdp = 4, random_mdp(seed=3, actions=3, horizon=4)
    nothing = TabularModel(mdp.replace(reward=torch.zeros_like(mdp.reward)))
    assert infer(nothing, optimism).objective == pytest.approx(0.0, abs=1e-14)
    problem = dataclasses.replace(problem_of(mdp, 0.7), prior=np.ones((3, 3)))
    naive = oracles.solve(problem, optimism).value
    ours = infer(TabularModel(mdp, 0.7), optimism).value
    assert naive - ours == pytest.approx(0.7 * steps * np.log(3), abs=1e-12)


@pytest.mark.parametrize("optimism", [1.0, 0.4])
def test_trap_13_a_row_of_bad_successors_does_not_underflow(optimism):
    """State 0 leads to states 2000 nats below state 3: exp(V − max V) is 0 for them, but exact messages are not."""
    pay = np.asarray([0.0, -2000.0, -2001.0, 0.0])
    mdp = TabularMDP(
        initial=[1.0, 0.0, 0.0, 0.0],
        probability=np.full((4, 1, 2), 0.5),
        successor=[[[1, 2]], [[1, 1]], [[2, 2]], [[3, 3]]],
        reward=np.repeat(pay, 2).reshape(4, 1, 2),
        horizon=2,
    )
    found, expected = infer(TabularModel(mdp), optimism), oracles.solve(problem_of(mdp), optimism)
    close(found.v, expected.v, 1e-14)
    transition = np.asarray([[0.0, 0.5, 0.5, 0.0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    with np.errstate(divide="ignore"):
        naive = pay + np.log(transition @ np.exp(optimism * (pay - pay.max()))) / optimism + pay.max()
    assert naive[0] == -np.inf
    assert naive[3] == expected.v[0, 3]


def test_temperature_zero_needs_every_block_clamped():
    with pytest.raises(InvalidArgument, match=r"`optimism` must be 0 or a Risk .* pass Risk\(theta\)"):
        infer(TabularModel(gamble(), 0.0), 1.0)
    with pytest.raises(InvalidArgument, match=r"`optimism` of initial must be a finite number, but is nan"):
        Optimism(initial=float("nan"))


@pytest.mark.parametrize("scale", [1e6, 1e9, 1e11, 1e13])
@pytest.mark.parametrize("optimism", [0.7667, 1.0, -0.5])
def test_beliefs_stay_normalised_when_values_are_many_nats(scale, optimism):
    """Rewards that differ by little beside their size: the sums that the tilts need lose digits."""
    for seed in range(10):
        mdp = random_mdp(seed, horizon=5)
        posterior = infer(TabularModel(mdp.replace(reward=mdp.reward + scale)), optimism)
        assert torch.allclose(posterior.dynamics.sum(-1), torch.ones((), dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("optimism", [-0.5, 0.0, 0.3, 1.0, Optimism(0.3, 0.0, 0.2)])
def test_at_the_largest_temperatures_the_answer_is_that_of_the_problem_in_other_units(optimism):
    mdp = random_mdp(seed=3, discount=0.9)
    usual, unit = infer(TabularModel(mdp, 0.7), optimism), 1e154
    large = infer(TabularModel(mdp.replace(reward=mdp.reward * unit), 0.7 * unit), optimism)
    torch.testing.assert_close(large.v / unit, usual.v, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(large.policy, usual.policy, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(large.blocks().log_dynamics, usual.blocks().log_dynamics, rtol=1e-12, atol=1e-12)


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("dtype", "temperature"), [(torch.float64, 1e299), (torch.float64, 1.4e154), (torch.float32, 2e19)]
)
def test_temperatures_at_which_optimism_would_be_rounded_to_zero_are_refused(dtype, temperature):
    mdp = random_mdp(seed=3).to(dtype=dtype)
    with pytest.raises(
        InvalidProblem, match=r"`temperature` must be .* at most 1.[38]e\+(154|19) for torch.float(64|32)"
    ):
        TabularModel(mdp, temperature)
    with pytest.raises(InvalidArgument, match=r"`temperature` must be at most .* divide both by the same number"):
        soft_values(TabularModel(mdp), 0.3, temperature=temperature)
    with pytest.raises(InvalidArgument, match=r"`temperature` must be at most .* divide both by the same number"):
        soft_values(TabularModel(mdp), 0.3, temperature=torch.tensor([1.0, temperature], dtype=dtype))


@pytest.mark.wrong_types
def test_numbers_that_the_dtype_of_the_tables_does_not_hold_are_named():
    mdp = random_mdp(seed=3).to(dtype=torch.float32)
    large = mdp.reward.double()
    large[0, 1, 0] = 1e300
    message = r"\[0, 1, 0\]` must fit into torch.float32, but is 1e\+300. Scale the rewards"
    for reward in (large, large.numpy(), large.tolist()):
        with pytest.raises(InvalidProblem, match=message):
            mdp.replace(reward=reward)
    with pytest.raises(InvalidArgument, match=message):
        soft_values(TabularModel(mdp), 0.3, reward=large)
    with pytest.raises(InvalidArgument, match=r"`optimism\[1\]` must fit into torch.float32"):
        soft_values(TabularModel(mdp), torch.tensor([0.3, 1e300], dtype=torch.float64))


@pytest.mark.parametrize("size", [1e16, 3.7e18, 1e19, 7.3e20, 1e25, 1e100, 1.7e154, 1e290])
@pytest.mark.parametrize("backend", ["torch", "auto"])
def test_the_value_of_a_reward_of_any_size_is_the_reward(monkeypatch, backend, size):
    """The reward is certain, so that it is its own certainty equivalent; the outcomes of probability 0 do not count."""
    monkeypatch.setenv("PGM_CONTROL_BACKEND", backend)
    for paid in (size, -size):
        mdp = TabularMDP([1.0], [[[1.0, 0.0]]], [[[0, 0]]], [[[paid, 0.0]]], 3)
        for beta in (-0.7, 0.0, 0.3, 1.0):
            assert infer(TabularModel(mdp), beta).value == pytest.approx(3 * paid)
            assert float(soft_values(TabularModel(mdp), torch.tensor([beta, 0.3]).double()).value[0]) == pytest.approx(
                3 * paid
            )


@pytest.mark.parametrize("size", [1e17, 1e20, 1e100, 1e154, 1e290, -1e100])
def test_compiled_loops_keep_a_certain_reward_of_any_size_beside_others(monkeypatch, size):
    """Rewards of 1e100 nats were −∞: the compiler subtracts the largest of a row from itself with one rounding."""
    mdp = random_mdp(seed=1)
    reward = mdp.reward.clone()
    reward[0, 0, 0] = size
    assert float(mdp.probability[0, 0, 0]) == 1.0
    found = {}
    for backend in ("torch", "auto"):
        monkeypatch.setenv("PGM_CONTROL_BACKEND", backend)
        found[backend] = infer(TabularModel(mdp.replace(reward=reward)), 0.3)
        assert float(found[backend].q[-1, 0, 0]) == pytest.approx(size)
    assert found["auto"].value == pytest.approx(found["torch"].value)
