"""Curves of several quantities over one parameter."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidArgument
from ..runtime.arguments import called, finite, named, one_of
from .canvas import ink, looks_of, one_panel, plotted, style_of
from .labels import End, decades, finish, headline, label_ends, name_axes, numbered

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Numbers = Sequence[float | int] | Float[Tensor, " number"] | Float[np.ndarray, " number"]

_MARKS = 12  # the largest number of markers on a curve


def curves(
    x: Numbers,
    rows: Mapping[str, Numbers],
    *,
    across: str,
    up: str,
    title: str = "",
    levels: Mapping[str, float] | None = None,
    logarithmic: str = "",
    ax: "Axes | None" = None,
    style: str = "paper",
) -> "Axes":
    """Draw one curve for each row of numbers over `x`, labelled at its end.

    Args:
        x: the values of the parameter, in increasing order.
        rows: by name, one number for each value of `x`. Numbers that are not finite are gaps; an isolated number is
            a mark. Names that begin with "free" and "clamped" have the looks of these guides in all plots.
        across, up: labels of the two axes, with units, such as "temperature τ (reward units per nat)".
        title: the title of the panel.
        levels: by name, constants, drawn as dotted lines over the whole width.
        logarithmic: the logarithmic axes: "", "x", "y" or "xy".
        ax: where to draw; default: a new figure.
        style: "paper", or "slide", with larger type and thicker lines.

    Returns:
        The Axes; their lines, which have the names as labels, hold the numbers.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
        MissingExtra: without matplotlib.
    """
    sizes = style_of(style)
    given = {} if levels is None else named("levels", levels, least=0, what="level")
    levels = {name: finite(f"levels: {name!r}", level) for name, level in given.items()}
    one_of("logarithmic", logarithmic, ("", "x", "y", "xy"), remedy="'' is neither.")
    for name, text in (("across", across), ("up", up), ("title", title)):
        called(name, text)
    at = plotted("x", x)
    if at.ndim != 1 or len(at) < 2 or not (np.isfinite(at).all() and (np.diff(at) > 0).all()):
        raise InvalidArgument("`x` must be at least two finite numbers in rising order. Sort them, with their rows.")
    values = {name: plotted(f"rows: {name!r}", row) for name, row in named("rows", rows, what="row").items()}
    for name, row in values.items():
        if row.shape != at.shape:
            raise InvalidArgument(
                f"`rows` must hold {len(at)} numbers per name, as `x` does, but {name!r} has shape {row.shape}."
            )
    drawn = {name: np.where(np.isfinite(row), row, np.nan) for name, row in values.items()}
    for axis, numbers in (("x", [at]), ("y", [*drawn.values(), np.array(list(levels.values()))])):
        if axis in logarithmic and any((each <= 0).any() for each in numbers):
            where = "`x`" if axis == "x" else "`rows` and `levels`"
            raise InvalidArgument(f"{where} must be positive on a logarithmic axis. Pass logarithmic=''.")
    width, height = sizes.inches
    axes = one_panel(ax, sizes, (1.35 * width, height))
    if "x" in logarithmic:
        axes.set_xscale("log")
    if "y" in logarithmic:
        axes.set_yscale("log")
    ends = []
    for (name, row), look in zip(drawn.items(), looks_of(list(drawn)), strict=True):
        known = np.flatnonzero(~np.isnan(row))
        marked = known[:: max(1, -(-len(known) // _MARKS))].tolist()
        axes.plot(
            at, row, linestyle=look.line, marker=look.marker, color=look.color, linewidth=sizes.line,
            markersize=sizes.marker, markevery=marked, label=name, zorder=3,
        )  # fmt: skip
        if len(known):
            ends.append(End(float(at[known[-1]]), float(row[known[-1]]), name, look.color))
    axes.margins(x=0.02, y=0.06)
    for name, level in levels.items():
        axes.axhline(level, color=ink(axes), linestyle=":", linewidth=1.5 * sizes.edge, label=name, zorder=1)
        ends.append(End(axes.get_xlim()[1], level, name, ink(axes)))
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(axes.get_ylim())
    for axis, name, limits in ((axes.xaxis, "x", axes.get_xlim()), (axes.yaxis, "y", axes.get_ylim())):
        _ticks(axis, name in logarithmic, limits)
    name_axes(axes, across, up, sizes)
    axes.grid(color="0.9", linewidth=sizes.edge)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    headline(axes, title, sizes)
    label_ends(axes, ends, sizes)
    finish(axes)
    return axes


def _ticks(axis: Any, by_decades: bool, limits: tuple[float, float]) -> None:
    if by_decades:
        decades(axis, *limits)
    else:
        numbered(axis)
