"""The positions of states on a grid, which a `layout` gives as cells."""

from collections.abc import Sequence
from typing import NamedTuple

Cell = tuple[int, int]  # row and column, from the upper left
Places = tuple[Cell | None, ...]  # the cell of each state; None for a state that is not on the grid


class Grid(NamedTuple):
    """The size of a grid, and the state in each cell."""

    rows: int
    columns: int
    state_at: dict[Cell, int]


def grid_of(layout: Sequence[Cell | None]) -> Grid:
    """The smallest grid that begins at (0, 0) and contains a layout."""
    state_at = {cell: s for s, cell in enumerate(layout) if cell is not None}
    rows, columns = (1 + max(cell[axis] for cell in state_at) for axis in (0, 1))
    return Grid(rows, columns, state_at)


def side_by_side(layouts: Sequence[Places]) -> Places:
    """The layouts placed side by side, with an empty column between them."""
    placed: list[Cell | None] = []
    left = 0
    for layout in layouts:
        placed += [cell and (cell[0], cell[1] + left) for cell in layout]
        left += grid_of(layout).columns + 1
    return tuple(placed)
