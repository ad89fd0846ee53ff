"""Bundles of the tables of the sweeps of linear-quadratic control, arrays or tensors.

All are contiguous and float64. Those of a problem have an axis of problems and one of times, each of the full length,
or of length 1 for a table that all share. Matrices of quadratic forms are symmetric.
"""

from typing import NamedTuple

from ..bundles import Table

BROKEN, NOT_CONCAVE, NOT_FINITE = 1, 2, 3  # status of a problem; 0 if it was solved


class QuadraticProblem(NamedTuple):
    """Costs ½ z'Cz + c'z + k of z = (s, a), with those of the action prior; dynamics Fz + d + Lε, ε ~ N(0, I)."""

    transition: Table  # F = [A B], (problem, time, state, state and action)
    drift: Table  # d, (problem, time, state)
    noise_root: Table  # L with W = L L', (problem, time, state, noise)
    hessian: Table  # C, (problem, time, state and action, state and action)
    gradient: Table  # c, (problem, time, state and action)
    constant: Table  # k, (problem, time)
    final_hessian: Table  # (problem, state, state)
    final_gradient: Table  # (problem, state)
    final_constant: Table  # (problem,)
    theta: Table  # β/τ, per unit of reward, (problem, time)
    temperature: Table  # τ, (problem,)
    discount: Table  # γ, (problem,)


class QuadraticValues(NamedTuple):
    """The values −(½ s'Ps + p's + v) and policies N(−Ks − κ, τ Haa⁻¹); nan from the time of a failure backwards."""

    hessian: Table  # P, (problem, time and last, state, state)
    gradient: Table  # p, (problem, time and last, state)
    constant: Table  # v, (problem, time and last)
    gain: Table  # K, (problem, time, action, state)
    offset: Table  # κ, (problem, time, action)
    inverse: Table  # Haa⁻¹, (problem, time, action, action)
    log_det: Table  # of Haa, (problem, time)
    failures: Table  # int64, (problem, 2): the status, and the time of the failure or −1


class QuadraticStart(NamedTuple):
    """What the derivatives start from; the first axis has length 1 if all share it."""

    mean: Table  # of the believed start, (problem, state)
    covariance: Table  # (problem, state, state)
    cotangent: Table  # of the objective, (problem,)


class QuadraticSlopes(NamedTuple):
    """Derivatives with respect to these fields of `QuadraticProblem`, shaped like them; by W instead of its root."""

    transition: Table
    drift: Table
    covariance: Table  # (problem, time, state, state)
    hessian: Table
    gradient: Table
    constant: Table
    final_hessian: Table
    final_gradient: Table
    final_constant: Table
