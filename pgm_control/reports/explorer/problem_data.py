"""A problem as data for the page: its tables with every number written once, its map, its own numbers to move."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from torch import Tensor

from ...plot.terrain import directions
from ...problems.grid import grid_of
from ...problems.mdp import TabularMDP
from ...trajectories.blocks import MarkovModel
from .parameters import Parameter, parameters_of

_MOST_CELLS = 400


def zoo_data() -> list[dict[str, Any]]:
    """Every problem of the zoo."""
    from ...models import zoo

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
    """Rows and columns of the grid, the state in each cell or −1, and the direction of each action; None if too large.

    A direction is [down, right], each −1, 0 or 1; None stays.
    """
    if mdp.layout is None:
        return None
    rows, columns, state_at = grid_of(mdp.layout)
    if rows * columns > _MOST_CELLS:
        return None
    cells = [state_at.get(cell, -1) for cell in np.ndindex(rows, columns)]
    ways = [None if way == (0, 0) else list(way) for way in directions(mdp, mdp.layout)]
    return {"rows": rows, "columns": columns, "cells": cells, "directions": ways, "marks": None}


def _marks(name: str) -> str | None:
    """What the cells of a grid of the zoo are: S start, G goal, H hole, C cliff, else a dot."""
    if name.startswith("frozen_lake"):
        from gymnasium.envs.toy_text.frozen_lake import MAPS

        return "".join(MAPS["8x8" if "8x8" in name else "4x4"]).replace("F", ".")
    if name.startswith("slippery_cliff"):
        return "." * 36 + "S" + "C" * 10 + "G"
    return None
