"""Tests of `soft_values`: every setting has the values of `infer`, and the derivatives are occupancies."""

import importlib.util
import inspect
import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import enumerate_posterior
from problems import gamble, random_mdp, thinned
from strategies import laws, model_of, optimisms, problems

from pgm_control import InvalidArgument, Optimism, TabularMDP, TabularModel, infer, soft_values

FLOAT = torch.float64
NEAR = {"rtol": 1e-11, "atol": 1e-11}
has_numba = importlib.util.find_spec("numba") is not None
where = pytest.mark.parametrize("backend", ["torch", "auto"] if has_numba else ["torch"])


@pytest.fixture(autouse=True)
def take(request, monkeypatch):
    if "backend" in request.fixturenames:
        monkeypatch.setenv("PGM_CONTROL_BACKEND", request.getfixturevalue("backend"))


def settings(seed, mdp, count):
    """Rewards, final rewards, priors and temperatures, one of each per setting."""
    generator = torch.Generator().manual_seed(seed)
    shape, rows = mdp.reward.shape, mdp.reward.shape[:2]
    return (
        torch.randn(count, *shape, generator=generator, dtype=FLOAT),
        torch.randn(count, shape[0], generator=generator, dtype=FLOAT),
        torch.randn(count, *rows, generator=generator, dtype=FLOAT).softmax(-1),
        0.3 + torch.rand(count, generator=generator, dtype=FLOAT),
    )


@where
@laws
@given(problem=problems(), dynamics=optimisms, initial=optimisms, survival=optimisms)
def test_the_values_equal_those_of_infer(backend, problem, dynamics, initial, survival):
    model, beta = model_of(problem), Optimism(dynamics, initial, survival)
    found, exact = soft_values(model, beta), infer(model, beta)
    torch.testing.assert_close(found.q, exact.q, **NEAR)
    torch.testing.assert_close(found.v, exact.v, **NEAR)
    assert found.objective.item() == pytest.approx(exact.objective, rel=1e-11, abs=1e-11)


def test_settings_may_be_arrays_of_numpy():
    model, betas = TabularModel(random_mdp(seed=2)), np.linspace(-1.0, 1.0, 5)
    wanted = soft_values(model, torch.from_numpy(betas), temperature=0.5)
    found = soft_values(model, betas, temperature=np.float32(0.5))
    assert torch.equal(found.objective, wanted.objective)
    torch.testing.assert_close(soft_values(model, np.float64(1.0), temperature=0.5).v, wanted.v[-1], **NEAR)


@where
@pytest.mark.parametrize("optimism", [1.0, 0.0, -0.7])
def test_a_batch_equals_its_settings_solved_one_by_one(backend, optimism):
    mdp = random_mdp(seed=2, states=5, actions=3, horizon=6, discount=0.9)
    count = 37  # more than are solved side by side, and not a multiple
    reward, last, prior, temperature = settings(1, mdp, count)
    batch = soft_values(
        TabularModel(mdp), optimism, reward=reward, final_reward=last, action_prior=prior, temperature=temperature
    )
    for n in range(count):
        alone = TabularModel(mdp.replace(reward=reward[n], final_reward=last[n]), temperature[n].item(), prior[n])
        exact = infer(alone, optimism)
        torch.testing.assert_close(batch.q[n], exact.q, **NEAR)
        torch.testing.assert_close(batch.v[n], exact.v, **NEAR)
        assert batch.objective[n].item() == pytest.approx(exact.objective, rel=1e-11)


@where
def test_optimism_may_differ_between_settings_and_be_zero_in_some(backend):
    model = TabularModel(random_mdp(seed=3, states=4, actions=2, horizon=5, discount=0.8), 0.6)
    beta = torch.tensor([1.0, 0.0, -2.0, 0.0, 0.3, 1e-320], dtype=FLOAT)
    batch = soft_values(model, beta)
    for n, each in enumerate(beta.tolist()):
        torch.testing.assert_close(batch.q[n], infer(model, each).q, **NEAR)
        assert batch.objective[n].item() == pytest.approx(infer(model, each).objective, rel=1e-11)
    apart = soft_values(model, Optimism(0.4, 0.0))
    assert apart.objective.item() == pytest.approx(infer(model, Optimism(0.4, 0.0)).objective, rel=1e-11)


