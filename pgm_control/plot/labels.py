"""Words and numbers around a panel, placed so that none lies upon another; colours that stand for numbers."""

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .canvas import Style, ink, size_in_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.colors import Colormap

_EM = 0.58  # mean width of a character, in heights of the type
_LINE = 1.3  # from line to line
_LEGEND = 0.7  # of a panel, for the legend: it may not be wider when the names at the left have taken their room
_SHRINKS = 0.8  # of a panel, at least, is left when the layout has made room around it


class End(NamedTuple):
    """Where a curve ends, and what it is called."""

    x: float
    y: float
    name: str
    color: Any


def wrapped(label: str, width: int = 20, lines: int = 2) -> str:
    """At most so many short lines; the rest is an ellipsis."""
    split = [piece for line in label.split("\n") for piece in textwrap.wrap(line, width)] or [""]
    return "\n".join(split if len(split) <= lines else [*split[: lines - 1], f"{split[lines - 1][: width - 1]}…"])


def headline(axes: "Axes", title: str, style: Style, handles: Sequence[Any] = ()) -> None:
    """A title above the panel, wrapped to its width, and between the two the legend, if there are handles."""
    width = size_in_points(axes)[0]
    pad = 6.0
    if handles:
        longest = max(len(line) for handle in handles for line in str(handle.get_label()).split("\n"))
        each = (longest * _EM + 3.5) * style.small
        columns = max(1, min(len(handles), int(_LEGEND * width / each)))
        axes.legend(
            handles=list(handles), loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, fontsize=style.small,
            frameon=False, borderpad=0.2, borderaxespad=0.2, labelspacing=0.35, handlelength=2.6,
            labelcolor=ink(axes),
        )  # fmt: skip
        lines = max(str(handle.get_label()).count("\n") + 1 for handle in handles) * -(-len(handles) // columns)
        pad += (lines * 1.45 + 0.9) * style.small
    letters = max(20, int(width / (_EM * style.title)))
    axes.set_title(wrapped(title, letters, 3), fontsize=style.title, loc="left", pad=pad)


def name_axes(axes: "Axes", x: str, y: str, style: Style) -> None:
    """What the axes show, with the unit in brackets."""
    axes.set_xlabel(x, fontsize=style.text)
    axes.set_ylabel(y, fontsize=style.text)
    axes.tick_params(labelsize=style.small, width=style.edge)


def numbered(axis: "Axis", most: int = 5, whole: bool = False) -> None:
    """Few ticks, their numbers written out, without an offset or a power that stands elsewhere."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    fewest = 1 if whole else 2  # of one column, the middle alone is whole
    axis.set_major_locator(MaxNLocator(most, integer=whole, min_n_ticks=fewest, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(written))
    axis.set_minor_formatter(NullFormatter())


def decades(axis: "Axis", low: float, high: float, most: int = 7) -> None:
    """Ticks of a logarithmic axis, written out."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    finer = (1,) if len(powers) > 3 else (1, 2, 5)
    ticks = [digit * 10.0**power for power in powers for digit in finer]
    inside = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)] or [low, high]
    axis.set_major_locator(FixedLocator(inside[:: -(-len(inside) // most)]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(written))
    axis.set_minor_formatter(NullFormatter())


def written(value: float, position: int | None = None) -> str:
    """A number at a tick."""
    text = f"{value:.6g}" if abs(value) < 1e6 else f"{value:.3g}"
    return text.replace("-", "−") if "e" not in text else text


def name_ticks(axes: "Axes", labels: Sequence[str], style: Style, vertical: bool = True) -> None:
    """The names of positions 0, 1, … of an axis, as many as have room."""
    width, height = size_in_points(axes)
    lines = 2 if len(labels) * 2 * _LINE * style.small < _SHRINKS * height else 1
    shown = [wrapped(label, 20 if vertical else 14, lines) for label in labels]
    if vertical:
        needs = 1.15 * style.small * max(label.count("\n") + 1 for label in shown)
        stride = max(1, math.ceil(needs * len(shown) / (_SHRINKS * height)))
    else:
        needs = (max(len(line) for label in shown for line in label.split("\n")) * _EM + 1) * style.small
        stride = max(1, math.ceil(needs * len(shown) / (_SHRINKS * width)))
    axis = axes.yaxis if vertical else axes.xaxis
    axis.set_ticks(range(0, len(shown), stride), labels=shown[::stride], fontsize=style.small)


def label_ends(axes: "Axes", ends: Sequence[End], style: Style) -> None:
    """The name of each curve to the right of its end, moved up or down where two would meet. Limits must be final."""
    if not ends:
        return
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = [float(to_axes.transform((end.x, end.y))[1]) for end in ends]
    names = [wrapped(end.name, 26, 3) for end in ends]
    rows = max(name.count("\n") + 1 for name in names)
    apart = _LINE * rows * style.small / (_SHRINKS * size_in_points(axes)[1])
    for end, name, height in zip(ends, names, spread(heights, apart, 0.5 * apart, 1 - 0.5 * apart), strict=True):
        axes.annotate(
            name, (end.x, end.y), xytext=(1.03, height), textcoords="axes fraction", ha="left", va="center",
            fontsize=style.small, color=ink(axes), annotation_clip=False,
            arrowprops={
                "arrowstyle": "-", "color": end.color, "linewidth": style.edge, "shrinkA": 1, "shrinkB": 3,
                "relpos": (0.0, 0.5),  # the first letter: towards the middle, lines cross other names
            },
        )  # fmt: skip


def spread(positions: Sequence[float], apart: float, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """The nearest positions, in squares, that keep the order, lie between the bounds and are at least so far apart.

    Where they are too many for the bounds, the upper one gives way.
    """
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    blocks: list[list[float]] = []  # sum and size of runs that touch, after k times `apart` was taken off each
    for k, i in enumerate(order):
        blocks.append([positions[i] - k * apart, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, size = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += size
    levels = np.concatenate([np.full(int(size), total / size) for total, size in blocks])
    levels = np.clip(levels, low, max(low, high - (len(order) - 1) * apart))
    found = [0.0] * len(order)
    for k, i in enumerate(order):
        found[i] = float(levels[k]) + k * apart
    return found


def finish(axes: "Axes") -> None:
    """Names may hold dollar signs: no text of this panel is mathematics."""
    from matplotlib.text import Text

    for text in axes.findobj(Text):
        text.set_parse_math(False)  # pyright: ignore[reportAttributeAccessIssue]


def pale() -> "Colormap":
    """White to sky blue: darker is more, and black lines and letters remain legible on all of it."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("pale", ["#FFFFFF", "#9BD2F3", "#3E9BD0"])


def full() -> "Colormap":
    """Cividis, made for the colour-blind, whose grey rises steadily; what has no number stays white."""
    from matplotlib import colormaps

    return colormaps["cividis"].with_extremes(bad="white")


def colour_bar(axes: "Axes", mappable: Any, label: str, style: Style) -> None:
    """A bar at the right of the panel, inside its own Axes so that no other panel loses room."""
    bar = axes.inset_axes((1.03, 0.0, 0.045, 1.0))
    figure = axes.get_figure()
    assert figure is not None
    figure.colorbar(mappable, cax=bar)
    numbered(bar.yaxis)
    bar.tick_params(labelsize=style.small, width=style.edge)
    bar.set_ylabel(label, fontsize=style.text)
