"""The backward sweep: values and policies of many problems, eight side by side."""

from typing import NamedTuple

import numpy as np

from ..bundles import Plain
from ..compiling import compiled, entry
from ..vector_math import log, log1p
from .bundles import BROKEN, NOT_CONCAVE, NOT_FINITE, QuadraticProblem, QuadraticValues
from .products import eliminate, multiply, multiply_upper, scatter
from .reading import (
    LAST_CONSTANT,
    LAST_GRADIENT,
    LAST_HESSIAN,
    Sizes,
    Tables,
    find,
    find_all,
    tables_at,
    take,
    take_constants,
    take_step,
    vectors_of_tables,
)
from .vectors import BYTES, LANES, fused, load, not_above, read, spread, store, write

Array = np.ndarray
_LARGE = 1e100
_P, _SMALL_P, _V, _GAIN, _OFFSET, _INVERSE, _LOG_DET = range(7)


class Room(NamedTuple):
    """The addresses of the matrices of the recursion."""

    soft: int  # [[L'PL, L'P, L'p], [., P, p], [., ., 0]], (q + n + 1, q + n + 1): P and p are γ times those of t + 1
    scaled: int  # of the eliminations
    inverse: int
    ahead: int  # R = P~ [B A d] + [0 0 p~], (n, z)
    hessian: int  # H, h and twice the constant, with m columns for the inverse, (z, z + m)
    gain: int  # −[K κ Haa⁻¹], (m, n + 1 + m)
    flat: int  # P, then p, as they are written
    gains: int  # K, κ, Haa⁻¹, as they are written
    rest: int  # (time,): what v adds to γ v of the next time, but for the logarithms
    excess: int  # (time,): E with det (I + θ L'PL) = 1 + θE
    product: int  # (time,): det Haa, but for the factors that log_det has
    log_det: int  # (time,)
    constant: int  # (time and last,)


@compiled
def room_at(address: int, sizes: Sizes, horizon: int) -> Room:
    """Matrices in consecutive memory."""
    n, m, q, z = sizes
    wide = q + n + 1
    scaled = address + BYTES * wide * wide
    inverse = scaled + BYTES * max(wide * wide, z * (z + m))
    ahead = inverse + BYTES * max(q, m)
    hessian = ahead + BYTES * n * z
    gain = hessian + BYTES * z * (z + m)
    flat = gain + BYTES * m * (n + 1 + m)
    gains = flat + BYTES * n * (n + 1)
    rest = gains + BYTES * m * (n + 1 + m)
    step = BYTES * horizon
    return Room(
        *(address, scaled, inverse, ahead, hessian, gain, flat, gains),
        *(rest, rest + step, rest + 2 * step, rest + 3 * step, rest + 4 * step),
    )


@compiled
def vectors_of_room(sizes: Sizes, horizon: int) -> int:
    """The number of vectors that `room_at` places."""
    n, m, q, z = sizes
    wide = q + n + 1
    return 2 * wide * wide + 2 * z * (z + m) + q + m + n * z + 2 * m * (n + 1 + m) + n * (n + 1) + 5 * horizon + 1


@compiled
def half_log(theta: float, excess: float) -> float:
    """log(1 + θE)/(2θ), with all its digits near θ = 0, where it is E/2."""
    u = theta * excess
    series = 1.0 + u * (-0.5 + u * (1.0 / 3 - 0.25 * u))
    ratio = log1p(u) / (1.0 if abs(u) < 1e-5 else u)
    return 0.5 * excess * (series if abs(u) < 1e-5 else ratio)


@compiled
def soften(tables: Tables, room: Room, sizes: Sizes, t: int) -> int:
    """The certainty equivalent over the noise: P and p of `room.soft` become P~ and p~. Lanes that break down, as bits."""
    n, m, q, z = sizes
    pitch = BYTES * (q + n + 1)
    across, value = room.soft + BYTES * q, room.soft + q * (pitch + BYTES)
    multiply(across, pitch, tables.zero, 0, tables.root, BYTES, BYTES * q, value, pitch, q, n, n + 1)
    multiply_upper(room.soft, pitch, tables.zero, 0, across, pitch, BYTES, tables.root, BYTES * q, q, n, q)
    astray = eliminate(
        *(room.soft, pitch, room.scaled, room.inverse, q, q + n + 1, q + n + 1, tables.theta, 1.0),
    )
    for i in range(1, n):
        for j in range(i):
            store(value + i * pitch + j * BYTES, load(value + j * pitch + i * BYTES))
    theta, one = load(tables.theta), spread(1.0)
    low, high, excess = spread(1.0 / _LARGE), spread(_LARGE), spread(0.0)
    for j in range(q):
        e = load(room.soft + j * (pitch + BYTES))
        excess = excess + fused(theta * excess, e, e)
        grown = fused(theta, excess, one)
        if (not_above(grown, low) | not_above(high, grown)) != 0:  # a logarithm now, before it leaves the range
            store(room.excess + BYTES * t, excess)
            for lane in range(LANES):
                to = room.rest + BYTES * t + 8 * lane
                write(to, read(to) + half_log(read(tables.theta + 8 * lane), read(room.excess + BYTES * t + 8 * lane)))
            excess = spread(0.0)
    store(room.excess + BYTES * t, excess)
    return astray


