"""Where the states of a problem lie on a grid, and what is there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from ..errors import InvalidArgument
from ..problems.grid import Cell, grid_of
from ..problems.mdp import TabularMDP
from .terrain import Kind, terrain

_KINDS: Mapping[str, Kind] = {"G": "goal", "H": "hazard", "C": "hazard", "#": "wall", "W": "wall"}


@final
@dataclass(frozen=True)
class Layout:
    """A map.

    Attributes:
        rows, columns: of the grid.
        cells: (row, column) of each state, from the top left; None for a state that is not on the grid.
        kinds: "goal", "hazard" (a hole, a cliff) or "wall", by cell; ground is left out.
        starts: cells where an episode may begin.
    """

    rows: int
    columns: int
    cells: tuple[Cell | None, ...]
    kinds: Mapping[Cell, Kind]
    starts: frozenset[Cell]

    @property
    def beside(self) -> tuple[int, ...]:
        """States that are not on the grid, such as the end of an episode."""
        return tuple(s for s, cell in enumerate(self.cells) if cell is None)


def layout_of(mdp: TabularMDP, layout: Layout | Sequence[str] | None = None) -> Layout:
    """The map of a problem, by its own `layout` and what its tables say, or by rows of text.

    Without text, what is a goal, a hazard or a wall is read off the tables (see `terrain`).

    Args:
        mdp: the problem.
        layout: rows of text, one letter a cell: S start, G goal, H or C hazard (hole, cliff), # or W wall, anything
            else ground; or a `Layout`, which is checked and returned. The states of a problem without a `layout` lie
            row by row from the top left, in the cells that are no wall if there are too few of them for all.

    Raises:
        InvalidArgument: if there is no grid, or it does not fit.
    """
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
                "`layout` must be given for this problem, which has none of its own: pass rows of text, such as "
                "layout=['SF', 'HG'], say where the states lie by mdp.replace(layout=…), or use a picture that needs "
                "no grid."
            )
        size = grid_of(mdp.layout)
        return Layout(size.rows, size.columns, mdp.layout, terrain(mdp, mdp.layout), _starts(mdp, mdp.layout))
    if isinstance(layout, str) or not all(isinstance(row, str) for row in layout) or len(set(map(len, layout))) != 1:
        raise InvalidArgument(
            f"`layout` must be rows of text of equal length, such as ['SF', 'HG'], but is {layout!r}. Write one letter "
            "a cell."
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
    """True if `layout_of` finds a map."""
    return layout is not None or mdp.layout is not None


def _cells_in_order(mdp: TabularMDP, grid: Mapping[Cell, str]) -> tuple[Cell | None, ...]:
    every = sorted(grid)
    open_ones = [cell for cell in every if _KINDS.get(grid[cell].upper()) != "wall"]
    chosen = every if len(every) <= mdp.num_states else open_ones
    if len(chosen) > mdp.num_states:
        raise InvalidArgument(
            f"`layout` must have at most one cell a state, but has {len(chosen)} cells that are no wall, and there are "
            f"{mdp.num_states} states. Mark walls by '#'."
        )
    return (*chosen, *[None] * (mdp.num_states - len(chosen)))


def _starts(mdp: TabularMDP, cells: Sequence[Cell | None]) -> frozenset[Cell]:
    return frozenset(cell for cell, p in zip(cells, mdp.initial.tolist(), strict=True) if cell is not None and p > 0)