@where
def test_leading_axes_are_broadcast(backend):
    model = TabularModel(random_mdp(seed=3, horizon=4), 0.6)
    reward = torch.randn(5, 1, *model.mdp.reward.shape, dtype=FLOAT)
    temperature = torch.tensor([0.5, 1.0, 2.0], dtype=FLOAT)
    found = soft_values(model, 1.0, reward=reward, temperature=temperature)
    assert found.q.shape == (5, 3, *infer(model, 1.0).q.shape)
    assert found.objective.shape == (5, 3)
    alone = soft_values(model, 1.0, reward=reward[4, 0], temperature=2.0)
    torch.testing.assert_close(found.v[4, 2], alone.v, **NEAR)


@where
@laws
@given(problem=problems(forbidden=False, discounted=False))
def test_the_derivative_by_reward_is_the_posterior_occupancy(backend, problem):
    """The occupancy is the sum over all trajectories."""
    model = model_of(problem)
    reward = model.mdp.reward.clone().requires_grad_()
    found = soft_values(model, 1.0, reward=reward)
    found.objective.backward()
    exact = enumerate_posterior(problem)
    assert found.objective.item() == pytest.approx(exact.log_evidence, abs=1e-9)
    visits = exact.outcome.sum(0) / problem.temperature
    np.testing.assert_allclose(reward.grad.numpy(), visits, atol=1e-9)


