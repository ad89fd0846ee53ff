"""Policies and values on the map of a grid world."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidArgument
from ..inference.exact.infer import infer
from ..inference.exact.posterior import Posterior
from ..problems.mdp import TabularMDP
from ..runtime.arguments import called, finite, index, named, one_of, shown
from ..trajectories.blocks import MarkovModel, require_model
from ..trajectories.tabulate import Tabulable, tabulate
from .canvas import Style, one_panel, panels, plotted, style_of
from .grid import Layout, draw_grid, inches_of, layout_of, limits_of
from .terrain import directions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LENGTH = 0.46  # in cells: the length of an arrow of probability 1
_SEEN = 0.05  # actions with a smaller probability have no arrow
_SHADES = ("auto", "value", "imagined visits", "true visits", "none")


def state_map(
    mdp: TabularMDP,
    values: Float[Tensor, " state"] | Float[np.ndarray, " state"],
    label: str,
    *,
    title: str = "",
    limits: tuple[float, float] | None = None,
    layout: Layout | Sequence[str] | None = None,
    ax: "Axes | None" = None,
    style: str = "paper",
) -> "Axes":
    """Shade every cell by the value of its state.

    Args:
        mdp: the problem.
        values: one number per state, such as `posterior.v[0]`; numbers that are not finite stay white.
        label: the meaning of the numbers, with their unit, such as "soft value (reward units)".
        title: the title of the map.
        limits: the numbers at the ends of the colours, the same for maps that are compared; default: those of `values`.
        layout: as in `layout_of`.
        ax: where to draw; default: a new figure.
        style: "paper", or "slide", with larger type and thicker lines.

    Returns:
        The Axes; their first image holds the numbers.

    Raises:
        InvalidArgument: if the problem has no grid, `values` has another length, or `limits` is not a pair of numbers,
            the smaller first.
        MissingExtra: without matplotlib.
    """
    sizes, grid = style_of(style), layout_of(mdp, layout)
    for name, text in (("label", label), ("title", title)):
        called(name, text)
    axes = one_panel(ax, sizes, inches_of(grid, sizes))
    numbers = plotted("values", values)
    if numbers.shape != (mdp.num_states,):
        raise InvalidArgument(
            f"`values` must hold one number for each of the {mdp.num_states} states, but has shape {numbers.shape}. "
            "Pick a time step first."
        )
    if limits is not None:
        pair = tuple(limits) if isinstance(limits, tuple | list) else ()
        if len(pair) != 2 or not finite("limits", pair[0]) < finite("limits", pair[1]):
            raise InvalidArgument(f"`limits` must be a pair of numbers, the smaller first, but is {shown(limits)}.")
        limits = finite("limits", pair[0]), finite("limits", pair[1])
    draw_grid(axes, mdp, grid, numbers, sizes, title=title, label=label, limits=limits)
    return axes


def policy_map(
    model: MarkovModel,
    guide: Tabulable,
    *,
    t: int = 0,
    shade: str = "auto",
    title: str = "policy",
    layout: Layout | Sequence[str] | None = None,
    ax: "Axes | None" = None,
    style: str = "paper",
) -> "Axes":
    """Draw a policy as arrows, one per action; the length is the square root of the probability, half a cell for 1.

    Actions with a probability below .05 have no arrow, and an action that does not move is a ring. The direction of an
    action is computed from the tables (see `directions`).

    Args:
        model: the tabular model.
        guide: a guide, a posterior or a policy, as in `evaluate`.
        t: the step whose policy is drawn, 0 … T−1.
        shade: "value", the soft value at that step, in reward units, for a posterior; "imagined visits" or "true
            visits", the number of steps of an episode spent in a state, believed by the guide or in the true world;
            "none"; "auto" is the value if there is one, else the imagined visits.
        title: the title of the map; the step is added.
        layout, ax, style: as in `state_map`.

    Returns:
        The Axes. Their first image holds the shade, and their quivers the arrows, one quiver per action.

    Raises:
        InvalidArgument: if the problem has no grid, or an argument is invalid; the message names it.
        InvalidGuide: if the guide does not fit the model.
        MissingExtra: without matplotlib.
    """
    sizes, grid, t = _checked(model, layout, style, t)
    name, title = _shade_name(guide, shade), called("title", title)
    axes = one_panel(ax, sizes, inches_of(grid, sizes))
    _draw_policy(axes, model, guide, t, name, grid, sizes, title=title)
    return axes


def policy_maps(
    model: MarkovModel,
    guides: Mapping[str, Tabulable] | None = None,
    *,
    t: int = 0,
    shade: str = "auto",
    layout: Layout | Sequence[str] | None = None,
    axes: Any = None,
    style: str = "paper",
) -> np.ndarray:
    """Draw several policies as in `policy_map`, side by side, on one colour scale.

    Args:
        model: the tabular model.
        guides: by name; default: the exact free and clamped posteriors.
        t, shade, layout, style: as in `policy_map`.
        axes: as many Axes as guides; default: a new figure.

    Returns:
        The Axes, an array.

    Raises:
        InvalidArgument: as in `policy_map`, or if the number of `axes` is wrong.
        InvalidGuide: if a guide does not fit the model.
        MissingExtra: without matplotlib.
    """
    sizes, grid, t = _checked(model, layout, style, t)
    guides = guides_of(model, guides)
    names = {_shade_name(guide, shade) for guide in guides.values()}
    name = names.pop() if len(names) == 1 else "imagined visits"
    stacked = grid.columns > 1.5 * grid.rows
    made = panels(axes, len(guides), sizes, columns=1 if stacked else len(guides), inches=inches_of(grid, sizes))
    shades = [_shade(model, guide, t, name) for guide in guides.values()]
    every = [limits_of(model.mdp, grid, each) for each in shades]
    limits = min(low for low, _ in every), max(high for _, high in every)
    for panel, (title, guide) in zip(made, guides.items(), strict=True):
        last = stacked or panel is made[-1]
        _draw_policy(panel, model, guide, t, name, grid, sizes, title=title, limits=limits, bar=last)
    return made


def _draw_policy(
    axes: "Axes",
    model: MarkovModel,
    guide: Tabulable,
    t: int,
    name: str,
    grid: Layout,
    style: Style,
    *,
    title: str,
    limits: tuple[float, float] | None = None,
    bar: bool = True,
) -> None:
    mdp, label = model.mdp, {"value": f"soft value at t = {t} (reward units)", "none": ""}
    when = f"{title}, t = {t}" if mdp.horizon > 1 else title
    draw_grid(
        axes, mdp, grid, _shade(model, guide, t, name), style, title=when,
        label=label.get(name, f"{name} (steps per episode)"), limits=limits, bar=bar,
    )  # fmt: skip
    policy = tabulate(model, guide).log_policy[t].detach().exp().double().cpu().numpy()
    for action, (down, right) in enumerate(directions(mdp, grid.cells)):
        here = [
            (cell, policy[s, action])
            for s, cell in enumerate(grid.cells)
            if cell is not None and cell not in grid.kinds and policy[s, action] >= _SEEN
        ]
        if not here:
            continue
        y, x = (np.array([cell[axis] for cell, _ in here], dtype=float) for axis in (0, 1))
        p = np.array([each for _, each in here])
        if down == right == 0:
            points = style.marker**2 * 4
            axes.scatter(x, y, s=points * p, facecolors="none", edgecolors="black", linewidths=style.edge, zorder=3)
            continue
        length = _LENGTH * np.sqrt(p) / math.hypot(down, right)
        axes.quiver(
            x, y, right * length, down * length, angles="xy", scale_units="xy", scale=1, units="xy", width=0.045,
            headwidth=3.6, headlength=3.6, headaxislength=3.2, minlength=0.5, color="black", zorder=3,
        )  # fmt: skip


def guides_of(model: MarkovModel, guides: Mapping[str, Tabulable] | None) -> dict[str, Tabulable]:
    """Return the guides by name, checked; default: the exact free and clamped posteriors.

    Raises:
        InvalidArgument: if `guides` is not a mapping from names to at least one guide.
    """
    if guides is None:
        return {"free guide": infer(model, 1.0), "clamped guide": infer(model, 0.0)}
    return named("guides", guides)


def _checked(
    model: MarkovModel, layout: Layout | Sequence[str] | None, style: str, t: int
) -> tuple[Style, Layout, int]:
    require_model(model, timed=True)
    step = index("t", t, model.mdp.horizon, "a step", remedy="The first is 0.")
    return style_of(style), layout_of(model.mdp, layout), step


def _shade_name(guide: Tabulable, shade: str) -> str:
    one_of("shade", shade, _SHADES, remedy="For numbers of your own use state_map.")
    if shade == "value" and not isinstance(guide, Posterior):
        raise InvalidArgument(
            f"`shade` must be other than 'value' for a {type(guide).__name__}, which has no values. Pass a posterior, "
            "such as infer(model, 0.0), or shade='imagined visits'."
        )
    if shade == "auto":
        return "value" if isinstance(guide, Posterior) else "imagined visits"
    return shade


def _shade(model: MarkovModel, guide: Tabulable, t: int, name: str) -> Float[np.ndarray, " state"] | None:
    blocks = tabulate(model, guide)
    if name == "none":
        return None
    if name == "value":
        assert isinstance(guide, Posterior)
        return guide.v[t].double().cpu().numpy()
    if name == "true visits":
        blocks = model.blocks().replace(log_policy=blocks.log_policy)
    with torch.no_grad():
        return blocks.marginals().state[:-1].sum(0).double().cpu().numpy()
