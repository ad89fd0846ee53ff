"""One picture of the free and the clamped optimum of a continuous problem: states, returns, and the policy over β."""

import textwrap
from typing import TYPE_CHECKING, Any

from ...analysis.continuous_comparison import ContinuousComparison
from ...inference.exact.gaussian.posterior import GaussianPosterior
from ...inference.exact.grid.posterior import GridPosterior
from ...problems.continuous.linear_quadratic import LinearQuadratic
from ...problems.continuous.planar import Planar
from ..canvas import panels, style_of
from ..returns import imagined_and_true
from .dial import gain_by_optimism
from .paths import belief_paths
from .plane import plane_paths

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PATHS = 400  # that a mean and a cloud in the plane are made of
_WIDE, _NARROW = 130, 72  # letters of a line of the title


def continuous_picture(found: ContinuousComparison) -> "Figure":
    """Draw the states of both optima and their returns; for a linear-quadratic model also its policy over β.

    In the plane the states are what both imagine, and what their policies truly reach, over the map of the reward.
    Otherwise they are the first component over time of each, believed and true, with a band of one deviation; for a
    linear-quadratic model of several components the last panel has ellipses of the first two. The seed of the paths in
    the plane is that of the comparison.

    Args:
        found: from `compare`.

    Raises:
        MissingExtra: without matplotlib, with the command that installs it.
    """
    model: Any = found.model
    problem, style, is_plane = model.problem, style_of("paper"), isinstance(model.problem, Planar)
    wide, high = style.inches
    if is_plane:
        made = panels(None, 3, style, columns=1, inches=(1.8 * wide, high))
    else:
        extra = min(problem.num_states, 2) + 1 if isinstance(problem, LinearQuadratic) else 0
        made = panels(None, 3 + extra, style, columns=3)
    draw_states(found.free, found.clamped, made[:2], found.settings.get("seed") or 0)
    imagined_and_true(found.scorecard, ax=made[2])
    if isinstance(problem, LinearQuadratic):
        gain_by_optimism(model, axes=made[3:5])
        if problem.num_states > 1:
            belief_paths(found.free, (0, 1), title="free: means and ellipses of one deviation", ax=made[5])
    title = f"{found.name} (T = {problem.horizon}, τ = {model.temperature:g})"
    text = textwrap.fill(found.explanation.headline + ".", _NARROW if is_plane else _WIDE)
    figure = made[0].figure
    heading = figure.suptitle(f"{title}\n{text}", fontsize=style.text + 2, fontweight="bold")
    heading.set_parse_math(False)  # a name may contain a dollar sign
    return figure


def draw_states(
    free: GaussianPosterior | GridPosterior, clamped: GaussianPosterior | GridPosterior, axes: Any = None, seed: int = 0
) -> Any:
    """Draw the states of the free and the clamped posterior of one model in two panels; see `continuous_picture`.

    Args:
        free, clamped: posteriors of one model.
        axes: two Axes; default: a new figure.
        seed: of the paths that are drawn in the plane.

    Returns:
        The two Axes.
    """
    problem, style, found = free.model.problem, style_of("paper"), {"free": free, "clamped": clamped}
    if isinstance(problem, Planar) and isinstance(free, GridPosterior) and isinstance(clamped, GridPosterior):
        meshes = {"free": free, "clamped": clamped}
        made = panels(axes, 2, style, columns=1, inches=(1.8 * style.inches[0], style.inches[1]))
        imagined = {key: each.sample(_PATHS, seed) for key, each in meshes.items()}
        plane_paths(problem, imagined, title="Imagined states", ax=made[0])
        true = {key: each.play(_PATHS, seed) for key, each in meshes.items()}
        plane_paths(problem, true, title="States in the true world", ax=made[1])
        return made
    made = panels(axes, 2, style)
    for ax, (key, each) in zip(made, found.items(), strict=True):
        belief_paths(each, 0, title=f"{key}: the states it believes in, and the true ones", ax=ax)
    low, high = (f(ax.get_ylim()[i] for ax in made) for i, f in enumerate((min, max)))
    for ax in made:
        ax.set_ylim(low, high)
    return made
