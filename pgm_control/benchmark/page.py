"""The result of a benchmark: a tidy table, a page in Markdown, and tables for a terminal and a notebook."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any, final

from ..runtime.files import write_whole
from ..runtime.status import Status
from ..runtime.versions import versions
from ..text.csv_table import csv_table
from ..text.html import bullets, counted
from ..text.tables import grid, html_grid
from .lines import Line, arrived, count, lines_of, median, number, seconds, spread, statuses, value
from .rows import PARTS, WITHIN, BenchRow, Point

Column = tuple[str, Callable[[Line], str]]

_SHORT: tuple[Column, ...] = (
    ("ELBO", value("elbo")),
    ("gap", value("gap")),
    ("true return", value("true_return")),
    ("delusion", value("delusion")),
    ("steps to optimum", median("steps_to_optimum", count)),
    ("seconds", median("seconds_to_optimum", seconds)),
    ("fit", statuses),
)
_SCORES: tuple[Column, ...] = (
    ("ELBO", value("elbo")),
    ("range over seeds", spread),
    ("gap", value("gap")),
    *((name, value(name)) for name in PARTS),
    ("imagined return", value("imagined_return")),
    ("true return", value("true_return")),
    ("delusion", value("delusion")),
)
_EFFORT: tuple[Column, ...] = (
    ("objective", value("objective")),
    ("own optimum", lambda line: _own_optimum(line)),
    ("seeds at optimum", arrived),
    ("steps to within .01 nats", median("steps_to_optimum", count)),
    ("seconds to within .01 nats", median("seconds_to_optimum", seconds)),
    ("steps", median("num_steps", count)),
    ("seconds", median("seconds", seconds)),
    ("fit", statuses),
)

_HOW_TO_READ = f"""\
- **ELBO**, **gap** = log p(O) − ELBO, and the parts of the gap by block (*initial*, *policy*, *dynamics*, *survival*)
  are in nats; a part that is zero throughout a table is left out. The **imagined return** is the mean return under the
  guide's own dynamics, the **true return** is the mean return of its policy in the true world, and the **delusion** is
  the imagined minus the true return, in reward units.
- The scores are those of the seed with the median objective. The **range over seeds** is the highest minus the lowest
  ELBO. The scores of a guide without tables are estimates, ± their standard errors; the parts of its gap are not known.
- The **objective** is the quantity that a guide maximises: the ELBO, or, for a guide that pays 1/β for a nat of change
  of its dynamics, the objective at that price. The **own optimum** is the best objective in the guide's family:
  computed, or, with a \\*, the best that any seed reached. **Seeds at optimum** is the number of seeds that came within
  {WITHIN:g} nats of it and stayed there. **Steps** and **seconds to within .01 nats** count until then, **steps** and
  **seconds** are those of the whole fit; all are medians over seeds. Steps of different methods are not comparable: a
  step of SVI is a gradient step, a step of the natural gradient is a sweep, and `exact` makes a single step.
- Seconds are wall time on one thread of one machine that also did other work: they are noisy and indicate orders of
  magnitude."""


class BenchStatus(Status):
    """The final status of a benchmark."""

    complete = "Every job was run."
    interrupted = "Interrupted by Ctrl-C. Finished jobs are kept in `out`: the same call resumes from there."


@final
@dataclass(frozen=True, eq=False, repr=False)
class Bench:
    """The result of `bench`. Printing it prints a table.

    Attributes:
        rows: one for each problem, guide and seed, in this order, including failures.
        objective_histories: by (model, guide, seed): the objective by step, to plot.
        models, guides: the summaries, by name.
        settings: the settings of the call.
        status: the final status; `status.message` explains it.
        num_left: the number of jobs that were not run.
        command: the command that reproduces this result, or None.
    """

    rows: tuple[BenchRow, ...]
    objective_histories: Mapping[tuple[str, str, int], tuple[Point, ...]]
    models: Mapping[str, str]
    guides: Mapping[str, str]
    settings: Mapping[str, Any]
    status: BenchStatus
    num_left: int = 0
    command: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON or a data frame. Infinities stay floats."""
        return {
            "settings": dict(self.settings),
            "versions": versions(),
            "status": self.status.name,
            "num_left": self.num_left,
            "command": self.command,
            "rows": [asdict(row) for row in self.rows],
        }

    def to_csv(self) -> str:
        """Return one line per row, with a header; unknown values are empty."""
        return csv_of(self.rows)

    def page(self) -> str:
        """Return the page in Markdown, with medians over seeds."""
        return page_of(self)

    def save(self, folder: str | Path) -> None:
        """Write results.csv and page.md, each atomically."""
        write_whole(Path(folder) / "results.csv", self.to_csv().encode())
        write_whole(Path(folder) / "page.md", self.page().encode())

    def __str__(self) -> str:
        """Return a table for a terminal, with medians over seeds."""
        return table_of(self.rows)

    def __repr__(self) -> str:
        """Return the number of runs and the message of the status."""
        what = f"{counted(len(self.guides), 'guide')} on {counted(len(self.models), 'problem')}"
        return f"Bench({counted(len(self.rows), 'run')} of {what}. {self.status.message})"

    def _repr_html_(self) -> str:
        """Return a table for a notebook."""
        return html_of(self.rows)


