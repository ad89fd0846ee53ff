"""The tables of eight problems as matrices of lanes.

The unknowns of a step are ordered (a, s, 1): actions are eliminated first, and the last one carries what is linear.
"""

from typing import NamedTuple

import numpy as np

from ..compiling import compiled
from .products import gather, mirror, multiply_upper, scatter
from .vectors import BYTES, load, read, spread, store

Array = np.ndarray
SLOTS = 16  # times that are read and written together: long runs, which are still in the cache


class Place(NamedTuple):
    """Where a table is: its address, and its strides in bytes, which are 0 along an axis of length 1."""

    address: int
    by_problem: int
    by_time: int


class Places(NamedTuple):
    """The places of the fields of `QuadraticProblem`."""

    transition: Place
    drift: Place
    noise_root: Place
    hessian: Place
    gradient: Place
    constant: Place
    final_hessian: Place
    final_gradient: Place
    final_constant: Place
    theta: Place
    temperature: Place
    discount: Place


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
    end: int


@compiled
def tables_at(address: int, sizes: Sizes) -> Tables:
    """Tables in consecutive memory."""
    n, q, z = sizes.n, sizes.q, sizes.z
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
        theta + BYTES * (3 + z + q + n),
    )


@compiled
def place(x: Array, i: int) -> Place:
    """The place in row i of a table (field, 3)."""
    return Place(x[i, 0], x[i, 1], x[i, 2])


@compiled
def places_of(x: Array) -> Places:
    """The places of a problem, from a table (field, 3)."""
    return Places(
        place(x, 0),
        place(x, 1),
        place(x, 2),
        place(x, 3),
        place(x, 4),
        place(x, 5),
        place(x, 6),
        place(x, 7),
        place(x, 8),
        place(x, 9),
        place(x, 10),
        place(x, 11),
    )


@compiled
def take(target: int, place: Place, first: int, t: int, last: int, items: int) -> None:
    """Gather the table at this place, of problems first … first + last at time t."""
    gather(target, place.address + first * place.by_problem + t * place.by_time, place.by_problem, last, items)


@compiled
def put(source: int, place: Place, first: int, t: int, last: int, items: int) -> None:
    """Scatter to the table at this place, of problems first … first + last from time t."""
    scatter(source, place.address + first * place.by_problem + t * place.by_time, place.by_problem, last, items)


@compiled
def take_constants(tables: Tables, places: Places, sizes: Sizes, first: int, last: int) -> None:
    """Read what has no time."""
    start, one = np.int64(0), np.int64(1)
    take(tables.temperature, places.temperature, first, start, last, one)
    take(tables.discount, places.discount, first, start, last, one)
    for j in range(sizes.z + sizes.q + sizes.n):
        store(tables.zero + BYTES * j, spread(0.0))


@compiled
def take_step(tables: Tables, places: Places, sizes: Sizes, first: int, t: int, last: int, begins: bool) -> bool:
    """Read the tables of time t that are not read yet; whether any θ is not 0."""
    n, m, q, z = sizes
    stage, twice, one = tables.stage, spread(2.0), np.int64(1)
    if begins or places.transition.by_time > 0:
        take(stage, places.transition, first, t, last, n * (n + m))
        for i in range(n):
            here, there = tables.forward + BYTES * i * z, stage + BYTES * i * (n + m)
            for j in range(m):
                store(here + BYTES * j, load(there + BYTES * (n + j)))
            for j in range(n):
                store(here + BYTES * (m + j), load(there + BYTES * j))
    if begins or places.drift.by_time > 0:
        take(stage, places.drift, first, t, last, n)
        for i in range(n):
            store(tables.forward + BYTES * (i * z + z - 1), load(stage + BYTES * i))
    if q > 0 and (begins or places.noise_root.by_time > 0):
        take(tables.root, places.noise_root, first, t, last, n * q)
        for i in range(n):
            for j in range(q):
                store(tables.root_transposed + BYTES * (j * n + i), load(tables.root + BYTES * (i * q + j)))
    if begins or places.noise_root.by_time > 0:
        across, down = tables.root_transposed, BYTES * n
        none, vector = np.int64(0), np.int64(BYTES)
        multiply_upper(tables.covariance, down, tables.zero, none, across, vector, down, across, down, n, q, n)
        mirror(tables.covariance, down, n)
    if begins or places.hessian.by_time > 0:
        take(stage, places.hessian, first, t, last, (n + m) * (n + m))
        for i in range(n + m):
            there = stage + BYTES * ((n + i if i < m else i - m) * (n + m))
            for j in range(i, n + m):
                store(tables.cost + BYTES * (i * z + j), load(there + BYTES * (n + j if j < m else j - m)))
    if begins or places.gradient.by_time > 0:
        take(stage, places.gradient, first, t, last, n + m)
        for i in range(n + m):
            store(tables.cost + BYTES * (i * z + z - 1), load(stage + BYTES * (n + i if i < m else i - m)))
    if begins or places.constant.by_time > 0:
        take(stage, places.constant, first, t, last, one)
        store(tables.cost + BYTES * (z * z - 1), twice * load(stage))
    if begins or places.theta.by_time > 0:
        take(tables.theta, places.theta, first, t, last, one)
    soft = False
    for lane in range(last + 1):
        soft |= read(tables.theta + 8 * lane) != 0
    return soft
