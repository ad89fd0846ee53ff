"""One step of the forward sweep: derivatives as moments of what is believed, and the moments of the next state.

With z = (a, s, 1), M = E zz', R = P~ [B A d] + [0 0 p~] and g = Rz, derivatives of the cost are ½ M by [C c; c' 2k],
R M by [B A d], and −½ (θ E gg' − P~) by W, each times γ^t. The next state is believed to be [B A d] z − θ W g, with
covariance S = L (I + θ L'PL)⁻¹ L'.
"""

from typing import NamedTuple

import numpy as np

from ..compiling import compiled
from .products import eliminate, mirror, multiply, multiply_upper
from .reading import SLOTS, Sizes, Tables
from .vectors import BYTES, fused, load, spread, store


class Room(NamedTuple):
    """The addresses of the matrices of the recursion."""

    soft: int  # [[L'PL, L'P, L'p, L'], [., P, p, .], [., ., 0, .]], (q + n + 1, q + n + 1 + n)
    scaled: int  # of the elimination
    inverse: int
    roots: int  # D⁻¹ ℓ⁻¹ L', (q, n)
    believed: int  # S, (n, n)
    ahead: int  # R, (n, z)
    closed: int  # R with the actions of the policy, (n, n + 1)
    sent: int  # R M, (n, z)
    spread_of_sent: int  # E gg', (n, n)
    moments: int  # M, (z, z)
    policy: int  # −[K κ], (m, n + 1)
    policy_transposed: int  # (n + 1, m)
    noise: int  # τ Haa⁻¹, (m, m)
    moved: int  # believed [B A d], (n, z)
    arrived: int  # E s'z', (n, z)
    transposed: int  # (z, n)
    stage: int
    by_transition: int  # sums, (n, z)
    by_moments: int  # sums, (z, z)
    by_covariance: int  # sums, (n, n)
    weight: int  # cotangent times γ^t/τ
    value: int  # P, (slot, n, n)
    slope: int  # p, (slot, n)
    gain: int  # K, (slot, m, n)
    offset: int  # κ, (slot, m)
    inverse_hessian: int  # Haa⁻¹, (slot, m, m)


@compiled
def room_at(address: int, sizes: Sizes) -> Room:
    """Matrices in consecutive memory."""
    n, m, q, z = sizes
    wide, slot = (q + n + 1) * (q + 2 * n + 1), BYTES * SLOTS
    scaled = address + BYTES * wide
    inverse = scaled + BYTES * wide
    roots = inverse + BYTES * q
    believed = roots + BYTES * q * n
    ahead = believed + BYTES * n * n
    closed = ahead + BYTES * n * z
    sent = closed + BYTES * n * z
    square = sent + BYTES * n * z
    moments = square + BYTES * n * n
    policy = moments + BYTES * z * z
    across = policy + BYTES * m * z
    noise = across + BYTES * m * z
    moved = noise + BYTES * m * m
    arrived = moved + BYTES * n * z
    transposed = arrived + BYTES * n * z
    stage = transposed + BYTES * n * z
    by_transition = stage + BYTES * z * z
    by_moments = by_transition + BYTES * n * z
    by_covariance = by_moments + BYTES * z * z
    weight = by_covariance + BYTES * n * n
    value = weight + BYTES
    slope = value + slot * n * n
    gain = slope + slot * n
    offset = gain + slot * m * n
    return Room(
        *(address, scaled, inverse, roots, believed, ahead, closed, sent, square, moments, policy, across, noise),
        *(moved, arrived, transposed, stage, by_transition, by_moments, by_covariance, weight),
        *(value, slope, gain, offset, offset + slot * m),
    )


@compiled
def soften(tables: Tables, room: Room, sizes: Sizes) -> None:
    """P and p of `room.soft` become P~ and p~; S is written into `room.believed`."""
    n, q = sizes.n, sizes.q
    pitch, none, vector, down = BYTES * (q + 2 * n + 1), np.int64(0), np.int64(BYTES), BYTES * n
    across, value = room.soft + BYTES * q, room.soft + q * (pitch + BYTES)
    multiply(across, pitch, tables.zero, none, tables.root, vector, BYTES * q, value, pitch, q, n, n + 1)
    multiply_upper(room.soft, pitch, tables.zero, none, across, pitch, vector, tables.root, BYTES * q, q, n, q)
    for i in range(q):
        here = across + i * pitch + BYTES * (n + 1)
        for j in range(n):
            store(here + BYTES * j, load(tables.root_transposed + BYTES * (i * n + j)))
    eliminate(
        *(room.soft, pitch, room.scaled, room.inverse, q, q + n + 1, q + 2 * n + 1, tables.theta, 1.0),
    )
    mirror(value, pitch, n)
    here = across + BYTES * (n + 1)
    for i in range(q):
        over = load(room.inverse + BYTES * i)
        for j in range(n):
            store(room.roots + i * down + BYTES * j, over * load(here + i * pitch + BYTES * j))
    multiply_upper(room.believed, down, tables.zero, none, here, vector, pitch, room.roots, down, n, q, n)


