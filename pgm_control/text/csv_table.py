"""Tables as comma-separated values, which a spreadsheet opens without running formulas."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # with one of these at its start, spreadsheets take a text for a formula


def csv_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A line of column names, and one line for each row; None is an empty cell.

    A text that a spreadsheet would take for a formula, such as a state named "=1+1", is written with an apostrophe in
    front of it. Numbers are written as they are, and so are texts that are numbers.
    """
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(_harmless, columns))
    writer.writerows(map(_harmless, row) for row in rows)
    return file.getvalue()


def _harmless(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) and not _is_number(cell) else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
