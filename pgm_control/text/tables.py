"""Tables of text for a terminal, a notebook or a file."""

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InvalidArgument
from ..runtime.files import path_of, write_whole
from .csv_table import csv_table

PADDED = "padding:.2em .6em"  # set in each cell, since some notebooks remove all padding


def grid(head: Sequence[Sequence[str]], *groups: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table for a terminal, with a rule below the head and between groups; the first `left` columns align left."""
    lines = [*head, *(row for group in groups for row in group)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = "  ".join("─" * width for width in widths)

    def written(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join(padded).rstrip()

    blocks = ["\n".join(map(written, block)) for block in (head, *groups)]
    return f"\n{rule}\n".join(blocks).rstrip("\n")


def html_grid(head: Sequence[Sequence[str]], rows: Iterable[Sequence[str]], left: int = 1, caption: str = "") -> str:
    """The same table as HTML for a notebook; the second line of the head, such as units, is small."""

    def cell(i: int, text: str) -> str:
        align = "left" if i < left else "right"
        return f"<td style='text-align:{align};{PADDED}'>{html.escape(text)}</td>"

    titles = "".join(
        f"<th style='{PADDED}'>"
        + "<br>".join([html.escape(names[0]), *(f"<small>{html.escape(name)}</small>" for name in names[1:])])
        + "</th>"
        for names in zip(*head, strict=True)
    )
    body = "".join("<tr>" + "".join(cell(i, text) for i, text in enumerate(row)) + "</tr>" for row in rows)
    above = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{above}<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"


def save_records(path: str | Path, everything: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
    """Write everything to a .json file or the records to a .csv file, completely or not at all.

    Raises:
        InvalidArgument: for any other suffix.
    """
    suffix = path_of(path).suffix
    if suffix == ".json":
        text = json.dumps(everything, indent=2, ensure_ascii=False)
    elif suffix == ".csv":
        text = csv_table(list(records[0]), [list(each.values()) for each in records])
    else:
        raise InvalidArgument(f"`path` must end in .json or .csv, but is {str(path)!r}. The suffix selects the format.")
    write_whole(path, (text.rstrip("\n") + "\n").encode())
