"""Grid worlds from maps drawn in text."""

import itertools
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np

from ..errors import InvalidArgument
from ..problems.factored import FactoredMDP
from ..problems.mdp import TabularMDP
from ..runtime.arguments import number, shown
from ..runtime.arguments import probability as checked_probability

MOVES = {"left": (0, -1), "down": (1, 0), "right": (0, 1), "up": (-1, 0)}
"""The actions, in the order of FrozenLake: each is a quarter turn from the next."""


@final
@dataclass(frozen=True)
class Cell:
    """The meaning of a letter on a map.

    Attributes:
        start: whether the episode may begin here; several such cells are equally likely.
        wall: whether the cell cannot be entered: a step against it stays where it is, as at the border of the map.
        ends: whether arriving ends the episode.
        back: whether arriving sends the agent back to the start; the map must then have exactly one start.
        reward: the reward of a step that arrives here, in reward units, added to `step_reward`. A step that stays here,
            against a wall, also counts as arriving.
    """

    start: bool = False
    wall: bool = False
    ends: bool = False
    back: bool = False
    reward: float = 0.0


LEGEND: Mapping[str, Cell] = {
    "S": Cell(start=True),
    "F": Cell(),
    ".": Cell(),
    " ": Cell(),
    "#": Cell(wall=True),
    "H": Cell(ends=True),
    "G": Cell(ends=True, reward=1.0),
}
"""Start, floor (also `.` and a blank), wall, hole and goal. S, F, H and G have the same meaning as in FrozenLake."""


def grid_world(
    rows: str | Sequence[str],
    *,
    horizon: int,
    slip: float = 0.0,
    wind: Mapping[str, float] | None = None,
    step_reward: float = 0.0,
    legend: Mapping[str, Cell] | None = None,
    discount: float = 1.0,
) -> TabularMDP:
    r'''The MDP of a map drawn in text, with walls, holes, goals, slippery ground and wind.

        mdp = grid_world(
            """
            S.......
            ..##....
            CCCCCCCG
            """,
            horizon=20,
            slip=0.2,
            step_reward=-1.0,
            legend={"C": Cell(reward=-99.0, back=True), "G": Cell(ends=True)},
        )

    States
        The cells that are not walls, called `(row, column)`, in reading order, and last `ended`. Their positions are
        the `layout` that pictures use.

    Actions
        `left`, `down`, `right`, `up`.

    Outcomes
        The step goes in the intended direction with probability 1 − `slip`, and otherwise at a right angle to it, to
        either side with equal probability. Then the wind moves the agent one cell further in a direction, with the
        probability given for it. The wind does not move an agent that has reached a cell that ends the episode or sends
        it back. With both slip and wind the random event has two factors, `slip` (3 outcomes: aside, straight, aside)
        and `wind` (calm, then the directions as given), which `Optimism` can free separately.

    Rewards
        `step_reward` plus the reward of the cell that the step arrives in; 0 once the episode has ended.

    FrozenLake is `slip=2/3`; slippery CliffWalking is the same with `step_reward=-1` and a legend as above.

    Args:
        rows: the map, as a text or a list of rows of the same length. Indentation common to all rows of a text is
            removed.
        horizon: T, the number of actions.
        slip: the probability that a step goes aside, in [0, 1].
        wind: the probability of a gust in each direction, such as {"down": 0.2}; with the remaining probability it is
            calm.
        step_reward: the reward of every step, in reward units.
        legend: the meaning of further letters, or a new meaning of those in `LEGEND`.
        discount: γ, in (0, 1].

    Raises:
        InvalidArgument: if the map is ragged, has no start or an unknown letter, or a number is out of range.
    '''
    if not isinstance(legend, Mapping | None) or not all(isinstance(each, Cell) for each in (legend or {}).values()):
        raise InvalidArgument(
            f"`legend` must map letters to Cells, but is {shown(legend)}. Pass {{'X': Cell(ends=True)}}."
        )
    known = {**LEGEND, **(legend or {})}
    grid = _Grid.of(rows, known)
    gusts = _gusts(wind)
    slip = checked_probability("slip", slip)
    for name, value in (("step_reward", step_reward), *((f"legend[{c!r}].reward", known[c].reward) for c in known)):
        if not number(value) < math.inf:
            raise InvalidArgument(f"`{name}` must be a reward, but is {shown(value)}. Use a large finite one.")
    step_reward = number(step_reward)
    turns = {-1: slip / 2, 0: 1.0 - slip, 1: slip / 2} if slip > 0 else {0: 1.0}
    ended, moves = len(grid.places), list(MOVES.values())
    successor = np.full((ended + 1, 4, len(turns), len(gusts)), ended)
    reward = np.zeros(successor.shape)
    for (s, place), a in itertools.product(enumerate(grid.places), range(4)):
        if grid.cell(place).ends:
            continue  # the episode is over before an action can be taken here
        for (i, turn), (j, gust) in itertools.product(enumerate(turns), enumerate(gusts)):
            there = grid.step(place, moves[(a + turn) % 4])
            if not (grid.cell(there).ends or grid.cell(there).back):
                there = grid.step(there, gust)
            entered = grid.cell(there)
            reward[s, a, i, j] = step_reward + entered.reward
            successor[s, a, i, j] = ended if entered.ends else grid.states[grid.start if entered.back else there]
    layout, names = (*grid.places, None), [*(f"({row}, {column})" for row, column in grid.places), "ended"]
    initial = np.array([float(grid.cell(place).start) for place in grid.places] + [0.0])
    initial /= initial.sum()
    if len(turns) > 1 and len(gusts) > 1:
        factors = {"slip": list(turns.values()), "wind": list(gusts.values())}
        return FactoredMDP(
            initial, factors, successor, reward, horizon, discount, None, names, tuple(MOVES), layout
        ).joint()
    joint = np.outer(list(turns.values()), list(gusts.values())).ravel()
    probability = np.broadcast_to(joint, (ended + 1, 4, joint.size)).copy()
    over = [grid.cell(place).ends for place in grid.places] + [True]
    probability[over] = np.eye(joint.size)[0]
    flat = (ended + 1, 4, joint.size)
    return TabularMDP(
        initial,
        probability,
        successor.reshape(flat),
        reward.reshape(flat),
        horizon,
        discount,
        state_names=names,
        action_names=tuple(MOVES),
        layout=layout,
    )


