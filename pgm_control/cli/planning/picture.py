"""A picture of a run of a planner: the returns of its episodes, and the effective sample size of its plans."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

from ...errors import MissingExtra
from ...runtime.files import write_whole
from .episodes import Row

_BLUE, _GREY = "#0072B2", "#999999"  # from the Okabe-Ito palette, for the colour-blind
_TEXT, _SMALL = 9.5, 8.5  # points


def returns_picture(title: str, rows: Sequence[Row], path: str | Path) -> None:
    """Draw the return of each episode, their mean with one standard error, and the effective sample size if known.

    Args:
        title: the title of the figure.
        rows: those of the log.
        path: the file to write; its suffix is the format.

    Raises:
        MissingExtra: without matplotlib, with the command that installs it.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # an extra, and slow to import
        from matplotlib.figure import Figure
        from matplotlib.text import Text
        from matplotlib.ticker import MaxNLocator
    except ImportError as problem:
        raise MissingExtra("A picture needs matplotlib, which is missing: pip install matplotlib") from problem
    returns = [float(row["return"] or 0.0) for row in rows]
    known = [float(each) for row in rows if (each := row["effective_sample_size"]) is not None]
    figure = Figure(figsize=(8, 5.5 if known else 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2 if known else 1, 1, height_ratios=(2, 1) if known else None)
    axes = figure.add_subplot(grid[0])
    episodes = [int(row["episode"] or 0) + 1 for row in rows]
    mean, error = mean_and_error(returns)
    if error < math.inf:
        axes.axhspan(mean - error, mean + error, color=_BLUE, alpha=0.2, linewidth=0)
    said = f"mean {mean:.4g}" + (f" ± {error:.2g} (1 s.e.)" if error < math.inf else "")
    axes.axhline(mean, color=_BLUE, linewidth=1.2, label=said.replace("-", "−"))
    axes.plot(episodes, returns, "o", color="black", markersize=3.5, label="episodes")
    axes.legend(loc="best", fontsize=_SMALL)
    axes.set_ylabel("return (reward units)", fontsize=_TEXT)
    if known:
        below = figure.add_subplot(grid[1], sharex=axes)
        below.plot(episodes, known, "o", color=_GREY, markersize=3.5)
        below.set_ylim(bottom=0)
        below.set_ylabel("effective plans", fontsize=_TEXT)
    last = figure.axes[-1]
    last.set_xlabel("episode", fontsize=_TEXT)
    last.xaxis.set_major_locator(MaxNLocator(integer=True))
    for each in figure.axes:
        each.grid(color="0.9")
        each.tick_params(labelsize=_SMALL, labelbottom=each is last)
    figure.suptitle(title, fontsize=12, fontweight="bold")
    for found in figure.findobj(Text):
        found.set_parse_math(False)  # pyright: ignore[reportAttributeAccessIssue]
    buffer = io.BytesIO()
    figure.savefig(buffer, format=Path(path).suffix.lstrip(".") or "png", dpi=130)
    write_whole(path, buffer.getvalue())


def mean_and_error(returns: Sequence[float]) -> tuple[float, float]:
    """The mean of returns and its standard error, infinite for one."""
    count = len(returns)
    mean = math.fsum(returns) / count
    if count < 2:
        return mean, math.inf
    return mean, math.sqrt(math.fsum((each - mean) ** 2 for each in returns) / (count - 1) / count)
