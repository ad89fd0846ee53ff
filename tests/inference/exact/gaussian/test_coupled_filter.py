"""Output feedback at any optimism against dense Gaussian elimination of whole histories, which knows of no filter."""

import math

import numpy as np
import pytest
import torch
from linear_quadratics import double_integrator, scalar

from pgm_control import (
    InvalidArgument,
    LinearQuadratic,
    LinearQuadraticModel,
    Optimism,
    OptimismBreakdown,
    infer,
    output_feedback,
)


class Form:
    """exp(−½ x'Λx + η'x + c) over named vectors, of which some are integrated out."""

    def __init__(self, sizes):
        self.at, total = {}, 0
        for name, size in sizes.items():
            self.at[name] = slice(total, total + size)
            total += size
        self.L, self.h, self.c = np.zeros((total, total)), np.zeros(total), 0.0

    def square(self, weight, scale=1.0, shift=None, **matrices):
        """Add −½ scale (Σ M x − shift)' weight (Σ M x − shift)."""
        M = np.zeros((len(weight), len(self.h)))
        for name, matrix in matrices.items():
            M[:, self.at[name]] += matrix
        shift = np.zeros(len(weight)) if shift is None else shift
        self.L += scale * M.T @ weight @ M
        self.h += scale * M.T @ weight @ shift
        self.c -= 0.5 * scale * shift @ weight @ shift

    def normal(self, covariance, shift=None, **matrices):
        """Add the log-density of Σ M x at the mean `shift`."""
        self.square(np.linalg.inv(covariance), 1.0, shift, **matrices)
        self.c -= 0.5 * np.linalg.slogdet(2 * math.pi * covariance)[1]

    def eliminated(self, name, power=1.0):
        """`power` times the logarithm of the integral of exp(form/power) over a vector; and its conditional moments."""
        i = np.arange(len(self.h))[self.at[name]]
        j = np.setdiff1d(np.arange(len(self.h)), i)
        L, h = self.L / power, self.h / power
        inner = L[np.ix_(i, i)]
        if np.linalg.eigvalsh(inner).min() <= 0:
            raise ArithmeticError(name)
        inverse = np.linalg.inv(inner)
        slope, still = -inverse @ L[np.ix_(i, j)], inverse @ h[i]
        new = np.zeros_like(self.L)
        new[np.ix_(j, j)] = power * (L[np.ix_(j, j)] - L[np.ix_(j, i)] @ inverse @ L[np.ix_(i, j)])
        gradient = np.zeros_like(self.h)
        gradient[j] = power * (h[j] - L[np.ix_(j, i)] @ inverse @ h[i])
        self.c += power * 0.5 * (h[i] @ inverse @ h[i] - np.linalg.slogdet(inner / (2 * math.pi))[1])
        keep = np.zeros((len(i), len(self.h)))
        keep[:, j] = slope
        new[i, i] = 1e-300  # a vector that has gone
        self.L, self.h = new, gradient
        return keep, still, inverse


def by_elimination(model, H, V, beta):
    """The objective, and each policy as (matrix over the history, shift, covariance), by nested Gaussian integrals."""
    q, tau, T = model.problem, model.temperature, model.problem.horizon
    n, m, o = q.num_states, q.num_actions, len(V)
    form = Form({f"s{t}": n for t in range(T + 1)} | {f"y{t}": o for t in range(T)} | {f"a{t}": m for t in range(T)})
    number = {name: getattr(q, name).numpy() for name in ("A", "B", "d", "W", "C", "c", "k")}
    form.normal(q.initial_covariance.numpy(), q.initial_mean.numpy(), s0=np.eye(n))
    for t in range(T):
        A, B, d, W, C, c, k = (number[name][t] for name in number)
        form.normal(W, d, **{f"s{t + 1}": np.eye(n), f"s{t}": -A, f"a{t}": -B})
        form.normal(V, **{f"y{t}": np.eye(o), f"s{t}": -H})
        both = {f"s{t}": np.eye(n + m)[:, :n], f"a{t}": np.eye(n + m)[:, n:]}
        form.square(C, beta / tau, **both)
        form.h[form.at[f"s{t}"]] -= beta / tau * c[:n]
        form.h[form.at[f"a{t}"]] -= beta / tau * c[n:]
        form.c -= beta / tau * k
    form.square(q.final_P.numpy(), beta / tau, **{f"s{T}": np.eye(n)})
    form.h[form.at[f"s{T}"]] -= beta / tau * q.final_p.numpy()
    form.c -= beta / tau * float(q.final_v)
    for t in range(T + 1):
        form.eliminated(f"s{t}")
    policies = []
    for t in reversed(range(T)):
        if model.action_prior is not None:  # inside of the integral with power β
            prior = Form({name: each.stop - each.start for name, each in form.at.items()})
            prior.normal(model.action_prior.covariance.numpy().reshape(m, m), **{f"a{t}": np.eye(m)})
            form.L, form.h, form.c = form.L + beta * prior.L, form.h + beta * prior.h, form.c + beta * prior.c
        policies.append(form.eliminated(f"a{t}", beta))
        form.eliminated(f"y{t}")
    return form.c / beta, policies[::-1], form.at


