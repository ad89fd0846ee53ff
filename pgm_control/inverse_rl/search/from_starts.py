"""The lowest optimum that searches from several starts find, with the others, and how the search ended."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from ...runtime.loop import Loop
from ...runtime.progress import Progress
from .descent import Matrix, Point, Vector, adam, descend, distance
from .optima import ROUNDING, End, settled, starts, tie
from .status import InverseStatus

_ENDLESS = 1e6  # units: where rewards are a million temperatures, a likelihood that still rises has no optimum
_STARTS = 8  # searches, if the likelihood may have several optima


@runtime_checkable
class Minimised(Protocol):
    """A function to be minimised: the negative sum of log-likelihood and log-prior per demonstration."""

    @property
    def start(self) -> Vector:
        """Where the first search starts."""
        ...

    @property
    def is_concave(self) -> bool:
        """Whether the log-likelihood is certainly concave, so that one search suffices."""
        ...

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        """Return the value and the gradient."""
        ...

    def value(self, x: Vector) -> float:
        """Return the value alone."""
        ...

    def metric(self) -> Matrix | None:
        """Return an approximate inverse Hessian."""
        ...

    def unit(self) -> Vector:
        """Return the unit of each coordinate."""
        ...

    def noise(self, size: float) -> float:
        """Return an estimate of the rounding error of the value where the largest parameter has this many units."""
        ...

    def log_prior(self, x: Vector) -> float:
        """Return the log-density of the prior, in nats."""
        ...

    def assign(self, x: Vector) -> None:
        """Write the vector into the parameters."""
        ...


class Searched(NamedTuple):
    """The end of a search from several starts."""

    result: Point
    others: tuple[Point, ...]
    """The other optima, the lowest first, those that tie with the result before all."""
    direction: Vector | None
    """What grows without bound, in proportion, if the status is "unbounded"."""
    trace: list[float]
    """The log-likelihood and log-prior together after every step of the search that found the result."""
    num_starts: int
    status: InverseStatus
    seconds: float


class Step(NamedTuple):
    """What is reported after each step."""

    step: int
    log_likelihood: float
    gradient: float


def search_from_starts(
    objective: Minimised,
    number: float,
    *,
    may_diverge: bool,
    method: str,
    num_steps: int,
    num_starts: int | None,
    learning_rate: float,
    tolerance: float,
    progress: Progress,
    callbacks: Sequence[Callable[[Any], bool | None]],
    seen: Callable[[Step], Any],
) -> Searched:
    """Search from one or several starts, and leave the parameters of the objective at the best point.

    Args:
        objective: the function.
        number: the number of demonstrations, by which the function is divided.
        may_diverge: whether an optimum at infinity is looked for; there is none with a prior.
        method: "lbfgs" or "adam".
        num_steps: the largest number of steps, of all searches together.
        num_starts: the largest number of searches; default: 1 if the likelihood is certainly concave, else 8.
        learning_rate: the learning rate of Adam.
        tolerance: a search ends when no derivative is larger.
        progress: called after each step.
        callbacks: called after each step with the result of `seen`.
        seen: the argument of a callback.
    """
    start, metric, unit = objective.start, objective.metric(), objective.unit()
    # The point where the search starts is step 0.
    loop = Loop(InverseStatus.out_of_steps, limit=num_steps, begin=-1, progress=progress, callbacks=callbacks)

    def noise(x: Vector) -> float:
        return objective.noise(distance(x, unit))

    def points_from(x: Vector) -> Iterator[Point]:
        return descend(objective, x, metric, unit) if method == "lbfgs" else adam(objective, x, learning_rate)

    def search(x: Vector) -> _Search:
        """Return the lowest point of a search, and how it ended by itself; None if the loop ended it."""
        best, trace, points = Point(x, math.inf, np.full(len(x), math.inf)), [], points_from(x)
        for step, point in zip(loop, points, strict=False):
            slope = float(np.abs(point.slope).max())
            if not (math.isfinite(point.value) and math.isfinite(slope)):
                return _Search(best, trace, InverseStatus.not_finite)
            trace.append(-number * point.value)
            is_flat = slope <= tolerance
            # a flat point may be above the lowest one by rounding
            if point.value < best.value or (is_flat and point.value <= best.value + ROUNDING * abs(best.value)):
                best = point
            if len(callbacks):
                objective.assign(point.x)  # the last evaluation may have been at another point
            likelihood = trace[-1] - objective.log_prior(point.x)
            loop.report({"log_likelihood": likelihood, "gradient": slope}, seen(Step(step, likelihood, slope)))
            if may_diverge and distance(best.x - start, unit) > _ENDLESS:
                return _Search(best, trace, InverseStatus.unbounded)
            if is_flat and best is point and loop.status is InverseStatus.out_of_steps:
                return _Search(best, trace, InverseStatus.converged, points if method == "lbfgs" else None)
            if loop.over:
                return _Search(best, trace, None)
        return _Search(best, trace, InverseStatus.no_progress)  # no further points

    with loop:
        searches = [search(start)]
        wanted = num_starts or (1 if objective.is_concave else _STARTS)
        planned = wanted
        if wanted > 1 and not loop.over:
            known = searches[0].best.x
            more = starts(lambda x: (objective.value(x), x), start, known, unit, wanted - 1, noise)
            planned = 1 + len(more)
            while len(searches) < planned and not loop.over:
                searches.append(search(more[len(searches) - 1]))
        chosen = min(searches, key=lambda each: each.best.value)
        ended = [each for each in searches if each.is_stationary]
        result, others, far = chosen.best, (), None
        uncut = loop.status is InverseStatus.out_of_steps  # neither a callback nor Ctrl-C
        if uncut and chosen.is_stationary and (may_diverge or len(ended) > 1):
            tied = max(tie(number * result.value) / number, *(noise(each.best.x) for each in ended))
            ends = [End(each.best, each.onward or descend(objective, each.best.x, metric, unit)) for each in ended]
            i, result, others, far = settled(
                objective, ends, start, tolerance, tied, metric, unit, may_diverge=may_diverge
            )
            chosen = ended[i]
    all_ended = len(searches) == planned and None not in [each.status for each in searches]
    status = loop.status
    if uncut and all_ended and chosen.status is not None:
        status = chosen.status if far is None else InverseStatus.unbounded
    direction = None
    if status is InverseStatus.unbounded:
        way = result.x - start if far is None else far.x - result.x
        direction = way / np.abs(way).max()
    objective.assign(result.x)
    return Searched(result, others, direction, chosen.trace, len(searches), status, loop.seconds)


class _Search(NamedTuple):
    best: Point
    trace: list[float]
    status: InverseStatus | None
    """How the search ended by itself; None if a callback, Ctrl-C or the number of steps ended it."""
    onward: Iterator[Point] | None = None
    """The points of further steps, with the curvature that the search has found."""

    @property
    def is_stationary(self) -> bool:
        return self.status in (InverseStatus.converged, InverseStatus.no_progress)
