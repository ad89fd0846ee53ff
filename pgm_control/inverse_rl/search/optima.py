"""Several optima of one function: where to start, which ends are one optimum, and which optima lie at infinity."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ...text.one_line import one_line
from .descent import Function, Matrix, Point, Vector, descend, distance

TIE = 1e-9  # nats
ROUNDING = 1e-13  # of a log-likelihood
_SAMPLED = 128  # points on all lines together
_LINES = 4
_NEAREST, _FARTHEST = 2.0**-6, 2.0**10  # distances from the start along a line, in units
_BETWEEN = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, 34)[1:-1])  # shares of a segment, denser towards its ends
_FINER, _STEPS = 1e-5, 60  # the tolerance of a refined optimum, relative to that of the search, and its most steps
_DECADES = 1e2  # the factor of gradients over which the last way is measured
_MOVED, _FAR, _LEFT = 1e-2, 1e3, 0.5  # units, units, and the share of the way that is left


class RunnerUp(NamedTuple):
    """Another optimum, which explains the demonstrations nearly or equally well."""

    parameters: Float[Tensor, " parameter"]
    log_likelihood: float
    """Of the demonstrations, in nats."""
    difference: float
    """The log-likelihood, with the log-prior if there is one, minus that of the result, in nats. 0 is a tie."""

    __repr__ = one_line


class Optima(NamedTuple):
    """The optima behind the ends of several searches."""

    chosen: int
    """The number of the search whose end is the result."""
    result: Point
    others: tuple[Point, ...]
    """The other optima, the lowest first, after `far` if it ties with the result."""
    far: Point | None
    """A point far away that is as low as the result, if the optimum is at infinity."""


def starts(
    function: Function, x: Vector, optimum: Vector, unit: Vector, number: int, noise: Callable[[Vector], float]
) -> list[Vector]:
    """Return points from which to search for other optima, the lowest first.

    The function is sampled on at most four orthogonal lines through x, at distances that grow by a constant factor. The
    first line leads to the optimum that is known, the others have random directions, the same at every call. The
    points are the local minima of these samples. Samples beside each other that differ by no more than the rounding
    error `noise` are one, at the end next to the start: a line along which nothing is identified has no other minimum,
    and one that levels off has one there.
    """
    size = min(_LINES, len(x))
    directions = np.random.default_rng(0).standard_normal((len(x), size))
    way = (optimum - x) / unit
    if way.any():
        directions[:, 0] = way
    directions = np.linalg.qr(directions)[0]
    half = _SAMPLED // (2 * size)
    reach = np.geomspace(_NEAREST, _FARTHEST, half)
    reach = np.concatenate([-reach[::-1], [0.0], reach])
    found = []
    for direction in directions.T:
        points = [x + each * unit * direction / np.abs(direction).max() for each in reach]
        values = np.array([function(each)[0] for each in points])
        values = np.where(np.isfinite(values), values, np.inf)
        found += [(values[i], points[i]) for i in _lowest_samples(values, np.array([noise(x) for x in points]), half)]
    return [point for _, point in sorted(found, key=lambda each: each[0])[:number]]


def _lowest_samples(values: Vector, noise: Vector, start: int) -> Iterator[int]:
    """Yield the local minima of samples along a line, but for the one that contains the sample at the start."""
    with np.errstate(invalid="ignore"):  # ∞ − ∞
        level = np.abs(np.diff(values, prepend=np.nan)) <= np.maximum(noise, np.roll(noise, 1))
    firsts: list[int] = np.flatnonzero(~level).tolist()
    for first, after in zip(firsts, [*firsts[1:], len(values)], strict=True):
        before, behind = values[first - 1] if first else np.inf, values[after] if after < len(values) else np.inf
        is_low = values[first] < before and values[after - 1] < behind
        if is_low and not first <= start < after:
            yield first if first > start else after - 1


class End(NamedTuple):
    """The end of a search."""

    point: Point
    onward: Iterator[Point]
    """The points that further steps would reach."""


def refined(end: End, tolerance: float) -> tuple[Point, Vector]:
    """Return the point that further steps reach, with a smaller gradient by a factor of 10⁵ if rounding allows it.

    It is never higher than the given point by more than rounding, and its gradient never larger. The second result is
    the way since the gradient was last 100 times as large, or all of it; of points that rounding does not tell apart
    from the end the largest gradient counts, since the least may have vanished by chance.
    """
    points = _until(chain([end.point], end.onward), tolerance * _FINER)
    found = _flattest(points, end.point.value)
    floor = max(_steepness(each) for each in points if each.value <= found.value + ROUNDING * abs(found.value))
    before = next((each for each in reversed(points) if _steepness(each) > _DECADES * floor), end.point)
    return found, found.x - before.x


def _lowest(points: Iterable[Point], tolerance: float) -> Point:
    """Return the point with the smallest gradient among the lowest, which rounding does not tell apart."""
    found = _until(points, tolerance)
    return _flattest(found, min(each.value for each in found))


def _until(points: Iterable[Point], tolerance: float) -> list[Point]:
    """Return the points up to the first whose gradient is within the tolerance."""
    found: list[Point] = []
    for each in islice(points, _STEPS):
        found.append(each)
        if _steepness(each) <= tolerance:
            break
    return found


def _flattest(points: Iterable[Point], height: float) -> Point:
    """Return the point with the smallest gradient among those that rounding does not place above a height."""
    low = [each for each in points if each.value <= height + ROUNDING * abs(height)]
    return min(low, key=_steepness)


def _steepness(point: Point) -> float:
    """The largest derivative by a parameter."""
    return float(np.abs(point.slope).max())


def tie(value: float) -> float:
    """Return the difference below which two log-likelihoods are a tie, in nats: 10⁻⁹, or their rounding error."""
    return max(TIE, ROUNDING * abs(value))


def are_apart(function: Function, one: Point, other: Point, tolerance: float) -> bool:
    """Whether the function is higher somewhere between two points than at both: they are then two optima."""
    barrier = max(one.value, other.value) + tolerance
    return any(function(one.x + share * (other.x - one.x))[0] > barrier for share in _BETWEEN)


def minima(function: Function, places: Sequence[Vector], unit: Vector, tolerance: float, barrier: float) -> list[Point]:
    """Return the minima below these places that are separated by a barrier of this height, the lowest first."""
    ends = [_lowest(descend(function, each, None, unit), tolerance) for each in places]
    return _distinct(function, sorted(ends, key=lambda each: each.value), barrier)


def _distinct(function: Function, points: Sequence[Point], tolerance: float) -> list[Point]:
    """Return the first point of each optimum."""
    found: list[Point] = []
    for point in points:
        if all(are_apart(function, one, point, tolerance) for one in found):
            found.append(point)
    return found


def beyond(
    function: Function, point: Point, way: Vector, tolerance: float, metric: Matrix | None, unit: Vector, tied: float
) -> Point | None:
    """Return a point 1000 units away that is as low, if the optimum is at infinity; None if it is not.

    `way` is how far the point moved while its gradient became 100 times smaller. Near an optimum that is almost
    nothing. If the function only levels off, it moves on: as far as with the factor of 100 before, if it levels off
    exponentially. It is then continued far along the same direction, where the coordinates that do have an optimum are
    fitted again. Nothing is higher far away if the function never rises.
    """
    length = distance(way, unit)
    if length < _MOVED:
        return None
    far = point.x + way * (_FAR / length)
    end = _lowest(descend(function, far, metric, unit), tolerance * _FINER)
    is_there = distance(end.x - point.x, unit) >= _LEFT * _FAR
    return end if is_there and end.value <= point.value + tied else None


def settled(
    function: Function,
    ends: Sequence[End],
    start: Vector,
    tolerance: float,
    tied: float,
    metric: Matrix | None,
    unit: Vector,
    may_diverge: bool,
) -> Optima:
    """Return the optima that these ends of searches approach.

    The result is the lowest one, or of those that tie with it the nearest to the start. Ends without a barrier between
    them are one optimum.
    """
    fine, ways = zip(*(refined(each, tolerance) for each in ends), strict=True)
    near = sorted(range(len(fine)), key=lambda i: float(np.linalg.norm(fine[i].x - start)))
    least = min(each.value for each in fine)
    lowest = next(each for each in fine if each.value == least)
    chosen, far = next(i for i in near if fine[i].value <= least + tied), None
    for i in near if may_diverge else ():
        end = beyond(function, fine[i], ways[i], tolerance, metric, unit, tied)
        if end is not None and (end.value <= least + tied or not are_apart(function, lowest, fine[i], tied)):
            chosen, far = i, end
            break
    rest = sorted((*fine[:chosen], *fine[chosen + 1 :]), key=lambda each: each.value)
    found = _distinct(function, [fine[chosen], *rest], tied)
    others = found[1:]
    if far is not None and far.value >= found[0].value - tied:
        others.insert(0, far)
    return Optima(chosen, found[0], tuple(others), far)