Place = tuple[int, int]


class _Grid(NamedTuple):
    """A parsed map: its letters, and the cells that are not walls in reading order."""

    lines: tuple[str, ...]
    legend: Mapping[str, Cell]
    places: tuple[Place, ...]
    states: Mapping[Place, int]
    start: Place

    @classmethod
    def of(cls, rows: str | Sequence[str], legend: Mapping[str, Cell]) -> "_Grid":
        lines = _lines(rows)
        for row, line in enumerate(lines):
            for column, letter in enumerate(line):
                if letter not in legend:
                    raise InvalidArgument(
                        f"`rows` must hold letters of the legend, {' '.join(map(repr, legend))}, but has {letter!r} in "
                        f"row {row}, column {column}. Say what it means: legend={{{letter!r}: Cell(…)}}."
                    )
        cells = [(row, column) for row, line in enumerate(lines) for column in range(len(line))]
        places = tuple(place for place in cells if not legend[lines[place[0]][place[1]]].wall)
        starts = [place for place in places if legend[lines[place[0]][place[1]]].start]
        if not starts:
            raise InvalidArgument("`rows` must have a start, but has none. Put an S where the episode begins.")
        back = [place for place in places if legend[lines[place[0]][place[1]]].back]
        if back and len(starts) > 1:
            raise InvalidArgument(
                f"`rows` must have one start to be sent back to from {back[0]}, but has {len(starts)}. Keep one S."
            )
        return cls(lines, legend, places, {place: s for s, place in enumerate(places)}, starts[0])

    def cell(self, place: Place) -> Cell:
        return self.legend[self.lines[place[0]][place[1]]]

    def step(self, place: Place, move: tuple[int, int]) -> Place:
        """The next cell in the direction of the move, or the same cell if the move is blocked."""
        there = place[0] + move[0], place[1] + move[1]
        return there if there in self.states else place


def _lines(rows: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(rows, str):
        found = textwrap.dedent(rows.strip("\n").rstrip()).split("\n")
    elif isinstance(rows, Iterable) and all(isinstance(row, str) for row in rows):
        found = list(rows)
    else:
        raise InvalidArgument(f"`rows` must be a text or a list of rows of text, but is {shown(rows)}.")
    if not found or not found[0] or len({len(line) for line in found}) > 1:
        raise InvalidArgument(
            f"`rows` must have the same length, at least 1, but have {[len(line) for line in found]}. Fill up with "
            "walls (#) or floor (.)."
        )
    return tuple(found)


def _gusts(wind: Mapping[str, float] | None) -> dict[tuple[int, int], float]:
    """The displacement and the probability of each wind, calm first."""
    if not isinstance(wind, Mapping | None):
        raise InvalidArgument(f"`wind` must give probabilities to {', '.join(MOVES)}, but is {shown(wind)}.")
    wind = {name: number(each) for name, each in (wind or {}).items()}
    for name, chance in wind.items():
        if name not in MOVES or not 0 <= chance <= 1:
            raise InvalidArgument(
                f"`wind` must give probabilities to {', '.join(MOVES)}, but says {name!r}: {chance:g}."
            )
    calm = 1.0 - sum(wind.values())
    if calm < -1e-12:
        raise InvalidArgument(f"`wind` must sum to at most 1, but sums to {1 - calm:g}. What is left over is calm.")
    return {(0, 0): max(calm, 0.0), **{MOVES[name]: probability for name, probability in wind.items()}}
