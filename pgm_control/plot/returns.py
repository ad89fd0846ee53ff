"""What guides imagine that they earn, and what they truly earn."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..analysis.compare import Comparison
from ..analysis.evaluate import Evaluation
from ..analysis.scorecard import Score, Scorecard
from ..errors import InvalidArgument
from ..text.wording import amount
from .canvas import ink, one_panel
from .labels import finish, headline, name_axes, numbered, wrapped
from .style import style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_EM = 0.6  # width of a digit, in heights of the type
_IMAGINED: Mapping[str, Any] = {"marker": "o", "markerfacecolor": "white", "markeredgecolor": "black"}
_TRUE: Mapping[str, Any] = {"marker": "D", "markerfacecolor": "black", "markeredgecolor": "black"}


def imagined_and_true(
    rows: "Comparison | Scorecard | Mapping[str, Evaluation | Score]",
    *,
    ax: "Axes | None" = None,
    style: str = "paper",
) -> "Axes":
    """Draw a line a guide from the return it truly earns to the one it imagines: its delusion.

    Args:
        rows: from `compare` or `scorecard`, or by name what `evaluate` gives.
        ax: where to draw; a new figure unless given.
        style: "paper", or "slide", with larger type and thicker lines.

    Returns:
        The Axes. Of each row, the line "delusion of NAME" goes from the true return to the imagined one; a return of
        −inf is a word at the left.

    Raises:
        InvalidArgument: naming the argument.
        MissingExtra: without matplotlib.
    """
    found = rows.scorecard if isinstance(rows, Comparison) else rows
    scores: Any = found.scores if isinstance(found, Scorecard) else found
    if not isinstance(scores, Mapping) or not scores:
        raise InvalidArgument(
            f"`rows` must be a Comparison, a Scorecard or a mapping from names to evaluations, and not empty, but is a "
            f"{type(rows).__name__}. Pass {{name: evaluate(model, guide)}}."
        )
    wrong = [type(each).__name__ for each in scores.values() if not isinstance(each, Evaluation | Score)]
    if wrong:
        raise InvalidArgument(
            f"`rows` must hold what `evaluate` or `scorecard` gives, but holds a {wrong[0]}. Pass "
            "{name: evaluate(model, guide)}."
        )
    sizes = style_of(style)
    width, height = sizes.inches
    axes = one_panel(ax, sizes, (1.2 * width, max(0.62 * height, (0.055 * len(scores) + 0.12) * sizes.text)))
    ends = [(each.true_return, each.imagined_return) for each in scores.values()]
    finite = [value for pair in ends for value in pair if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    span = high - low or max(1.0, abs(high))
    letters = max(len(_number(value)) for pair in ends for value in pair)
    room = _room(axes, letters * _EM * sizes.small + 2 * sizes.marker) * span
    axes.set_xlim(low - room, high + room)
    for y, (name, (true, imagined)) in enumerate(zip(scores, ends, strict=True)):
        true_at, imagined_at = (value if math.isfinite(value) else low for value in (true, imagined))
        axes.plot(
            [true_at, imagined_at], [y, y], color="#888888", linewidth=1.5 * sizes.line, zorder=2,
            solid_capstyle="butt", label=f"delusion of {name}",
        )  # fmt: skip
        for value, at, mark, size in ((imagined, imagined_at, _IMAGINED, 1.7), (true, true_at, _TRUE, 0.9)):
            if math.isfinite(value):
                axes.plot(
                    [at], [y], linestyle="none", markersize=size * sizes.marker, markeredgewidth=1.3 * sizes.edge,
                    zorder=3, **mark,
                )  # fmt: skip
        left, right = ((imagined, imagined_at), (true, true_at))[:: 1 if imagined_at < true_at else -1]
        alike = _number(left[0]) == _number(right[0])
        for (value, at), side in ((right, 1),) if alike else ((left, -1), (right, 1)):
            axes.annotate(
                _number(value), (at, y), xytext=(side * (sizes.marker + 3), 0), textcoords="offset points",
                ha="left" if side > 0 else "right", va="center", fontsize=sizes.small, color=ink(axes),
            )  # fmt: skip
    axes.set_yticks(range(len(scores)), labels=[wrapped(name, 24, 2) for name in scores], fontsize=sizes.text)
    axes.set_ylim(len(scores) - 0.4, -0.6)
    name_axes(axes, "return of an episode (reward units)", "", sizes)
    axes.tick_params(axis="y", length=0, labelsize=sizes.text)
    numbered(axes.xaxis)
    axes.grid(axis="x", color="0.9", linewidth=sizes.edge)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    headline(axes, "What each imagines to earn, and truly earns", sizes, _legend(sizes.marker, sizes.edge))
    finish(axes)
    return axes


def _room(axes: "Axes", points: float) -> float:
    """For so much text at either side, in spans of the data."""
    from .canvas import size_in_points

    share = min(0.35, points / (0.75 * size_in_points(axes)[0]))
    return share / (1 - 2 * share)


def _number(value: float) -> str:
    return amount(value).replace("-", "−")


def _legend(size: float, edge: float) -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], linestyle="none", markersize=scale * size, markeredgewidth=1.3 * edge, label=label, **mark)
        for label, mark, scale in (("imagined", _IMAGINED, 1.7), ("true", _TRUE, 0.9))
    ]
