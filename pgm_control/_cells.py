"""Where states lie on a grid, as their names say."""

import re

from ._mdp import TabularMDP

Cell = tuple[int, int]

_NAME = re.compile(r"\((\d+), ?(\d+)\)")


def cells_by_name(mdp: TabularMDP) -> tuple[Cell | None, ...] | None:
    """(row, column) of the states whose names say it; None if they are fewer than two, or two share a cell."""
    found = [_NAME.fullmatch(name) for name in mdp.state_names or ()]
    cells = tuple((int(match[1]), int(match[2])) if match else None for match in found)
    on_grid = [cell for cell in cells if cell is not None]
    return cells if len(on_grid) > 1 and len(set(on_grid)) == len(on_grid) else None
