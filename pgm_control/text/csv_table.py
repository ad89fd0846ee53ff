"""Tables as comma-separated values, which a spreadsheet opens without running formulas."""

from collections.abc import Iterable, Sequence
from typing import Any

_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # with one of these at its start, spreadsheets take a text for a formula
_QUOTED = set(',"\r\n')


def csv_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A line of column names, and one line for each row; None is an empty cell.

    A text that a spreadsheet would take for a formula, such as a state named "=1+1", is written with an apostrophe in
    front of it. Numbers are written as they are, and so are texts that are numbers.
    """
    return "".join(",".join(map(_cell, row)) + "\n" for row in (columns, *rows))


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    if isinstance(value, str) and text.startswith(_FORMULA) and not _is_number(text):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if _QUOTED & set(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
