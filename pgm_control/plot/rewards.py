"""Plots of learned rewards beside the true reward."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidArgument
from ..problems.mdp import TabularMDP
from ..runtime.arguments import called, flag, listed, named
from .canvas import Style, looks_of, one_panel, panels, plotted, settle, style_of
from .grid import Layout, cell_points, draw_grid, inches_of, layout_of, limits_of
from .labels import finish, headline, name_axes, name_ticks, numbered

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Numbers = Sequence[float | int] | Float[Tensor, " number"] | Float[np.ndarray, " number"]

_TRUE: Mapping[str, Any] = {"marker": "D", "markerfacecolor": "black", "markeredgecolor": "black"}
_HOLLOW: Mapping[str, Any] = {"markerfacecolor": "white", "markeredgecolor": "0.5"}
_UNLEARNED, _UNVISITED = "not learned", "never visited"
_MARKS: Mapping[str, Mapping[str, Any]] = {
    _UNLEARNED: {"marker": "o", **_HOLLOW},
    _UNVISITED: {"marker": "x", "color": "0.5"},
}


def recovered_reward(
    true: Numbers,
    recovered: Mapping[str, Numbers],
    *,
    names: Sequence[str],
    weights: Numbers | None = None,
    deviations: Mapping[str, Numbers] | None = None,
    up_to_a_constant: bool = True,
    title: str = "Learned and true reward",
    ax: "Axes | None" = None,
    style: str = "paper",
) -> "Axes":
    """Draw learned rewards beside the true ones, one line per state, outcome or feature.

    Args:
        true: the true rewards, in reward units.
        recovered: learned rewards by name, as many as in `true`. Names that begin with "free" and "clamped" have the
            looks of these guides in all plots.
        names: names of the states, outcomes or features.
        weights: weights in the mean, such as numbers of visits; default: equal. Rewards of weight 0 may be nan; nan is
            not drawn.
        deviations: standard deviations of learned rewards, by the names in `recovered`, drawn as ± bars; default: none.
            Rewards of infinite deviation are not learned: they are hollow and grey, without a bar. nan has no bar.
        up_to_a_constant: shift each learned row to the true mean. With a fixed number of steps, behaviour does not
            identify a constant that is added to the reward of every step.
        title: the title of the panel.
        ax: where to draw; default: a new figure.
        style: "paper", or "slide", with larger type and thicker lines.

    Returns:
        The Axes. The line "true" and the lines named as in `recovered` hold the numbers after the shift, without those
        that are not learned, which are in a line "not learned" for each name.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
        MissingExtra: without matplotlib.
    """
    truth, rows = _checked(true, recovered, weights, flag("up_to_a_constant", up_to_a_constant))
    labels = [called("names", name) for name in listed("names", names, "names")]
    if len(labels) != len(truth):
        raise InvalidArgument(f"`names` must name {len(truth)} rewards, as in `true`, but are {len(labels)}.")
    sizes, title = style_of(style), called("title", title)
    width, height = sizes.inches
    axes = one_panel(ax, sizes, (1.2 * width, max(0.7 * height, (0.035 * len(labels) + 0.12) * sizes.text)))
    places = np.arange(len(truth))
    axes.hlines(places, *_span([truth, *rows.values()]), color="0.85", linewidth=sizes.edge, zorder=1)
    spreads = _deviations(rows, deviations)
    looks, handles, hollow = looks_of(list(rows)), [], []
    for (name, row), look in zip(rows.items(), looks, strict=True):
        shape: dict[str, Any] = {
            "linestyle": "none", "marker": look.marker, "markersize": 1.7 * sizes.marker, "zorder": 2,
            "markeredgewidth": sizes.edge,
        }  # fmt: skip
        spread = spreads[name]
        known, barred = spread != np.inf, np.isfinite(spread)
        axes.errorbar(
            row[barred], places[barred], xerr=spread[barred], fmt="none", ecolor="black", elinewidth=sizes.edge,
            capsize=0.5 * sizes.marker, zorder=1.5,
        )  # fmt: skip
        handles += axes.plot(
            row[known], places[known], markerfacecolor=look.color, markeredgecolor="black", label=name, **shape
        )
        if not known.all():
            hollow = axes.plot(
                row[~known],
                places[~known],
                label=_UNLEARNED,
                **{**shape, **_HOLLOW},
            )
    handles += hollow
    handles += axes.plot(
        truth, places, linestyle="none", markersize=0.8 * sizes.marker, zorder=3, label="true", **_TRUE
    )
    axes.set_ylim(len(truth) - 0.4, -0.6)
    moved = ", shifted to the true mean" if up_to_a_constant else ""
    name_axes(axes, f"reward (reward units{moved})", "", sizes)
    name_ticks(axes, labels, sizes)
    axes.tick_params(axis="y", length=0)
    numbered(axes.xaxis)
    axes.spines[["top", "right", "left"]].set_visible(False)
    headline(axes, title, sizes, handles)
    finish(axes)
    return axes


def recovered_reward_maps(
    mdp: TabularMDP,
    true: Numbers,
    recovered: Mapping[str, Numbers],
    *,
    weights: Numbers | None = None,
    deviations: Mapping[str, Numbers] | None = None,
    up_to_a_constant: bool = True,
    layout: Layout | Sequence[str] | None = None,
    axes: Any = None,
    style: str = "paper",
) -> np.ndarray:
    """Shade the map of a grid world by the true reward of each state, and maps beside it by the learned rewards.

    All maps have one colour scale. Hazards, walls and goals, where no action is taken, are not shaded; nor are states
    whose reward is nan because they were never visited, which have a grey cross, and those whose reward is not learned,
    which have a hollow grey circle.

    Args:
        mdp: the problem.
        true, recovered, weights, deviations, up_to_a_constant: as in `recovered_reward`, one number per state. Of the
            deviations only the infinite ones count: their rewards are not learned.
        layout, style: as in `state_map`.
        axes: as many Axes as rewards, the true one first; default: a new figure.

    Returns:
        The Axes, an array; the first image of each holds its numbers.

    Raises:
        InvalidArgument: if the problem has no grid, or an argument is invalid; the message names it.
        MissingExtra: without matplotlib.
    """
    sizes, grid = style_of(style), layout_of(mdp, layout)
    truth, rows = _checked(true, recovered, weights, flag("up_to_a_constant", up_to_a_constant))
    if len(truth) != mdp.num_states:
        raise InvalidArgument(
            f"`true` must hold a number for each of the {mdp.num_states} states, but has {len(truth)}."
        )
    spreads = _deviations(rows, deviations)
    given = {"true": truth, **rows}
    shades = {"true": truth, **{name: np.where(spreads[name] == np.inf, np.nan, row) for name, row in rows.items()}}
    stacked = grid.columns > 1.5 * grid.rows
    columns = 1 if stacked else len(shades)
    width, height = inches_of(grid, sizes)
    made = panels(axes, len(shades), sizes, columns=columns, inches=(width, height + 0.05 * sizes.small))
    every = [limits_of(mdp, grid, each) for each in shades.values()]
    limits = min(low for low, _ in every), max(high for _, high in every)
    label = "reward (reward units, equal means)" if up_to_a_constant else "reward (reward units)"
    for panel, (name, shade) in zip(made, shades.items(), strict=True):
        last = stacked or panel is made[-1]
        unvisited = np.isnan(given[name])
        marks = {int(s): _UNVISITED if unvisited[s] else _UNLEARNED for s in np.flatnonzero(np.isnan(shade))}
        draw_grid(panel, mdp, grid, shade, sizes, title="", label=label, limits=limits, bar=last, missing=marks)
        headline(panel, name, sizes, _mark_cells(panel, grid, marks, sizes))
        settle(panel)
    return made


def _mark_cells(axes: "Axes", grid: Layout, marks: Mapping[int, str], style: Style) -> list[Any]:
    """Mark the cells of states without a shade, and return one handle of each kind for a legend."""
    handles = []
    for mark, look in _MARKS.items():
        cells = [cell for s in marks if marks[s] == mark and (cell := grid.cells[s]) and cell not in grid.kinds]
        if cells:
            handles += axes.plot(
                [column for _, column in cells], [row for row, _ in cells], linestyle="none", label=mark, zorder=3,
                markersize=min(1.7 * style.marker, 0.4 * cell_points(axes, grid)), markeredgewidth=style.edge, **look,
            )  # fmt: skip
    return handles


def _checked(
    true: Numbers, recovered: Mapping[str, Numbers], weights: Numbers | None, up_to_a_constant: bool
) -> tuple[Float[np.ndarray, " number"], dict[str, Float[np.ndarray, " number"]]]:
    """Return the true rewards and the learned ones, shifted, as arrays."""
    truth = plotted("true", true)
    if truth.ndim != 1 or not len(truth):
        raise InvalidArgument(f"`true` must be a row of numbers, but has the shape {truth.shape}.")
    learned = named("recovered", recovered, what="reward")
    rows = {name: plotted(f"recovered[{name!r}]", row) for name, row in learned.items()}
    share = np.ones(len(truth)) if weights is None else plotted("weights", weights)
    if share.shape != truth.shape or not (np.isfinite(share).all() and (share >= 0).all() and share.sum() > 0):
        raise InvalidArgument("`weights` must be as many as `true`, at least 0 and not all 0: they count for the mean.")
    counted = share > 0
    for name, row in {"true": truth, **{f"recovered[{name!r}]": row for name, row in rows.items()}}.items():
        if row.shape != truth.shape or row.ndim != 1 or not np.isfinite(row[counted]).all():
            raise InvalidArgument(
                f"`{name}` must be a row of numbers, as many as `true` has, finite where they count, but has the shape "
                f"{row.shape}."
            )
    if up_to_a_constant:
        rows = {name: row + (share[counted] @ (truth - row)[counted]) / share.sum() for name, row in rows.items()}
    return truth, rows


def _deviations(
    rows: Mapping[str, Float[np.ndarray, " number"]], deviations: Mapping[str, Numbers] | None
) -> dict[str, Float[np.ndarray, " number"]]:
    """Return the standard deviations of each row; nan where none are given."""
    given = {} if deviations is None else named("deviations", deviations, what="row of standard deviations")
    found = {name: np.full(len(row), np.nan) for name, row in rows.items()}
    for name, each in given.items():
        spread = plotted(f"deviations[{name!r}]", each)
        if name not in rows or spread.shape != rows[name].shape or (spread < 0).any():
            raise InvalidArgument(
                f"`deviations[{name!r}]` must belong to a row of `recovered` and hold as many numbers, at least 0, "
                f"but the rows are {', '.join(map(repr, rows))} and its shape is {spread.shape}. Infinite: not learned."
            )
        found[name] = spread
    return found


def _span(rows: Sequence[np.ndarray]) -> tuple[float, float]:
    return min(float(np.nanmin(row)) for row in rows), max(float(np.nanmax(row)) for row in rows)
