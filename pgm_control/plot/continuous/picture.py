"""The picture of a comparison, of a tabular or a continuous model."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from ...analysis.compare import Comparison
from ...analysis.continuous_comparison import ContinuousComparison
from ...runtime.arguments import instance
from ...runtime.files import path_of, write_whole
from ..comparison import tabular_picture
from .comparison import continuous_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def picture(comparison: Comparison | ContinuousComparison, path: str | Path | None = None) -> "Figure":
    """Draw a comparison in four panels: the outcome probabilities, the first choice, the returns and the two fits.

    For a problem on a grid two maps come first, with an imagined and a true episode of each guide; see `episode_maps`.
    Their seed is that of the comparison. For a continuous model the panels are the believed and the true states of each
    guide, or their paths in the plane, and the returns; for a linear-quadratic model also the gain and the spread of
    the actions by optimism up to the breakdown. No global state changes: no pyplot, no style, no backend.

    Args:
        comparison: from `compare`.
        path: a file to write the picture to; the suffix (.png, .pdf, .svg) is the format. Default: no file.

    Raises:
        MissingExtra: without matplotlib, with the command that installs it.
    """
    path = None if path is None else path_of(path)
    if isinstance(comparison, ContinuousComparison):
        figure = continuous_picture(comparison)
    else:
        figure = tabular_picture(instance("comparison", comparison, Comparison, "Pass compare(model)."))
    if path is not None:
        buffer = io.BytesIO()
        figure.savefig(buffer, format=Path(path).suffix.lstrip(".") or "png", dpi=150)
        write_whole(path, buffer.getvalue())
    return figure
