r"""The backward sweep of one linear-quadratic problem in numpy, for where there are no compiled loops.

It is that of `riccati` in homogeneous coordinates, x = (s, 1): a value is $V(s) = -\tfrac12 x'Vx$ with the matrix

$$V = \begin{pmatrix} P & p \\ p' & 2v \end{pmatrix},$$

so that the dynamics are one matrix, and P, p and v one product. What is left of v, the log-determinants, is added after
the sweep. A step costs some thirty calls of numpy and LAPACK, where torch needs fifty that are slower.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
import torch

from .riccati import ACTIONS, DYNAMICS, FINE, Prepared, Swept

Array = np.ndarray


class _Stage(NamedTuple):
    """Dynamics and costs in the coordinates (s, 1, a), by step."""

    dynamics: Array  # (s, 1, a) to the mean of (s', 1)
    cost: Array
    noise_root: Array


class _Rows(NamedTuple):
    """What a sweep leaves, by step."""

    value: Array  # V, without log-determinants, T + 1 steps
    policy: Array  # K and κ as one matrix
    factor: Array  # of Haa
    noise: Array  # L'PL, of the next value


def sweep_of_one(given: Prepared, theta: float) -> Swept:
    """`riccati.backward_sweep` of one problem, without gradients.

    Args:
        given: the numbers of a model without batch axes.
        theta: θ = β/τ of the dynamics, in 1/reward.
    """
    steps, n = given.drift.shape
    stage, gamma = _stage(given), given.discount
    with np.errstate(over="ignore", invalid="ignore"):
        rows, reason, at = _where_infinite(*_swept(stage, _last(given), gamma, theta), theta)
    P, p, v, first = rows.value[:, :n, :n], rows.value[:, :n, n], 0.5 * rows.value[:, n, n], at + 1
    tau, root = float(given.temperature), np.linalg.inv(rows.factor[first:])
    spread = np.full_like(rows.factor, np.nan)
    with np.errstate(over="ignore", invalid="ignore"):  # beyond float64: `infer` refuses it by name
        spread[first:] = tau * (root.mT @ root)
        added = log_det_by_theta(rows.noise[first:], theta)
        added += tau * np.log(rows.factor[first:].diagonal(axis1=1, axis2=2)).sum(-1)
    more = 0.0
    for t in range(steps - 1, at, -1):
        more = gamma * more + float(added[t - first])
        v[t] += more
    tables = (P, p, v, rows.policy[..., :n], rows.policy[..., n], spread)
    found = (torch.from_numpy(np.ascontiguousarray(each)) for each in tables)
    return Swept._make([*found, torch.tensor(reason), torch.tensor(at)])


def _swept(stage: _Stage, last: Array, gamma: float, theta: float) -> tuple[_Rows, int, int]:
    """The sweep; where it ends early, why and when, and nan before that."""
    potrf, potrs, trtrs = _lapack()
    steps, size, both = stage.dynamics.shape
    n, m, q = size - 1, both - size, stage.noise_root.shape[-1]
    shapes = ((steps + 1, size, size), (steps, m, size), (steps, m, m), (steps, q, q))
    rows = _Rows(*(np.full(each, np.nan) for each in shapes))
    V, eye, unit = last, np.eye(size), np.eye(q)
    closed = np.zeros((both, size))
    closed[:size] = eye
    rows.value[steps] = V
    for t in range(steps - 1, -1, -1):
        F, C, L = stage.dynamics[t], stage.cost[t], stage.noise_root[t]
        if gamma != 1.0:
            V = gamma * V
        ahead = V[:, :n].dot(L)  # `dot` starts in half of the time of `@`
        X = rows.noise[t] = L.T.dot(ahead[:n])
        if theta != 0.0:
            factor, failed = potrf(unit + theta * X, lower=1)
            if failed:
                return rows, DYNAMICS, t
            if theta > 0:  # the difference cancels; the value at the believed mean and the price of belief do not
                Y, _ = potrs(factor, ahead.T, lower=1)
                kept = eye.copy()
                kept[:n] -= L.dot(theta * Y)
                V = kept.T.dot(V.dot(kept)) + Y.T.dot(theta * Y)
            else:
                half, _ = trtrs(factor, ahead.T, lower=1)
                V = V - half.T.dot(theta * half)
        H = C[size:] + F[:, size:].T.dot(V.dot(F))
        factor, failed = potrf(H[:, size:], lower=1)
        if failed:
            return rows, ACTIONS, t
        rows.factor[t] = factor
        found, _ = potrs(factor, H[:, :size], lower=1)
        rows.policy[t] = found
        closed[size:] = -found
        moved = F.dot(closed)
        V = closed.T.dot(C.dot(closed)) + moved.T.dot(V.dot(moved))
        V = 0.5 * (V + V.T)
        rows.value[t] = V
    return rows, FINE, -1


def _where_infinite(rows: _Rows, reason: int, at: int, theta: float) -> tuple[_Rows, int, int]:
    """The end of a sweep whose numbers grew beyond those of float64 before: at the noise that they grew by."""
    if theta == 0.0 or np.isfinite(rows.value[at + 1]).all():
        return rows, reason, at
    t = int(np.flatnonzero(np.isfinite(rows.value).all((1, 2)))[0]) - 1
    for each in (rows.value[: t + 1], rows.policy[: t + 1], rows.factor[: t + 1]):
        each[...] = np.nan
    return rows, DYNAMICS, t


@functools.cache
def _lapack() -> tuple[Any, Any, Any]:
    """Cholesky factors and the solutions of linear equations by them."""
    from scipy.linalg import get_lapack_funcs  # pyright: ignore[reportMissingTypeStubs]

    return tuple(get_lapack_funcs(("potrf", "potrs", "trtrs"), dtype=np.float64))


def _stage(given: Prepared) -> _Stage:
    F, d, L, C, c, k = (each.numpy(force=True) for each in given[:6])
    steps, n, both = F.shape
    s, a, one = slice(0, n), slice(n + 1, both + 1), n
    dynamics, cost = np.zeros((steps, n + 1, both + 1)), np.empty((steps, both + 1, both + 1))
    dynamics[:, s, s], dynamics[:, s, a], dynamics[:, s, one], dynamics[:, one, one] = F[..., :n], F[..., n:], d, 1.0
    cost[:, s, s], cost[:, s, a], cost[:, a, s], cost[:, a, a] = C[:, :n, :n], C[:, :n, n:], C[:, n:, :n], C[:, n:, n:]
    cost[:, s, one] = cost[:, one, s] = c[:, :n]
    cost[:, a, one] = cost[:, one, a] = c[:, n:]
    cost[:, one, one] = 2.0 * k
    return _Stage(dynamics, cost, L)


def _last(given: Prepared) -> Array:
    P, p, v = (each.numpy(force=True) for each in given[6:9])
    return np.block([[P, p[:, None]], [p[None], 2.0 * v[None, None]]])


def log_det_by_theta(X: Array, theta: float) -> Any:
    """log det(I + θX) / (2θ) of symmetric matrices, to the last digits near θ = 0 too, where it is tr(X)/2."""
    x = np.linalg.eigvalsh(X)
    with np.errstate(divide="ignore", invalid="ignore"):  # at the breakdown itself the logarithm is −∞
        y = np.maximum(theta * x, -1.0)
        ratio = np.log1p(y) / np.where(y == 0.0, 1.0, y)
    return 0.5 * (x * np.where(y == 0.0, 1.0, ratio)).sum(-1)
