"""The rows of a benchmark aggregated over seeds, one line for each guide on each problem, as text."""

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

from .rows import FAILED, BenchRow

NOTHING = "—"


@final
@dataclass(frozen=True)
class Line:
    """One guide on one problem.

    Attributes:
        rows: one per seed.
        typical: the row with the median objective, the lower of two; None if all seeds failed.
    """

    rows: tuple[BenchRow, ...]
    typical: BenchRow | None

    @property
    def model(self) -> str:
        """The name of the problem, `BenchRow.model`."""
        return self.rows[0].model

    @property
    def guide(self) -> str:
        """The name of the guide."""
        return self.rows[0].guide

    @property
    def failures(self) -> tuple[BenchRow, ...]:
        """The rows that failed."""
        return tuple(row for row in self.rows if row.status == FAILED)


def lines_of(rows: Sequence[BenchRow]) -> list[Line]:
    """Return a line for each guide on each problem, in the order of the rows."""
    groups: dict[tuple[str, str], list[BenchRow]] = {}
    for row in rows:
        groups.setdefault((row.model, row.guide), []).append(row)
    return [Line(tuple(group), _typical(group)) for group in groups.values()]


def _typical(rows: Sequence[BenchRow]) -> BenchRow | None:
    ranked = sorted((row.objective, row.seed, row) for row in rows if row.objective is not None)
    return ranked[(len(ranked) - 1) // 2][2] if ranked else None


def value(name: str, digits: int = 4) -> Callable[[Line], str]:
    """Return a function that formats this attribute of the typical row, with its standard error if it has one."""

    def text(line: Line) -> str:
        if line.typical is None:
            return NOTHING
        error = getattr(line.typical, f"{name}_error", None)
        return number(getattr(line.typical, name), digits) + ("" if error is None else f" ± {error:.2g}")

    return text


def number(amount: float | None, digits: int = 4) -> str:
    """Return the number with fixed decimals; a number that rounds to zero has no minus sign."""
    if amount is None:
        return NOTHING
    text = f"{amount:.{digits}f}" if abs(amount) < 1e5 else f"{amount:.6g}"
    return text.lstrip("-") if float(text) == 0 else text


def spread(line: Line) -> str:
    """Return the range of the ELBOs over seeds, in nats."""
    known = [row.elbo for row in line.rows if row.elbo is not None]
    if len(known) < 2:
        return NOTHING
    return number(0.0 if min(known) == max(known) else max(known) - min(known))


def median(name: str, show: Callable[[Any], str]) -> Callable[[Line], str]:
    """Return a function that formats the median over seeds, the lower of two. A missing value counts as infinite."""

    def text(line: Line) -> str:
        known = [getattr(row, name) for row in line.rows]
        middle = statistics.median_low([float("inf") if each is None else each for each in known])
        return NOTHING if middle == float("inf") else show(middle)

    return text


def count(steps: int | float) -> str:
    """Return a number of steps as text."""
    return f"{steps:.0f}"


def seconds(time: int | float) -> str:
    """Return a time with two digits; more digits would be noise."""
    return f"{time:.2g}" if time < 10 else f"{time:.0f}"


def arrived(line: Line) -> str:
    """Return the number of seeds that reached the optimum, as text."""
    return f"{sum(row.steps_to_optimum is not None for row in line.rows)} of {len(line.rows)}"


def statuses(line: Line) -> str:
    """Return the final statuses of the fits, as text."""
    counts = Counter(row.status.replace("_", " ") for row in line.rows)
    return ", ".join(name if len(counts) == 1 else f"{count} {name}" for name, count in counts.items())
