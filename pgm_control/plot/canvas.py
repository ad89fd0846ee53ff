"""The basis of every plot: sizes for paper and slides, looks with and without colour, and the Axes to draw into.

The Axes are the given ones, or those of a new figure that is not registered with pyplot.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from ..errors import InvalidArgument, MissingExtra
from ..runtime.arguments import one_of
from ..runtime.array_like import numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Style(NamedTuple):
    """Sizes, in points except `inches`.

    Attributes:
        title, text, small: font sizes of titles, of axis labels, and of tick numbers and other labels.
        line, edge, marker: widths of curves and of outlines, and the size of markers.
        dense: the largest number of characters of a hatch pattern, whose size is the same on paper and slide.
        inches: width and height of one panel of a new figure.
    """

    title: float
    text: float
    small: float
    line: float
    edge: float
    marker: float
    dense: int
    inches: tuple[float, float]


_STYLES = {
    "paper": Style(10.5, 9.5, 8.5, 1.8, 0.8, 5.0, 3, (5.2, 3.7)),
    "slide": Style(19.0, 17.0, 15.0, 3.2, 1.5, 9.0, 1, (8.0, 5.8)),
}


def style_of(style: str) -> Style:
    """Return the style with this name.

    Raises:
        InvalidArgument: if there is no such style.
    """
    one_of("style", style, _STYLES, remedy="Slides have larger type and thicker lines.")
    return _STYLES[style]


class Look(NamedTuple):
    """The look of one item in all plots: an Okabe-Ito colour, and hatch, line and marker for print without colour."""

    color: str
    hatch: str
    line: str | tuple[int, tuple[float, ...]]
    marker: str


TRUE = Look("#BBBBBB", "", ":", "s")
FREE = Look("#E69F00", "///", "-", "o")
CLAMPED = Look("#56B4E9", "...", "--", "D")
_OTHERS = (
    Look("#009E73", "xx", "-.", "^"),
    Look("#CC79A7", "\\\\\\", (0, (1, 1)), "v"),
    Look("#0072B2", "++", (0, (5, 1, 1, 1, 1, 1)), "P"),
    Look("#D55E00", "oo", (0, (8, 3)), "X"),
    Look("#F0E442", "--", (0, (3, 3, 1, 3)), "*"),
    Look("#000000", "**", (0, (1, 4)), "<"),
)


def looks_of(names: list[str]) -> list[Look]:
    """Return one look for each name.

    The first name that begins with "free" or "clamped" has the look of that guide; the others have the remaining looks.

    Raises:
        InvalidArgument: if there are more names than looks.
    """
    special, rest = {"free": FREE, "clamped": CLAMPED}, iter(_OTHERS)
    found = []
    for name in names:
        own = next((word for word in special if name.lower().startswith(word)), None)
        look = special.pop(own) if own is not None else next(rest, None)
        if look is None:
            raise InvalidArgument(
                f"At most {len(_OTHERS)} items beside free and clamped can be distinguished in one picture, but there "
                f"are {len(names)} in all: {', '.join(names)}. Draw them in several pictures."
            )
        found.append(look)
    return found


def one_panel(ax: Any, style: Style, inches: tuple[float, float] | None = None) -> "Axes":
    """Return the given Axes, or the Axes of a new figure.

    Raises:
        InvalidArgument: if `ax` is not Axes.
        MissingExtra: without matplotlib, with the command that installs it.
    """
    if ax is None:
        return panels(None, 1, style, inches=inches)[0]
    require_matplotlib()
    _check("ax", ax)
    return ax


def panels(
    axes: Any, count: int, style: Style, columns: int | None = None, inches: tuple[float, float] | None = None
) -> np.ndarray:
    """Return `count` Axes as a flat array: the given ones, or those of a new figure with `columns` columns.

    A new figure has matplotlib's constrained layout, which makes room for all text, and is not registered with pyplot.

    Raises:
        InvalidArgument: if `axes` does not hold `count` Axes.
        MissingExtra: without matplotlib.
    """
    require_matplotlib()
    if axes is not None:
        given = np.asarray(axes, dtype=object).ravel()
        if len(given) != count:
            raise InvalidArgument(
                f"`axes` must hold {count} Axes for this picture, but holds {len(given)}. Make them with "
                f"plt.subplots(1, {count}, layout='constrained'), or leave `axes` out."
            )
        for each in given:
            _check("axes", each)
        return given
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = count if columns is None else min(columns, count)
    rows = -(-count // columns)
    width, height = inches or style.inches
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    made = figure.subplots(rows, columns, squeeze=False).ravel()
    for spare in made[count:]:
        spare.remove()
    return made[:count]


def require_matplotlib() -> None:
    """Check that matplotlib, an extra that is slow to import, is installed.

    Raises:
        MissingExtra: without matplotlib, with the command that installs it.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as problem:
        raise MissingExtra("A plot needs matplotlib, which is missing: pip install matplotlib") from problem


def size_in_points(axes: "Axes") -> tuple[float, float]:
    """Return the width and height of the panel before the layout makes room for the text around it."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    box = axes.get_window_extent()
    return box.width * 72 / figure.dpi, box.height * 72 / figure.dpi


def settle(axes: "Axes") -> None:
    """Lay out the figure twice: where cells must be square, one pass is not enough."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    engine = figure.get_layout_engine()
    for _ in range(0 if engine is None else 2):
        engine.execute(figure)  # pyright: ignore[reportOptionalMemberAccess]


def ink(axes: "Axes") -> Any:
    """Return the text colour of these Axes (default: black; the caller's style can change it)."""
    return axes.xaxis.label.get_color()


def plotted(name: str, values: Any) -> np.ndarray:
    """Return numbers to be drawn as an array of float64; they may be nan, and may require a gradient.

    Raises:
        InvalidArgument: if `values` is not an array of real numbers; the message calls it `name`.
    """
    with torch.no_grad():
        return numbers(name, values, InvalidArgument).double().cpu().numpy()


def named(rows: Any, kind: type, name: str) -> dict[str, Any]:
    """Return a mapping from names to results; a single result has the name "".

    Raises:
        InvalidArgument: if `rows` is neither a result nor a mapping of results.
    """
    found = dict(rows) if isinstance(rows, Mapping) else {"": rows}
    wrong: Sequence[Any] = [each for each in found.values() if not isinstance(each, kind)]
    if wrong or not found or not all(isinstance(key, str) for key in found):
        held = f"holds a {type(wrong[0]).__name__}" if wrong else "is empty or has other keys than names"
        raise InvalidArgument(
            f"`{name}` must be a {kind.__name__}, or a mapping from names to them, but {held}. Pass {{name: result}}."
        )
    return found


def _check(name: str, axes: Any) -> None:
    from matplotlib.axes import Axes

    if not isinstance(axes, Axes):
        raise InvalidArgument(
            f"`{name}` must be matplotlib Axes, but is a {type(axes).__name__}. Make them with "
            "plt.subplots(layout='constrained'), or leave the argument out."
        )