@where
@pytest.mark.parametrize("optimism", [1.0, 0.0, -0.7])
def test_forbidden_outcomes_have_finite_derivatives(backend, optimism):
    mdp = random_mdp(seed=6, states=4, actions=3, outcomes=3, horizon=5, discount=0.9)
    reward = mdp.reward.clone()
    reward[1, 0, 1] = reward[2, 2, 0] = -torch.inf
    reward.requires_grad_()
    temperature = torch.tensor(0.7, dtype=FLOAT, requires_grad=True)
    beta = torch.tensor(optimism, dtype=FLOAT, requires_grad=True)
    found = soft_values(TabularModel(mdp), beta, reward=reward, temperature=temperature)
    assert found.objective.isfinite()
    found.objective.backward()
    for each in (reward, temperature, beta):
        assert each.grad.isfinite().all()
    exact = infer(TabularModel(mdp.replace(reward=reward.detach()), 0.7), optimism)
    torch.testing.assert_close(reward.grad, exact.marginals().outcome.sum(0) / 0.7, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@where
@pytest.mark.parametrize(
    ("optimism", "discount"),
    thinned(
        ([0.5, -0.4, 1.0], [0.0, 0.3, 0.0], [0.0, 0.0, 0.0], Optimism(0.5, 0.0, 0.7), Optimism(-0.4, 1.0, -2.0)),
        (1.0, 0.9),
    ),
)
def test_first_and_second_derivatives_agree_with_finite_differences(backend, discount, optimism):
    """Q, V and the objective by rewards, final rewards, temperature, prior and optimism, also around β = 0."""
    mdp = random_mdp(seed=1, states=2, actions=2, outcomes=2, horizon=2, discount=discount)
    model = TabularModel(mdp, 0.7)
    reward, last, prior, temperature = settings(0, mdp, 3)
    inputs = [reward, last[0], prior[0], temperature]
    if isinstance(optimism, list):
        inputs.append(torch.tensor(optimism, dtype=FLOAT))

    def values(reward, last, prior, temperature, beta=optimism):
        found = soft_values(model, beta, reward=reward, final_reward=last, action_prior=prior, temperature=temperature)
        return found.q, found.v, found.objective

    arguments = [each.clone().requires_grad_() for each in inputs]
    assert torch.autograd.gradcheck(values, arguments, atol=1e-7)
    assert torch.autograd.gradgradcheck(values, arguments, atol=1e-6)


@where
@pytest.mark.parametrize("optimism", [1.0, 0.0])
def test_the_hessian_by_reward_is_the_covariance_of_visits(backend, optimism):
    """At β = 1 the second derivative of log p(O) is the posterior covariance of the visits to each outcome, over τ²."""
    model = TabularModel(gamble(horizon=2), 0.8)
    reward = model.mdp.reward.clone()
    hessian = torch.autograd.functional.hessian(lambda r: soft_values(model, optimism, reward=r).objective, reward)
    flat = torch.as_tensor(hessian).reshape(reward.numel(), -1)
    torch.testing.assert_close(flat, flat.T)
    if optimism == 1.0:  # two independent steps in one state
        visits = infer(model, 1.0).marginals().outcome.flatten(1)
        covariance = sum(torch.diag(each) - torch.outer(each, each) for each in visits)
        torch.testing.assert_close(flat, covariance / 0.8**2)


@pytest.mark.skipif(not has_numba, reason="needs the extra `fast`")
@laws
@given(problem=problems(), optimism=optimisms, seed=st.integers(0, 1000))
def test_compiled_derivatives_equal_torch(problem, optimism, seed):
    """The cotangents are arbitrary; outcomes may be forbidden if the values stay finite."""
    model = model_of(problem)
    found = []
    for backend in ("torch", "auto"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PGM_CONTROL_BACKEND", backend)
            reward = model.mdp.reward.clone().requires_grad_()
            temperature = torch.tensor(model.temperature, dtype=FLOAT, requires_grad=True)
            beta = torch.tensor(optimism, dtype=FLOAT, requires_grad=True)
            prior = model.action_prior.clone().requires_grad_()
            values = soft_values(model, beta, reward=reward, temperature=temperature, action_prior=prior)
            if not values.v.isfinite().all():
                return
            torch.manual_seed(seed)
            costs = [torch.randn(each.shape, dtype=FLOAT) for each in vars(values).values()]
            parts = zip(costs, vars(values).values(), strict=True)
            total = torch.stack([(cost * torch.where(each.isfinite(), each, 0.0)).sum() for cost, each in parts]).sum()
            found.append(torch.autograd.grad(total, (reward, temperature, beta, prior)))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-9)


@where
def test_float32_stays_float32(backend):
    mdp = random_mdp(seed=1, horizon=10).to(dtype=torch.float32)
    model = TabularModel(mdp, 0.7)
    reward = mdp.reward.clone().requires_grad_()
    found = soft_values(model, 1.0, reward=reward)
    found.objective.backward()
    assert {each.dtype for each in (*vars(found).values(), reward.grad)} == {torch.float32}
    exact = infer(TabularModel(mdp.to(dtype=torch.float64), 0.7), 1.0)
    torch.testing.assert_close(found.q.double(), exact.q, rtol=1e-5, atol=1e-5)


@where
def test_values_far_apart_are_exact_row_by_row(backend):
    """Trap 13: a row whose successors are all thousands of nats below the best does not underflow."""
    probability = [[[0.5, 0.5]], [[1.0, 0.0]], [[1.0, 0.0]], [[1.0, 0.0]]]
    successor = [[[1, 2]], [[1, 0]], [[2, 0]], [[3, 0]]]
    reward = np.zeros((4, 1, 2))
    reward[1], reward[2], reward[3] = -40.0, -40.5, 300.0
    mdp = TabularMDP([0.5, 0.0, 0.0, 0.5], probability, successor, reward, horizon=20)
    temperature = 0.1
    found = soft_values(TabularModel(mdp, temperature), 1.0)
    tail = np.array([-40.0, -40.5]) * 19
    expected = temperature * np.logaddexp(*(np.log(0.5) + tail / temperature))
    assert found.v[0, 0].item() == pytest.approx(expected, rel=1e-14)
    assert found.v[0, 3].item() == pytest.approx(6000.0, rel=1e-14)


@where
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"reward": torch.zeros(2, 3)},
            r"`reward` must be a tensor of real numbers, of shape \(…, 1, 2, 2\), but is .*shape \(2, 3\)",
        ),
        ({"reward": [1.0]}, r"`reward` must be a tensor .* but is .1.0"),
        ({"temperature": 0.0}, "`temperature` must be positive"),
        ({"temperature": torch.tensor([1.0, -1.0])}, "`temperature` must be positive"),
        ({"temperature": "cold"}, "`temperature` must be a finite number"),
        ({"optimism": "high"}, "`optimism` must be a finite number"),
        ({"temperature": math.inf}, "`temperature` must be a finite number"),
        ({"temperature": torch.tensor([True])}, "`temperature` must be a finite number"),
        ({"optimism": math.nan}, "`optimism` must be a finite number"),
        ({"optimism": torch.tensor([1.0, math.inf])}, "`optimism` must be a finite number"),
        ({"optimism": np.array(["1"])}, "`optimism` must be an array of numbers"),
        ({"action_prior": torch.tensor([[-1.0, 2.0]])}, "`action_prior` must hold probabilities"),
        ({"action_prior": torch.tensor([[0.0, 0.0]])}, "`action_prior` must hold probabilities"),
        ({"action_prior": torch.tensor([[math.nan, 1.0]])}, "`action_prior` must hold probabilities"),
        ({"reward": torch.zeros(1, 2, 2, dtype=torch.complex64)}, "`reward` must be a tensor of real numbers"),
        ({"reward": torch.zeros(1, 2, 2).to_sparse()}, "`reward` must be a tensor of real numbers"),
        ({"temperature": torch.ones(2), "optimism": torch.ones(3)}, "must broadcast"),
    ],
)
def test_bad_arguments_are_named(backend, arguments, message):
    bare = inspect.unwrap(soft_values)  # without the shape checker of the tests, which would raise first
    with pytest.raises(InvalidArgument, match=message):
        bare(TabularModel(gamble(horizon=2)), **{"optimism": 1.0, **arguments})