@compiled
def read_step(room: Room, tables: Tables, sizes: Sizes, slot: int) -> None:
    """γP and γp into `room.soft`, and the policy, from this slot."""
    n, m, q = sizes.n, sizes.m, sizes.q
    pitch, discount, zero = BYTES * (q + 2 * n + 1), load(tables.discount), spread(0.0)
    value, flat = room.soft + q * (pitch + BYTES), room.value + BYTES * slot * n * n
    for i in range(n):
        for j in range(n):
            store(value + i * pitch + BYTES * j, discount * load(flat + BYTES * (i * n + j)))
        store(value + i * pitch + BYTES * n, discount * load(room.slope + BYTES * (slot * n + i)))
    store(value + n * (pitch + BYTES), zero)
    temperature = load(tables.temperature)
    for i in range(m):
        for j in range(n + 1):
            at = room.gain + BYTES * ((slot * m + i) * n + j) if j < n else room.offset + BYTES * (slot * m + i)
            x = zero - load(at)
            store(room.policy + BYTES * (i * (n + 1) + j), x)
            store(room.policy_transposed + BYTES * (j * m + i), x)
        for j in range(m):
            x = load(room.inverse_hessian + BYTES * ((slot * m + i) * m + j))
            store(room.noise + BYTES * (i * m + j), temperature * x)


@compiled
def transpose(target: int, source: int, rows: int, columns: int) -> None:
    """Write the transpose of a matrix without gaps."""
    for i in range(rows):
        for j in range(columns):
            store(target + BYTES * (j * rows + i), load(source + BYTES * (i * columns + j)))


@compiled
def step(tables: Tables, room: Room, sizes: Sizes, soft: bool) -> None:
    """Add the derivatives of one time to the sums, and move the moments of the state to the next time."""
    n, m, q, z = sizes
    wide, row, down, none, vector = BYTES * (q + 2 * n + 1), BYTES * z, BYTES * n, np.int64(0), np.int64(BYTES)
    value, states, moments, few, more = room.soft + q * (wide + BYTES), BYTES * m, room.moments, BYTES * m, down + BYTES
    forward, ahead, sent, here = tables.forward, room.ahead, room.sent, room.moments + m * (row + BYTES)
    multiply(ahead, row, tables.zero, none, value, wide, vector, forward, row, n, n, z)
    for i in range(n):
        there = ahead + i * row + BYTES * (z - 1)
        store(there, load(there) + load(value + i * wide + BYTES * n))
    # What the policy does: g = R z has the mean `closed` (s, 1), and E gz' is `sent`.
    multiply(room.closed, more, ahead + states, row, ahead, row, vector, room.policy, more, n, m, n + 1)
    multiply(sent + states, row, tables.zero, none, room.closed, more, vector, here, row, n, n + 1, n + 1)
    multiply(sent, row, tables.zero, none, ahead, row, vector, room.noise, few, n, m, m)
    multiply(sent, row, sent, row, sent + states, row, vector, room.policy_transposed, few, n, n + 1, m)
    multiply(moments + states, row, tables.zero, none, room.policy, more, vector, here, row, m, n + 1, n + 1)
    multiply(moments, row, room.noise, few, moments + states, row, vector, room.policy_transposed, few, m, n + 1, m)
    for i in range(m):
        for j in range(m, z):
            store(moments + j * row + BYTES * i, load(moments + i * row + BYTES * j))
    transpose(room.transposed, ahead, n, z)
    multiply_upper(room.spread_of_sent, down, tables.zero, none, sent, row, vector, room.transposed, down, n, z, n)
    weight, theta, zero = load(room.weight), load(tables.theta), spread(0.0)
    less, half = zero - weight, spread(0.5) * weight
    for i in range(n * z):
        at = room.by_transition + BYTES * i
        store(at, fused(less, load(sent + BYTES * i), load(at)))
    for i in range(n):
        for j in range(i, n):
            at = room.by_covariance + BYTES * (i * n + j)
            change = fused(
                theta, load(room.spread_of_sent + BYTES * (i * n + j)), zero - load(value + i * wide + BYTES * j)
            )
            store(at, fused(half, change, load(at)))
    half = zero - half
    for i in range(z):
        for j in range(i, z):
            at = room.by_moments + BYTES * (i * z + j)
            store(at, fused(half, load(moments + BYTES * (i * z + j)), load(at)))
    moved, covariance = forward, tables.covariance
    if soft:
        moved, covariance = room.moved, room.believed
        less = zero - theta
        for i in range(n * z):
            store(ahead + BYTES * i, less * load(ahead + BYTES * i))
        multiply(moved, row, forward, row, tables.covariance, down, vector, ahead, row, n, n, z)
    multiply(room.arrived, row, tables.zero, none, moved, row, vector, moments, row, n, z, z)
    transpose(room.transposed, moved, n, z)
    multiply_upper(here, row, covariance, down, room.arrived, row, vector, room.transposed, down, n, z, n)
    mirror(here, row, n)
    for i in range(n):
        x = load(room.arrived + i * row + BYTES * (z - 1))
        store(here + i * row + BYTES * n, x)
        store(here + n * row + BYTES * i, x)
    store(room.weight, weight * load(tables.discount))
