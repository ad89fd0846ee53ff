"""Known answers of linear-quadratic models, each obtained in two or more ways that share no code."""

import math

import numpy as np
import pytest
import torch
from linear_quadratics import double_integrator, scalar
from pyro.distributions import GaussianHMM, MultivariateNormal

from pgm_control import LinearQuadraticModel, Optimism, OptimismBreakdown, Risk, breakdown, infer
from pgm_control.trajectories.gaussian.objective import expected_return, gaussian_terms, objective_of

ROWS = {  # β: gain, variance, P_0, objective, imagined, true, ELBO of the policy, KL of the dynamics
    1.0: (0.983132516, 2.269076345, 1.353927706, 6.94504942, -3.92494606, -5.30514032, 6.12555859, 0.56070342),
    0.5: (1.059352785, 2.057353374, 1.381367003, 6.62906262, -4.22103247, -5.01590702, 6.19078994, 0.17830094),
    0.0: (1.149526175, 1.806871735, 1.413829423, 6.21835979, -4.69616295, -4.69616295, 6.21835979, 0.0),
    -0.5: (1.258171967, 1.505077869, 1.452941908, 5.65444977, -5.53106072, -4.33671596, 6.17541558, 0.33668948),
}


@pytest.mark.parametrize("beta", ROWS)
def test_the_scalar_problem(beta):
    model = LinearQuadraticModel(scalar())
    found = infer(model, beta)
    terms = gaussian_terms(model, found.blocks())
    returns = [float(expected_return(model.problem, each)) for each in (found.marginals(), found.true_marginals())]
    elbo = float(objective_of(model, found.true_blocks(), 0.0, 0.0))
    row = found.gain[0], found.policy_covariance[0], found.value_hessian[0]
    got = [*map(float, row), found.objective, *returns, elbo, float(terms.dynamics.sum())]
    assert [round(each, 9) for each in got[:3]] == list(ROWS[beta][:3])
    assert [round(each, 8) for each in got[3:]] == list(ROWS[beta][3:])


def test_breakdown_of_the_scalar_problem():
    edges = [breakdown(LinearQuadraticModel(scalar(horizon))) for horizon in (6, 100)]
    assert [round(each.neurotic.optimism, 9) for each in edges] == [
        -2.023794968,
        -2.022653722,
    ]  # 50 digits: −2.0226537216828
    assert all(each.neurotic.block == "dynamics" and each.neurotic.direction == (1.0,) for each in edges)
    assert all(each.euphoric.optimism == math.inf for each in edges)
    model = LinearQuadraticModel(scalar(initial_covariance=0.5), 1.0, 1.0)
    with_start, without = breakdown(model), breakdown(model, initial=False)
    assert round(with_start.neurotic.optimism, 10) == -0.6023027729
    assert (with_start.neurotic.block, with_start.neurotic.time) == ("start", -1)
    assert without.neurotic.optimism < with_start.neurotic.optimism


def test_the_scalar_problem_with_a_random_start():
    model = LinearQuadraticModel(scalar(initial_covariance=0.5), 1.0, 1.0)
    free, clamped = infer(model, 1.0), infer(model, 0.0)
    assert round(free.log_evidence, 10) == -2.7677273982
    assert round(clamped.objective, 10) == -4.3584123902  # −4.3584123900 by a recursion of fewer digits
    returns = [
        float(expected_return(model.problem, each))
        for each in (free.marginals(), free.true_marginals(), clamped.marginals())
    ]
    assert [round(each, 4) for each in returns] == [-1.7021, -4.0570, -3.4437]


def test_the_double_integrator():
    model = LinearQuadraticModel(double_integrator(), 1.0, [[4.0]])
    assert round(infer(model, 1.0).log_evidence, 8) == -13.68924369
    assert round(infer(model, 0.0).objective, 8) == -21.84852944


def test_the_stationary_scalar_values():
    for beta, value in {0.0: 1.413836350, 1.0: 1.353929581, -0.5: 1.452956310, -2.0: 1.643678949}.items():
        assert abs(float(infer(LinearQuadraticModel(scalar(400)), beta).value_hessian[0]) - value) < 1e-9


def test_the_evidence_is_that_of_pyros_hidden_markov_model():
    """Costs as Gaussian observations of 0. The library of Pyro moves before it observes: the first cost is by hand."""
    model = LinearQuadraticModel(scalar(initial_covariance=0.5), 1.0, 1.0)
    problem, steps = model.problem, model.problem.horizon
    A, B = problem.A[0], problem.B[0]
    U, W = torch.eye(1, dtype=torch.float64), problem.W[0]
    # hidden z = (s, a): s' = A s + B a + w, a' drawn anew
    matrix = torch.zeros(2, 2, dtype=torch.float64)
    matrix[0] = torch.cat((A[0], B[0]))
    zero = torch.zeros(2, dtype=torch.float64)

    def spread(*variances):
        return torch.diag(torch.tensor(variances, dtype=torch.float64))

    noise = torch.diag(torch.tensor([float(W), float(U)], dtype=torch.float64))
    observed = spread(1.0, 1 / 0.2)  # −½ s² and −½ .2 a² as log-densities of 0 without their constants
    start = MultivariateNormal(torch.tensor([1.0, 0.0], dtype=torch.float64), spread(0.5, 1.0))
    hmm = GaussianHMM(
        start, matrix.T.expand(steps - 1, 2, 2), MultivariateNormal(zero, noise), torch.eye(2, dtype=torch.float64),
        MultivariateNormal(zero, observed),
    )  # fmt: skip
    # p(first cost) and the start after it
    precision = spread(2.0, 1.0) + spread(1.0, 0.2)
    mean = torch.linalg.solve(precision, spread(2.0, 1.0) @ start.loc)
    total = start.covariance_matrix + observed
    first = MultivariateNormal(start.loc, total).log_prob(zero)
    after = MultivariateNormal(mean, torch.linalg.inv(precision))
    hmm = GaussianHMM(
        after, matrix.T.expand(steps - 1, 2, 2), MultivariateNormal(zero, noise), torch.eye(2, dtype=torch.float64),
        MultivariateNormal(zero, observed),
    )  # fmt: skip
    constant = 0.5 * steps * (2 * math.log(2 * math.pi) + math.log(1 / 0.2))
    evidence = float(first + hmm.log_prob(torch.zeros(steps - 1, 2, dtype=torch.float64))) + constant
    assert abs(evidence - infer(model, 1.0).log_evidence) < 1e-9


