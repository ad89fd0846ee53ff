"""One picture of two posteriors of a continuous problem: the states that they believe in, and the true ones."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from ...inference.exact.gaussian.posterior import GaussianPosterior
from ...inference.exact.grid.posterior import GridPosterior
from ...problems.continuous.planar import Planar
from ...runtime.files import path_of, write_whole
from ..canvas import panels, style_of
from .paths import belief_paths
from .plane import plane_paths

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PATHS = 400  # that a mean and a cloud in the plane are made of


def continuous_picture(
    free: GaussianPosterior | GridPosterior,
    clamped: GaussianPosterior | GridPosterior,
    name: str,
    seed: int = 0,
    path: str | Path | None = None,
) -> "Figure":
    """Draw the states of the free and the clamped posterior, in two panels.

    In the plane the panels are what the two imagine, and what their policies truly meet, over the map of the reward;
    otherwise one for each, with the first component over time, believed and true, and a band of one deviation.

    Args:
        free, clamped: posteriors of one model.
        name: the name of the problem.
        seed: of the paths that are drawn in the plane.
        path: a file to write the picture to; the suffix is the format. Default: no file.

    Raises:
        MissingExtra: without matplotlib, with the command that installs it.
    """
    path, problem, style = None if path is None else path_of(path), free.model.problem, style_of("paper")
    found = {"free": free, "clamped": clamped}
    if isinstance(problem, Planar) and isinstance(free, GridPosterior) and isinstance(clamped, GridPosterior):
        meshes = {"free": free, "clamped": clamped}
        made = panels(None, 2, style, columns=1, inches=(1.8 * style.inches[0], style.inches[1]))
        imagined = {key: each.sample(_PATHS, seed) for key, each in meshes.items()}
        plane_paths(problem, imagined, title=f"{name}: imagined", ax=made[0])
        true = {key: each.play(_PATHS, seed) for key, each in meshes.items()}
        plane_paths(problem, true, title=f"{name}: in the true world", ax=made[1])
    else:
        made = panels(None, 2, style)
        for axes, (key, each) in zip(made, found.items(), strict=True):
            belief_paths(each, 0, title=f"{name}: {key}", ax=axes)
        low, high = (f(axes.get_ylim()[i] for axes in made) for i, f in enumerate((min, max)))
        for axes in made:
            axes.set_ylim(low, high)
    figure = made[0].figure
    if path is not None:
        buffer = io.BytesIO()
        figure.savefig(buffer, format=Path(path).suffix.lstrip(".") or "png", dpi=150)
        write_whole(path, buffer.getvalue())
    return figure
