"""Pieces of HTML for notebook pages, bounded in size and readable on light and dark backgrounds."""

import html
import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .tables import PADDED
from .wording import amount

ROWS = 10  # the rows shown of a longer table
_POINTS, _WIDTH, _HEIGHT = 200, 320, 60  # the points and the size of a curve
_SHADE = "rgba(230,159,0,{:.2f})"  # translucent, for any background
_CENTRED = f"text-align:center;min-width:2em;{PADDED}"
_CODE = re.compile("`([^`<>]+)`")
_BULLETS = "list-style:disc;padding-left:1.5em"  # set here, since some notebooks remove it


class HeatmapCell(NamedTuple):
    """A number in a heatmap: its text, its darkness from 0 to 1, and the text shown when the mouse is over it."""

    text: str
    shade: float
    hint: str = ""


def heading(title: str, *lines: str) -> str:
    """A title and the lines below it."""
    rows = "".join(f"<br>{html.escape(line)}" for line in lines)
    return f"<p><b>{html.escape(title)}</b>{rows}</p>"


def bullets(sentences: Iterable[str]) -> str:
    """A bulleted list of the sentences; words between backticks are code."""
    items = _CODE.sub(r"<code>\1</code>", "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences))
    return f"<ul style='{_BULLETS}'>{items}</ul>"


def left_out(number: int, what: str) -> str:
    """The number of rows that a table leaves out, such as "… 3 more states"; empty if none."""
    return f"<p>… {number:,} more {what}{'' if number == 1 else 's'}</p>" if number else ""


def counted(number: int, what: str) -> str:
    """A number and its noun: "1 state", "1,200 states"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def share(probability: float) -> str:
    """A probability in few characters, never rounded to 0 or 1."""
    if probability in (0.0, 1.0):
        return f"{probability:g}"
    if probability < 0.0005:
        return "< 0.001"
    return "> 0.999" if probability > 0.9995 else f"{probability:.3f}"


def heatmap(titles: Sequence[str], lines: Iterable[Sequence[str | HeatmapCell]]) -> str:
    """A table of cells, darker where `shade` is larger, below a row of titles if there are any."""
    head = "".join(f"<th style='{PADDED}'>{html.escape(title)}</th>" for title in titles)
    body = "".join("<tr>" + "".join(map(_td, line)) + "</tr>" for line in lines)
    return f"<table>{f'<thead><tr>{head}</tr></thead>' if titles else ''}<tbody>{body}</tbody></table>"


def curve(values: Sequence[float], what: str, unit: str) -> str:
    """A curve of the finite values by step, with at most 200 points, in the colour of the text; empty below two."""
    kept = [v for v in values if math.isfinite(v)]
    if len(kept) < 2:
        return ""
    picked = [kept[round(i * (len(kept) - 1) / (_POINTS - 1))] for i in range(_POINTS)] if len(kept) > _POINTS else kept
    low, high = min(picked), max(picked)
    points = " ".join(
        f"{_WIDTH * i / (len(picked) - 1):.1f},{_HEIGHT - 2 - (_HEIGHT - 4) * (v - low) / (high - low or 1.0):.1f}"
        for i, v in enumerate(picked)
    )
    return (
        f"<svg role='img' aria-label='{what} of each step' width='{_WIDTH}' height='{_HEIGHT}' "
        f"viewBox='0 0 {_WIDTH} {_HEIGHT}'><polyline points='{points}' fill='none' stroke='currentColor'></polyline>"
        "</svg>"
        f"<p><small>{what} by step, from {amount(low)} to {amount(high)} {unit}</small></p>"
    )


def _td(cell: str | HeatmapCell) -> str:
    if isinstance(cell, str):
        return f"<td style='{PADDED}'>{html.escape(cell)}</td>"
    hint = f" title='{html.escape(cell.hint)}'" if cell.hint else ""
    shade = _SHADE.format(0.55 * cell.shade)
    return f"<td{hint} style='{_CENTRED};background:{shade}'>{html.escape(cell.text)}</td>"