def test_breakdown_is_the_h_infinity_norm():
    """Four states: the closed loops of controllers near the breakdown have the printed norms, down to that of β*."""
    rng = np.random.default_rng(0)
    A, B, L = rng.normal(size=(4, 4)), rng.normal(size=(4, 2)), rng.normal(size=(4, 3))
    A *= 0.9 / np.abs(np.linalg.eigvals(A)).max()
    Q, R = np.eye(4), 0.5 * np.eye(2)
    problem = scalar().from_cost(A, B, Q, R, L @ L.T, horizon=100, initial_mean=np.zeros(4))
    model = LinearQuadraticModel(problem)
    edge = breakdown(model)
    norms = []
    for share in (0.0, 0.9, 0.99, 0.9999):
        K = infer(model, share * edge.neurotic.optimism).gain[0].numpy()
        loop, output = A - B @ K, np.vstack((np.eye(4), -np.sqrt(0.5) * K))
        angles = np.exp(1j * np.linspace(0, np.pi, 4001))
        each = output @ np.linalg.solve(angles[:, None, None] * np.eye(4) - loop, L.astype(complex))
        norms.append(np.linalg.svd(each, compute_uv=False).max())
    assert norms == sorted(norms, reverse=True)
    assert norms[-1] >= edge.h_infinity_norm * (1 - 1e-4)
    assert norms[-1] == pytest.approx(edge.h_infinity_norm, rel=1e-3)
    assert norms[0] > 1.001 * norms[-1]


def test_beyond_breakdown_there_is_an_error_and_no_number():
    model = LinearQuadraticModel(scalar())
    limit = breakdown(model).neurotic.optimism
    assert math.isfinite(infer(model, limit * (1 - 1e-9)).objective)
    with pytest.raises(OptimismBreakdown, match=r"neurotic.*β\* = -2.024.*step 0 of the dynamics") as caught:
        infer(model, limit * (1 + 1e-9))
    assert caught.value.limit == limit
    assert (caught.value.time, caught.value.direction) == (0, (1.0,))
    assert caught.value.optimism == limit * (1 + 1e-9)


def test_a_reward_that_rises_has_no_evidence():
    """s' = s + a + w with reward +.05 s²: the mean is finite, and the exponential of it is not."""
    problem = scalar().from_cost(1.0, 1.0, -0.1, 1.0, 3.0, horizon=3, initial_mean=0.0)
    model = LinearQuadraticModel(problem)
    found = breakdown(model)
    assert 0 < found.euphoric.optimism < 1
    with pytest.raises(OptimismBreakdown, match=r"euphoric: log p\(O\) is infinite"):
        infer(model, 1.0)
    assert math.isfinite(infer(model, 0.99 * found.euphoric.optimism).objective)


def test_actions_that_are_rewarded_without_bound():
    problem = scalar().from_cost(1.0, 1.0, 1.0, -3.0, 1.0, horizon=1, initial_mean=0.0)
    with pytest.raises(OptimismBreakdown, match="convex in the actions, but at step 0 no action is best"):
        infer(LinearQuadraticModel(problem), 0.0)


def test_risk_is_optimism_over_temperature():
    model = LinearQuadraticModel(scalar(), 2.0)
    assert infer(model, Risk(-0.2)).objective == infer(model, -0.4).objective
    cold = infer(LinearQuadraticModel(scalar(), 0.0), Risk(-0.2))
    warm = [infer(LinearQuadraticModel(scalar(), tau), Risk(-0.2)).gain for tau in (1e-3, 5.0)]
    assert cold.objective is None
    assert torch.equal(cold.policy_covariance, torch.zeros(6, 1, 1, dtype=torch.float64))
    assert all(torch.allclose(each, cold.gain, rtol=1e-12) for each in warm)


def test_start_and_dynamics_have_their_own_price():
    model = LinearQuadraticModel(scalar(initial_covariance=0.5), 1.0, 1.0)
    found = infer(model, Optimism(dynamics=1.0, initial=0.0))
    assert torch.equal(found.initial_covariance, model.problem.initial_covariance)
    assert torch.equal(found.gain, infer(model, 1.0).gain)
    assert found.objective < infer(model, 1.0).objective
    assert not found.is_free


def test_the_mode_without_noise_on_actions_is_the_path_of_the_regulator():
    found = infer(LinearQuadraticModel(scalar(), 0.0), 0.0)
    state, path = 1.0, found.mode()
    for t in range(6):
        action = -float(found.gain[t]) * state
        assert float(path.actions[0, t]) == pytest.approx(action, abs=1e-14)
        state = 0.9 * state + 0.5 * action
    assert float(path.states[0, -1]) == pytest.approx(state, abs=1e-14)
