"""A problem as data for the page: its tables with every number written once, its map, and its adjustable parameters."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidArgument
from ...models import zoo
from ...plot.terrain import directions
from ...problems.grid import grid_of
from ...problems.mdp import TabularMDP
from ...trajectories.action_measure import counts_actions
from ...trajectories.blocks import MarkovModel

Table = Float[np.ndarray, "state action outcome"]

_MOST_CELLS = 400


@final
@dataclass(frozen=True, eq=False)
class Parameter:
    r"""One parameter θ, on which probabilities and rewards depend linearly.

    $$p(k \mid s, a) = \prod_\theta (c_\theta + m_\theta \theta), \qquad
        r(s, a, k) = r_0 + \sum_\theta d_\theta (\theta - \theta_0)$$

    for the events (s, a) that any parameter changes; the others keep their table.

    Attributes:
        name: the name of the corresponding argument of the problem's function, if there is one.
        label: the label on the page.
        low, high, step, value: its range, its step, and its value θ in the original problem.
        logarithmic: whether the slider is logarithmic.
        constant, slope: c and m; None if it changes no probability.
        reward_slope: d; None if it changes no reward.
    """

    name: str
    label: str
    low: float
    high: float
    step: float
    value: float
    logarithmic: bool = False
    constant: Table | None = None
    slope: Table | None = None
    reward_slope: Table | None = None

    def data(self) -> dict[str, Any]:
        """Return the parameter in the form that `problems.js` reads."""

        def table(values: Table | None) -> dict[str, Any] | None:
            return None if values is None else coded(torch.from_numpy(values))

        plain = {key: getattr(self, key) for key in ("name", "label", "low", "high", "step", "value", "logarithmic")}
        tables = {"constant": self.constant, "slope": self.slope, "rewardSlope": self.reward_slope}
        return {**plain, **{key: table(values) for key, values in tables.items()}}


def zoo_data() -> list[dict[str, Any]]:
    """Return the data of every problem in the zoo."""
    found = []
    for entry in zoo().values():
        mdp = entry.build()
        data = problem_data(entry.name, mdp, entry.summary, parameters=parameters_of(entry.name, mdp))
        data["temperature"] = entry.temperature
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
    """Return the tables of a problem, flat, in the order (state, action, outcome), as `problems.js` reads them.

    Raises:
        InvalidArgument: if the action prior of the model counts actions, which the page does not.
    """
    if model is not None and counts_actions(model):
        raise InvalidArgument(
            '`problem` must have an action prior of probabilities, but has "count", which the page does not solve. '
            "Pass TabularModel(mdp, temperature), which has the same policies where all states have the same actions."
        )
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
    """Return the distinct numbers of a table, and for each entry the index of its number; −inf is a string."""
    entries = table.flatten().tolist()
    values = list(dict.fromkeys(entries))
    place = {value: i for i, value in enumerate(values)}
    written = [value if math.isfinite(value) else "-Infinity" for value in values]
    return {"values": written, "at": [place[each] for each in entries]}


def _layout(mdp: TabularMDP) -> dict[str, Any] | None:
    """Return the size of the grid, the state in each cell (or −1) and the direction of each action; None if too large.

    A direction is [down, right], each −1, 0 or 1, or None if the action stays.
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
    """Return the kinds of the cells of a grid in the zoo: S start, G goal, H hole, C cliff, a dot for others."""
    if name.startswith("frozen_lake"):
        from gymnasium.envs.toy_text.frozen_lake import MAPS

        return "".join(MAPS["8x8" if "8x8" in name else "4x4"]).replace("F", ".")
    if name.startswith("slippery_cliff"):
        return "." * 36 + "S" + "C" * 10 + "G"
    return None


def parameters_of(name: str, mdp: TabularMDP) -> list[Parameter]:
    """Return the parameters of a problem in the zoo; an empty list for any other problem."""
    reward, some = mdp.reward.numpy(), mdp.probability.numpy()
    ones, zeros = np.ones_like(some), np.zeros_like(some)

    def at(*place: int) -> Table:
        table = zeros.copy()
        table[place] = 1.0
        return table

    def pays(
        name: str, label: str, low: float, high: float, value: float, where: Table, sign: float = 1.0
    ) -> Parameter:
        return Parameter(name, label, low, high, 0.1, value, reward_slope=sign * where)

    if name == "restaurant":
        first = zeros.copy()
        first[0] = 1.0
        return [
            pays(f"{what}_dinner", f"utility of a {what} dinner", -30.0, 20.0, value, first * (reward == value))
            for what, value in (("bad", -10.0), ("good", 6.0), ("spectacular", 8.0))
        ]
    if name == "lottery":
        ticket, lost = at(0, 0, 0), at(0, 0, 1)
        return [
            Parameter(
                *("jackpot_probability", "probability of the jackpot", 1e-4, 0.5, 0.0001, 0.01, True),
                constant=ones - ticket,
                slope=ticket - lost,
            ),
            pays("jackpot", "jackpot", 0.0, 50.0, 12.0, ticket),
            pays("price", "price of the ticket", 0.0, 10.0, 1.0, lost, -1.0),
            pays("wage", "wage", -5.0, 20.0, 3.0, at(0, 1, 0)),
        ]
    if name == "risky_path":
        goal, pit = at(0, 1, 0), at(0, 1, 1)
        return [
            Parameter(
                *("success", "probability that the jump arrives", 0.0, 1.0, 0.01, 0.5),
                constant=ones - goal,
                slope=goal - pit,
            ),
            pays("pit", "reward of a step in the pit", -100.0, 0.0, -100.0, 1.0 * (reward == -100.0)),
        ]
    if name == "windy_bridge":
        own, wind = (each.ravel() for each in np.indices((2, 3)))
        goes, slips, calm, gust = ones * (own == 0), ones * (own == 1), ones * (wind == 0), ones * (wind > 0)
        return [
            Parameter(
                *("slip", "probability that the foot slips", 0.0, 1.0, 0.01, 0.1), constant=goes, slope=slips - goes
            ),
            Parameter(
                *("gust", "probability of a gust, to each side", 0.0, 0.5, 0.01, 0.15),
                constant=calm,
                slope=gust - 2 * calm,
            ),
            pays("fall", "cost of falling", 0.0, 100.0, 30.0, 1.0 * (reward < -2.0), -1.0),
        ]
    if name in ("slippery_cliff", "frozen_lake", "frozen_lake_8x8"):
        constant, slope = _sideways(some)
        named = "slip", "probability of slipping sideways"
        slips = Parameter(*named, 0.0, 1.0, 0.01, 2 / 3, constant=constant, slope=slope)
        if name == "slippery_cliff":
            return [slips, pays("fall", "reward of falling", -200.0, 0.0, -100.0, 1.0 * (reward == -100.0))]
        return [slips, pays("goal", "reward of the goal", 0.0, 5.0, 1.0, 1.0 * (reward == 1.0))]
    return []


def _sideways(probability: Table) -> tuple[Table, Table]:
    """Return c and m for slippery steps, whose outcomes left, ahead, right have probabilities θ/2, 1 − θ, θ/2."""
    slippery = (probability[..., 1:2] > 0) & np.ones_like(probability, dtype=bool)
    ahead = slippery * np.asarray([0.0, 1.0, 0.0])
    sides = slippery * np.asarray([1.0, 0.0, 1.0])
    return 1.0 - sides, 0.5 * sides - ahead
