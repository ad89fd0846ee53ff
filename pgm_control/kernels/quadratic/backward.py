"""The backward sweep: values and policies of many problems, eight side by side."""

from typing import NamedTuple

import numpy as np

from ..compiling import compiled, entry
from ..vector_math import log, log1p
from .bundles import BROKEN, NOT_CONCAVE, NOT_FINITE
from .products import eliminate, mirror, multiply, multiply_upper
from .reading import (
    SLOTS,
    Place,
    Sizes,
    Tables,
    place,
    places_of,
    put,
    tables_at,
    take,
    take_constants,
    take_step,
)
from .vectors import BYTES, LANES, fused, load, not_above, read, spread, store, write

Array = np.ndarray
_LARGE = 1e100


class Results(NamedTuple):
    """The places of the fields of `QuadraticValues`."""

    hessian: Place
    gradient: Place
    constant: Place
    gain: Place
    offset: Place
    inverse: Place
    log_det: Place


class Room(NamedTuple):
    """The addresses of the matrices of the recursion; those with a slot for a time have `SLOTS`."""

    soft: int  # [[L'PL, L'P, L'p], [., P, p], [., ., 0]], (q + n + 1, q + n + 1): P and p are γ times those of t + 1
    scaled: int  # of the eliminations
    inverse: int
    ahead: int  # R = P~ [B A d] + [0 0 p~], (n, z)
    hessian: int  # H, h and twice the constant, with m columns for the inverse, (z, z + m)
    policy: int  # −[K κ Haa⁻¹], (m, n + 1 + m)
    one: int
    value: int  # P, (slot, n, n)
    slope: int  # p, (slot, n)
    gain: int  # K, (slot, m, n)
    offset: int  # κ, (slot, m)
    covariance: int  # Haa⁻¹, (slot, m, m)
    theta: int  # (time,)
    rest: int  # (time,): what v adds to γ v of the next time, but for the logarithms
    excess: int  # (time,): E with det (I + θ L'PL) = 1 + θE
    product: int  # (time,): det Haa, but for the factors that log_det has
    log_det: int  # (time,)
    constant: int  # (time and last,)


class Value(NamedTuple):
    """Where P and p of the next time are."""

    hessian: int
    pitch: int
    gradient: int
    step: int | np.int64
    corner: int  # twice the constant


@compiled
def room_at(address: int, sizes: Sizes, horizon: int) -> Room:
    """Matrices in consecutive memory."""
    n, m, q, z = sizes
    wide, slot = q + n + 1, BYTES * SLOTS
    scaled = address + BYTES * wide * wide
    inverse = scaled + BYTES * (wide * wide + z * (z + m))
    ahead = inverse + BYTES * (q + m)
    hessian = ahead + BYTES * n * z
    policy = hessian + BYTES * z * (z + m)
    one = policy + BYTES * m * (n + 1 + m)
    value = one + BYTES
    slope = value + slot * n * n
    gain = slope + slot * n
    offset = gain + slot * m * n
    covariance = offset + slot * m
    theta, step = covariance + slot * m * m, BYTES * horizon
    return Room(
        *(address, scaled, inverse, ahead, hessian, policy, one, value, slope, gain, offset, covariance),
        *(theta, theta + step, theta + 2 * step, theta + 3 * step, theta + 4 * step, theta + 5 * step),
    )


@compiled
def half_log(u: float, excess: float, log1p_u: float) -> float:
    """log(1 + u)/(2θ) with u = θE, with all its digits near θ = 0, where it is E/2."""
    near = abs(u) < 1e-5
    series = 1.0 + u * (-0.5 + u * (1.0 / 3 - 0.25 * u))
    ratio = log1p_u / (1.0 if near else u)
    return 0.5 * excess * (series if near else ratio)


@compiled
def look_ahead(tables: Tables, room: Room, sizes: Sizes, slot: int) -> Value:
    """P and p of this slot times γ, into `room.soft`."""
    n, q = sizes.n, sizes.q
    wide, discount = BYTES * (q + n + 1), load(tables.discount)
    value, flat = room.soft + q * (wide + BYTES), room.value + BYTES * slot * n * n
    for i in range(n):
        for j in range(n):
            store(value + i * wide + BYTES * j, discount * load(flat + BYTES * (i * n + j)))
        store(value + i * wide + BYTES * n, discount * load(room.slope + BYTES * (slot * n + i)))
    corner = value + n * (wide + BYTES)
    store(corner, spread(0.0))
    return Value(value, wide, value + BYTES * n, wide, corner)


