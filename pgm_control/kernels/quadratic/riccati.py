"""Linear-quadratic control from arrays to arrays: the backward sweep, and the forward sweep of its derivatives.

The compiled loops take addresses: one compilation serves any number of states, actions, noises and times. Every array
is checked here before its address is used.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ...errors import InvalidArgument
from . import backward as _backward
from . import forward as _forward
from .bundles import QuadraticProblem, QuadraticSlopes, QuadraticStart, QuadraticValues
from .reading import SLOTS
from .vectors import BYTES, LANES

Array = np.ndarray
_ANY_TIME, _NO_TIME = -1, -2  # one time or all; no axis of time


class Dimensions(NamedTuple):
    """The dimensions of a set of problems."""

    problems: int
    horizon: int
    states: int
    actions: int
    noises: int


def solve(problem: QuadraticProblem, count: int, horizon: int) -> QuadraticValues:
    """Values and policies of this many problems with this many steps.

    A problem whose certainty equivalent over the noise is unbounded at a time (I + θL'PL is not positive definite:
    BROKEN), whose Haa is not positive definite there (NOT_CONCAVE), or whose values leave the range of float64
    (NOT_FINITE) has nan from there backwards; `failures` has its status and time.

    Args:
        problem: contiguous arrays in float64.
        count: the number of problems; tables of one problem are shared by all.
        horizon: the number of steps; tables of one time hold at all times.

    Raises:
        InvalidArgument: an array does not have its shape, or is not contiguous in float64.
    """
    values = _room_for_values(dimensions_of(problem, count, horizon))
    solve_into(problem, values)
    return values


def solve_into(problem: QuadraticProblem, values: QuadraticValues) -> None:
    """Write what `solve` returns into these arrays."""
    sizes = dimensions_of(problem, *values.log_det.shape)
    room, address = _room(sizes)
    given, found = _places_of_problem(problem, sizes), _places_of_values(values, sizes)
    _, horizon, n, m, q = sizes
    _backward.backward(given, found, values.failures, room, address, n, m, q, horizon)


def slopes(problem: QuadraticProblem, values: QuadraticValues, start: QuadraticStart) -> QuadraticSlopes:
    """Derivatives of the objectives −(1/τ) E[½ s'P_0 s + p_0's + v_0] over the believed start, times the cotangents.

    Each has the shape of its table: where problems or times share it, it is the sum over them. A problem that could not
    be solved has nan. θ, τ, γ and the start are held fixed.

    Args:
        problem: what `solve` was given.
        values: what it returned.
        start: mean and covariance of the believed start, and the cotangent of each objective.

    Raises:
        InvalidArgument: as for `solve`.
    """
    sizes = dimensions_of(problem, *values.log_det.shape)
    count, horizon, n, m, q = sizes
    found = QuadraticSlopes(
        np.zeros(problem.transition.shape),
        np.zeros(problem.drift.shape),
        np.zeros((*problem.noise_root.shape[:3], n)),
        np.zeros(problem.hessian.shape),
        np.zeros(problem.gradient.shape),
        np.zeros(problem.constant.shape),
        np.zeros(problem.final_hessian.shape),
        np.zeros(problem.final_gradient.shape),
        np.zeros(problem.final_constant.shape),
    )
    solved = _places_of_values(values, sizes)
    begins = (
        _place("mean", start.mean, (n,), _NO_TIME, sizes),
        _place("covariance", start.covariance, (n, n), _NO_TIME, sizes),
        _place("cotangent", start.cotangent, (), _NO_TIME, sizes),
    )
    room, address = _room(sizes)
    read = np.array((*solved[:2], *solved[3:6], *begins), dtype=np.int64)
    given, written = _places_of_problem(problem, sizes), _places_of_slopes(found, sizes)
    _forward.pullback(given, read, written, room, address, count, n, m, q, horizon)
    return found


def dimensions_of(problem: QuadraticProblem, count: int, horizon: int) -> Dimensions:
    """The dimensions of these problems."""
    states, both = problem.transition.shape[2:]
    return Dimensions(count, horizon, states, both - states, problem.noise_root.shape[3])


def _room_for_values(sizes: Dimensions) -> QuadraticValues:
    """Tables in one block of memory: the system gives a large block in large pages, which cost less to touch first."""
    count, horizon, n, m, _ = sizes
    shapes = [(count, horizon + 1, *tail) for tail in ((n, n), (n,), ())]
    shapes += [(count, horizon, *tail) for tail in ((m, n), (m,), (m, m), ())]
    block, begin, tables = np.empty(sum(map(math.prod, shapes))), 0, []
    for shape in shapes:
        tables.append(block[begin : begin + math.prod(shape)].reshape(shape))
        begin += math.prod(shape)
    return QuadraticValues._make([*tables, np.empty((count, 2), dtype=np.int64)])


def _room(sizes: Dimensions) -> tuple[Array, int]:
    """Memory for all matrices of a sweep, and its address, which is a multiple of the size of a vector."""
    _, horizon, n, m, q = sizes
    z = n + m + 1
    vectors = 15 * (z + q + n) ** 2 + SLOTS * z * z + 6 * horizon + 100
    room = np.empty((vectors + 1) * LANES)
    skipped = -room.ctypes.data % BYTES // room.itemsize
    return room[skipped:], room.ctypes.data + room.itemsize * skipped


def _places_of_problem(problem: QuadraticProblem, sizes: Dimensions) -> Array:
    _, _, n, m, q = sizes
    tails = ((n, n + m), (n,), (n, q), (n + m, n + m), (n + m,), (), (n, n), (n,), (), (), (), ())
    times = (*(_ANY_TIME,) * 6, *(_NO_TIME,) * 3, _ANY_TIME, _NO_TIME, _NO_TIME)
    return _table(problem, tails, times, sizes)


def _places_of_slopes(found: QuadraticSlopes, sizes: Dimensions) -> Array:
    _, _, n, m, _ = sizes
    tails = ((n, n + m), (n,), (n, n), (n + m, n + m), (n + m,), (), (n, n), (n,), ())
    return _table(found, tails, (*(_ANY_TIME,) * 6, *(_NO_TIME,) * 3), sizes)


def _places_of_values(values: QuadraticValues, sizes: Dimensions) -> Array:
    count, horizon, n, m, _ = sizes
    tails, failures = ((n, n), (n,), (), (m, n), (m,), (m, m), ()), values.failures
    if failures.shape != (count, 2) or failures.dtype != np.int64 or not failures.flags.c_contiguous:
        raise InvalidArgument(f"`failures` must be contiguous, in int64 and of shape {(count, 2)}.")
    for name, table in zip(values._fields, values[:-1], strict=False):
        if table.shape[0] != count:
            raise InvalidArgument(f"`{name}` must be for {count} problems, but has shape {table.shape}.")
    after = horizon + 1
    return _table(values[:-1], tails, (after, after, after, horizon, horizon, horizon, horizon), sizes)


def _table(tables: Any, tails: tuple[Any, ...], times: tuple[int, ...], sizes: Dimensions) -> Array:
    names = getattr(tables, "_fields", QuadraticValues._fields[:-1])
    places = [_place(*each, sizes) for each in zip(names, tables, tails, times, strict=True)]
    return np.array(places, dtype=np.int64)


def _place(name: str, table: Array, tail: tuple[int, ...], times: int, sizes: Dimensions) -> tuple[int, int, int]:
    """The address of a table and its strides in bytes, by problem and by time; 0 along an axis of length 1."""
    shape, strides, first = table.shape, table.strides, 1 if times == _NO_TIME else 2
    lengths = (sizes.horizon, 1) if times == _ANY_TIME else (times,)
    fits = len(shape) == first + len(tail) and shape[first:] == tail and shape[0] in (1, sizes.problems)
    if not (fits and (times == _NO_TIME or shape[1] in lengths)):
        axes = "" if times == _NO_TIME else f", times of length {' or '.join(map(str, lengths))}"
        raise InvalidArgument(
            f"`{name}` must have 1 or {sizes.problems} problems{axes}, then the shape {tail}, but has shape {shape}."
        )
    if table.dtype != np.float64 or not table.flags.c_contiguous:
        raise InvalidArgument(f"`{name}` must be a contiguous array in float64. Use numpy.ascontiguousarray.")
    by_time = strides[1] if first == 2 and shape[1] > 1 else 0
    # `ctypes.data` is the same address, at three times the cost
    return table.__array_interface__["data"][0], strides[0] if shape[0] > 1 else 0, by_time
