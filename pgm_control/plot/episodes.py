"""One imagined and one true episode of each guide, on the map of a grid world."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch

from ..inference.sampling.log_weights import returns
from ..problems.grid import Cell
from ..problems.mdp import TabularMDP
from ..problems.timed import at_start
from ..runtime.randomness import integer_of
from ..text.wording import amount
from ..trajectories.blocks import Blocks, MarkovModel, require_model
from ..trajectories.samples import Trajectories
from ..trajectories.tabulate import Tabulable, tabulate
from .canvas import Style, panels, settle, style_of
from .grid import Layout, cell_points, draw_grid, inches_of, layout_of, limits_of
from .labels import headline
from .maps import guides_of
from .terrain import directions, event_of_step

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_APART, _TURN = 0.07, 2.4  # cells and radians: the n-th visit of a cell is drawn n turns along a spiral
_FULL_SIZE = 40.0  # points: paths in smaller cells have thinner lines
_FARTHEST = 0.34  # cells from the middle


Point = tuple[float, float]  # (down, right), in cells


class _Look(NamedTuple):
    """The look of an episode: its width is a factor, and its path passes beside the middle of the cells."""

    color: str
    line: Literal["-", "--"]
    marker: str
    width: float
    aside: float


_LOOKS = {"imagined": _Look("#D55E00", "--", "o", 1.4, -0.1), "true": _Look("#000000", "-", "s", 1.0, 0.1)}


def episode_maps(
    model: MarkovModel,
    guides: Mapping[str, Tabulable] | None = None,
    *,
    seed: int | torch.Generator | None = None,
    layout: Layout | Sequence[str] | None = None,
    axes: Any = None,
    style: str = "paper",
) -> np.ndarray:
    """Draw an episode that each guide imagines, and one of its policy in the true world, on a map for each guide.

    The imagined episode is drawn from the guide's own start and dynamics, the true one from the model's, with the same
    random numbers: they are one and the same if the guide's dynamics are the true ones. Cells are shaded by the number
    of steps that the guide expects to spend there. A cross is a step into a hazard; a thin dotted line leads to where
    the episode continues, or to the box of a state that is not on the map. Repeated visits of a cell are drawn side by
    side.

    Args:
        model: the tabular model.
        guides: by name, as in `policy_maps`; default: the exact free and clamped posteriors.
        seed: an integer, a generator, or None for torch's global generator; each guide uses the same random numbers.
        layout, style: as in `state_map`.
        axes: as many Axes as guides; default: a new figure.

    Returns:
        The Axes, an array. The lines of each are the paths.

    Raises:
        InvalidArgument: if the problem has no grid, or an argument is invalid; the message names it.
        InvalidGuide: if a guide does not fit the model.
        MissingExtra: without matplotlib.
    """
    require_model(model, timed=True)
    sizes, grid = style_of(style), layout_of(model.mdp, layout)
    guides = guides_of(model, guides)
    stacked = grid.columns > 1.5 * grid.rows
    width, height = inches_of(grid, sizes)
    inches = width, height + 0.05 * sizes.small  # for the legend
    made = panels(axes, len(guides), sizes, columns=1 if stacked else len(guides), inches=inches)
    blocks = [tabulate(model, guide) for guide in guides.values()]
    visits = [each.marginals().state[:-1].sum(0).detach().double().cpu().numpy() for each in blocks]
    every = [limits_of(model.mdp, grid, each) for each in visits]
    limits = min(low for low, _ in every), max(high for _, high in every)
    number = integer_of(seed)
    for panel, title, own, shade in zip(made, guides, blocks, visits, strict=True):
        boxes = draw_grid(
            panel, model.mdp, grid, shade, sizes, title="", label="imagined visits (steps per episode)", limits=limits,
            bar=stacked or panel is made[-1],
        )  # fmt: skip
        both = {"true": model.blocks().replace(log_policy=own.log_policy), "imagined": own}
        handles = [_draw(panel, model.mdp, grid, boxes, name, each, number, sizes) for name, each in both.items()]
        headline(panel, title, sizes, handles)
        settle(panel)
    return made


def _draw(
    axes: "Axes",
    mdp: TabularMDP,
    grid: Layout,
    boxes: Mapping[int, Point],
    name: str,
    blocks: Blocks,
    seed: int,
    style: Style,
) -> Any:
    """Draw an episode, and return the handle of its legend."""
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke

    episode, look = blocks.sample(1, seed), _LOOKS[name]
    path = _path(mdp, grid, boxes, episode, look.aside)
    small = min(1.0, cell_points(axes, grid) / _FULL_SIZE)
    line, marker = small * look.width * style.line, small * style.marker
    common = {"color": look.color, "zorder": 5 if name == "imagined" else 4}
    for run in path.runs:
        y, x = zip(*run, strict=True)
        axes.plot(x, y, look.line, linewidth=line, marker=look.marker, markersize=0.5 * marker, **common)
    for (y, x), (to_y, to_x) in path.jumps:
        axes.plot([x, to_x], [y, to_y], ":", linewidth=0.5 * line, alpha=0.7, **common)
    stroke = [withStroke(linewidth=2.4 * line, foreground="white")]  # hazards are dark
    for y, x in path.falls:
        axes.plot([x], [y], "x", markersize=1.6 * marker, markeredgewidth=line, path_effects=stroke, **common)
    total = amount(float(returns(mdp, episode)[0]))
    return Line2D(
        [], [], color=look.color, linestyle=look.line, linewidth=look.width * style.line, marker=look.marker,
        markersize=0.5 * style.marker, label=f"{name} episode, return {total}".replace("-", "−"),
    )  # fmt: skip


class _Path(NamedTuple):
    """An episode on the map, in points (down, right): runs of steps, jumps between runs, and falls."""

    runs: list[list[Point]]
    jumps: list[tuple[Point, Point]]
    falls: list[Point]


def _path(mdp: TabularMDP, grid: Layout, boxes: Mapping[int, Point], episode: Trajectories, aside: float) -> _Path:
    states, actions, outcomes = (each[0].tolist() for each in episode)
    ways, visits, found = directions(mdp, grid.cells), Counter[Cell](), _Path([[]], [], [])

    def point(cell: Cell) -> Point:
        n = visits[cell]
        visits[cell] += 1
        radius, angle = min(_APART * math.sqrt(n), _FARTHEST - abs(aside)), _TURN * n
        return cell[0] + aside + radius * math.sin(angle), cell[1] + aside + radius * math.cos(angle)

    before = None
    for t, s in enumerate(states):
        cell, run = grid.cells[s] if s < mdp.num_states else None, found.runs[-1]
        if before is not None and (cell is None or abs(cell[0] - before[0]) + abs(cell[1] - before[1]) != 1):
            entered = _entered(mdp, grid, ways, states[t - 1], actions[t - 1], outcomes[t - 1])
            if entered is not None:
                run.append(point(entered))
                found.falls.extend([run[-1]] if grid.kinds[entered] == "hazard" else [])
            elif cell is None and s in boxes:
                found.jumps.append((run[-1], boxes[s]))
            if entered is not None or cell is None or max(abs(cell[0] - before[0]), abs(cell[1] - before[1])) > 1:
                found.runs.append([])
        if cell is not None:
            found.runs[-1].append(point(cell))
            if len(found.runs[-1]) == 1 and len(found.runs) > 1:
                found.jumps.append((run[-1], found.runs[-1][0]))
        before = cell
    return found._replace(runs=[run for run in found.runs if run])


def _entered(mdp: TabularMDP, grid: Layout, ways: Sequence[Cell], s: int, action: int, outcome: int) -> Cell | None:
    """Return the hazard or goal that this outcome leads into, or None if the tables do not determine it."""
    cell = grid.cells[s]
    assert cell is not None
    happened = int(mdp.successor[s, action, outcome]), float(at_start(mdp).reward[s, action, outcome])
    matching = set()
    for step in ways:
        there = cell[0] + step[0], cell[1] + step[1]
        if step != (0, 0) and grid.kinds.get(there) in ("hazard", "goal"):
            matching |= {there} if event_of_step(mdp, s, ways, step) == happened else set()
    return matching.pop() if len(matching) == 1 else None
