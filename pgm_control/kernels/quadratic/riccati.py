"""Linear-quadratic control from arrays to arrays: the backward sweep, and the forward sweep of its derivatives.

The compiled loops take addresses: one compilation serves any number of states, actions, noises and times.
"""

from collections.abc import Sequence

import numpy as np

from ..bundles import Table
from . import backward as _backward
from . import forward as _forward
from .bundles import QuadraticProblem, QuadraticSlopes, QuadraticStart, QuadraticValues
from .reading import SLOTS
from .vectors import BYTES, LANES

Array = np.ndarray
_TIMED = 6  # the first fields of a problem, which have an axis of time; θ is another
_THETA = QuadraticProblem._fields.index("theta")


def solve(problem: QuadraticProblem, count: int, horizon: int) -> QuadraticValues:
    """Solve problems that are arrays, as many as `count`, with this many steps; failures are in the result.

    A problem whose certainty equivalent over the noise is unbounded at a time (BROKEN), whose Haa is not positive definite
    there (NOT_CONCAVE), or whose values leave the range of float64 (NOT_FINITE) has nan from there backwards.
    """
    n, m, q = sizes_of(problem)
    values = QuadraticValues(
        np.empty((count, horizon + 1, n, n)),
        np.empty((count, horizon + 1, n)),
        np.empty((count, horizon + 1)),
        np.empty((count, horizon, m, n)),
        np.empty((count, horizon, m)),
        np.empty((count, horizon, m, m)),
        np.empty((count, horizon)),
        np.empty((count, 2), dtype=np.int64),
    )
    solve_into(problem, values)
    return values


def solve_into(problem: QuadraticProblem, values: QuadraticValues) -> None:
    """Solve as `solve` does, into arrays that are given."""
    n, m, q = sizes_of(problem)
    count, horizon = values.log_det.shape
    given = _places(problem, count, horizon, (*range(_TIMED), _THETA))
    work, address = _work(n, m, q, horizon)
    _backward.backward(given, _places_of_values(values), values.failures, work, address, n, m, q, horizon)


def slopes(problem: QuadraticProblem, values: QuadraticValues, start: QuadraticStart) -> QuadraticSlopes:
    """The derivatives of the objectives −(1/τ) E[½ s'P_0 s + p_0's + v_0] over the believed start, times the cotangents.

    Each has the shape of its table: the sum over problems or times where they share it.
    """
    n, m, q = sizes_of(problem)
    count, horizon = values.log_det.shape
    square = (*problem.noise_root.shape[:3], n)
    found = QuadraticSlopes(
        np.zeros(problem.transition.shape),
        np.zeros(problem.drift.shape),
        np.zeros(square),
        np.zeros(problem.hessian.shape),
        np.zeros(problem.gradient.shape),
        np.zeros(problem.constant.shape),
        np.zeros(problem.final_hessian.shape),
        np.zeros(problem.final_gradient.shape),
        np.zeros(problem.final_constant.shape),
    )
    solved = _places_of_values(values)
    begins = _places(start, count, horizon, ())
    given = _places(problem, count, horizon, (*range(_TIMED), _THETA))
    read = np.concatenate((solved[:2], solved[3:6], begins))
    work, address = _work(n, m, q, horizon)
    _forward.pullback(given, read, _places(found, count, horizon, range(_TIMED)), address, count, n, m, q, horizon)
    del work  # until here
    return found


def sizes_of(problem: QuadraticProblem) -> tuple[int, int, int]:
    """The numbers of states, actions and noises."""
    n, both = problem.transition.shape[2:]
    return n, both - n, problem.noise_root.shape[3]


def _work(n: int, m: int, q: int, horizon: int) -> tuple[Array, int]:
    """Room for all matrices of a sweep, and its address, at a multiple of the size of a vector."""
    z = n + m + 1
    wide = z + q + n
    vectors = 15 * wide * wide + SLOTS * z * z + 6 * horizon + 100
    room = np.empty((vectors + 1) * LANES)
    shift = -room.ctypes.data % BYTES // 8
    return room[shift:], room.ctypes.data + 8 * shift


def _places(tables: Sequence[Table], count: int, horizon: int, timed: Sequence[int]) -> Array:
    """The address of each table and its strides in bytes, by problem and by time; 0 along an axis of length 1."""
    found = []
    for k, table in enumerate(tables):
        shape = table.shape
        if not (table.flags.c_contiguous and table.dtype == np.float64):
            raise ValueError("Tables must be contiguous arrays of float64.")
        if shape[0] not in (1, count) or (k in timed and shape[1] not in (1, horizon)):
            raise ValueError(f"Tables must be for 1 or {count} problems and 1 or {horizon} times, not of shape {shape}.")
        strides = table.strides
        by_problem = strides[0] if shape[0] > 1 else 0
        by_time = strides[1] if k in timed and shape[1] > 1 else 0
        found.append((table.ctypes.data, by_problem, by_time))
    return np.array(found, dtype=np.int64)


def _places_of_values(values: QuadraticValues) -> Array:
    found = []
    for table in values[:7]:
        if not (table.flags.c_contiguous and table.dtype == np.float64):
            raise ValueError("Tables must be contiguous arrays of float64.")
        found.append((table.ctypes.data, table.strides[0], table.strides[1]))
    return np.array(found, dtype=np.int64)
