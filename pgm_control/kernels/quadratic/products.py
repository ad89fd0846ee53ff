"""Moves and products of small matrices in lanes: dimensions are known at run time, addresses are integers.

The entry (i, j) of a matrix at x is the vector at x + i · pitch + j · BYTES; pitches and steps are in bytes.
"""

import numpy as np

from ..compiling import compiled
from .vectors import (
    BYTES,
    LANES,
    fused,
    gather_four,
    load,
    not_above,
    read,
    scatter_four,
    spread,
    store,
    where_positive,
    write,
)


@compiled
def scatter(source: int, target: int, stride: int, last: int, items: int) -> None:
    """Write consecutive vectors as consecutive numbers of each lane, to target + lane · stride.

    Lanes after `last` are copies of `last` and go to the same place.
    """
    if items < 4:
        for lane in range(last + 1):
            for i in range(items):
                write(target + lane * stride + 8 * i, read(source + BYTES * i + 8 * lane))
        return
    for i in range(0, items - 3, 4):
        scatter_four(source + BYTES * i, target + 8 * i, stride, last)
    if items % 4:
        i = items - 4
        scatter_four(source + BYTES * i, target + 8 * i, stride, last)


@compiled
def gather(target: int, source: int, stride: int, last: int, items: int) -> None:
    """Read consecutive numbers of each lane, from source + lane · stride, as vectors; lanes after `last` repeat it."""
    if items < 4:
        for lane in range(LANES):
            for i in range(items):
                write(target + BYTES * i + 8 * lane, read(source + (lane if lane < last else last) * stride + 8 * i))
        return
    for i in range(0, items - 3, 4):
        gather_four(target + BYTES * i, source + 8 * i, stride, last)
    if items % 4:
        i = items - 4
        gather_four(target + BYTES * i, source + 8 * i, stride, last)


@compiled
def row(out: int, start: int, a: int, step: int, b: int, pitch: int, inner: int, columns: int) -> None:
    """Write start + Σ_k a_k b_k, where a_k is a number and b_k a row of this many columns."""
    j = np.int64(0)
    while j + 4 <= columns:
        here, there, factor = start + BYTES * j, b + BYTES * j, a
        x0, x1, x2, x3 = load(here), load(here + BYTES), load(here + 2 * BYTES), load(here + 3 * BYTES)
        for _ in range(inner):
            s = load(factor)
            x0 = fused(s, load(there), x0)
            x1 = fused(s, load(there + BYTES), x1)
            x2 = fused(s, load(there + 2 * BYTES), x2)
            x3 = fused(s, load(there + 3 * BYTES), x3)
            factor, there = factor + step, there + pitch
        here = out + BYTES * j
        store(here, x0)
        store(here + BYTES, x1)
        store(here + 2 * BYTES, x2)
        store(here + 3 * BYTES, x3)
        j += 4
    here, there, factor, rest = start + BYTES * j, b + BYTES * j, a, columns - j
    if rest == 3:
        x0, x1, x2 = load(here), load(here + BYTES), load(here + 2 * BYTES)
        for _ in range(inner):
            s = load(factor)
            x0 = fused(s, load(there), x0)
            x1 = fused(s, load(there + BYTES), x1)
            x2 = fused(s, load(there + 2 * BYTES), x2)
            factor, there = factor + step, there + pitch
        here = out + BYTES * j
        store(here, x0)
        store(here + BYTES, x1)
        store(here + 2 * BYTES, x2)
    elif rest == 2:
        x0, x1 = load(here), load(here + BYTES)
        for _ in range(inner):
            s = load(factor)
            x0 = fused(s, load(there), x0)
            x1 = fused(s, load(there + BYTES), x1)
            factor, there = factor + step, there + pitch
        here = out + BYTES * j
        store(here, x0)
        store(here + BYTES, x1)
    elif rest == 1:
        x0 = load(here)
        for _ in range(inner):
            x0 = fused(load(factor), load(there), x0)
            factor, there = factor + step, there + pitch
        store(out + BYTES * j, x0)


@compiled
def multiply(
    out: int,
    out_pitch: int,
    start: int,
    start_pitch: int,
    a: int,
    a_row: int,
    a_step: int,
    b: int,
    b_pitch: int,
    rows: int,
    inner: int,
    columns: int,
) -> None:
    """Write start + A B; the entry (i, k) of A is at a + i · a_row + k · a_step, so that A may be a transpose."""
    for i in range(rows):
        row(out + i * out_pitch, start + i * start_pitch, a + i * a_row, a_step, b, b_pitch, inner, columns)


@compiled
def multiply_upper(
    out: int,
    out_pitch: int,
    start: int,
    start_pitch: int,
    a: int,
    a_row: int,
    a_step: int,
    b: int,
    b_pitch: int,
    size: int,
    inner: int,
    columns: int,
) -> None:
    """The entries (i, j ≥ i) of `multiply`, for this many rows."""
    for i in range(size):
        shift = i * BYTES
        row(
            out + i * out_pitch + shift,
            start + i * start_pitch + shift,
            a + i * a_row,
            a_step,
            b + shift,
            b_pitch,
            inner,
            columns - i,
        )


@compiled
def mirror(x: int, pitch: int, size: int) -> None:
    """Copy the upper triangle to the lower one."""
    for i in range(1, size):
        for j in range(i):
            store(x + i * pitch + j * BYTES, load(x + j * pitch + i * BYTES))


@compiled
def eliminate(
    x: int, pitch: int, scaled: int, inverse: int, count: int, size: int, width: int, scale: int, shift: float
) -> int:
    """Eliminate the first `count` of `size` unknowns from the upper triangle of a symmetric matrix [[A, B], [B', C]].

    With M = shift + scale A = ℓ D ℓ', B becomes Y = ℓ⁻¹ B, and C becomes C − scale B'M⁻¹B. The diagonal of A becomes e
    with D = shift + scale e. Rows of B may go on to `width`. Pivots that are not positive become nan.

    Args:
        scaled: where −scale D⁻¹ Y is written, with the same pitch.
        inverse: where D⁻¹ is written.
        scale: the address of a vector.

    Returns:
        The lanes in which a pivot was not positive, as bits.
    """
    astray, theta, plus, nan = 0, load(scale), spread(shift), spread(np.nan)
    nothing, one = spread(0.0), spread(1.0)
    for i in range(size):
        here = x + i * (pitch + BYTES)
        last = width if i < count else size
        if i > 0:
            row(here, here, scaled + i * BYTES, pitch, x + i * BYTES, pitch, i if i < count else count, last - i)
        if i < count:
            pivot = fused(theta, load(here), plus)
            astray |= not_above(pivot, nothing)
            over = one / where_positive(pivot, nan)
            store(inverse + i * BYTES, over)
            factor = nothing - theta * over
            there = scaled + i * (pitch + BYTES)
            for k in range(1, last - i):
                store(there + k * BYTES, factor * load(here + k * BYTES))
    return astray
