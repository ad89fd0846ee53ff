"""A problem as data for the page: its tables with every number written once, its map, its own numbers to move."""

import math
import re
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from .._blocks import MarkovModel
from .._mdp import TabularMDP
from ._parameters import Parameter, parameters_of

_CELL = re.compile(r"\((\d+), (\d+)\)")
_MOST_CELLS = 400
_STILL = 1e-6  # cells a step; below it an action has no direction


def zoo_data() -> list[dict[str, Any]]:
    """Every problem of the zoo."""
    from ..models import zoo

    found = []
    for entry in zoo().values():
        mdp = entry.build()
        data = problem_data(entry.name, mdp, entry.summary, parameters=parameters_of(entry.name, mdp))
        data["temperature"] = 0.05 if entry.name.startswith("frozen_lake") else 1.0
        if data["layout"] is not None:
            data["layout"]["marks"] = _marks(entry.name)
        found.append(data)
    return found


def problem_data(
    name: str,
    mdp: TabularMDP,
    summary: str,
    model: MarkovModel | None = None,
    parameters: Iterable[Parameter] = (),
) -> dict[str, Any]:
    """The tables of a problem, flat and in the order (state, action, outcome), as `problems.js` reads them."""
    return {
        "name": name,
        "summary": summary,
        "states": mdp.num_states,
        "actions": mdp.num_actions,
        "outcomes": mdp.num_outcomes,
        "horizon": mdp.horizon,
        "discount": mdp.discount,
        "temperature": 1.0 if model is None or model.temperature == 0 else model.temperature,
        "initial": coded(mdp.initial),
        "prior": None if model is None else coded(model.action_prior),
        "probability": coded(mdp.probability),
        "successor": mdp.successor.flatten().tolist(),
        "reward": coded(mdp.reward),
        "finalReward": None if mdp.final_reward is None else coded(mdp.final_reward),
        "stateNames": [mdp.state_name(s) for s in range(mdp.num_states)],
        "actionNames": [mdp.action_name(a) for a in range(mdp.num_actions)],
        "layout": _layout(mdp),
        "parameters": [each.data() for each in parameters],
    }


def coded(table: Tensor) -> dict[str, Any]:
    """The different numbers of a table, and for each entry the place of its number; −inf as a string."""
    entries = table.flatten().tolist()
    values = list(dict.fromkeys(entries))
    place = {value: i for i, value in enumerate(values)}
    written = [value if math.isfinite(value) else "-Infinity" for value in values]
    return {"values": written, "at": [place[each] for each in entries]}


def _layout(mdp: TabularMDP) -> dict[str, Any] | None:
    """Rows and columns of a grid, the state in each cell or −1, and the direction of each action; None if no grid.

    A state lies on the grid if it is called `(row, column)`.
    """
    places: dict[int, tuple[int, int]] = {}
    for s in range(mdp.num_states):
        found = _CELL.fullmatch(mdp.state_name(s))
        if found:
            places[s] = int(found[1]), int(found[2])
    if len(places) < 4 or len(set(places.values())) < len(places):
        return None
    rows, columns = (max(place[i] for place in places.values()) + 1 for i in (0, 1))
    if rows * columns > _MOST_CELLS:
        return None
    cells = [-1] * (rows * columns)
    for s, (row, column) in places.items():
        cells[row * columns + column] = s
    directions = [_direction(mdp, a, places) for a in range(mdp.num_actions)]
    return {"rows": rows, "columns": columns, "cells": cells, "directions": directions, "marks": None}


def _direction(mdp: TabularMDP, action: int, places: dict[int, tuple[int, int]]) -> list[int] | None:
    """Where an action leads on average, to the nearest of eight directions: [down, right], each −1, 0 or 1."""
    down = right = 0.0
    for s, (row, column) in places.items():
        for p, target in zip(mdp.probability[s, action].tolist(), mdp.successor[s, action].tolist(), strict=True):
            there = places.get(target, (row, column))
            if max(abs(there[0] - row), abs(there[1] - column)) <= 1:  # a fall back to the start says nothing
                down += p * (there[0] - row)
                right += p * (there[1] - column)
    if math.hypot(down, right) <= _STILL * len(places):
        return None
    eighth = round(math.atan2(down, right) / (math.pi / 4)) * math.pi / 4
    return [round(math.sin(eighth)), round(math.cos(eighth))]


def _marks(name: str) -> str | None:
    """What the cells of a grid of the zoo are: S start, G goal, H hole, C cliff, else a dot."""
    if name.startswith("frozen_lake"):
        from gymnasium.envs.toy_text.frozen_lake import MAPS

        return "".join(MAPS["8x8" if "8x8" in name else "4x4"]).replace("F", ".")
    if name.startswith("slippery_cliff"):
        return "." * 36 + "S" + "C" * 10 + "G"
    return None
