"""Ill-conditioned problems against 50-digit arithmetic: matrices with condition 1e8, also close to breakdown."""

import math

import numpy as np
import pytest
from linear_quadratics import precise_objective

from pgm_control import LinearQuadratic, LinearQuadraticModel, breakdown, infer

WORST = 1e-9  # of the objective, relative; 4e-11 is the worst of those below


def ill(seed, horizon, condition=1e8, n=3, m=2):
    rng = np.random.default_rng(seed)
    decades = np.log10(condition) / 2

    def positive(size):
        q, _ = np.linalg.qr(rng.normal(size=(size, size)))
        found = q @ np.diag(np.logspace(-decades, decades, size)) @ q.T
        return 0.5 * (found + found.T)

    A = rng.normal(size=(n, n))
    A *= rng.choice([0.9, 1.0, 1.05]) / np.abs(np.linalg.eigvals(A)).max()
    cost = np.zeros((n + m, n + m))
    cost[:n, :n], cost[n:, n:] = positive(n), positive(m)
    problem = LinearQuadratic(
        A, rng.normal(size=(n, m)), 0.01 * positive(n), cost, horizon=horizon, initial_mean=rng.normal(size=n),
        initial_covariance=np.eye(n),
    )  # fmt: skip
    return LinearQuadraticModel(problem)


@pytest.mark.parametrize(
    ("seed", "horizon"),
    [(0, 60), (1, 60), *(pytest.param(seed, 500, marks=pytest.mark.slow) for seed in (2,))],
)
def test_the_objective_has_nine_digits(seed, horizon):
    model = ill(seed, horizon)
    limit = breakdown(model).neurotic.optimism
    for beta in (100.0, 1.0, 0.0, 0.9 * limit, 0.999 * limit):
        found = infer(model, beta).objective
        assert math.isfinite(found)
        exact = precise_objective(model, beta, beta)
        assert abs(float((exact - found) / exact)) <= WORST
