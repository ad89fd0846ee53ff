"""The measurements of a benchmark: a row for each guide, problem and seed."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

from ..analysis.untrained import sentence

FAILED = "failed"
WITHIN = 1e-2  # nats: a guide within this distance of its own optimum has reached it
PARTS = ("initial", "policy", "dynamics", "survival")  # the parts of the gap


@final
@dataclass(frozen=True)
class BenchRow:
    """One guide on one problem, with one seed. Values that are unknown, or not defined for the guide, are None.

    Attributes:
        model, guide, seed: the names of the problem and the guide, and the seed.
        temperature: τ, in reward units per nat.
        horizon: number of actions.
        status: the final status of the fit, by the name of its `FitStatus`, or "failed".
        message: the error of a failed job.
        log_evidence: log p(O), in nats.
        elbo: the ELBO, in nats. For a guide without tables, ELBO and returns are estimates with standard errors.
        gap: log p(O) − ELBO, in nats; `initial`, `policy`, `dynamics` and `survival` are its parts.
        imagined_return: the mean return that the guide believes in, in reward units.
        true_return: the mean return of its policy in the true world, in reward units.
        delusion: imagined − true return, in reward units.
        objective: the quantity that the guide maximises, in nats: the ELBO, unless a nat of change of its dynamics has
            another price, as in `DialGuide`.
        optimum: the best objective in the guide's family, in nats.
        optimum_is_exact: whether the optimum was computed. If not, it is the best objective of any seed.
        optimum_return: the true return of that optimum, in reward units, if it was computed.
        num_steps: the number of steps of the fit.
        seconds: wall time of the fit.
        steps_to_optimum, seconds_to_optimum: steps and time until the objective comes within 0.01 nats of the optimum
            and stays there; None if it never does.
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
    optimum_return: float | None = None
    num_steps: int | None = None
    seconds: float | None = None
    steps_to_optimum: int | None = None
    seconds_to_optimum: float | None = None

    @property
    def short(self) -> float | None:
        """The optimum minus the objective, in nats."""
        if self.optimum is None or self.objective is None:
            return None
        return 0.0 if self.optimum == self.objective else self.optimum - self.objective

    @property
    def warning(self) -> str | None:
        """The warning of `untrained`; None if there is none, or the optimum is not known."""
        if self.short is None or self.true_return is None or self.optimum_return is None:
            return None
        return sentence(f"`{self.guide}`", self.short, self.true_return, self.optimum_return)


class Point(NamedTuple):
    """The objective of a fit after a number of steps, in nats, and the wall time."""

    step: int
    objective: float
    seconds: float


@final
@dataclass(frozen=True)
class JobResult:
    """A row, and some points of the objective by step."""

    row: BenchRow
    objective_history: tuple[Point, ...] = ()


def judged(results: Sequence[JobResult]) -> list[JobResult]:
    """Return the results with their optimum (default: the best of all seeds) and the step at which it was reached."""
    best: dict[tuple[str, str], float] = {}
    for result in results:
        row = result.row
        if row.objective is not None and row.optimum is None:
            key = row.model, row.guide
            best[key] = max(best.get(key, -math.inf), *_reached(result))
    return [_arrived(each, best.get((each.row.model, each.row.guide))) for each in results]


def _reached(result: JobResult) -> Iterable[float]:
    """Return the objectives by step and at the end; of estimates only the last, which is not the best of many."""
    objectives = [point.objective for point in result.objective_history] if result.row.elbo_error is None else []
    return [-math.inf if math.isnan(each) else each for each in (result.row.objective, *objectives) if each is not None]


def _arrived(result: JobResult, best: float | None) -> JobResult:
    row = result.row
    optimum = row.optimum if row.optimum is not None else best
    if row.objective is None or optimum is None:
        return result
    row = dataclasses.replace(row, optimum=optimum)
    if row.elbo_error is None or row.elbo_error <= WITHIN:  # with a larger error the distance is not known
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
