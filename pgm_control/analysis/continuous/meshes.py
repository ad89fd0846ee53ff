"""Models that are solved on a mesh: what they are, and their optima on a common mesh."""

from collections.abc import Sequence
from typing import Any

from typing_extensions import TypeIs

from ...chance.optimism import Optimism
from ...inference.exact.grid.comparison import SolvedOnMesh
from ...inference.exact.grid.infer_line import HasLine, lines_together
from ...inference.exact.grid.infer_planar import HasPlane, planes_together
from ...inference.exact.grid.posterior import GridPosterior
from ...problems.continuous.line import Line
from ...problems.continuous.planar import Planar

HasMesh = HasPlane | HasLine
COARSER = 1.5  # the spacing of the mesh for comparison


def has_mesh(model: object) -> TypeIs[HasMesh]:
    """Whether a model has a problem in the plane or on the line, which `infer` solves on a mesh."""
    return not isinstance(model, type) and isinstance(getattr(model, "problem", None), Planar | Line)


def solved_together(
    model: Any, optimisms: Sequence[Optimism], like: Sequence[GridPosterior], coarser: float = 1.0
) -> list[SolvedOnMesh]:
    """Both sweeps for several optimisms on one mesh, which covers those of some posteriors of the model."""
    solve = planes_together if isinstance(model.problem, Planar) else lines_together
    return solve(model, optimisms, like, coarser)
