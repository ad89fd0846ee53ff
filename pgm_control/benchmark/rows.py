"""What a bench measures: a row for each guide, problem and seed."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

FAILED = "failed"
WITHIN = 1e-2  # nats from its own optimum, where a guide has arrived
PARTS = ("initial", "policy", "dynamics", "survival")  # of the gap


@final
@dataclass(frozen=True)
class BenchRow:
    """One guide on one problem, from one seed. None is what is not known, or not defined for that guide.

    Attributes:
        model, guide, seed: which.
        temperature: τ, in reward units per nat.
        horizon: number of actions.
        status: how the fit ended, by the name of its `FitStatus`, or "failed".
        message: what went wrong, of one that failed.
        log_evidence: log p(O), in nats.
        elbo: in nats. Of a guide without tables estimated, as are its returns, each with its standard error beside it.
        gap: log p(O) − ELBO, in nats, of which `initial`, `policy`, `dynamics` and `survival` are the parts.
        imagined_return: what the guide believes it earns, in reward units.
        true_return: what its policy earns in the true world, in reward units.
        delusion: imagined − true return, in reward units.
        objective: what the guide maximises, in nats: the ELBO, unless its dice have a price, as those of `DialGuide`.
        optimum: the best objective that a guide of its kind can reach, in nats.
        optimum_is_exact: whether that was computed. Else it is the best that any seed reached.
        num_steps: how many were made.
        seconds: wall time of the fit.
        steps_to_optimum, seconds_to_optimum: until the objective came within 0.01 nats of the optimum for good; None if
            it did not.
    """

    model: str
    guide: str
    seed: int
    temperature: float
    horizon: int | None
    status: str
    message: str = ""
    log_evidence: float | None = None
    elbo: float | None = None
    elbo_error: float | None = None
    gap: float | None = None
    initial: float | None = None
    policy: float | None = None
    dynamics: float | None = None
    survival: float | None = None
    imagined_return: float | None = None
    imagined_return_error: float | None = None
    true_return: float | None = None
    true_return_error: float | None = None
    delusion: float | None = None
    delusion_error: float | None = None
    objective: float | None = None
    optimum: float | None = None
    optimum_is_exact: bool | None = None
    num_steps: int | None = None
    seconds: float | None = None
    steps_to_optimum: int | None = None
    seconds_to_optimum: float | None = None

    @property
    def short(self) -> float | None:
        """How far the objective is from the optimum, in nats."""
        if self.optimum is None or self.objective is None:
            return None
        return 0.0 if self.optimum == self.objective else self.optimum - self.objective


class Point(NamedTuple):
    """Where a fit was after so many steps: its objective in nats, and the wall time."""

    step: int
    objective: float
    seconds: float


@final
@dataclass(frozen=True)
class JobResult:
    """A row, and some points of the way there."""

    row: BenchRow
    objective_history: tuple[Point, ...] = ()


def judged(results: Sequence[JobResult]) -> list[JobResult]:
    """With the optimum of each and when it was reached; where none was computed, the best that any seed reached."""
    best: dict[tuple[str, str], float] = {}
    for result in results:
        row = result.row
        if row.objective is not None and row.optimum is None:
            key = row.model, row.guide
            best[key] = max(best.get(key, -math.inf), *_reached(result))
    return [_arrived(each, best.get((each.row.model, each.row.guide))) for each in results]


def _reached(result: JobResult) -> Iterable[float]:
    """Objectives on the way and at the end; of estimates the last alone, which is not the best of many tries."""
    objectives = [point.objective for point in result.objective_history] if result.row.elbo_error is None else []
    return [-math.inf if math.isnan(each) else each for each in (result.row.objective, *objectives) if each is not None]


def _arrived(result: JobResult, best: float | None) -> JobResult:
    row = result.row
    optimum = row.optimum if row.optimum is not None else best
    if row.objective is None or optimum is None:
        return result
    row = dataclasses.replace(row, optimum=optimum)
    if row.elbo_error is None or row.elbo_error <= WITHIN:  # else nobody can tell
        first = None
        for point in reversed(result.objective_history):
            if not _is_near(point.objective, optimum):
                break
            first = point
        if first is not None:
            row = dataclasses.replace(row, steps_to_optimum=first.step, seconds_to_optimum=first.seconds)
    return dataclasses.replace(result, row=row)


def _is_near(objective: float, optimum: float) -> bool:
    return objective == optimum or abs(optimum - objective) <= WITHIN
