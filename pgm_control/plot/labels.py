"""Text and numbers around a panel, placed without overlap; colour maps."""

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

_EM = 0.58  # mean width of a character, in font sizes
_LINE = 1.3  # distance between lines, in font sizes
_LEGEND = 0.7  # share of a panel's width for the legend: the tick labels at the left take the rest
_SHRINKS = 0.8  # share of a panel that remains, at least, when the layout has made room around it


class End(NamedTuple):
    """The end point and the name of a curve."""

    x: float
    y: float
    name: str
    color: Any


def wrapped(label: str, width: int = 20, lines: int = 2) -> str:
    """Return the label in at most `lines` short lines; an ellipsis replaces the rest."""
    split = [piece for line in label.split("\n") for piece in textwrap.wrap(line, width)] or [""]
    return "\n".join(split if len(split) <= lines else [*split[: lines - 1], f"{split[lines - 1][: width - 1]}…"])


def headline(axes: "Axes", title: str, style: Style, handles: Sequence[Any] = ()) -> None:
    """Write a title above the panel, wrapped to its width, and put the legend of the handles between the two."""
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
    """Label the axes; the labels have the unit in brackets."""
    axes.set_xlabel(x, fontsize=style.text)
    axes.set_ylabel(y, fontsize=style.text)
    axes.tick_params(labelsize=style.small, width=style.edge)


def numbered(axis: "Axis", most: int = 5, whole: bool = False) -> None:
    """Set a few ticks, with their numbers written in full, without a separate offset or power."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    fewest = 1 if whole else 2  # for one column, only the middle is a whole number
    axis.set_major_locator(MaxNLocator(most, integer=whole, min_n_ticks=fewest, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(written))
    axis.set_minor_formatter(NullFormatter())


def decades(axis: "Axis", low: float, high: float, most: int = 7) -> None:
    """Set the ticks of a logarithmic axis, with their numbers written in full."""
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
    """Return the text of a number at a tick."""
    text = f"{value:.6g}" if abs(value) < 1e6 else f"{value:.3g}"
    return text.replace("-", "−") if "e" not in text else text


def name_ticks(axes: "Axes", labels: Sequence[str], style: Style, vertical: bool = True) -> None:
    """Name the positions 0, 1, … of an axis; names without room are left out."""
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
    """Write the name of each curve to the right of its end, moved to avoid overlap. The axis limits must be final."""
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
                "relpos": (0.0, 0.5),  # at the first letter: lines to the middle would cross other names
            },
        )  # fmt: skip


def spread(positions: Sequence[float], apart: float, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """Return the nearest positions, in least squares, that keep the order, the bounds and the distance `apart`.

    If there are too many positions for the bounds, the upper bound is exceeded.
    """
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    blocks: list[list[float]] = []  # sum and size of runs that touch, after subtracting k times `apart` from the k-th
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
    """Switch off mathematics in all text of this panel: names may contain dollar signs."""
    from matplotlib.text import Text

    for text in axes.findobj(Text):
        text.set_parse_math(False)  # pyright: ignore[reportAttributeAccessIssue]


def pale() -> "Colormap":
    """Return a colour map from white to sky blue: larger is darker, and black lines and letters remain legible."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("pale", ["#FFFFFF", "#9BD2F3", "#3E9BD0"])


def full() -> "Colormap":
    """Return cividis, made for the colour-blind, whose grey level increases steadily; nan stays white."""
    from matplotlib import colormaps

    return colormaps["cividis"].with_extremes(bad="white")


def colour_bar(axes: "Axes", mappable: Any, label: str, style: Style) -> None:
    """Add a colour bar at the right of the panel, in Axes of its own so that no other panel loses room."""
    bar = axes.inset_axes((1.03, 0.0, 0.045, 1.0))
    figure = axes.get_figure()
    assert figure is not None
    figure.colorbar(mappable, cax=bar)
    numbered(bar.yaxis)
    bar.tick_params(labelsize=style.small, width=style.edge)
    bar.set_ylabel(label, fontsize=style.text)
