"""What solutions without a horizon believe: their dynamics and imagined returns, against plain numpy and `infer`."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles_infinite import fixed_point, transition_of_policy
from problems import endless, gamble, mixing, random_mdp
from strategies import laws, mdp_of, optimisms, problems

from pgm_control import (
    InvalidArgument,
    Optimism,
    Risk,
    TabularMDP,
    TabularModel,
    average_reward,
    evaluate,
    growth_rate,
    infer,
    policy_evaluation,
    value_iteration,
)
from pgm_control.inference.infinite_horizon import policy_evaluation as stationary
from pgm_control.runtime import memory

BETAS = [-0.5, 0.0, 0.4, 1.0]


def tilted(p, x, scale):
    """p exp(scale · x), normalised, where at least one x is finite; the largest x alone counts if it is +inf scaled."""
    with np.errstate(invalid="ignore"):
        y = np.where(p > 0, scale * x if scale else 0.0, -np.inf)
    best = y.max(-1, keepdims=True)
    gain = np.where(np.isfinite(best), y - np.where(np.isfinite(best), best, 0), np.where(y == best, 0.0, -np.inf))
    weight = np.where(p > 0, p * np.exp(gain), 0.0)
    return weight / weight.sum(-1, keepdims=True)


def plain(mdp):
    return mdp.probability.numpy(), mdp.successor.numpy(), mdp.reward.numpy()


def stationary_of(matrix, start):
    """start · lim ((1 + P)/2)^n."""
    return start @ np.linalg.matrix_power(0.5 * (np.eye(len(matrix)) + matrix), 2**12)


@laws
@given(problems(forbidden=False), optimisms, st.sampled_from([0.3, 0.9]))
def test_discounted_beliefs_are_their_definitions(problem, beta, discount):
    """The start, the dynamics, and both returns by linear equations in numpy."""
    p, successor, reward = problem.probability, problem.successor, problem.reward
    _, v = fixed_point(p, successor, reward, problem.prior, problem.temperature, beta, discount)
    v, scale = v.astype(float), beta / problem.temperature
    dynamics = tilted(p, reward + discount * v[successor], scale)
    start = tilted(problem.initial, v, scale)
    found = value_iteration(endless(mdp_of(problem), problem.temperature, discount, problem.prior), beta, 1e-12)
    np.testing.assert_allclose(found.dynamics, dynamics, rtol=0, atol=1e-10 * (1 + abs(scale)))
    np.testing.assert_allclose(found.initial, start, rtol=0, atol=1e-10 * (1 + abs(scale)))
    policy = found.policy.numpy()
    for q, q0, value in ((dynamics, start, found.imagined_return), (p, problem.initial, found.true_return)):
        matrix, pay = transition_of_policy(q, successor, reward, policy)
        exact = q0 @ np.linalg.solve(np.eye(len(pay)) - discount * matrix, pay)
        assert value == pytest.approx(exact, abs=1e-8 * (1 + abs(scale)))


@laws
@given(problems(), optimisms, st.sampled_from([0.3, 0.9]))
def test_forbidden_outcomes_are_never_nan(problem, beta, discount):
    model = endless(mdp_of(problem), problem.temperature, discount, problem.prior)
    found = value_iteration(model, beta, 1e-9)
    torch.testing.assert_close(found.dynamics.sum(-1), torch.ones_like(found.q))
    assert not found.dynamics.isnan().any()
    alive = bool((found.v[found.initial > 0] > -torch.inf).all())
    assert np.isfinite(found.imagined_return) == alive
    if beta > 0 and alive:  # a forbidden outcome can be avoided, and is
        possible = found.policy[..., None] * found.dynamics * (found.v > -torch.inf)[:, None, None] > 0
        assert (model.mdp.reward[possible] > -torch.inf).all()


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_discounted_beliefs_are_the_limit_of_infer(beta, temperature):
    """With a horizon T they differ by less than T γ^T times the span of returns, here 1e-12."""
    mdp = random_mdp(4, states=5).replace(horizon=350, discount=0.9)
    model = TabularModel(mdp, temperature)
    posterior, found = infer(model, beta), value_iteration(model, beta, 1e-12)
    score = evaluate(model, posterior)
    np.testing.assert_allclose(found.dynamics, posterior.dynamics[0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.initial, posterior.initial, rtol=0, atol=1e-10)
    assert found.imagined_return == pytest.approx(score.imagined_return, abs=1e-9)
    assert found.true_return == pytest.approx(score.true_return, abs=1e-9)
    if beta == 0:
        assert found.imagined_return == found.true_return
    else:
        assert abs(found.imagined_return - found.true_return) > 0.1


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_rewards_per_step_are_the_limit_of_infer(beta, temperature):
    """The mean over ten steps in the middle of a long horizon, far from both ends for a chain that mixes quickly."""
    mdp = mixing(5)
    posteriors = [infer(TabularModel(mdp.replace(horizon=steps), temperature), beta) for steps in (150, 160)]
    short, long = (evaluate(posterior.model, posterior) for posterior in posteriors)
    found = average_reward(endless(mdp, temperature), beta, 1e-12)
    np.testing.assert_allclose(found.dynamics, posteriors[0].dynamics[0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.initial, posteriors[0].initial, rtol=0, atol=1e-9)
    assert found.imagined_return == pytest.approx((long.imagined_return - short.imagined_return) / 10, abs=1e-8)
    assert found.true_return == pytest.approx((long.true_return - short.true_return) / 10, abs=1e-8)
    if beta == 0:
        assert found.imagined_return == pytest.approx(found.true_return, abs=1e-12)


@pytest.mark.parametrize("beta", BETAS)
def test_the_gain_is_the_imagined_reward_less_the_price_of_the_changes(beta):
    mdp, tau = random_mdp(4, states=5), 0.7
    found = average_reward(endless(mdp, tau), beta, 1e-12)
    p, successor, reward = plain(mdp)
    policy, q = found.policy.numpy(), found.dynamics.numpy()
    matrix, pay = transition_of_policy(q, successor, reward, policy)
    share = stationary_of(matrix, mdp.initial.numpy())
    assert found.imagined_return == pytest.approx(share @ pay, abs=1e-8)
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.where(q > 0, q * np.log(q / p), 0.0).sum(-1)
    price = np.log(policy / 0.5) + (change / beta if beta else 0.0)
    assert found.gain == pytest.approx(share @ pay - tau * share @ (policy * price).sum(-1), abs=1e-8)


def perron(mdp, temperature, prior):
    """The right eigenvector of the tilted dynamics, and the policy and dynamics of the Doob transform, by numpy."""
    p, successor, reward = plain(mdp)
    weight = np.where(p > 0, p * np.exp(reward / temperature), 0.0)
    matrix = np.zeros((len(p), len(p)))
    for s, a, k in np.ndindex(*p.shape):
        matrix[s, successor[s, a, k]] += prior[s, a] * weight[s, a, k]
    roots, vectors = np.linalg.eig(matrix)
    first = np.real(roots).argmax()
    root, z = np.real(roots[first]), abs(np.real(vectors[:, first]))
    joint = prior[..., None] * weight * z[successor] / (root * z[:, None, None])
    policy = joint.sum(-1)
    return z, policy, joint / policy[..., None]


@pytest.mark.parametrize(
    "solve", [lambda model: average_reward(model, 1.0, 1e-12), lambda model: growth_rate(model, 1e-12)]
)
@pytest.mark.parametrize("seed", range(3))
def test_at_optimism_1_the_policy_is_the_perron_policy(solve, seed):
    mdp, prior = random_mdp(seed, states=6, outcomes=4), np.random.default_rng(seed).dirichlet(np.ones(2), 6)
    found = solve(endless(mdp, 0.6, prior=prior))
    z, policy, dynamics = perron(mdp, 0.6, prior)
    ours = (found.bias / 0.6).exp().numpy()
    np.testing.assert_allclose(ours / ours.sum(), z / z.sum(), rtol=1e-9)
    np.testing.assert_allclose(found.policy, policy, rtol=1e-8)
    np.testing.assert_allclose(found.dynamics, dynamics, rtol=1e-8, atol=1e-15)


def two_ends(first, second):
    """From state 0 both actions lead to state 1 or 2 with other chances; these pay forever. State 3 is a dead end."""
    probability = [[[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]], *[[[1.0, 0, 0]] * 2] * 3]
    successor = [[[1, 2, 3], [2, 1, 1]], *[[[s, 0, 0]] * 2 for s in (1, 2, 3)]]
    reward = np.zeros((4, 2, 3))
    reward[1, :, 0], reward[2, :, 0], reward[3, :, 0] = first, second, -np.inf
    reward[0, 1] = [1.0, -1.0, 0.5]
    return TabularMDP([1.0, 0, 0, 0], probability, successor, reward, 1)


@pytest.mark.parametrize("rewards", [(0.0, 0.0), (1.0, 0.5), (-1.0, 0.0)])
def test_the_growth_of_several_classes_has_the_beliefs_of_a_long_horizon(rewards):
    """Of classes with different rates the slower ones are believed impossible; the others keep their own weights."""
    mdp = two_ends(*rewards)
    found, posterior = growth_rate(endless(mdp, 0.7)), infer(TabularModel(mdp.replace(horizon=200), 0.7), 1.0)
    assert found.residual < 1e-8
    np.testing.assert_allclose(found.policy[:3], posterior.policy[0, :3], atol=1e-8)
    np.testing.assert_allclose(found.dynamics[:3], posterior.dynamics[0, :3], atol=1e-8)
    assert found.bias[3] == -torch.inf
    assert found.imagined_return == pytest.approx(max(rewards), abs=1e-8)
    assert found.true_return == -np.inf  # it denies the dead end


def test_the_imagined_reward_of_the_posterior_is_the_derivative_of_the_growth_rate():
    mdp, step = random_mdp(2, states=5), 1e-4
    rates = [growth_rate(endless(mdp, 1 / inverse), 1e-12).rate for inverse in (2 - step, 2 + step)]
    found = growth_rate(endless(mdp, 0.5), 1e-12)
    assert found.imagined_return == pytest.approx((rates[1] - rates[0]) / (2 * step), abs=1e-7)
    assert found.imagined_return == pytest.approx(
        average_reward(endless(mdp, 0.5), 1.0, 1e-12).imagined_return, abs=1e-9
    )


def test_a_start_with_its_own_optimism_and_a_risk():
    model = endless(random_mdp(1), 0.5, 0.8)
    clamped, mixed = value_iteration(model, 0.0, 1e-12), value_iteration(model, Optimism(0.0, 1.0), 1e-12)
    assert torch.equal(mixed.dynamics, model.mdp.probability)
    assert mixed.imagined_return > clamped.imagined_return
    assert mixed.true_return == pytest.approx(clamped.true_return, abs=1e-9)
    hard = value_iteration(endless(random_mdp(1), 0.0, 0.8), Risk(0.6), 1e-12)
    x = model.mdp.reward + 0.8 * hard.v[model.mdp.successor]
    np.testing.assert_allclose(hard.dynamics, tilted(model.mdp.probability.numpy(), x.numpy(), 0.6), atol=1e-10)


def test_large_chains_are_evaluated_by_sweeps(monkeypatch):
    model = endless(random_mdp(3, states=6), 0.5, 0.9)
    one, other = value_iteration(model, 0.4, 1e-12), average_reward(model, 0.4, 1e-12)
    exact = one.imagined_return, one.true_return, other.imagined_return, other.true_return
    monkeypatch.setattr(stationary, "_DENSE", 0)
    swept = one.imagined_return, one.true_return, other.imagined_return, other.true_return
    assert swept == pytest.approx(exact, abs=1e-7)


def test_what_does_not_converge_or_fit_is_refused(monkeypatch):
    model = endless(gamble(), 1.0)
    found = value_iteration(model, 0.0, max_sweeps=9)
    with pytest.raises(
        InvalidArgument, match="`model` must have a discount at which the return of the policy converges"
    ):
        _ = found.true_return
    finite = value_iteration(endless(gamble(), 1.0, 0.9), 1.0)
    monkeypatch.setattr(memory, "_SMALL", 0)
    monkeypatch.setattr(memory, "free_memory", lambda: 31.0)
    with pytest.raises(InvalidArgument, match="the believed dynamics by state, action and outcome need 32 bytes"):
        _ = finite.dynamics
    with pytest.raises(InvalidArgument, match="the transitions of the policy"):
        _ = finite.true_return


def test_the_returns_agree_with_policy_evaluation():
    model = endless(random_mdp(5), 0.5, 0.9)
    found = value_iteration(model, 1.0, 1e-12)
    believed = TabularModel(model.mdp.replace(probability=found.dynamics), 0.0)
    by_state = policy_evaluation(believed, found.policy, 1e-10).v
    assert found.imagined_return == pytest.approx(float(found.initial @ by_state), abs=1e-9)