def random_dynamics(seed, width):
    """Five states, two actions; state 0 has `width` outcomes, others one or two, at random positions in the row."""
    rng = np.random.default_rng(seed)
    probability = np.zeros((5, 2, width))
    for s in range(5):
        for a in range(2):
            columns = rng.permutation(width)[: width if s == 0 else rng.integers(1, 3)]
            probability[s, a, columns] = rng.dirichlet(np.ones(len(columns)))
    shape = probability.shape
    return probability, rng.integers(5, size=shape), rng.normal(size=shape)


@where
@pytest.mark.parametrize("optimism", [1.0, 0.0, 0.05, -0.7])
@pytest.mark.parametrize("count", [1, 20])
def test_events_with_very_different_numbers_of_outcomes(backend, optimism, count):
    """The values agree with a recursion in numpy and the derivatives with the occupancies of `infer`."""
    probability, successor, reward = random_dynamics(0, 7)
    mdp = TabularMDP(np.eye(5)[0], probability, successor, reward, horizon=4)
    temperature = torch.linspace(0.5, 2.0, count, dtype=FLOAT)
    rewards = mdp.reward.clone().requires_grad_()
    found = soft_values(TabularModel(mdp), optimism, reward=rewards, temperature=temperature)
    found.objective.sum().backward()
    v = np.zeros((count, 5))
    for _ in range(4):
        x = reward + v[:, successor]
        beta = optimism / temperature.numpy()[:, None, None]
        mean = (probability * x).sum(-1)
        q = mean if optimism == 0 else np.log((probability * np.exp(beta[..., None] * x)).sum(-1)) / beta
        tau = temperature.numpy()[:, None]
        v = tau * np.log(np.exp(q / tau[..., None]).mean(-1))
    np.testing.assert_allclose(found.v[:, 0].detach().numpy(), v, rtol=1e-10, atol=1e-10)
    visits = sum(
        infer(TabularModel(mdp, each), optimism).marginals().outcome.sum(0) / each for each in temperature.tolist()
    )
    torch.testing.assert_close(rewards.grad, visits, rtol=1e-9, atol=1e-11)