@compiled
def average(tables: Tables, room: Room, sizes: Sizes, t: int) -> None:
    """The mean over the noise, θ = 0: P and p stay, and E = tr(W P)."""
    n, m, q, z = sizes
    pitch, total = BYTES * (q + n + 1), spread(0.0)
    value = room.soft + q * (pitch + BYTES)
    for i in range(n):
        for j in range(n):
            total = fused(load(tables.covariance + BYTES * (i * n + j)), load(value + i * pitch + BYTES * j), total)
    store(room.excess + BYTES * t, total)


@compiled
def choose(tables: Tables, room: Room, sizes: Sizes, t: int) -> int:
    """One step back from P~ and p~: `room.gains` and `room.flat`. Lanes where Haa is not positive, as bits."""
    n, m, q, z = sizes
    wide, pitch, row = BYTES * (q + n + 1), BYTES * (z + m), BYTES * z
    value, ahead, hessian = room.soft + q * (wide + BYTES), room.ahead, room.hessian
    zero, one, half = spread(0.0), spread(1.0), spread(0.5)
    multiply(ahead, row, tables.zero, 0, value, wide, BYTES, tables.forward, row, n, n, z)
    corner = load(value + n * (wide + BYTES))
    for i in range(n):
        linear, there = load(value + i * wide + n * BYTES), ahead + i * row + BYTES * (z - 1)
        store(there, load(there) + linear)
        corner = fused(linear, load(tables.forward + i * row + BYTES * (z - 1)), corner)
    multiply_upper(hessian, pitch, tables.cost, row, tables.forward, BYTES, row, ahead, row, z, n, z)
    for i in range(m):
        for j in range(m):
            store(hessian + i * pitch + BYTES * (z + j), one if i == j else zero)
    astray = eliminate(
        *(hessian, pitch, room.scaled, room.inverse, m, z, z + m, tables.zero - BYTES, 0.0),
    )
    product, low, high = one, spread(1.0 / _LARGE), spread(_LARGE)
    for j in range(m):
        product = product * load(hessian + j * (pitch + BYTES))
        if (not_above(product, low) | not_above(high, product)) != 0:
            store(room.product + BYTES * t, product)
            for lane in range(LANES):
                to = room.log_det + BYTES * t + 8 * lane
                write(to, read(to) + log(read(room.product + BYTES * t + 8 * lane)))
            product = one
    store(room.product + BYTES * t, product)
    cols = n + 1 + m
    multiply(
        *(room.gain, BYTES * cols, tables.zero, 0, room.scaled + row, BYTES, pitch, hessian + BYTES * m, pitch),
        *(m, m, cols),
    )
    for i in range(m):
        here = room.gain + BYTES * i * cols
        for j in range(n):
            store(room.gains + BYTES * (i * n + j), zero - load(here + BYTES * j))
        store(room.gains + BYTES * (m * n + i), zero - load(here + BYTES * n))
        for j in range(m):
            store(room.gains + BYTES * (m * n + m + i * m + j), zero - load(here + BYTES * (n + 1 + j)))
    here = hessian + m * (pitch + BYTES)
    for i in range(n):
        for j in range(i, n):
            x = load(here + i * pitch + BYTES * j)
            store(room.flat + BYTES * (i * n + j), x)
            store(room.flat + BYTES * (j * n + i), x)
        store(room.flat + BYTES * (n * n + i), load(here + i * pitch + BYTES * n))
    rest = room.rest + BYTES * t
    store(rest, load(rest) + half * (corner + load(here + n * (pitch + BYTES))))
    return astray


@compiled
def look_ahead(tables: Tables, room: Room, sizes: Sizes) -> None:
    """P and p of the next step times γ, into `room.soft`."""
    n, m, q, z = sizes
    wide, discount = BYTES * (q + n + 1), load(tables.discount)
    value = room.soft + q * (wide + BYTES)
    for i in range(n):
        for j in range(n):
            store(value + i * wide + BYTES * j, discount * load(room.flat + BYTES * (i * n + j)))
        store(value + i * wide + BYTES * n, discount * load(room.flat + BYTES * (n * n + i)))
    store(value + n * (wide + BYTES), spread(0.0))


@compiled
def note(found: QuadraticValues, room: Room, lanes: int, code: int, first: int, last: int, t: int) -> None:
    """Write the status of problems that fail at time t, and nan into all that follows from it."""
    for lane in range(last + 1):
        if (lanes >> lane) & 1 and found.status[first + lane] == 0:
            found.status[first + lane], found.failed_at[first + lane] = code, t


