"""One picture of a training run: what the policy earned, and what the networks did meanwhile."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MissingExtra
from ..learners.learning import EvaluationPoint
from ..runtime.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_APART = ("step", "seconds", "episodes", "return", "length")  # columns that are not the learner's own
_MOST = 4  # panels beside the returns
_EVALUATED, _TRAINED = "#0072B2", "#999999"  # of Okabe and Ito, for the colour-blind
_TEXT, _SMALL = 9.5, 8.5  # points


def curve(
    title: str,
    log: Sequence[Mapping[str, float]],
    evaluations: Sequence[EvaluationPoint],
    path: str | Path | None = None,
) -> "Figure":
    """Draw the returns over the steps, evaluated and while learning, and each other number of the log in small.

    Nothing global is touched: no pyplot, no style, no backend.

    Args:
        title: above all.
        log: rows, as in `Learning`.
        evaluations: as in `Learning`.
        path: where to write it as well; the suffix (.png, .pdf, .svg) says how.

    Raises:
        MissingExtra: without matplotlib, with the command that installs it.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # an extra, and slow to import
        from matplotlib.figure import Figure
        from matplotlib.text import Text
    except ImportError as problem:
        raise MissingExtra("A picture needs matplotlib, which is missing: pip install 'pgm-control[plot]'") from problem
    names = list(dict.fromkeys(name for row in log for name in row if name not in _APART))[:_MOST]
    figure = Figure(figsize=(10.5 if names else 7, 5), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(max(1, len(names)), 2 if names else 1, width_ratios=(2.2, 1) if names else None)
    _draw_returns(figure.add_subplot(grid[:, 0]), log, evaluations)
    for i, name in enumerate(names):
        _draw_number(figure.add_subplot(grid[i, 1]), name, log, last=i == len(names) - 1)
    figure.suptitle(title, fontsize=12, fontweight="bold")
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # pyright: ignore[reportAttributeAccessIssue]  a name may hold a dollar sign
    if path is not None:
        buffer = io.BytesIO()
        figure.savefig(buffer, format=Path(path).suffix.lstrip(".") or "png", dpi=130)
        write_whole(path, buffer.getvalue())
    return figure


def _draw_returns(axes: "Axes", log: Sequence[Mapping[str, float]], evaluations: Sequence[EvaluationPoint]) -> None:
    rows = [row for row in log if "return" in row]
    if rows:
        label = "while learning: actions drawn, mean of the last 100 episodes"
        axes.plot([row["step"] for row in rows], [row["return"] for row in rows], "--", color=_TRAINED, label=label)
    if evaluations:
        steps, means = [each.step for each in evaluations], [each.mean for each in evaluations]
        errors = [each.standard_error if each.standard_error < float("inf") else 0.0 for each in evaluations]
        low, high = ([m + side * e for m, e in zip(means, errors, strict=True)] for side in (-1, 1))
        axes.fill_between(steps, low, high, color=_EVALUATED, alpha=0.2, linewidth=0)
        axes.plot(
            steps, means, "-o", color=_EVALUATED, markersize=3.5, label="evaluated: most probable actions, ± 1 error"
        )
    if rows or evaluations:
        axes.legend(loc="best", fontsize=_SMALL)
    axes.set_xlabel("steps of the environment", fontsize=_TEXT)
    axes.set_ylabel("return of an episode (reward units)", fontsize=_TEXT)
    axes.grid(color="0.9")
    axes.tick_params(labelsize=_SMALL)


def _draw_number(axes: "Axes", name: str, log: Sequence[Mapping[str, float]], last: bool) -> None:
    rows = [row for row in log if name in row]
    axes.plot([row["step"] for row in rows], [row[name] for row in rows], color="black", linewidth=1)
    axes.set_title(name.replace("_", " "), fontsize=_TEXT)
    axes.grid(color="0.9")
    axes.tick_params(labelsize=_SMALL, labelbottom=last)
