"""Plans of linear-quadratic problems as one dense Gaussian integral, in numpy: an oracle that shares no code.

The return is a quadratic form of the plan and of all noises. The noises are integrated out at the optimism β, which
leaves a Gaussian over plans.
"""

from typing import NamedTuple

import numpy as np


class Plans(NamedTuple):
    """The distribution of plans, its value in reward units, and the least eigenvalue of the integral over noises."""

    mean: np.ndarray
    covariance: np.ndarray
    value: float
    least: float


def form(A, B, L, C, start, horizon, final=None):
    """M, m and k with R = −(½ x'Mx + m'x + k), x = (plan, standard normal noises)."""
    n, m = B.shape
    size = horizon * (m + L.shape[1])
    M, linear, constant = np.zeros((size, size)), np.zeros(size), 0.0
    at, of = np.asarray(start, float), np.zeros((n, size))  # s_t = at + of x
    for t in range(horizon):
        picks = np.zeros((m, size))
        picks[:, t * m : (t + 1) * m] = np.eye(m)
        Z, z = np.vstack((of, picks)), np.concatenate((at, np.zeros(m)))
        M, linear, constant = M + Z.T @ C @ Z, linear + Z.T @ C @ z, constant + 0.5 * z @ C @ z
        shakes = np.zeros((L.shape[1], size))
        first = horizon * m + t * L.shape[1]
        shakes[:, first : first + L.shape[1]] = np.eye(L.shape[1])
        at, of = A @ at, A @ of + B @ picks + L @ shakes
    if final is not None:
        M, linear, constant = M + of.T @ final @ of, linear + of.T @ final @ at, constant + 0.5 * at @ final @ at
    return M, linear, constant


def plans(A, B, W, C, start, horizon, beta, tau=1.0, prior=None, final=None):
    """The optimum over plans; nan where it does not exist."""
    A, B, W, C = (np.atleast_2d(np.asarray(each, float)) for each in (A, B, W, C))
    L, m = np.linalg.cholesky(W), B.shape[1]
    M, linear, constant = form(A, B, L, C, start, horizon, final)
    size, theta = horizon * m, beta / tau
    Maa, Maw, Mww = M[:size, :size], M[:size, size:], M[size:, size:]
    J = np.eye(len(Mww)) + theta * Mww
    least = float(np.linalg.eigvalsh(J)[0])
    if least <= 0:
        return Plans(np.full(size, np.nan), np.full((size, size), np.nan), np.nan, least)
    inverse = np.linalg.inv(J)
    precision = (Maa - theta * Maw @ inverse @ Maw.T) / tau
    slope = (linear[:size] - theta * Maw @ inverse @ linear[size:]) / tau
    level = constant - 0.5 * theta * linear[size:] @ inverse @ linear[size:]
    spread = np.linalg.slogdet(J)[1] / (2 * theta) if theta else 0.5 * np.trace(Mww)
    log_prior = 0.0
    if prior is not None:
        U = np.kron(np.eye(horizon), np.atleast_2d(prior))
        precision = precision + np.linalg.inv(U)
        log_prior = -0.5 * np.linalg.slogdet(2 * np.pi * U)[1]
    covariance = np.linalg.inv(precision)
    log_mass = 0.5 * np.linalg.slogdet(2 * np.pi * covariance)[1] + 0.5 * slope @ covariance @ slope + log_prior
    return Plans(-covariance @ slope, covariance, tau * log_mass - level - spread, least)


def edge(A, B, W, C, start, horizon, final=None):
    """β*/τ below which the integral over noises diverges: −1 over the largest cost of a noise."""
    A, B, W, C = (np.atleast_2d(np.asarray(each, float)) for each in (A, B, W, C))
    M, _, _ = form(A, B, np.linalg.cholesky(W), C, start, horizon, final)
    size = horizon * B.shape[1]
    return -1.0 / float(np.linalg.eigvalsh(M[size:, size:])[-1])