@compiled
def soften(tables: Tables, room: Room, sizes: Sizes, t: int) -> int:
    """The certainty equivalent over the noise: P and p of `room.soft` become P~ and p~. Lanes that break, as bits."""
    n, q = sizes.n, sizes.q
    pitch = BYTES * (q + n + 1)
    across, value = room.soft + BYTES * q, room.soft + q * (pitch + BYTES)
    none, vector = np.int64(0), np.int64(BYTES)
    multiply(across, pitch, tables.zero, none, tables.root, vector, BYTES * q, value, pitch, q, n, n + 1)
    multiply_upper(room.soft, pitch, tables.zero, none, across, pitch, vector, tables.root, BYTES * q, q, n, q)
    astray = eliminate(
        *(room.soft, pitch, room.scaled, room.inverse, q, q + n + 1, q + n + 1, tables.theta, 1.0),
    )
    mirror(value, pitch, n)
    theta, one = load(tables.theta), spread(1.0)
    low, high, excess = spread(1.0 / _LARGE), spread(_LARGE), spread(0.0)
    for j in range(q):
        e = load(room.soft + j * (pitch + BYTES))
        excess = excess + fused(theta * excess, e, e)
        grown = fused(theta, excess, one)
        if (not_above(grown, low) | not_above(high, grown)) != 0:  # a logarithm now, before it leaves the range
            store(room.excess + BYTES * t, excess)
            for lane in range(LANES):
                to, e = room.rest + BYTES * t + 8 * lane, read(room.excess + BYTES * t + 8 * lane)
                u = read(tables.theta + 8 * lane) * e
                write(to, read(to) + half_log(u, e, log1p(u)))
            excess = spread(0.0)
    store(room.excess + BYTES * t, excess)
    return astray


@compiled
def average(tables: Tables, room: Room, sizes: Sizes, after: Value, t: int) -> None:
    """The mean over the noise, θ = 0: P and p stay, and E = tr(W P)."""
    n, value, pitch, total = sizes.n, after.hessian, after.pitch, spread(0.0)
    for i in range(n):
        for j in range(n):
            total = fused(load(tables.covariance + BYTES * (i * n + j)), load(value + i * pitch + BYTES * j), total)
    store(room.excess + BYTES * t, total)


