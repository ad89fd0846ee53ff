"""Plots of the states of a posterior over vectors: believed and true means with their spread."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InvalidArgument
from ...inference.exact.gaussian.posterior import GaussianPosterior
from ...inference.exact.grid.moments import StateMoments, state_moments
from ...inference.exact.grid.posterior import GridPosterior
from ...problems.continuous.linear_quadratic import LinearQuadratic
from ...runtime.arguments import positive, shown, whole_number
from ...trajectories.gaussian.blocks import GaussianMarginals
from ..canvas import FREE, TRUE, Style, ink, one_panel, style_of
from ..labels import finish, headline, name_axes, numbered

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Moments = GaussianMarginals | StateMoments
_ROUND = 61  # points of an ellipse
_MOST = 9  # ellipses of one path


def belief_paths(
    posterior: GaussianPosterior | GridPosterior,
    components: int | Sequence[int] = 0,
    *,
    deviations: float = 1.0,
    title: str = "",
    ax: "Axes | None" = None,
    style: str = "paper",
) -> "Axes":
    """Draw the states that a posterior believes in, and those that its policy meets in the true dynamics.

    One component is drawn over time, as the mean and a band of so many standard deviations. Two components are drawn as
    paths in the plane, with an ellipse of so many standard deviations at some of the steps.

        plot.belief_paths(infer(model, 1.0), (0, 1))

    Args:
        posterior: the exact posterior of one linear-quadratic problem, or of a problem in the plane or on a line.
        components: one component of the state, or two.
        deviations: the half-width of bands and ellipses, in standard deviations.
        title: the title; default: the optimism.
        ax: where to draw; default: a new figure.
        style: "paper", or "slide", with larger type and thicker lines.

    Returns:
        The Axes. Its lines "believed" and "true" hold the means.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
        MissingExtra: without matplotlib.
    """
    sizes = style_of(style)
    believed, true = _moments(posterior)
    chosen = _components(components, believed.state_mean.shape[-1])
    width = positive("deviations", deviations, "number of standard deviations")
    axes = one_panel(ax, sizes)
    rows = {"believed": (believed, FREE), "true": (true, TRUE)}
    for name, (found, look) in rows.items():
        colour = ink(axes) if name == "true" else look.color
        draw = _over_time if len(chosen) == 1 else _in_the_plane
        draw(axes, found, chosen, width, sizes, {"color": colour, "linestyle": look.line, "label": name})
    problem = posterior.model.problem
    known = problem.state_names if isinstance(problem, LinearQuadratic) else None
    names = [f"state {i}" if known is None else known[i] for i in chosen]
    name_axes(axes, *(("time step", names[0]) if len(chosen) == 1 else (names[0], names[1])), sizes)
    numbered(axes.xaxis, whole=len(chosen) == 1)
    numbered(axes.yaxis)
    axes.spines[["top", "right"]].set_visible(False)
    handles = [line for line in axes.lines if str(line.get_label()) in rows]
    headline(axes, title or f"{_optimism(posterior)}: the states it believes in, and the true ones", sizes, handles)
    finish(axes)
    return axes


def _moments(posterior: Any) -> tuple[_Moments, _Moments]:
    """The moments of the believed and of the true states."""
    if isinstance(posterior, GridPosterior):
        start = posterior.model.problem.initial_mean
        return (
            state_moments(posterior.mesh, posterior.believed, start),
            state_moments(posterior.mesh, posterior.true, start),
        )
    if not isinstance(posterior, GaussianPosterior):
        raise InvalidArgument(
            "`posterior` must be a GaussianPosterior or a GridPosterior, as infer gives it for a continuous model, but "
            f"is {shown(posterior)}."
        )
    if posterior.model.problem.batch_shape:
        raise InvalidArgument("`posterior` must be of one problem, but is of a batch. Solve problem[index].")
    return posterior.marginals(), posterior.true_marginals()


def _components(components: Any, states: int) -> list[int]:
    given = [components] if whole_number(components) is not None else components
    found = [whole_number(each) for each in given] if isinstance(given, Sequence) else []
    chosen = [each for each in found if each is not None and 0 <= each < states]
    if len(chosen) != len(found) or len(set(chosen)) not in (1, 2) or len(set(chosen)) != len(chosen):
        raise InvalidArgument(
            f"`components` must be one or two different components of the state, 0 to {states - 1}, but is "
            f"{shown(components)}."
        )
    return chosen


def _optimism(posterior: GaussianPosterior | GridPosterior) -> str:
    beta = posterior.optimism.dynamics
    return f"β = {beta:g}" if isinstance(beta, float) else repr(beta)


def _over_time(
    axes: "Axes",
    found: _Moments,
    chosen: list[int],
    width: float,
    sizes: Style,
    look: dict[str, Any],
) -> None:
    i = chosen[0]
    mean = found.state_mean[:, i].numpy(force=True)
    spread = width * found.state_covariance[:, i, i].clamp(min=0.0).sqrt().numpy(force=True)
    time = np.arange(len(mean))
    axes.fill_between(time, mean - spread, mean + spread, color=look["color"], alpha=0.2, linewidth=0.0)
    axes.plot(time, mean, linewidth=sizes.line, **look)


def _in_the_plane(
    axes: "Axes",
    found: _Moments,
    chosen: list[int],
    width: float,
    sizes: Style,
    look: dict[str, Any],
) -> None:
    mean = found.state_mean[:, chosen].numpy(force=True)
    spread = found.state_covariance[:, chosen][..., chosen].numpy(force=True)
    axes.plot(mean[:, 0], mean[:, 1], linewidth=sizes.line, **look)
    turn = np.linspace(0.0, 2.0 * np.pi, _ROUND)
    circle = np.stack((np.cos(turn), np.sin(turn)))
    shown_at = np.unique(np.linspace(0, len(mean) - 1, min(len(mean), _MOST)).round().astype(int))
    for t in shown_at.tolist():
        values, vectors = np.linalg.eigh(spread[t])
        outline = mean[t][:, None] + width * (vectors * np.sqrt(values.clip(0.0))) @ circle
        axes.plot(outline[0], outline[1], color=look["color"], linestyle=look["linestyle"], linewidth=sizes.edge)
