"""Control through noisy observations: against simulation, dense regression, and the observed problem."""

import numpy as np
import pytest
import torch
from linear_quadratics import double_integrator, random_model, scalar

from pgm_control import GaussianPrior, InvalidArgument, LinearQuadraticModel, infer, output_feedback


def noisy():
    return LinearQuadraticModel(double_integrator(), 0.5, [[4.0]])


def test_exact_observations_are_the_observed_problem():
    for model in (LinearQuadraticModel(scalar()), noisy()):
        n = model.problem.num_states
        found = output_feedback(model, np.eye(n), np.zeros((n, n)))
        assert found.objective == pytest.approx(infer(model, 0.0).objective, rel=1e-12)
        assert float(found.error_covariance.abs().max()) < 1e-12


def test_no_observation_is_open_loop():
    """With H = 0 the estimate is the mean path: the state does not enter the actions."""
    model = noisy()
    found = output_feedback(model, [[0.0, 0.0]], [[1.0]])
    drawn = found.sample(5, seed=0)
    assert torch.allclose(drawn.estimates[:, 0], model.problem.initial_mean.expand(5, -1))
    assert found.objective < infer(model, 0.0).objective


def test_returns_are_those_of_a_simulation():
    model = noisy()
    found, problem = output_feedback(model, [[1.0, 0.0]], [[0.3]]), model.problem
    drawn = found.sample(40_000, seed=1)
    steps = [problem.reward(t, drawn.states[:, t], drawn.actions[:, t]) for t in range(problem.horizon)]
    returns = sum(steps) + problem.final_reward(drawn.states[:, -1])
    assert abs(float(returns.mean()) - found.true_return) < 4 * float(returns.std()) / 200
    error = drawn.states[:, 7] - drawn.estimates[:, 7]
    assert torch.allclose(torch.cov(error.T), found.error_covariance[7], rtol=0.05, atol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_estimates_are_the_regression_on_all_observations(seed):
    """E[s_t | y_0 … y_t] from the joint covariance of everything, at a policy that does nothing but its noise."""
    model = random_model(seed, discounted=False, largest=(3, 2, 5), lebesgue=True)
    problem, n = model.problem, model.problem.num_states
    rng = np.random.default_rng(seed)
    H, V = rng.normal(size=(2, n)), np.diag([0.3, 0.1])
    found = output_feedback(model, H, V)
    t = problem.horizon - 1
    size = n + problem.horizon * (n + 2)  # start, noises and noises of the observations, all standard normal
    state, rows = np.zeros((n, size)), []
    values, vectors = np.linalg.eigh(problem.initial_covariance.numpy())
    state[:, :n] = vectors * np.sqrt(values.clip(0))
    for i in range(t + 1):
        at = n + i * (n + 2)
        row = H @ state
        row[:, at : at + 2] += np.sqrt(V)
        rows.append(row)
        last = state
        state = problem.A[i].numpy() @ state
        values, vectors = np.linalg.eigh(problem.W[i].numpy())
        state[:, at + 2 : at + 2 + n] += vectors * np.sqrt(values.clip(0))
    y = np.vstack(rows)
    left = last @ last.T - last @ y.T @ np.linalg.solve(y @ y.T, y @ last.T)  # pyright: ignore[reportPossiblyUnboundVariable]
    assert np.allclose(found.error_covariance[t].numpy(), left, atol=1e-9)


def test_moving_the_gains_lowers_the_objective():
    """The objective of other gains by the closed form of the same process: the optimum is a maximum."""
    from pgm_control.trajectories.gaussian.objective import discounts, expected_rewards, policy_divergence

    model = noisy()
    found, problem = output_feedback(model, [[1.0, 0.0]], [[0.3]]), model.problem
    lost = 0.5 * (problem.C[:, :2, :2] * found.error_covariance).sum()

    def objective(blocks):
        moments, weight = blocks.marginals(), discounts(problem)
        value = float((weight * expected_rewards(problem, moments)).sum() - lost)
        return value / model.temperature - float((weight[:-1] * policy_divergence(model, blocks, moments)).sum())

    assert objective(found.estimates) == pytest.approx(found.objective, rel=1e-12)
    noise = torch.Generator().manual_seed(0)
    for name in ("gain", "offset"):
        value = getattr(found.estimates, name)
        for _ in range(3):
            moved = value + 0.02 * torch.randn(value.shape, dtype=value.dtype, generator=noise)
            assert objective(found.estimates.replace(**{name: moved})) < found.objective


def test_what_is_not_solved_is_refused():
    model = noisy()
    with pytest.raises(InvalidArgument, match=r"`H` must have shape \('any', 2\)"):
        output_feedback(model, [[1.0]], [[0.3]])
    with pytest.raises(InvalidArgument, match="`V` must be a covariance"):
        output_feedback(model, [[1.0, 0.0]], [[-0.3]])
    prior = GaussianPrior([[1.0, 0.0]], [0.0], [[1.0]])
    with pytest.raises(InvalidArgument, match="`model` must have an action prior that does not depend on the state"):
        output_feedback(LinearQuadraticModel(double_integrator(), 1.0, prior), [[1.0, 0.0]], [[0.3]])