@where
@pytest.mark.parametrize("optimism", [1.0, 0.0])
@pytest.mark.parametrize("count", [1, 20])
def test_the_order_of_outcomes_in_a_dense_table_does_not_matter(backend, optimism, count):
    """Outcome k of every pair leads to state k; the same outcomes in shuffled order have the same values."""
    rng = np.random.default_rng(0)
    transition, reward = rng.dirichlet(np.ones(6), (6, 2)), rng.normal(size=(6, 2, 6))
    dense = TabularMDP.from_dense(np.eye(6)[0], transition, reward, horizon=5, discount=0.9)
    order = rng.permuted(np.broadcast_to(np.arange(6), (6, 2, 6)), axis=-1)
    successor = np.broadcast_to(np.arange(6), order.shape)
    p, n, r = (np.take_along_axis(each, order, -1) for each in (transition, successor, reward))
    shuffled = TabularMDP(np.eye(6)[0], p, n, r, horizon=5, discount=0.9)
    temperature, answers = torch.linspace(0.5, 2.0, count, dtype=FLOAT), []
    for mdp in (dense, shuffled):
        rewards = mdp.reward.clone().requires_grad_()
        found = soft_values(TabularModel(mdp), optimism, reward=rewards, temperature=temperature)
        found.objective.sum().backward()
        by_state = torch.zeros(6, 2, 6, dtype=FLOAT).scatter(-1, mdp.successor.long(), torch.as_tensor(rewards.grad))
        answers.append((found.q.detach(), by_state))
    for one, other in zip(*answers, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


def test_value_and_objective_say_the_same_as_those_of_the_posterior():
    mdp = random_mdp(seed=3)
    taus = torch.tensor([0.4, 2.0], dtype=torch.float64, requires_grad=True)
    found = soft_values(TabularModel(mdp), 0.6, temperature=taus)
    alone = [infer(TabularModel(mdp, tau), 0.6) for tau in taus.tolist()]
    np.testing.assert_allclose(found.value.detach(), [each.value for each in alone], rtol=1e-12)
    np.testing.assert_allclose(found.objective.detach(), [each.objective for each in alone], rtol=1e-12)
    (slope,) = torch.autograd.grad(found.value.sum(), taus)
    for i, tau in enumerate(taus.tolist()):
        high, low = (infer(TabularModel(mdp, tau + step), 0.6).value for step in (1e-5, -1e-5))
        assert slope[i].item() == pytest.approx((high - low) / 2e-5, rel=1e-6)
    plain = soft_values(TabularModel(mdp, 0.4), 0.6)
    assert plain.value.item() == pytest.approx(alone[0].value)


@where
@pytest.mark.parametrize("gap", [1e-10, 1e-7, 1e-4, 0.05, 0.3, 3.0, 40.0, 900.0])
def test_derivatives_by_optimism_keep_their_digits_for_any_spread_of_outcomes(backend, gap):
    """An action whose outcomes differ by `gap`, far less than they are large, or far more; against fifty digits."""
    betas = torch.tensor([-1.5, -0.3, -1e-9, 1e-6, 0.05, 0.3, 0.7, 2.0], dtype=torch.float64, requires_grad=True)
    tau, level, p = 0.5, 3.0, [0.2, 0.5, 0.3]
    table = np.broadcast_to(level + gap * np.array([0.0, 1.0, 0.25]), (2, 1, 3)).copy()
    mdp = TabularMDP([1.0, 0.0], np.broadcast_to(p, (2, 1, 3)), np.ones((2, 1, 3), dtype=int), table, 2)
    objective = soft_values(TabularModel(mdp, tau), betas).objective
    (slopes,) = torch.autograd.grad(objective.sum(), betas)
    for beta, slope in zip(betas.tolist(), slopes.tolist(), strict=True):
        with mpmath.workdps(50):
            x = [mpmath.mpf(level) + mpmath.mpf(gap) * each for each in (0, 1, mpmath.mpf(1) / 4)]

            def value(b, x=x):
                return 2 * mpmath.log(sum(q * mpmath.exp(b * each / tau) for q, each in zip(p, x, strict=True))) / b

            exact = mpmath.diff(value, mpmath.mpf(beta))
        assert slope == pytest.approx(float(exact), rel=1e-9), beta