@entry
def backward(problem: Plain, values: Plain) -> None:
    """Solve all problems: write `QuadraticValues` from `QuadraticProblem`, both as plain tuples.

    A problem whose certainty equivalent over the noise is unbounded (I + θL'PL is not positive definite: BROKEN), or
    whose Haa is not positive definite (NOT_CONCAVE), has nan from there backwards; its status and time say so.
    """
    given, found = QuadraticProblem(*problem), QuadraticValues(*values)
    count, horizon, n, m = found.hessian.shape[0], found.gain.shape[1], found.hessian.shape[2], found.gain.shape[2]
    sizes = Sizes(n, m, given.noise_root.shape[3], m + n + 1)
    inputs, outputs = find_all(given), np.zeros((7, 3), dtype=np.int64)
    x4, x3, x2 = found.hessian, found.gradient, found.constant
    find(outputs, _P, np.int64(x4.ctypes.data), count, horizon + 1, x4.size)
    find(outputs, _SMALL_P, np.int64(x3.ctypes.data), count, horizon + 1, x3.size)
    find(outputs, _V, np.int64(x2.ctypes.data), count, 1, x2.size)
    x4, x3, x2 = found.gain, found.offset, found.log_det
    find(outputs, _GAIN, np.int64(x4.ctypes.data), count, horizon, x4.size)
    find(outputs, _OFFSET, np.int64(x3.ctypes.data), count, horizon, x3.size)
    find(outputs, _LOG_DET, np.int64(x2.ctypes.data), count, 1, x2.size)
    x4 = found.inverse
    find(outputs, _INVERSE, np.int64(x4.ctypes.data), count, horizon, x4.size)
    before = vectors_of_tables(sizes) + 1
    work = np.empty((before + vectors_of_room(sizes, horizon)) * LANES + LANES)
    address = np.int64(work.ctypes.data)
    address += -address % BYTES
    tables = tables_at(address, sizes)
    room = room_at(address + BYTES * before, sizes, horizon)
    for first in range(0, count, LANES):
        sweep(found, inputs, outputs, tables, room, sizes, horizon, first, min(LANES, count - first) - 1)
    work[0] = 0.0  # keeps it alive until here


@compiled
def put(source: int, places: Array, k: int, first: int, t: int, last: int, items: int) -> None:
    """Scatter to table k of problems first … first + last at time t."""
    scatter(source, places[k, 0] + first * places[k, 1] + t * places[k, 2], places[k, 1], last, items)


@compiled
def sweep(
    found: QuadraticValues,
    inputs: Array,
    outputs: Array,
    tables: Tables,
    room: Room,
    sizes: Sizes,
    horizon: int,
    first: int,
    last: int,
) -> None:
    """Solve the problems first … first + last."""
    n, m, q, z = sizes
    take_constants(tables, inputs, sizes, first, last)
    store(tables.zero - BYTES, spread(1.0))
    for t in range(horizon):
        store(room.rest + BYTES * t, spread(0.0))
        store(room.log_det + BYTES * t, spread(0.0))
    take(room.flat, inputs, LAST_HESSIAN, first, 0, last, n * n)
    take(room.flat + BYTES * n * n, inputs, LAST_GRADIENT, first, 0, last, n)
    take(room.constant + BYTES * horizon, inputs, LAST_CONSTANT, first, 0, last, 1)
    for lane in range(last + 1):
        found.status[first + lane], found.failed_at[first + lane] = 0, -1
    thetas = room.rest  # replaced below
    for t in range(horizon, -1, -1):
        if t < horizon:
            soft = take_step(tables, inputs, sizes, first, t, last, t == horizon - 1)
            look_ahead(tables, room, sizes)
            if soft:
                lanes = soften(tables, room, sizes, t)
                if lanes != 0:
                    note(found, room, lanes, BROKEN, first, last, t)
            else:
                average(tables, room, sizes, t)
            lanes = choose(tables, room, sizes, t)
            if lanes != 0:
                note(found, room, lanes, NOT_CONCAVE, first, last, t)
            finish_step(tables, room, t)
            put(room.gains, outputs, _GAIN, first, t, last, m * n)
            put(room.gains + BYTES * m * n, outputs, _OFFSET, first, t, last, m)
            put(room.gains + BYTES * m * (n + 1), outputs, _INVERSE, first, t, last, m * m)
        put(room.flat, outputs, _P, first, t, last, n * n)
        put(room.flat + BYTES * n * n, outputs, _SMALL_P, first, t, last, n)
    put(room.log_det, outputs, _LOG_DET, first, 0, last, horizon)
    put(room.constant, outputs, _V, first, 0, last, horizon + 1)
    for lane in range(last + 1):
        if not np.isfinite(read(room.constant + 8 * lane)) and found.status[first + lane] == 0:
            found.status[first + lane], found.failed_at[first + lane] = NOT_FINITE, 0


@compiled
def finish_step(tables: Tables, room: Room, t: int) -> None:
    """Write v and log det Haa of time t."""
    here = BYTES * t
    for lane in range(LANES):
        at = here + 8 * lane
        log_det = read(room.log_det + at) + log(read(room.product + at))
        write(room.log_det + at, log_det)
        noise = half_log(read(tables.theta + 8 * lane), read(room.excess + at))
        now = read(room.rest + at) + noise + 0.5 * read(tables.temperature + 8 * lane) * log_det
        write(room.constant + at, now + read(tables.discount + 8 * lane) * read(room.constant + at + BYTES))
