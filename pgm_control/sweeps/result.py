"""The result of a sweep: a tidy table."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from ..runtime.arguments import one_of
from ..runtime.files import folder_of, write_whole
from ..runtime.status import Status
from ..text.csv_table import csv_table
from ..text.html import counted
from ..text.tables import grid, html_grid
from .settings import FAILURE

_SHOWN = 20  # rows that are printed
_TABLE = "results.csv"


class SweepStatus(Status):
    """How a sweep ended."""

    complete = "Every job has run. A job that failed is a row with the reason, and runs again at the next call."
    interrupted = "Interrupted by Ctrl-C. Finished jobs are kept in `out`: the same call resumes from there."


@final
@dataclass(frozen=True, eq=False, repr=False)
class Sweep:
    """The result of `sweep`. Printing it prints the first rows of the table.

    Attributes:
        function: the function's name, `module:name`.
        version: the version that is part of each key.
        rows: a mapping for each job that has run, in the order of the settings: the setting, what the function
            returned, and "failure", which is None, or the reason of a failed job.
        keys: the key of each row.
        status: how the sweep ended; `status.message` explains it.
        num_left: the number of jobs that have not run.

    Examples:
        >>> from pgm_control import sweep
        >>> def area(width, height):
        ...     return {"area": width * height}
        >>> found = sweep(area, [{"width": 2, "height": 3}, {"width": 2, "height": None}])
        >>> found.rows[0]
        {'width': 2, 'height': 3, 'area': 6, 'failure': None}
        >>> found.num_failed, found.status.name
        (1, 'complete')
    """

    function: str
    version: str
    rows: tuple[Mapping[str, Any], ...]
    keys: tuple[str, ...]
    status: SweepStatus
    num_left: int = 0

    @property
    def num_failed(self) -> int:
        """The number of rows of failed jobs."""
        return sum(row[FAILURE] is not None for row in self.rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns, in the order in which rows have them; the last is "failure"."""
        found = dict.fromkeys(name for row in self.rows for name in row if name != FAILURE)
        return (*found, FAILURE)

    def column(self, name: str) -> list[Any]:
        """Return a column: a value for each row, None where a row has none.

        Raises:
            InvalidArgument: if no row has this column.
        """
        one_of("name", name, self.columns)
        return [row.get(name) for row in self.rows]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON. Infinities and nan stay floats."""
        return {
            "function": self.function,
            "version": self.version,
            "status": self.status.name,
            "num_left": self.num_left,
            "rows": [dict(row) for row in self.rows],
        }

    def to_csv(self) -> str:
        """Return one line per row, with a header; None and missing values are empty, lists and mappings are JSON."""
        names = self.columns
        return csv_table(names, [[_cell(row.get(name)) for name in names] for row in self.rows])

    def save(self, folder: str | Path) -> None:
        """Write results.csv, completely or not at all.

        Raises:
            InvalidArgument: if `folder` cannot be a folder.
        """
        write_whole(folder_of(folder, "folder") / _TABLE, self.to_csv().encode())

    def _table(self) -> list[list[str]]:
        names = self.columns if self.num_failed else self.columns[:-1]
        return [list(names), *([_text(row.get(name)) for name in names] for row in self.rows[:_SHOWN])]

    def __str__(self) -> str:
        """Return the first rows as a table for a terminal, and what has failed or is left."""
        head, *body = self._table()
        more = ["…"] if len(self.rows) > _SHOWN else []
        return "\n".join([grid([head], body, left=0), *more, self._summary()])

    def __repr__(self) -> str:
        """Return the number of rows, of failures and of jobs that are left."""
        return f"Sweep({self.function}: {self._summary()})"

    def _repr_html_(self) -> str:
        """Return the first rows as a table for a notebook."""
        head, *body = self._table()
        return f"{html_grid([head], body, left=0)}<p>{self._summary()}</p>"

    def _summary(self) -> str:
        return f"{counted(len(self.rows), 'row')}, {self.num_failed} failed, {self.num_left} left."


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | Mapping) else value


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(_cell(value))