def random(seed, prior, horizon=3):
    rng = np.random.default_rng(seed)
    n, m, o = 2, 1 + seed % 2, 1 + seed % 2

    def positive(size):
        root = rng.normal(size=(size, size))
        return root @ root.T / size + 0.2 * np.eye(size)

    problem = LinearQuadratic(
        0.5 * rng.normal(size=(horizon, n, n)), rng.normal(size=(n, m)), 0.3 * positive(n), positive(n + m),
        horizon=horizon, initial_mean=rng.normal(size=n), initial_covariance=0.5 * positive(n),
        c=0.3 * rng.normal(size=n + m), d=0.3 * rng.normal(size=n), k=0.7,
        final_cost=(positive(n), rng.normal(size=n), 0.2),
    )  # fmt: skip
    model = LinearQuadraticModel(problem, 0.8, positive(m) if prior else None)
    return model, rng.normal(size=(o, n)), 0.4 * positive(o)


@pytest.mark.parametrize("beta", [1.0, 0.5, -0.05, -0.15, 2.0])
@pytest.mark.parametrize(("seed", "prior"), [(0, True), (1, False), (2, False), (3, True)])
def test_policy_and_objective_are_those_of_dense_elimination(seed, prior, beta):
    model, H, V = random(seed, prior)
    try:
        objective, policies, at = by_elimination(model, H, V, beta)
    except ArithmeticError:
        with pytest.raises(OptimismBreakdown):
            output_feedback(model, H, V, beta)
        return
    found = output_feedback(model, H, V, beta)
    assert found.objective == pytest.approx(objective, rel=1e-9, abs=1e-9)
    noise = np.random.default_rng(9)
    history = noise.normal(size=max(each.stop for each in at.values()))  # the same for both
    predicted = model.problem.initial_mean
    for t, (matrix, still, covariance) in enumerate(policies):
        y, a = (torch.as_tensor(history[at[f"{name}{t}"]]) for name in "ya")
        estimate = found.estimate(t, predicted, y)
        mean = -found.gain[t] @ estimate - found.offset[t]
        np.testing.assert_allclose(mean.numpy(), matrix @ history + still, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(found.policy_covariance[t].numpy(), covariance, rtol=1e-9, atol=1e-11)
        predicted = found.predict(t, estimate, a)


@pytest.mark.parametrize("beta", [1.0, 0.3, -0.3])
def test_exact_observations_are_the_observed_problem(beta):
    model = LinearQuadraticModel(double_integrator(), 0.5, [[4.0]])
    found, observed = output_feedback(model, np.eye(2), np.zeros((2, 2)), 0.2 * beta), infer(model, 0.2 * beta)
    assert found.objective == pytest.approx(observed.objective, rel=1e-11)
    torch.testing.assert_close(found.gain, observed.gain, rtol=1e-9, atol=1e-9)


def test_near_zero_it_is_the_kalman_filter_with_the_regulator():
    model = LinearQuadraticModel(double_integrator(), 0.5, [[4.0]])
    one, other = (output_feedback(model, [[1.0, 0.0]], [[0.3]], beta) for beta in (0.0, 1e-7))
    assert other.objective == pytest.approx(one.objective, abs=1e-4)
    assert other.true_return == pytest.approx(one.true_return, abs=1e-4)
    torch.testing.assert_close(other.gain, one.gain, rtol=1e-5, atol=1e-5)


def test_the_free_evidence_does_not_depend_on_what_is_seen():
    model = LinearQuadraticModel(double_integrator(), 0.5, [[4.0]])
    for H, V in (([[1.0, 0.0]], [[0.3]]), ([[0.0, 0.0]], [[1.0]])):
        assert output_feedback(model, H, V, 1.0).objective == pytest.approx(infer(model, 1.0).log_evidence, rel=1e-12)


@pytest.mark.parametrize("beta", [0.5, -0.1])
def test_returns_are_those_of_a_simulation(beta):
    model = LinearQuadraticModel(double_integrator(), 0.5, [[4.0]])
    found, problem = output_feedback(model, [[1.0, 0.0]], [[0.3]], beta), model.problem
    drawn = found.sample(40_000, seed=1)
    steps = [problem.reward(t, drawn.states[:, t], drawn.actions[:, t]) for t in range(problem.horizon)]
    returns = sum(steps) + problem.final_reward(drawn.states[:, -1])
    assert abs(float(returns.mean()) - found.true_return) < 4 * float(returns.std()) / 200


def test_noise_in_the_observations_breaks_down_earlier():
    """At a β inside the breakdown of the observed problem, noise of the observations has a limit."""
    model = LinearQuadraticModel(scalar(initial_covariance=[[0.5]]))
    assert math.isfinite(infer(model, -0.5).objective)
    last = math.inf
    for variance in (0.0, 0.01, 0.1):
        found = output_feedback(model, [[1.0]], [[variance]], -0.5).objective
        assert found < last
        last = found
    with pytest.raises(OptimismBreakdown, match=r"output feedback, at step \d, by the estimate and"):
        output_feedback(model, [[1.0]], [[100.0]], -0.5)


def test_what_is_not_solved_is_refused():
    model = LinearQuadraticModel(double_integrator(), 0.5, [[4.0]])
    with pytest.raises(InvalidArgument, match="`optimism` must be one number for output feedback"):
        output_feedback(model, [[1.0, 0.0]], [[0.3]], Optimism(dynamics=0.5, initial=0.0))
    discounted = LinearQuadraticModel(double_integrator().replace(discount=0.9), 0.5, [[4.0]])
    with pytest.raises(InvalidArgument, match="must be 0 for output feedback at temperature 0 or with a discount"):
        output_feedback(discounted, [[1.0, 0.0]], [[0.3]], 0.5)
