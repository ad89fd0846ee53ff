"""What every picture stands on: sizes for paper and slides, looks with and without colour, the axes to draw into.

Axes are those that were given, or those of a new figure that nothing global knows of.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import InvalidArgument, MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Style(NamedTuple):
    """Sizes, all in points but `inches`.

    Attributes:
        title, text, small: of type: titles, names of axes, numbers and labels.
        line, edge, marker: widths of curves and of outlines, and the size of markers.
        dense: at most so many signs of a hatch, which has one size on paper and slide.
        inches: width and height of one panel of a figure that a function makes itself.
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
    """The style of that name.

    Raises:
        InvalidArgument: if there is none.
    """
    if style not in _STYLES:
        raise InvalidArgument(
            f"`style` must be 'paper' or 'slide', but is {style!r}. Slides have larger type and thicker lines."
        )
    return _STYLES[style]


class Look(NamedTuple):
    """One thing in every picture: an Okabe-Ito colour for the colour-blind; hatch, line and marker for no colour."""

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
    """One look a name: that of the free and of the clamped guide for the first whose name begins so, then the others.

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
                f"At most {len(_OTHERS)} things beside free and clamped can be told apart in one picture, but there "
                f"are {len(names)} in all: {', '.join(names)}. Draw them in several pictures."
            )
        found.append(look)
    return found


def one_panel(ax: Any, style: Style, inches: tuple[float, float] | None = None) -> "Axes":
    """The given Axes, or the one of a new figure.

    Raises:
        InvalidArgument: if `ax` is something else.
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
    """So many Axes, as a flat array: those given, or those of a new figure with so many columns.

    A new figure has matplotlib's constrained layout, which gives all text its room, and is not known to pyplot.

    Raises:
        InvalidArgument: if `axes` are not so many Axes.
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
    """It is an extra, and slow to import.

    Raises:
        MissingExtra: without it, with the command that installs it.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as problem:
        raise MissingExtra("A plot needs matplotlib, which is missing: pip install 'pgm-control[plot]'") from problem


def size_in_points(axes: "Axes") -> tuple[float, float]:
    """Width and height of the panel, before the layout makes room for what stands around it."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    box = axes.get_window_extent()
    return box.width * 72 / figure.dpi, box.height * 72 / figure.dpi


def settle(axes: "Axes") -> None:
    """Lay the figure out, twice: where cells must be square, once does not suffice."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    engine = figure.get_layout_engine()
    for _ in range(0 if engine is None else 2):
        engine.execute(figure)  # pyright: ignore[reportOptionalMemberAccess]


def ink(axes: "Axes") -> Any:
    """The colour that these Axes write in: black, unless the caller's style says otherwise."""
    return axes.xaxis.label.get_color()


def named(rows: Any, kind: type, name: str) -> dict[str, Any]:
    """One result under its own name, or a mapping of them.

    Raises:
        InvalidArgument: if it is neither.
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
