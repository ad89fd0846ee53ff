"""The tables of eight problems as matrices of lanes.

The unknowns of a step are ordered (a, s, 1): actions are eliminated first, and the last one carries what is linear.
"""

from typing import NamedTuple

import numpy as np

from ..compiling import compiled
from .bundles import QuadraticProblem
from .products import gather, mirror, multiply_upper
from .vectors import BYTES, load, read, spread, store

Array = np.ndarray
TRANSITION, DRIFT, ROOT, HESSIAN, GRADIENT, CONSTANT, LAST_HESSIAN, LAST_GRADIENT, LAST_CONSTANT = range(9)
THETA, TEMPERATURE, DISCOUNT = range(9, 12)


class Sizes(NamedTuple):
    """The dimensions: n states, m actions, q noises, z = m + n + 1 unknowns."""

    n: int
    m: int
    q: int
    z: int


class Tables(NamedTuple):
    """The addresses of the matrices of one step."""

    stage: int  # as the arrays have it
    forward: int  # [B A d], (n, z)
    root: int  # L, (n, q)
    root_transposed: int  # (q, n)
    covariance: int  # W, (n, n)
    cost: int  # C, c and 2k, upper triangle, (z, z)
    theta: int
    temperature: int
    discount: int
    zero: int  # a row of zeros


@compiled
def vectors_of_tables(sizes: Sizes) -> int:
    """The number of vectors that `tables_at` places."""
    n, m, q, z = sizes
    return 2 * z * z + 3 * n * z + 2 * n * q + n * n + 2 * (z + q + n) + 16


@compiled
def tables_at(address: int, sizes: Sizes) -> Tables:
    """Tables in consecutive memory."""
    n, m, q, z = sizes
    forward = address + BYTES * (z * z + n * q + 4)
    root = forward + BYTES * n * z
    transposed = root + BYTES * n * q
    covariance = transposed + BYTES * n * q
    cost = covariance + BYTES * n * n
    theta = cost + BYTES * z * z
    return Tables(
        address,
        forward,
        root,
        transposed,
        covariance,
        cost,
        theta,
        theta + BYTES,
        theta + 2 * BYTES,
        theta + 3 * BYTES,
    )


@compiled
def find(places: Array, k: int, address: int, problems: int, times: int, size: int) -> None:
    """Note the address of table k and its strides in bytes, which are 0 along an axis of length 1."""
    places[k, 0] = address
    places[k, 1] = 8 * (size // problems) if problems > 1 else 0
    places[k, 2] = 8 * (size // (problems * times)) if times > 1 else 0


@compiled
def find_all(problem: QuadraticProblem) -> Array:
    """The places of all tables of a problem, (table, 3): address, stride of problems, stride of times."""
    places = np.zeros((12, 3), dtype=np.int64)
    x = problem.transition
    find(places, 0, np.int64(x.ctypes.data), x.shape[0], x.shape[1], x.size)
    x1 = problem.drift
    find(places, 1, np.int64(x1.ctypes.data), x1.shape[0], x1.shape[1], x1.size)
    x = problem.noise_root
    find(places, 2, np.int64(x.ctypes.data), x.shape[0], x.shape[1], x.size)
    x = problem.hessian
    find(places, 3, np.int64(x.ctypes.data), x.shape[0], x.shape[1], x.size)
    x1 = problem.gradient
    find(places, 4, np.int64(x1.ctypes.data), x1.shape[0], x1.shape[1], x1.size)
    x2 = problem.constant
    find(places, 5, np.int64(x2.ctypes.data), x2.shape[0], x2.shape[1], x2.size)
    x1 = problem.final_hessian
    find(places, 6, np.int64(x1.ctypes.data), x1.shape[0], 1, x1.size)
    x2 = problem.final_gradient
    find(places, 7, np.int64(x2.ctypes.data), x2.shape[0], 1, x2.size)
    x3 = problem.final_constant
    find(places, 8, np.int64(x3.ctypes.data), x3.shape[0], 1, x3.size)
    x2 = problem.theta
    find(places, 9, np.int64(x2.ctypes.data), x2.shape[0], x2.shape[1], x2.size)
    x3 = problem.temperature
    find(places, 10, np.int64(x3.ctypes.data), x3.shape[0], 1, x3.size)
    x3 = problem.discount
    find(places, 11, np.int64(x3.ctypes.data), x3.shape[0], 1, x3.size)
    return places


@compiled
def take(target: int, places: Array, k: int, first: int, t: int, last: int, items: int) -> None:
    """Gather table k of problems first … first + last at time t."""
    gather(target, places[k, 0] + first * places[k, 1] + t * places[k, 2], places[k, 1], last, items)


@compiled
def take_constants(tables: Tables, places: Array, sizes: Sizes, first: int, last: int) -> None:
    """Read what has no time."""
    take(tables.temperature, places, TEMPERATURE, first, 0, last, 1)
    take(tables.discount, places, DISCOUNT, first, 0, last, 1)
    for j in range(sizes.z + sizes.q + sizes.n):
        store(tables.zero + BYTES * j, spread(0.0))


@compiled
def take_step(tables: Tables, places: Array, sizes: Sizes, first: int, t: int, last: int, begins: bool) -> bool:
    """Read the tables of time t that are not read yet; whether any θ is not 0."""
    n, m, q, z = sizes
    stage, twice = tables.stage, spread(2.0)
    if begins or places[TRANSITION, 2] > 0:
        take(stage, places, TRANSITION, first, t, last, n * (n + m))
        for i in range(n):
            here, there = tables.forward + BYTES * i * z, stage + BYTES * i * (n + m)
            for j in range(m):
                store(here + BYTES * j, load(there + BYTES * (n + j)))
            for j in range(n):
                store(here + BYTES * (m + j), load(there + BYTES * j))
    if begins or places[DRIFT, 2] > 0:
        take(stage, places, DRIFT, first, t, last, n)
        for i in range(n):
            store(tables.forward + BYTES * (i * z + z - 1), load(stage + BYTES * i))
    if q > 0 and (begins or places[ROOT, 2] > 0):
        take(tables.root, places, ROOT, first, t, last, n * q)
        for i in range(n):
            for j in range(q):
                store(tables.root_transposed + BYTES * (j * n + i), load(tables.root + BYTES * (i * q + j)))
    if begins or places[ROOT, 2] > 0:
        across, down = tables.root_transposed, BYTES * n
        multiply_upper(tables.covariance, down, tables.zero, 0, across, BYTES, down, across, down, n, q, n)
        mirror(tables.covariance, down, n)
    if begins or places[HESSIAN, 2] > 0:
        take(stage, places, HESSIAN, first, t, last, (n + m) * (n + m))
        for i in range(n + m):
            there = stage + BYTES * ((n + i if i < m else i - m) * (n + m))
            for j in range(i, n + m):
                store(tables.cost + BYTES * (i * z + j), load(there + BYTES * (n + j if j < m else j - m)))
    if begins or places[GRADIENT, 2] > 0:
        take(stage, places, GRADIENT, first, t, last, n + m)
        for i in range(n + m):
            store(tables.cost + BYTES * (i * z + z - 1), load(stage + BYTES * (n + i if i < m else i - m)))
    if begins or places[CONSTANT, 2] > 0:
        take(stage, places, CONSTANT, first, t, last, 1)
        store(tables.cost + BYTES * (z * z - 1), twice * load(stage))
    if begins or places[THETA, 2] > 0:
        take(tables.theta, places, THETA, first, t, last, 1)
    for lane in range(last + 1):
        if read(tables.theta + 8 * lane) != 0:
            return True
    return False
