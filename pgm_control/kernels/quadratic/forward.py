"""The forward sweep: derivatives of the objectives with respect to all tables.

By the envelope theorem they need only the optimal policy and the believed dynamics: see `moments`.
"""

from typing import NamedTuple

import numpy as np

from ..compiling import compiled, entry
from .moments import Room, read_step, room_at, soften, step
from .products import mirror
from .reading import SLOTS, Place, Sizes, place, places_of, put, tables_at, take, take_constants, take_step
from .vectors import BYTES, LANES, fused, load, read, spread, store, write

Array = np.ndarray


class Given(NamedTuple):
    """The places of the values, policies and start that are read."""

    hessian: Place
    gradient: Place
    gain: Place
    offset: Place
    inverse: Place
    mean: Place
    covariance: Place
    cotangent: Place


class Written(NamedTuple):
    """The places of the fields of `QuadraticSlopes`."""

    transition: Place
    drift: Place
    covariance: Place
    hessian: Place
    gradient: Place
    constant: Place
    final_hessian: Place
    final_gradient: Place
    final_constant: Place


@compiled
def deliver(source: int, place: Place, first: int, t: int, last: int, items: int) -> None:
    """Write the derivatives of each problem, or add their sum to a table that all problems share; then forget them."""
    if place.by_problem > 0:
        put(source, place, first, t, last, items)
    else:
        for i in range(items):
            at, total = place.address + t * place.by_time + 8 * i, 0.0
            for lane in range(last + 1):
                total += read(source + BYTES * i + 8 * lane)
            write(at, read(at) + total)


@compiled
def write_step(room: Room, places: Written, sizes: Sizes, first: int, t: int, last: int, ends: bool) -> None:
    """Write the sums into the tables that have a time, or into all at the end, and set them to 0."""
    n, m, z = sizes.n, sizes.m, sizes.z
    zero, stage, one = spread(0.0), room.stage, np.int64(1)
    if ends or places.transition.by_time > 0:
        for i in range(n):
            for j in range(n + m):
                at = room.by_transition + BYTES * (i * z + (m + j if j < n else j - n))
                store(stage + BYTES * (i * (n + m) + j), load(at))
                store(at, zero)
        deliver(stage, places.transition, first, t, last, n * (n + m))
    if ends or places.drift.by_time > 0:
        for i in range(n):
            at = room.by_transition + BYTES * (i * z + z - 1)
            store(stage + BYTES * i, load(at))
            store(at, zero)
        deliver(stage, places.drift, first, t, last, n)
    if ends or places.covariance.by_time > 0:
        mirror(room.by_covariance, BYTES * n, n)
        deliver(room.by_covariance, places.covariance, first, t, last, n * n)
        for i in range(n * n):
            store(room.by_covariance + BYTES * i, zero)
    if ends or places.hessian.by_time > 0:
        for i in range(n + m):
            k = m + i if i < n else i - n
            for j in range(n + m):
                o = m + j if j < n else j - n
                at = room.by_moments + BYTES * (min(k, o) * z + max(k, o))
                store(stage + BYTES * (i * (n + m) + j), load(at))
        for k in range(n + m):
            for o in range(k, n + m):
                store(room.by_moments + BYTES * (k * z + o), zero)
        deliver(stage, places.hessian, first, t, last, (n + m) * (n + m))
    if ends or places.gradient.by_time > 0:
        for i in range(n + m):
            at = room.by_moments + BYTES * ((m + i if i < n else i - n) * z + z - 1)
            store(stage + BYTES * i, load(at) + load(at))
            store(at, zero)
        deliver(stage, places.gradient, first, t, last, n + m)
    if ends or places.constant.by_time > 0:
        at = room.by_moments + BYTES * (z * z - 1)
        store(stage, load(at) + load(at))
        store(at, zero)
        deliver(stage, places.constant, first, t, last, one)


@entry
def pullback(
    problem: Array,
    values: Array,
    slopes: Array,
    work: Array,
    address: int,
    count: int,
    n: int,
    m: int,
    q: int,
    horizon: int,
) -> None:
    """Write `QuadraticSlopes` of the objective, in nats, from a solved problem and its believed start.

    The objective of each problem is −(1/τ) E[½ s'P_0 s + p_0's + v_0] over the start; its derivatives are times the
    cotangent. Tables whose first axis has length 1 get the sum over the problems, and those whose time has length 1
    the sum over time. All are tables of places; the slopes are filled with 0 by the caller.
    `work` has room for the vectors of `tables_at` and `room_at` from `address` on.
    """
    z = m + n + 1
    sizes, places, one = Sizes(n, m, q, z), places_of(problem), np.int64(1)
    read_from = Given(
        place(values, 0),
        place(values, 1),
        place(values, 2),
        place(values, 3),
        place(values, 4),
        place(values, 5),
        place(values, 6),
        place(values, 7),
    )
    written = Written(
        place(slopes, 0),
        place(slopes, 1),
        place(slopes, 2),
        place(slopes, 3),
        place(slopes, 4),
        place(slopes, 5),
        place(slopes, 6),
        place(slopes, 7),
        place(slopes, 8),
    )
    tables = tables_at(address, sizes)
    room = room_at(tables.end, sizes)
    start, row, zero = np.int64(0), BYTES * z, spread(0.0)
    for first in range(0, count, LANES):
        last = min(LANES, count - first) - 1
        take_constants(tables, places, sizes, first, last)
        take(room.weight, read_from.cotangent, first, start, last, one)
        store(room.weight, load(room.weight) / load(tables.temperature))
        take(room.stage, read_from.mean, first, start, last, n)
        take(room.stage + BYTES * n, read_from.covariance, first, start, last, n * n)
        here = room.moments + m * (row + BYTES)
        for i in range(n):
            x = load(room.stage + BYTES * i)
            store(here + i * row + BYTES * n, x)
            store(here + n * row + BYTES * i, x)
            for j in range(n):
                at = room.stage + BYTES * (n + i * n + j)
                store(here + i * row + BYTES * j, fused(x, load(room.stage + BYTES * j), load(at)))
        store(here + n * (row + BYTES), spread(1.0))
        for i in range(n * z + z * z + n * n):
            store(room.by_transition + BYTES * i, zero)
        for t in range(horizon):
            slot = t % SLOTS
            if slot == 0:
                slots = min(SLOTS, horizon - t)
                take(room.value, read_from.hessian, first, t + 1, last, slots * n * n)
                take(room.slope, read_from.gradient, first, t + 1, last, slots * n)
                take(room.gain, read_from.gain, first, t, last, slots * m * n)
                take(room.offset, read_from.offset, first, t, last, slots * m)
                take(room.inverse_hessian, read_from.inverse, first, t, last, slots * m * m)
            soft = take_step(tables, places, sizes, first, t, last, t == 0)
            read_step(room, tables, sizes, slot)
            if soft:
                soften(tables, room, sizes)
            step(tables, room, sizes, soft)
            write_step(room, written, sizes, first, t, last, t == horizon - 1)
        weight = load(room.weight)
        half = spread(-0.5) * weight
        for i in range(n):
            for j in range(n):
                store(room.stage + BYTES * (i * n + j), half * load(here + i * row + BYTES * j))
        deliver(room.stage, written.final_hessian, first, start, last, n * n)
        for i in range(n):
            store(room.stage + BYTES * i, zero - weight * load(here + i * row + BYTES * n))
        deliver(room.stage, written.final_gradient, first, start, last, n)
        store(room.stage, zero - weight)
        deliver(room.stage, written.final_constant, first, start, last, one)