@compiled
def choose(tables: Tables, room: Room, sizes: Sizes, after: Value, slot: int, t: int) -> int:
    """One step back from P~ and p~, to slots of P, p and the policy. Lanes where Haa is not positive, as bits."""
    n, m, z = sizes.n, sizes.m, sizes.z
    value, wide, slope, apart, corner = after
    pitch, row, ahead, hessian = BYTES * (z + m), BYTES * z, room.ahead, room.hessian
    zero, one, half = spread(0.0), spread(1.0), spread(0.5)
    none, vector = np.int64(0), np.int64(BYTES)
    multiply(ahead, row, tables.zero, none, value, wide, vector, tables.forward, row, n, n, z)
    shift = load(corner)
    for i in range(n):
        linear, there = load(slope + i * apart), ahead + i * row + BYTES * (z - 1)
        store(there, load(there) + linear)
        shift = fused(linear, load(tables.forward + i * row + BYTES * (z - 1)), shift)
    multiply_upper(hessian, pitch, tables.cost, row, tables.forward, vector, row, ahead, row, z, n, z)
    for i in range(m):
        for j in range(m):
            store(hessian + i * pitch + BYTES * (z + j), one if i == j else zero)
    astray = eliminate(
        *(hessian, pitch, room.scaled, room.inverse, m, z, z + m, room.one, 0.0),
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
    columns = n + 1 + m
    multiply(
        *(room.policy, BYTES * columns, tables.zero, none, room.scaled + row, vector, pitch),
        *(hessian + BYTES * m, pitch, m, m, columns),
    )
    gain, covariance = room.gain + BYTES * slot * m * n, room.covariance + BYTES * slot * m * m
    for i in range(m):
        here = room.policy + BYTES * i * columns
        for j in range(n):
            store(gain + BYTES * (i * n + j), zero - load(here + BYTES * j))
        store(room.offset + BYTES * (slot * m + i), zero - load(here + BYTES * n))
        for j in range(m):
            store(covariance + BYTES * (i * m + j), zero - load(here + BYTES * (n + 1 + j)))
    here, flat, slope = hessian + m * (pitch + BYTES), room.value + BYTES * slot * n * n, room.slope + BYTES * slot * n
    for i in range(n):
        for j in range(i, n):
            x = load(here + i * pitch + BYTES * j)
            store(flat + BYTES * (i * n + j), x)
            store(flat + BYTES * (j * n + i), x)
        store(slope + BYTES * i, load(here + i * pitch + BYTES * n))
    rest = room.rest + BYTES * t
    store(rest, load(rest) + half * (shift + load(here + n * (pitch + BYTES))))
    return astray


@compiled
def note(failures: Array, lanes: int, code: int, first: int, last: int, t: int) -> None:
    """Write the status of problems that fail at time t."""
    for lane in range(last + 1):
        one = failures[first + lane]
        if (lanes >> lane) & 1 and one[0] == 0:
            one[0], one[1] = code, t


@entry
def backward(
    problem: Array, values: Array, failures: Array, work: Array, address: int, n: int, m: int, q: int, horizon: int
) -> None:
    """Solve all problems: write `QuadraticValues` from `QuadraticProblem`, both as tables of places.

    A problem whose certainty equivalent over the noise is unbounded (I + θL'PL is not positive definite: BROKEN), or
    whose Haa is not positive definite (NOT_CONCAVE), has nan from there backwards; `failures` (problem, 2) has its
    status and time. `work` has room for the vectors of `tables_at` and `room_at` from `address` on.
    """
    z, count = m + n + 1, failures.shape[0]
    sizes, places = Sizes(n, m, q, z), places_of(problem)
    results = Results(
        place(values, 0),
        place(values, 1),
        place(values, 2),
        place(values, 3),
        place(values, 4),
        place(values, 5),
        place(values, 6),
    )
    tables = tables_at(address, sizes)
    room = room_at(tables.end, sizes, horizon)
    start, one, broken, not_concave = np.int64(0), np.int64(1), np.int64(BROKEN), np.int64(NOT_CONCAVE)
    for first in range(0, count, LANES):
        last = (LANES if count - first > LANES else count - first) - 1  # numba would compile `min`, too
        take_constants(tables, places, sizes, first, last)
        store(room.one, spread(1.0))
        for t in range(horizon):
            store(room.rest + BYTES * t, spread(0.0))
            store(room.log_det + BYTES * t, spread(0.0))
        take(room.value, places.final_hessian, first, start, last, n * n)
        take(room.slope, places.final_gradient, first, start, last, n)
        take(room.constant + BYTES * horizon, places.final_constant, first, start, last, one)
        put(room.value, results.hessian, first, horizon, last, n * n)
        put(room.slope, results.gradient, first, horizon, last, n)
        discounted, slot = False, start
        for lane in range(LANES):
            discounted |= read(tables.discount + 8 * lane) != 1.0
        for lane in range(last + 1):
            failures[first + lane, 0], failures[first + lane, 1] = 0, -1
        for back in range(horizon):
            t = horizon - 1 - back
            soft = take_step(tables, places, sizes, first, t, last, back == 0)
            store(room.theta + BYTES * t, load(tables.theta))
            if soft or discounted:
                after = look_ahead(tables, room, sizes, slot)
            else:
                flat, linear = room.value + BYTES * slot * n * n, room.slope + BYTES * slot * n
                after = Value(flat, BYTES * n, linear, np.int64(BYTES), tables.zero)
            if soft:
                lanes = soften(tables, room, sizes, t)
                if lanes != 0:
                    note(failures, lanes, broken, first, last, t)
            else:
                average(tables, room, sizes, after, t)
            slot = t % SLOTS
            lanes = choose(tables, room, sizes, after, slot, t)
            if lanes != 0:
                note(failures, lanes, not_concave, first, last, t)
            if t % SLOTS == 0:
                slots = SLOTS if horizon - t > SLOTS else horizon - t
                put(room.value, results.hessian, first, t, last, slots * n * n)
                put(room.slope, results.gradient, first, t, last, slots * n)
                put(room.gain, results.gain, first, t, last, slots * m * n)
                put(room.offset, results.offset, first, t, last, slots * m)
                put(room.covariance, results.inverse, first, t, last, slots * m * m)
        begins = (room.theta - address) // 8
        finish(tables, room, work[begins : begins + 5 * LANES * horizon], horizon)
        put(room.log_det, results.log_det, first, start, last, horizon)
        put(room.constant, results.constant, first, start, last, horizon + 1)
        for lane in range(last + 1):
            if not np.isfinite(read(room.constant + 8 * lane)) and failures[first + lane, 0] == 0:
                failures[first + lane, 0], failures[first + lane, 1] = NOT_FINITE, 0


@compiled
def finish(tables: Tables, room: Room, logs: Array, horizon: int) -> None:
    """Write v and log det Haa of all times; `logs` are the numbers from `room.theta` on."""
    step = LANES * horizon
    theta, rest, excess = logs[:step], logs[step : 2 * step], logs[2 * step : 3 * step]
    product, log_det = logs[3 * step : 4 * step], logs[4 * step : 5 * step]
    for i in range(step):  # short loops over few arrays, which are vectorised
        log_det[i] += log(product[i])
    for i in range(step):
        product[i] = log1p(theta[i] * excess[i])
    for i in range(step):
        rest[i] += half_log(theta[i] * excess[i], excess[i], product[i])
    half, discount = spread(0.5) * load(tables.temperature), load(tables.discount)
    ahead = load(room.constant + BYTES * horizon)
    for back in range(horizon):
        at = BYTES * (horizon - 1 - back)
        ahead = fused(discount, ahead, fused(half, load(room.log_det + at), load(room.rest + at)))
        store(room.constant + at, ahead)
