"""L-BFGS and Adam as iterators over points: the caller examines each point and decides when to stop.

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

from ...inference.variational.optimisers import Adam

_HISTORY = 50
_TRIES = 30  # points along a line, at most
_LOWER, _FLATTER = 1e-4, 0.9  # Wolfe's two conditions
_ROUNDING = 1e-14
_FIRST = 10.0  # the longest first step, in units

Vector = Float[np.ndarray, " parameter"]
Matrix = Float[np.ndarray, "parameter parameter"]
Function = Callable[[Vector], tuple[float, Vector]]


class Point(NamedTuple):
    """A point of the descent, with the value and the gradient there."""

    x: Vector
    value: float
    slope: Vector


def descend(function: Function, x: Vector, metric: Matrix | None = None, unit: Vector | None = None) -> Iterator[Point]:
    """Yield the points of L-BFGS, each lower than the one before; end when no step decreases the function.

    A step takes one evaluation of the function and its gradient if the first step length is accepted. Nothing is
    evaluated twice. No step is longer than 10 units and the way from the start: where the function levels off towards
    infinity, a longer one would lose the digits of the coordinates that have an optimum.

    Args:
        function: returns the value and the gradient at a point; a value that is not finite counts as too high.
        x: the start, which is the first point.
        metric: an approximation of the inverse Hessian, up to a factor, if one is known.
        unit: the unit of each coordinate; default: 1.
    """
    here, unit = Point(x, *function(x)), np.ones(len(x)) if unit is None else unit
    yield here
    history = CurvatureHistory(len(x), metric)
    while True:
        direction = -history.undone(here.slope)
        length = (
            1.0
            if history.count or metric is not None
            else min(1.0, 10.0 / max(float(np.abs(here.slope).sum()), 1e-300))
        )
        longest = (_FIRST + distance(here.x - x, unit)) / max(distance(direction, unit), 1e-300)
        there = _along(function, here, direction, min(length, longest), longest)
        if there is not None:
            history.update(there.x - here.x, there.slope - here.slope)
            here = there
            yield here
        elif history.count:
            history.forget()  # the estimated curvature may be wrong: try once more along the gradient
        else:
            return


def distance(move: Vector, unit: Vector) -> float:
    """Return the largest change of a coordinate, in its unit."""
    return float(np.abs(move / unit).max())


def adam(function: Function, x: Vector, learning_rate: float) -> Iterator[Point]:
    """Yield the points of Adam without end; the value need not decrease at every step."""
    row = torch.nn.Parameter(torch.from_numpy(x.copy()))
    optimiser = Adam([row], lr=learning_rate)
    while True:
        here = row.detach().numpy().copy()
        point = Point(here, *function(here))
        yield point
        row.grad = torch.from_numpy(point.slope)
        optimiser.step()


@final
class CurvatureHistory:
    r"""The inverse Hessian estimated from the last steps, as in L-BFGS, in compact matrix form.

    $$H = K^\top M K + A^\top A, \qquad K = 1 - Y^\top A, \qquad A = R^{-1} S, \qquad R_{ij} = s_i \cdot y_j
    \text{ for } i \le j$$

    Rows of S are steps, rows of Y the changes of the gradient, scaled so that the product of a step and its change is
    1. M is the metric, or 1, times the factor that fits the last pair. R is triangular, so that A can gain a row at the
    end and lose its first row.

    References:
        [byrd1994]
    """

    def __init__(self, size: int, metric: Matrix | None) -> None:
        """Create an empty history for this number of parameters."""
        self._metric, self._scale, self.count = metric, 1.0, 0
        self._ways, self._changes = np.empty((_HISTORY, size)), np.empty((_HISTORY, size))  # A and Y

    def forget(self) -> None:
        """Drop all stored pairs of steps and gradient changes."""
        self.count, self._scale = 0, 1.0

    def update(self, move: Vector, change: Vector) -> None:
        """Add the latest (step, gradient change) pair and drop the oldest beyond the history size.

        Pairs without positive curvature are skipped.
        """
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
        """The estimated inverse Hessian times the gradient, that is, the negative of the quasi-Newton step."""
        ways, changes = self._ways[: self.count], self._changes[: self.count]
        shares = ways @ slope
        straight = self._scale * self._stretched(slope - shares @ changes)
        return straight + (shares - changes @ straight) @ ways

    def _stretched(self, slope: Vector) -> Vector:
        return slope if self._metric is None else self._metric @ slope


def _along(function: Function, here: Point, direction: Vector, length: float, longest: float) -> Point | None:
    """Return a point on the line that fulfils both Wolfe conditions, else the lowest point found, else None.

    None means that no point on the line is lower than the start. At the longest step the first condition suffices.
    """
    steepness = float(here.slope @ direction)
    if not steepness < 0:
        return None
    low, high, best, noise = (0.0, here.value, steepness), None, None, _ROUNDING * abs(here.value)
    for _ in range(_TRIES):
        x = here.x + length * direction
        there = Point(x, *function(x))
        tilt = float(there.slope @ direction)
        within_rounding = there.value <= here.value + noise and abs(tilt) < -steepness
        lower = there.value <= here.value + _LOWER * length * steepness or within_rounding
        if lower and (abs(tilt) <= -_FLATTER * steepness or (length >= longest and tilt < 0)):
            return there
        if lower and there.value < here.value and (best is None or there.value < best.value):
            best = there
        if not lower or there.value > low[1] + noise or tilt > 0:
            high = (length, there.value, tilt)
        else:
            low = (length, there.value, tilt)
        length = min(4.0 * length, longest) if high is None else _between(low, high)
    return best


def _between(low: tuple[float, float, float], high: tuple[float, float, float]) -> float:
    """Return the minimum of the cubic through the values and slopes at both ends, kept away from the ends.

    It is the middle if the cubic has no minimum.
    """
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