def csv_of(rows: Sequence[BenchRow]) -> str:
    """Return one line per row, with a header; unknown values are empty."""
    return csv_table([field.name for field in fields(BenchRow)], [astuple(row) for row in rows])


def table_of(rows: Sequence[BenchRow]) -> str:
    """Return the most important columns and the warnings, for a terminal; each problem is named once."""
    table = grid([["", "", *(name for name, _ in _SHORT)]], _short(rows), left=2)
    return "\n".join([table, *_warnings(rows)])


def html_of(rows: Sequence[BenchRow]) -> str:
    """Return the most important columns and the warnings, for a notebook."""
    table = html_grid([["model", "guide", *(name for name, _ in _SHORT)]], _short(rows), left=2)
    warnings = _warnings(rows)
    return table + (bullets(warnings) if warnings else "")


def _warnings(rows: Sequence[BenchRow]) -> list[str]:
    return [f"{line.model}: {text}" for line in lines_of(rows) for text in warnings_of([line])]


def warnings_of(lines: Sequence[Line]) -> list[str]:
    """Return the warnings of the rows that the tables show."""
    found = (None if line.typical is None else line.typical.warning for line in lines)
    return [text for text in found if text is not None]


def _short(rows: Sequence[BenchRow]) -> list[list[str]]:
    table, before = [], None
    for line in lines_of(rows):
        name = line.model if line.model != before else ""
        table.append([name, line.guide, *(show(line) for _, show in _SHORT)])
        before = line.model
    return table


def page_of(bench: Bench) -> str:
    """Return the whole page in Markdown. It depends on the results only."""
    settings, lines = bench.settings, lines_of(bench.rows)
    tau = settings["temperature"]
    about = [
        f"{len(bench.guides)} guides on {len(bench.models)} problems, {settings['num_seeds']} seeds each, at "
        + ("the problem's own temperature" if tau is None else f"temperature {tau:g}")
        + ("" if settings["horizon"] is None else f" and horizon {settings['horizon']}")
        + ", by `fit`"
        + ("." if settings["num_steps"] is None else f" with at most {settings['num_steps']} steps.")
    ]
    if bench.command is not None:
        about += ["", "Command:", "", f"    {bench.command}"]
    about += ["", "Versions: " + ", ".join(f"{name} {version}" for name, version in versions().items()) + "."]
    if bench.num_left:
        about += ["", f"**Not complete**: {bench.num_left} of {bench.num_left + len(bench.rows)} jobs were not run."]
    parts = ["# Benchmark of guides", "\n".join(about), "## How to read the tables", _HOW_TO_READ]
    parts += ["## The guides", "\n".join(f"- `{name}`: {summary}" for name, summary in bench.guides.items())]
    parts += ["## Overview", *_glance(bench, lines)]
    for model in bench.models:
        mine = [line for line in lines if line.model == model]
        if mine:
            parts += _section(model, bench.models[model], mine)
    return "\n\n".join(parts) + "\n"


def _glance(bench: Bench, lines: Sequence[Line]) -> list[str]:
    by_name = {(line.model, line.guide): line for line in lines}
    parts = []
    for title, name in (("Gap, in nats", "gap"), ("True return", "true_return"), ("Delusion", "delusion")):
        show = value(name, digits=3)
        table = [["", *bench.guides]]
        for model in bench.models:
            mine = (by_name.get((model, guide)) for guide in bench.guides)
            table.append([model, *("" if line is None else show(line).partition(" ")[0] for line in mine)])
        parts += [f"**{title}**", _markdown(table)]
    return parts


def _section(model: str, summary: str, lines: Sequence[Line]) -> list[str]:
    known = next((line.typical for line in lines if line.typical is not None), None)
    size = ""
    if known is not None:
        evidence = number(known.log_evidence, 6)
        size = f" T = {known.horizon}, τ = {known.temperature:g}, log p(O) = {evidence} nats."
    none = [name for name in PARTS if all(_is_zero(line, name) for line in lines)]
    scores = [column for column in _SCORES if column[0] not in none]
    parts = [f"## {model}", f"{summary}{size}"]
    for columns in (scores, _EFFORT):
        body = [[f"`{line.guide}`", *(show(line) for _, show in columns)] for line in lines]
        parts.append(_markdown([["guide", *(name for name, _ in columns)], *body]))
    failed = [
        f"- `{line.guide}` failed for {len(line.failures)} of {len(line.rows)} seeds: {line.failures[0].message}"
        for line in lines
        if line.failures
    ]
    remarks = [*(f"- {text}" for text in warnings_of(lines)), *failed]
    return [*parts, "\n".join(remarks)] if remarks else parts


def _is_zero(line: Line, part: str) -> bool:
    amounts = (getattr(row, part) for row in line.rows)
    return all(amount is None or (math.isfinite(amount) and abs(amount) < 5e-5) for amount in amounts)


def _own_optimum(line: Line) -> str:
    row = line.typical
    if row is None or row.optimum is None:
        return number(None)
    return number(row.optimum) + ("" if row.optimum_is_exact else " \\*")


def _markdown(table: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, with the first column aligned left and the others aligned right."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in table]
    rows.insert(1, ["---", *["---:"] * (len(table[0]) - 1)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
