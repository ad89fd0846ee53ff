"""Choices of people as a tidy table: one row for each action, with its person, trial, problem and state."""

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from ...errors import InvalidArgument
from ...runtime.arguments import plain_number, shown
from ...runtime.files import path_of, write_whole
from ...text.csv_table import csv_table

COLUMNS = ("person", "trial", "problem", "state", "action")
_MISSING = ("", "na", "nan", "<na>", "nat")  # in tables
_FORM = f"a table with the columns {', '.join(COLUMNS)}"


@final
@dataclass(frozen=True, eq=False, repr=False, init=False)
class Choices:
    """Choices of people in a tidy table. Every entry is kept as text; models give it its meaning.

    The rows of one person and trial are the steps of one episode, in their order. A state or an action is the name that
    the problem gives it, or its index. Messages count rows from 1, without the header.

        Choices.from_csv("choices.csv")
        Choices.from_table(pandas.DataFrame(...))

    Attributes:
        person, trial, problem, state, action: the columns.
    """

    person: tuple[str, ...]
    trial: tuple[str, ...]
    problem: tuple[str, ...]
    state: tuple[str, ...]
    action: tuple[str, ...]

    def __init__(
        self,
        person: Iterable[Any],
        trial: Iterable[Any],
        problem: Iterable[Any],
        state: Iterable[Any],
        action: Iterable[Any],
    ) -> None:
        """Check the columns, and keep their entries as text.

        Raises:
            InvalidArgument: if there is no row, an entry is empty or nan, or the lengths differ; the message names the
                column and the row.
        """
        for name, column in zip(COLUMNS, (person, trial, problem, state, action), strict=True):
            object.__setattr__(self, name, _texts(name, column))  # the dataclass is frozen
        lengths = {name: len(getattr(self, name)) for name in COLUMNS}
        if len(set(lengths.values())) > 1:
            name = next(each for each in COLUMNS if lengths[each] != lengths["person"])
            raise InvalidArgument(
                f"`{name}` must have as many rows as `person`, {lengths['person']}, but has {lengths[name]}."
            )

    @classmethod
    def from_table(cls, table: Any) -> "Choices":
        """Return the choices in a mapping from names to columns: a DataFrame of pandas, or a dictionary of lists.

        Other columns are ignored.

        Raises:
            InvalidArgument: if a column is missing, an entry is empty or nan, or there is no row; the message names the
                column and the row.
        """
        if not (isinstance(table, Mapping) or hasattr(table, "columns")):
            raise InvalidArgument(f"`table` must be {_FORM}, such as a pandas DataFrame, but is {shown(table)}.")
        _require_columns("table", [str(each) for each in (table if isinstance(table, Mapping) else table.columns)])
        return cls(**{name: table[name] for name in COLUMNS})

    @classmethod
    def from_csv(cls, path: str | Path) -> "Choices":
        """Return the choices in a file of comma-separated values with a header.

        Raises:
            InvalidArgument: if the file cannot be read, or as `from_table`.
        """
        target = path_of(path)
        try:
            with target.open(newline="", encoding="utf-8-sig") as file:
                lines = list(csv.reader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as problem:
            raise InvalidArgument(
                f"`path` must be a file of comma-separated values in UTF-8, but {str(target)!r} cannot be read: "
                f"{problem}."
            ) from problem
        head, rows = ([each.strip() for each in lines[0]], [each for each in lines[1:] if each]) if lines else ([], [])
        _require_columns("path", head)
        for i, row in enumerate(rows):
            if len(row) != len(head):
                raise InvalidArgument(
                    f"`path` must have {len(head)} entries in each row, as its header does, but row {i + 1} has "
                    f"{len(row)}. Quote entries that contain commas."
                )
        places = {name: head.index(name) for name in COLUMNS}
        return cls(**{name: tuple(row[at] for row in rows) for name, at in places.items()})

    @property
    def people(self) -> tuple[str, ...]:
        """The names of the people, in the order in which they first appear: the order of every result by person."""
        return tuple(dict.fromkeys(self.person))

    @property
    def columns(self) -> dict[str, list[str]]:
        """The table as a dictionary of lists, for `pandas.DataFrame(choices.columns)`."""
        return {name: list(getattr(self, name)) for name in COLUMNS}

    def to_csv(self, path: str | Path) -> None:
        """Write the table as comma-separated values.

        Raises:
            InvalidArgument: if `path` cannot be written.
        """
        write_whole(path, csv_table(COLUMNS, list(zip(*self.columns.values(), strict=True))).encode())

    def __len__(self) -> int:
        """The number of choices."""
        return len(self.person)

    def __repr__(self) -> str:
        """The numbers of choices, people and problems."""
        return f"Choices({len(self)} choices, {len(self.people)} people, {len(set(self.problem))} problems)"


def require_choices(data: object) -> Choices:
    """Return the choices.

    Raises:
        InvalidArgument: if `data` is anything else.
    """
    if not isinstance(data, Choices):
        raise InvalidArgument(
            f"`data` must be Choices, but is {shown(data)}. Use Choices.from_csv(path) or Choices.from_table(frame)."
        )
    return data


def _require_columns(argument: str, names: list[str]) -> None:
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise InvalidArgument(
            f"`{argument}` must be {_FORM}, but has no column {missing[0]!r}: its columns are "
            f"{', '.join(map(repr, names)) or 'none'}. Rename one, or add it."
        )


def _texts(name: str, column: Any) -> tuple[str, ...]:
    if isinstance(column, str | bytes | Mapping) or not isinstance(column, Iterable) or getattr(column, "ndim", 1) != 1:
        raise InvalidArgument(f"`{name}` must be a column with an entry for each row, but is {shown(column)}.")
    found = tuple(_text(name, i, each) for i, each in enumerate(column))
    if not found:
        raise InvalidArgument(f"`{name}` must have at least one row, but is empty.")
    return found


def _text(name: str, row: int, entry: Any) -> str:
    """One entry as text; whole numbers that a table keeps as floats are written without a point."""
    value = plain_number(entry)
    is_whole = isinstance(value, float) and value.is_integer()
    text = str(int(value)) if is_whole and value is not None else str(entry if value is None else value).strip()
    if entry is None or text.lower() in _MISSING or (isinstance(value, float) and not math.isfinite(value)):
        raise InvalidArgument(
            f"`{name}` must have an entry in every row, but has {shown(entry)} in row {row + 1}. Leave out trials "
            "without a choice."
        )
    return text
