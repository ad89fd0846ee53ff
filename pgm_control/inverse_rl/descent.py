"""L-BFGS and Adam, point by point: the caller looks at each, and stops when it has seen enough."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

_HISTORY = 50
_TRIES = 30  # points along a line
_LOWER, _FLATTER = 1e-4, 0.9  # Wolfe's two conditions
_ROUNDING = 1e-14

Vector = Float[np.ndarray, " parameter"]
Function = Callable[[Vector], tuple[float, Vector]]


class Point(NamedTuple):
    """Where the descent is."""

    x: Vector
    value: float
    slope: Vector


def descend(function: Function, x: Vector) -> Iterator[Point]:
    """Yield points of which each is lower than the one before, by L-BFGS; end where no step goes down any more.

    A step is one evaluation of the function and its slope, where the first try will do; nothing is evaluated twice.

    Args:
        function: of a point the value and the slope; where the value is not finite, it is taken for too high.
        x: where to start; it is the first point.
    """
    here = Point(x, *function(x))
    yield here
    moves: deque[tuple[Vector, Vector]] = deque(maxlen=_HISTORY)
    while True:
        direction = -_unbent(here.slope, moves)
        length = 1.0 if moves else min(1.0, 10.0 / max(float(np.abs(here.slope).sum()), 1e-300))
        there = _along(function, here, direction, length)
        if there is not None:
            move, change = there.x - here.x, there.slope - here.slope
            if move @ change > 0:
                moves.append((move, change))
            here = there
            yield here
        elif moves:
            moves.clear()  # what was learned of the curvature may mislead: once more by the slope alone
        else:
            return


def adam(function: Function, x: Vector, learning_rate: float) -> Iterator[Point]:
    """Yield the points of Adam, for ever; not each is lower."""
    row = torch.nn.Parameter(torch.from_numpy(x.copy()))
    optimiser = torch.optim.Adam([row], lr=learning_rate)
    while True:
        here = row.detach().numpy().copy()
        point = Point(here, *function(here))
        yield point
        row.grad = torch.from_numpy(point.slope)
        optimiser.step()


def _unbent(slope: Vector, moves: deque[tuple[Vector, Vector]]) -> Vector:
    """The slope times the inverse of the curvature that the moves have met."""
    found, kept = slope.copy(), []
    for move, change in reversed(moves):
        share = (move @ found) / (move @ change)
        found -= share * change
        kept.append(share)
    if moves:
        move, change = moves[-1]
        found *= (move @ change) / (change @ change)
    for (move, change), share in zip(moves, reversed(kept), strict=True):
        found += (share - (change @ found) / (move @ change)) * move
    return found


def _along(function: Function, here: Point, direction: Vector, length: float) -> Point | None:
    """A point on the line that is lower and flatter, or else the lowest that was met; None if none was lower."""
    steepness = float(here.slope @ direction)
    if not steepness < 0:
        return None
    low, high, best = (0.0, here.value, steepness), None, None
    for _ in range(_TRIES):
        x = here.x + length * direction
        there = Point(x, *function(x))
        tilt = float(there.slope @ direction)
        within_rounding = there.value <= here.value + _ROUNDING * abs(here.value) and abs(tilt) < -steepness
        lower = there.value <= here.value + _LOWER * length * steepness or within_rounding
        if lower and abs(tilt) <= -_FLATTER * steepness:
            return there
        if lower and there.value < here.value and (best is None or there.value < best.value):
            best = there
        if not lower or there.value > low[1] or tilt > 0:
            high = (length, there.value, tilt)
        else:
            low = (length, there.value, tilt)
        length = 4.0 * length if high is None else _between(low, high)
    return best


def _between(low: tuple[float, float, float], high: tuple[float, float, float]) -> float:
    """The bottom of the cubic through values and tilts at both ends, away from the ends; the middle without one."""
    (a, left, falls), (b, right, rises) = low, high
    width = b - a
    if math.isfinite(right) and math.isfinite(rises):
        d = falls + rises - 3.0 * (right - left) / width
        root = d * d - falls * rises
        if root >= 0:
            e = math.sqrt(root)
            share = 1.0 - (rises + e - d) / (rises - falls + 2.0 * e) if rises - falls + 2.0 * e != 0 else 0.5
            return a + min(max(share, 0.1), 0.9) * width
    return a + 0.5 * width
