"""Properties of the cells of a grid world, inferred from its tables: directions of actions, goals, hazards, walls."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from ..inference.exact.infer import infer
from ..models import TabularModel
from ..problems.grid import Cell, grid_of
from ..problems.mdp import TabularMDP
from ..problems.timed import at_start

Kind = Literal["goal", "hazard", "wall"]

_STEPS = ((-1, 0), (0, 1), (1, 0), (0, -1))
_MOVES = 0.05  # in cells: an action whose mean step is shorter stays
_SAME = 1e-9


def directions(mdp: TabularMDP, cells: Sequence[Cell | None]) -> list[Cell]:
    """Return the direction of each action, (down, right) from −1 to 1: its mean step, rounded to the nearest of eight.

    Jumps to states that are not neighbours do not count; (0, 0) means that the action stays.
    """
    mdp = at_start(mdp)
    row, column = _coordinates(cells)
    known = ~np.isnan(row)
    p, successor = mdp.probability.double().cpu().numpy(), mdp.successor.cpu().numpy()
    here = known[:, None, None] & known[successor]
    down = np.where(here, row[successor] - row[:, None, None], 0.0)
    right = np.where(here, column[successor] - column[:, None, None], 0.0)
    weight = p * here * (np.maximum(abs(down), abs(right)) <= 1)
    total = np.maximum(weight.sum((0, 2)), _SAME)
    found = []
    for dy, dx in zip((weight * down).sum((0, 2)) / total, (weight * right).sum((0, 2)) / total, strict=True):
        eighth = round(math.atan2(dy, dx) / (math.pi / 4)) * math.pi / 4
        moves = math.hypot(dy, dx) > _MOVES
        found.append((round(math.sin(eighth)), round(math.cos(eighth))) if moves else (0, 0))
    return found


def terrain(mdp: TabularMDP, cells: Sequence[Cell | None]) -> dict[Cell, Kind]:
    """Return the kind of each cell, as far as the tables determine it; ground has no entry.

    A cell is a goal or a hazard if a step towards it ends in another state instead, or if it is reached and never left.
    It is a goal if reward plus hard optimal value there are at least the value beside it, else a hazard. A cell is a
    wall if steps towards it stay in place, or if it has no state. Tables that depend on time are those of step 0.
    """
    mdp = at_start(mdp)
    rows, columns, state_at = grid_of(cells)
    found: dict[Cell, Kind] = {(i, j): "wall" for i in range(rows) for j in range(columns) if (i, j) not in state_at}
    ways, value = directions(mdp, cells), _hard_values(mdp, rows, columns)
    p, successor = mdp.probability.cpu().numpy(), mdp.successor.cpu().numpy()
    stays = ((successor == np.arange(len(cells))[:, None, None]) | (p == 0)).all((1, 2))
    entered = {int(t) for s in state_at.values() for t in np.unique(successor[s][p[s] > 0]) if t != s}
    votes: dict[Cell, Counter[Kind]] = {cell: Counter() for cell in state_at}
    for (i, j), s in state_at.items():
        for step in _STEPS:
            target = (i + step[0], j + step[1])
            if target not in state_at or step not in ways:
                continue
            event = event_of_step(mdp, s, ways, step)
            if event is None:
                continue
            to, reward = event
            there = state_at[target]
            if to == s and there not in entered:
                votes[target]["wall"] += 1
            elif (to == there and stays[there]) or (to not in (there, s) and there not in entered):
                worth = reward + value[to]
                good = worth > -math.inf and worth >= value[s] - _SAME * max(1.0, abs(value[s]))
                votes[target]["goal" if good else "hazard"] += 1
    for cell, each in votes.items():
        kinds: list[Kind] = [kind for kind in ("goal", "hazard") if each[kind]]
        if kinds:
            found[cell] = max(kinds, key=lambda kind: each[kind])
        elif each["wall"] and float(mdp.initial[state_at[cell]]) == 0:
            found[cell] = "wall"
    return found


def event_of_step(mdp: TabularMDP, s: int, ways: Sequence[Cell], step: Cell) -> tuple[int, float] | None:
    """Return the (successor, reward) that the action in this direction has and the opposite action has not.

    Sideways slips are common to both actions and cancel. None if the two actions have equal outcomes.
    """

    mdp = at_start(mdp)
    apart: dict[tuple[int, float], float] = {}
    back = (-step[0], -step[1])
    for way, sign in ((step, 1.0), (back, -1.0)):
        if way in ways:
            action = ways.index(way)
            table = (mdp.probability[s, action], mdp.successor[s, action], mdp.reward[s, action])
            for p, to, reward in zip(*(each.tolist() for each in table), strict=True):
                apart[to, reward] = apart.get((to, reward), 0.0) + sign * p
    event, weight = max(apart.items(), key=lambda item: item[1])
    return event if weight > 1e-6 else None


def _hard_values(mdp: TabularMDP, rows: int, columns: int) -> Float[np.ndarray, " state"]:
    """Return the hard optimal value of each state, in reward units, with enough time to cross the grid and back."""
    longer = mdp.replace(horizon=max(mdp.horizon, 4 * (rows + columns)))
    return infer(TabularModel(longer, temperature=0.0), optimism=0.0).v[0].double().cpu().numpy()


def _coordinates(cells: Sequence[Cell | None]) -> tuple[Float[np.ndarray, " state"], Float[np.ndarray, " state"]]:
    pairs = np.array([cell if cell is not None else (math.nan, math.nan) for cell in cells], dtype=float)
    return pairs[:, 0], pairs[:, 1]
