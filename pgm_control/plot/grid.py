"""Maps of grid worlds: the cell of each state, and a drawing of the cells with walls, hazards, goal and start."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
from jaxtyping import Float

from ..errors import InvalidArgument
from ..problems.grid import Cell, grid_of
from ..problems.mdp import TabularMDP, require_mdp
from ..runtime.arguments import shown
from ..text.one_line import one_line
from ..text.wording import above_rounding, state_label
from .canvas import Style, settle, size_in_points
from .labels import colour_bar, finish, headline, pale, wrapped
from .terrain import Kind, terrain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KINDS: Mapping[str, Kind] = {"G": "goal", "H": "hazard", "C": "hazard", "#": "wall", "W": "wall"}
_BESIDE, _TALL = 0.2, 0.6  # in cells: the distance from the map to the boxes beside it, and their height
_MOST_BESIDE = 6
_HAZARD = {"facecolor": "#8C8C8C", "hatch": "xxx", "edgecolor": "#404040"}
_WALL = {"facecolor": "#202020", "edgecolor": "#202020"}
_EM = 0.62  # width of a letter, in font sizes


@final
@dataclass(frozen=True)
class Layout:
    """The map of a grid world.

    Attributes:
        rows, columns: the size of the grid.
        cells: (row, column) of each state, from the top left; None for a state that is not on the grid.
        kinds: "goal", "hazard" (a hole, a cliff) or "wall", by cell; ground has no entry.
        starts: cells where an episode can begin.
    """

    rows: int
    columns: int
    cells: tuple[Cell | None, ...]
    kinds: Mapping[Cell, Kind]
    starts: frozenset[Cell]

    __repr__ = one_line

    @property
    def beside(self) -> tuple[int, ...]:
        """The states that are not on the grid, such as the end of an episode."""
        return tuple(s for s, cell in enumerate(self.cells) if cell is None)


def layout_of(mdp: TabularMDP, layout: Layout | Sequence[str] | None = None) -> Layout:
    """Return the map of a problem, from its own `layout` and its tables, or from rows of text.

    Without text, goals, hazards and walls are inferred from the tables (see `terrain`).

    Args:
        mdp: the problem.
        layout: rows of text, one letter per cell: S start, G goal, H or C hazard (hole, cliff), # or W wall, any other
            letter ground; or a `Layout`, which is checked and returned. The states of a problem without a `layout` fill
            the cells row by row from the top left; if there are fewer states than cells, they skip the walls.

    Raises:
        InvalidArgument: if there is no grid, or the grid does not fit.
    """
    require_mdp("mdp", mdp, timed=True)
    if isinstance(layout, Layout):
        if len(layout.cells) != mdp.num_states:
            raise InvalidArgument(
                f"`layout` must have a cell, or None, for each of the {mdp.num_states} states, but has "
                f"{len(layout.cells)}. Make it with layout_of(mdp)."
            )
        return layout
    if layout is None:
        if mdp.layout is None:
            raise InvalidArgument(
                "`layout` must be given for this problem, which has none: pass rows of text, such as "
                "layout=['SF', 'HG'], give the cells of the states by mdp.replace(layout=…), or use a picture that "
                "needs no grid."
            )
        size = grid_of(mdp.layout)
        return Layout(size.rows, size.columns, mdp.layout, terrain(mdp, mdp.layout), _starts(mdp, mdp.layout))
    if (
        isinstance(layout, str | Mapping)
        or not isinstance(layout, Iterable)
        or not all(isinstance(row, str) for row in layout)
        or len(set(map(len, layout))) != 1
    ):
        raise InvalidArgument(
            f"`layout` must be rows of text of equal length, such as ['SF', 'HG'], but is {shown(layout)}. Write one "
            "letter per cell."
        )
    grid = {(i, j): letter for i, row in enumerate(layout) for j, letter in enumerate(row)}
    cells = mdp.layout if mdp.layout is not None else _cells_in_order(mdp, grid)
    outside = [cell for cell in cells if cell is not None and cell not in grid]
    if outside:
        raise InvalidArgument(
            f"`layout` must have a letter for every state on the grid, but has {len(layout)} rows and {len(layout[0])} "
            f"columns and none for {outside[0]}. Pass the whole map."
        )
    kinds: dict[Cell, Kind] = {
        cell: _KINDS[letter.upper()] for cell, letter in grid.items() if letter.upper() in _KINDS
    }
    starts = frozenset(cell for cell, letter in grid.items() if letter.upper() == "S")
    return Layout(len(layout), len(layout[0]), cells, kinds, starts or _starts(mdp, cells))


def has_layout(mdp: TabularMDP, layout: Layout | Sequence[str] | None = None) -> bool:
    """Return True if `layout_of` finds a map."""
    return (
        layout_of(mdp, layout) is not None
        if layout is not None
        else require_mdp("mdp", mdp, timed=True).layout is not None
    )


def _cells_in_order(mdp: TabularMDP, grid: Mapping[Cell, str]) -> tuple[Cell | None, ...]:
    every = sorted(grid)
    open_ones = [cell for cell in every if _KINDS.get(grid[cell].upper()) != "wall"]
    chosen = every if len(every) <= mdp.num_states else open_ones
    if len(chosen) > mdp.num_states:
        raise InvalidArgument(
            f"`layout` must have at most one cell per state, but has {len(chosen)} cells that are not walls, and "
            f"there are {mdp.num_states} states. Mark walls by '#'."
        )
    return (*chosen, *[None] * (mdp.num_states - len(chosen)))


def _starts(mdp: TabularMDP, cells: Sequence[Cell | None]) -> frozenset[Cell]:
    return frozenset(cell for cell, p in zip(cells, mdp.initial.tolist(), strict=True) if cell is not None and p > 0)


def draw_grid(
    axes: "Axes",
    mdp: TabularMDP,
    layout: Layout,
    shade: Float[np.ndarray, " state"] | None,
    style: Style,
    *,
    title: str,
    label: str = "",
    limits: tuple[float, float] | None = None,
    bar: bool = True,
    missing: Mapping[int, str] | None = None,
) -> dict[int, tuple[float, float]]:
    """Draw the map. Hazards and walls, where no state acts, are not shaded.

    Args:
        axes: the Axes to draw into.
        mdp: the problem, for names.
        layout: the map of the problem.
        shade: one number per state; numbers that are not finite stay white. None leaves all cells white.
        style: sizes.
        title: the title.
        label: the meaning of the shade, with its unit.
        limits: the limits of the shade; default: those of the states on the map.
        bar: whether to add the colour bar.
        missing: by state, the text in the box of a state beside the map whose shade is nan; default: "unknown".

    Returns:
        The middle of the upper side of the box of each state beside the map, (down, right), in cells.
    """
    from matplotlib.colors import Normalize
    from matplotlib.patches import Rectangle

    texts = {s: _of_box(mdp, s, shade, (missing or {}).get(s, "unknown")) for s in layout.beside}
    beside = _places_beside(axes, layout, texts, style)
    bottom = max((y + _TALL + _BESIDE for _, y, _, _ in beside), default=layout.rows - 0.5)
    axes.set_aspect("equal")
    axes.set_xlim(-0.5, layout.columns - 0.5)
    axes.set_ylim(bottom if beside else layout.rows - 0.5, -0.5)
    image = np.full((layout.rows, layout.columns), np.nan)
    if shade is not None:
        for s, cell in enumerate(layout.cells):
            if cell is not None and cell not in layout.kinds:
                image[cell] = shade[s] if math.isfinite(shade[s]) else np.nan
    low, high = limits or limits_of(mdp, layout, shade)
    norm = Normalize(low, high)
    shown = axes.imshow(
        np.ma.masked_invalid(image), cmap=pale(), norm=norm, interpolation="nearest", zorder=0,
        extent=(-0.5, layout.columns - 0.5, layout.rows - 0.5, -0.5),
    )  # fmt: skip
    axes.set_xlim(-0.5, layout.columns - 0.5)
    axes.set_ylim(bottom, -0.5)
    for (i, j), kind in layout.kinds.items():
        if kind != "goal":
            look: dict[str, Any] = dict(_HAZARD if kind == "hazard" else _WALL)
            look["hatch"] = look.get("hatch", "")[: style.dense]
            axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, linewidth=style.edge / 2, zorder=1, **look))
    lines = {"color": "#999999", "linewidth": 0.6 * style.edge, "zorder": 1}
    axes.hlines(np.arange(layout.rows + 1) - 0.5, -0.5, layout.columns - 0.5, **lines)
    axes.vlines(np.arange(layout.columns + 1) - 0.5, -0.5, layout.rows - 0.5, **lines)
    _mark_ends(axes, layout, style)
    for x, y, width, s in beside:
        filled = shade is not None and math.isfinite(shade[s])
        color = pale()(norm(float(shade[s]))) if filled else "white"  # pyright: ignore[reportOptionalSubscript]
        axes.add_patch(
            Rectangle((x, y), width, _TALL, facecolor=color, edgecolor="#666666", linewidth=style.edge, zorder=1)
        )
        axes.text(x + width / 2, y + _TALL / 2, texts[s], ha="center", va="center", fontsize=style.small, color="black")
    _name_cells(axes, layout, style)
    axes.spines[:].set_visible(False)
    headline(axes, title, style)
    if bar and shade is not None:
        colour_bar(axes, shown, label, style)
    finish(axes)
    settle(axes)
    return {s: (y, x + width / 2) for x, y, width, s in beside}


def limits_of(mdp: TabularMDP, layout: Layout, shade: Float[np.ndarray, " state"] | None) -> tuple[float, float]:
    """Return the smallest and the largest number shown, slightly apart if they are equal."""
    if shade is None:
        return 0.0, 1.0
    shown = [s for s, cell in enumerate(layout.cells) if cell is not None and cell not in layout.kinds]
    finite = [float(shade[s]) for s in shown if math.isfinite(shade[s])] or [0.0]
    low, high = min(finite), max(finite)
    return (low, high) if high > low else (low, low + max(1e-6, 1e-6 * abs(low)))


def inches_of(layout: Layout, style: Style, bar: bool = True) -> tuple[float, float]:
    """Return the size of a panel whose cells are as large as a page allows, with room for the text around it."""
    width = max(0.6 * style.inches[0], min(1.6 * style.inches[0], 0.055 * style.text * layout.columns))
    around = (0.16 if bar else 0.08) * style.text, 0.14 * style.text  # inches
    tall = layout.rows + (1.2 if layout.beside else 0.0)
    return width + around[0], min(1.9 * style.inches[1], width * tall / layout.columns) + around[1]


def _of_box(mdp: TabularMDP, s: int, shade: Float[np.ndarray, " state"] | None, missing: str) -> str:
    """Return the name and the number of a state beside the map: its number may lie outside the colour scale."""
    name = wrapped(state_label(mdp, s), 12, 1)
    if shade is None:
        return name
    if math.isnan(shade[s]):
        return f"{name}: {missing}"
    number = above_rounding(float(shade[s]), float(np.abs(shade[np.isfinite(shade)]).max(initial=0.0)))
    return f"{name}: {number:.3g}".replace("-", "−")


def _places_beside(
    axes: "Axes", layout: Layout, texts: Mapping[int, str], style: Style
) -> list[tuple[float, float, float, int]]:
    """Return (left, top, width, state) of the boxes in rows below the map; no boxes if there are too many."""
    if len(layout.beside) > _MOST_BESIDE:
        return []
    cell = cell_points(axes, layout)
    places, x, y = [], -0.5, layout.rows - 0.5 + _BESIDE
    for s in layout.beside:
        letters = len(texts[s]) + 1.5
        width = min(float(layout.columns), max(1.0, letters * _EM * style.small / cell))
        if x > -0.5 and x + width > layout.columns - 0.5:
            x, y = -0.5, y + _TALL + _BESIDE
        places.append((x, y, width, s))
        x += width + _BESIDE
    return places


def cell_points(axes: "Axes", layout: Layout) -> float:
    """Return the approximate side of a cell, in points."""
    width, height = size_in_points(axes)
    return 0.85 * min(width / layout.columns, height / (layout.rows + 1.2))


def _mark_ends(axes: "Axes", layout: Layout, style: Style) -> None:
    """Write S in a corner and G in the middle of their cells, with thick borders; the border of a goal is double."""
    from matplotlib.patches import Rectangle

    size = min(style.small, 0.4 * cell_points(axes, layout))
    ends: list[tuple[Cell, str]] = [(cell, "G") for cell, kind in layout.kinds.items() if kind == "goal"]
    ends += [(cell, "S") for cell in sorted(layout.starts)] if len(layout.starts) < layout.rows * layout.columns else []
    for (i, j), letter in ends:
        for inset in (0.04, 0.14) if letter == "G" else (0.04,):
            side = 1 - 2 * inset
            axes.add_patch(
                Rectangle(
                    (j - 0.5 + inset, i - 0.5 + inset), side, side, fill=False, edgecolor="black",
                    linewidth=1.6 * style.edge, zorder=2,
                )
            )  # fmt: skip
        middle = letter == "G"
        x, y = (j, i) if middle else (j - 0.4, i - 0.4)
        axes.text(
            x, y, letter, fontsize=2 * size if middle else size, fontweight="bold", color="black", zorder=4,
            ha="center" if middle else "left", va="center" if middle else "top",
        )  # fmt: skip


def _name_cells(axes: "Axes", layout: Layout, style: Style) -> None:
    """Number rows and columns, as in the names of the states, and add a legend that explains the symbols."""
    cell = cell_points(axes, layout)
    for axis, count in ((axes.xaxis, layout.columns), (axes.yaxis, layout.rows)):
        stride = max(1, math.ceil(2.0 * style.small / cell))
        axis.set_ticks(range(0, count, stride), labels=list(map(str, range(0, count, stride))), fontsize=style.small)
    axes.tick_params(length=0)
    axes.set_ylabel("row", fontsize=style.text)
    kinds = set(layout.kinds.values())
    signs = {
        "S start": bool(layout.starts) and len(layout.starts) < layout.rows * layout.columns,
        "G goal": "goal" in kinds,
        "hatched: hole or cliff": "hazard" in kinds,
        "black: wall": "wall" in kinds,
    }
    key = ", ".join(sign for sign, there in signs.items() if there)
    letters = max(16, int(size_in_points(axes)[0] / (0.55 * style.text)))
    axes.set_xlabel("column" + (f"\n{wrapped(key, letters, 3)}" if key else ""), fontsize=style.text)
