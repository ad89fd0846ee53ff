"""The axes to draw into: those that were given, or those of a new figure that nothing global knows of."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InvalidArgument, MissingExtra
from .style import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
    from collections.abc import Mapping

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
