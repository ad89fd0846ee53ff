"""The pieces of a notebook page: HTML that is bounded in size, for light and dark alike."""

import html
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .tables import PADDED
from .wording import amount

ROWS = 10  # shown of a longer table
_POINTS, _WIDTH, _HEIGHT = 200, 320, 60  # of a curve
_SHADE = "rgba(230,159,0,{:.2f})"  # seen through on any ground
_CENTRED = f"text-align:center;min-width:2em;{PADDED}"
_BULLETS = "list-style:disc;padding-left:1.5em"  # said here, since some notebooks take it away


class HeatmapCell(NamedTuple):
    """A number in a heat map: its text, how dark it is, from 0 to 1, and the text shown when pointed at."""

    text: str
    shade: float
    hint: str = ""


def heading(title: str, *lines: str) -> str:
    """A title and the lines below it."""
    rows = "".join(f"<br>{html.escape(line)}" for line in lines)
    return f"<p><b>{html.escape(title)}</b>{rows}</p>"


def bullets(sentences: Iterable[str]) -> str:
    """A list with a bullet each."""
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
    return f"<ul style='{_BULLETS}'>{items}</ul>"


def left_out(number: int, what: str) -> str:
    """How many rows a table leaves out: "… 3 more states"; nothing if none."""
    return f"<p>… {number:,} more {what}{'' if number == 1 else 's'}</p>" if number else ""


def counted(number: int, what: str) -> str:
    """A number and its noun: "1 state", "1,200 states"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def share(probability: float) -> str:
    """A probability in few characters that never rounds to certainty."""
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
    """A line through at most 200 of the values, one a step, in the colour of the text; nothing for fewer than two."""
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
