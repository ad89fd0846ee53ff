"""Plot of the reward of a problem in the plane, with the paths of several guides over it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...errors import InvalidArgument
from ...inference.exact.grid.posterior import Paths
from ...problems.continuous.planar import Planar
from ...runtime.arguments import called, instance, named, shown, whole, whole_number
from ..canvas import Look, Style, looks_of, one_panel, plotted, style_of
from ..labels import colour_bar, finish, headline, name_axes, numbered

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

_NODES = 201  # of the map, along the longer axis
_MARGIN = 0.06  # of the range of the paths, at each side
_CLOUD = 40  # the most paths whose states are drawn as points


def plane_paths(
    problem: Planar,
    paths: Mapping[str, Any],
    *,
    t: int = 1,
    num_paths: int = 2,
    title: str = "",
    ax: "Axes | None" = None,
    style: str = "paper",
) -> "Axes":
    """Draw the reward of the places of a plane, dark where it is low, and the paths of several guides over it.

    Each guide has a cloud of the states of its paths, a few of the paths as thin lines, and their mean as a thick one.

        posteriors = {"free": infer(model, 1.0), "clamped": infer(model, 0.0)}
        plot.plane_paths(model.problem, {name: found.play(200, 0) for name, found in posteriors.items()})

    Args:
        problem: the problem, whose reward is drawn.
        paths: by name, the result of `GridPosterior.sample` or `play`, or states of shape (path, time, 2). Names that
            begin with "free" and "clamped" have the looks of these guides in all plots.
        t: the time at whose arrival the reward is drawn, 1 … T; it does not matter unless the reward changes with time.
        num_paths: the number of single paths that are drawn for each guide, from the first; 0 for none.
        title: the title of the panel.
        ax: where to draw; default: a new figure.
        style: "paper", or "slide", with larger type and thicker lines.

    Returns:
        The Axes. Its image holds the rewards, and the lines with the names as labels hold the mean paths.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
        MissingExtra: without matplotlib.
    """
    sizes = style_of(style)
    problem = instance("problem", problem, Planar, "Pass the `problem` of a PlanarModel.")
    shown_at = whole_number(t)
    if shown_at is None or not 1 <= shown_at <= problem.horizon:
        raise InvalidArgument(f"`t` must be a time, 1 to {problem.horizon}, but is {shown(t)}.")
    singles, title = whole("num_paths", num_paths, least=0), called("title", title)
    clouds = {name: _states(name, each) for name, each in named("paths", paths, what="path").items()}
    width, height = sizes.inches
    axes = one_panel(ax, sizes, (1.35 * width, height))
    everything = np.concatenate([each.reshape(-1, 2) for each in clouds.values()])
    low, high = everything.min(0), everything.max(0)
    margin = _MARGIN * max(float((high - low).max()), 1e-6)
    _draw_rewards(axes, problem, shown_at, low - margin, high + margin, sizes)
    means = [
        _draw_paths(axes, name, states, look, singles, sizes)
        for (name, states), look in zip(clouds.items(), looks_of(list(clouds)), strict=True)
    ]
    axes.set_xlim(low[0] - margin, high[0] + margin)
    axes.set_ylim(low[1] - margin, high[1] + margin)
    axes.set_aspect("equal", adjustable="box")
    name_axes(axes, "x", "y", sizes)
    numbered(axes.xaxis)
    numbered(axes.yaxis)
    headline(axes, title, sizes, means)
    finish(axes)
    return axes


def _states(name: str, given: Any) -> np.ndarray:
    states = plotted(f"paths: {name!r}", given.states if isinstance(given, Paths) else given)
    if states.ndim != 3 or states.shape[2] != 2 or not states.size or not np.isfinite(states).all():
        raise InvalidArgument(
            f"`paths` must hold finite states of shape (path, time, 2), but those of {name!r} have the shape "
            f"{states.shape}, or are not finite. Pass posterior.play(num_samples)."
        )
    return states


def _draw_rewards(axes: "Axes", problem: Planar, t: int, low: np.ndarray, high: np.ndarray, style: Style) -> None:
    """The map of the reward of reaching a place at time t."""
    counts = np.maximum(2, np.ceil(_NODES * (high - low) / (high - low).max())).astype(int).tolist()
    edges = [np.linspace(a, b, n + 1) for a, b, n in zip(low, high, counts, strict=True)]
    x, y = (torch.from_numpy((each[1:] + each[:-1]) / 2) for each in edges)
    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
    with torch.no_grad():
        rewards = problem.reward_at(t, places).numpy(force=True)
    image = axes.imshow(
        rewards, origin="lower", extent=(low[0], high[0], low[1], high[1]), cmap=_ground(), interpolation="nearest"
    )
    colour_bar(axes, image, "reward", style)


def _draw_paths(axes: "Axes", name: str, states: np.ndarray, look: Look, singles: int, style: Style) -> Any:
    """The cloud, some paths and the mean path of one guide; returns the line of the mean."""
    from matplotlib.patheffects import Normal, Stroke

    cloud = states[:_CLOUD].reshape(-1, 2)
    axes.plot(
        cloud[:, 0], cloud[:, 1], linestyle="none", marker=look.marker, markersize=0.5 * style.marker,
        color=look.color, markeredgewidth=0.0, alpha=0.8, zorder=2,
    )  # fmt: skip
    for path in states[:singles]:
        axes.plot(path[:, 0], path[:, 1], color=look.color, linewidth=style.edge, alpha=0.8, zorder=3)
    mean = states.mean(0)
    (line,) = axes.plot(
        mean[:, 0], mean[:, 1], color=look.color, linestyle=look.line, linewidth=style.line, marker=look.marker,
        markersize=0.8 * style.marker, markeredgecolor="black", markeredgewidth=0.5 * style.edge, label=name, zorder=4,
        path_effects=[Stroke(linewidth=1.6 * style.line, foreground="black"), Normal()],
    )  # fmt: skip
    return line


def _ground() -> "Colormap":
    """Return a colour map from grey to white, on which the colours of all looks can be seen."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("ground", ["#8C8C8C", "#FFFFFF"])
