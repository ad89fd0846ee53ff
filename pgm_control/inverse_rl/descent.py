"""L-BFGS and Adam, point by point: the caller looks at each, and stops when it has seen enough.

Sources:
    [byrd1994] R. H. Byrd, J. Nocedal and R. B. Schnabel, Representations of quasi-Newton matrices and their use in
        limited memory methods. Mathematical Programming 63:129–156, 1994. doi:10.1007/BF01582063
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float

_HISTORY = 50
_TRIES = 30  # points along a line
_LOWER, _FLATTER = 1e-4, 0.9  # Wolfe's two conditions
_ROUNDING = 1e-14

Vector = Float[np.ndarray, " parameter"]
Matrix = Float[np.ndarray, "parameter parameter"]
Function = Callable[[Vector], tuple[float, Vector]]


class Point(NamedTuple):
    """Where the descent is."""

    x: Vector
    value: float
    slope: Vector


def descend(function: Function, x: Vector, metric: Matrix | None = None) -> Iterator[Point]:
    """Yield points of which each is lower than the one before, by L-BFGS; end where no step goes down any more.

    A step is one evaluation of the function and its slope, where the first try will do; nothing is evaluated twice.

    Args:
        function: of a point the value and the slope; where the value is not finite, it is taken for too high.
        x: where to start; it is the first point.
        metric: the inverse of the curvature, roughly and up to a factor, where something is known of it.
    """
    here = Point(x, *function(x))
    yield here
    history = CurvatureHistory(len(x), metric)
    while True:
        direction = -history.undone(here.slope)
        length = (
            1.0
            if history.count or metric is not None
            else min(1.0, 10.0 / max(float(np.abs(here.slope).sum()), 1e-300))
        )
        there = _along(function, here, direction, length)
        if there is not None:
            history.update(there.x - here.x, there.slope - here.slope)
            here = there
            yield here
        elif history.count:
            history.forget()  # what was learned of the curvature may mislead: once more by the slope alone
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


@final
class CurvatureHistory:
    r"""The inverse of the curvature that the last moves have met, as L-BFGS has it, in products of matrices.

    $$H = K^\top M K + A^\top A, \qquad K = 1 - Y^\top A, \qquad A = R^{-1} S, \qquad R_{ij} = s_i \cdot y_j
    \text{ for } i \le j$$

    Rows of S are moves, those of Y the changes of the slope, scaled so that a move times its change is 1; M is the
    metric, or 1, times what fits the last of them. R is triangular, so that A can grow by a row at a time, and lose its
    first.

    References:
        [byrd1994]
    """

    def __init__(self, size: int, metric: Matrix | None) -> None:
        """Of so many parameters; nothing was met yet."""
        self._metric, self._scale, self.count = metric, 1.0, 0
        self._ways, self._changes = np.empty((_HISTORY, size)), np.empty((_HISTORY, size))  # A and Y

    def forget(self) -> None:
        """As if nothing had been met."""
        self.count, self._scale = 0, 1.0

    def update(self, move: Vector, change: Vector) -> None:
        """Take the last move in, and drop the oldest if there are too many; one that met no bend tells nothing."""
        product = float(move @ change)
        if not product > 0:
            return
        if self.count == _HISTORY:
            for each in (self._ways, self._changes):
                each[:-1] = each[1:].copy()
            self.count -= 1
        n, share = self.count, 1.0 / math.sqrt(product)
        move, change = move * share, change * share
        self._ways[:n] -= (self._ways[:n] @ change)[:, None] * move
        self._ways[n], self._changes[n], self.count = move, change, n + 1
        self._scale = 1.0 / float(change @ self._stretched(change))

    def undone(self, slope: Vector) -> Vector:
        """The inverse of the curvature times the slope: the way to the bottom, if all bends were met."""
        ways, changes = self._ways[: self.count], self._changes[: self.count]
        shares = ways @ slope
        straight = self._scale * self._stretched(slope - shares @ changes)
        return straight + (shares - changes @ straight) @ ways

    def _stretched(self, slope: Vector) -> Vector:
        return slope if self._metric is None else self._metric @ slope


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
