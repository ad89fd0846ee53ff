"""Plots of parameter recovery and of model confusion."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidArgument
from ..runtime.arguments import called, listed, named
from .canvas import ink, one_panel, panels, plotted, style_of
from .labels import finish, headline, name_axes, name_ticks, numbered, pale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Numbers = Sequence[float | int] | Float[Tensor, " number"] | Float[np.ndarray, " number"]
Rows = Sequence[Sequence[float]] | Float[Tensor, "row column"] | Float[np.ndarray, "row column"]

_COLUMNS = 3


def recovered_parameters(
    true: Mapping[str, Numbers], estimates: Mapping[str, Rows], *, axes: Any = None, style: str = "paper"
) -> np.ndarray:
    """Draw the estimates of parameters over their true values, one panel for each parameter, one mark for each person.

        found = recovery(models, prior)
        plot.recovered_parameters(found.true, {name: found.estimate(name) for name in found.names})

    Args:
        true: the true values by name, one for each person.
        estimates: by name, for each person the estimate and the ends of its interval: rows of three numbers.
        axes: one for each name of `estimates`; default: a new figure.
        style: "paper", or "slide", with larger type and thicker lines.

    Returns:
        The Axes, an array. The line "people" holds true values and estimates, and a dotted line is where they agree.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
        MissingExtra: without matplotlib.
    """
    sizes, rows = style_of(style), named("estimates", estimates, what="table")
    truths = named("true", true, what="row")
    made = panels(axes, len(rows), sizes, columns=_COLUMNS, inches=(0.8 * sizes.inches[0], sizes.inches[1]))
    for panel, (name, table) in zip(made, rows.items(), strict=True):
        if name not in truths:
            raise InvalidArgument(f"`true` must have the values of {name!r}, as `estimates` does, but has none.")
        x, y = plotted(f"true: {name!r}", truths[name]), plotted(f"estimates: {name!r}", table)
        if x.ndim != 1 or not len(x) or y.shape != (len(x), 3):
            raise InvalidArgument(
                f"`estimates[{name!r}]` must have a row of mean, low and high for each of the values in `true`, whose "
                f"shape is {x.shape}, but has the shape {y.shape}."
            )
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise InvalidArgument(f"`true` and `estimates` must hold finite numbers, but those of {name!r} do not.")
        panel.vlines(x, y[:, 1], y[:, 2], color="0.7", linewidth=sizes.edge, zorder=1)
        panel.plot(
            x, y[:, 0], linestyle="none", marker="o", markersize=sizes.marker, markerfacecolor="#0072B2",
            markeredgecolor="black", markeredgewidth=0.5 * sizes.edge, label="people", zorder=3,
        )  # fmt: skip
        ends = [x.min(), x.max()]
        panel.plot(ends, ends, linestyle=":", color=ink(panel), linewidth=sizes.edge, zorder=2)
        numbered(panel.xaxis)
        numbered(panel.yaxis)
        panel.spines[["top", "right"]].set_visible(False)
        if np.ptp(x) > 0 and np.ptp(y[:, 0]) > 0:
            correlation = f"r = {np.corrcoef(x, y[:, 0])[0, 1]:.2f}"
            panel.text(0.98, 0.03, correlation, transform=panel.transAxes, ha="right", fontsize=sizes.small)
        name_axes(panel, "true", "recovered" if panel is made[0] else "", sizes)
        headline(panel, name, sizes)
        finish(panel)
    return made


def confusion(
    counts: Rows,
    names: Sequence[str],
    *,
    title: str = "Data sets by the model that explains them best",
    ax: "Axes | None" = None,
    style: str = "paper",
) -> "Axes":
    """Draw a confusion matrix: one row for each model that simulated, one column for each that explains best.

        found = model_confusion(models, prior)
        plot.confusion(found.counts, found.names)

    Args:
        counts: the number of data sets of each row and column.
        names: the names of the models.
        title: the title of the panel.
        ax: where to draw; default: a new figure.
        style: "paper", or "slide", with larger type and thicker lines.

    Returns:
        The Axes; the image holds the share of each row, and the texts the counts.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
        MissingExtra: without matplotlib.
    """
    sizes, title = style_of(style), called("title", title)
    labels = [called("names", name) for name in listed("names", names, "names")]
    table = plotted("counts", counts)
    if table.shape != (len(labels), len(labels)):
        raise InvalidArgument(
            f"`counts` must have a row and a column for each of the {len(labels)} `names`, but has the shape "
            f"{table.shape}."
        )
    if not (np.isfinite(table).all() and (table >= 0).all() and (table.sum(1) > 0).all()):
        raise InvalidArgument("`counts` must hold numbers from 0, with a data set in each row, but does not.")
    axes = one_panel(ax, sizes, (1.1 * sizes.inches[0], 1.15 * sizes.inches[1]))
    share = table / table.sum(1, keepdims=True)
    axes.imshow(share, cmap=pale(), vmin=0.0, vmax=1.0, aspect="auto")
    for i, row in enumerate(table):
        for j, count in enumerate(row):
            axes.text(j, i, f"{count:g}", ha="center", va="center", fontsize=sizes.small, color="black")
    name_ticks(axes, labels, sizes)
    name_ticks(axes, labels, sizes, vertical=False)
    axes.tick_params(length=0)
    name_axes(axes, "explained best by", "simulated by", sizes)
    headline(axes, title, sizes)
    finish(axes)
    return axes
