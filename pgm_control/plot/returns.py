"""Plots of returns: imagined and true mean returns of guides, and the distribution of the true return."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.compare import Comparison
from ..analysis.continuous_comparison import ContinuousComparison
from ..analysis.scorecard import Score, Scorecard
from ..analysis.scores.atoms import ReturnDistribution
from ..analysis.scores.evaluation import Evaluation
from ..errors import InvalidArgument
from ..text.wording import amount
from .canvas import ink, looks_of, named, one_panel, size_in_points, style_of
from .labels import finish, headline, name_axes, numbered, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_EM = 0.6  # width of a digit, in font sizes
_IMAGINED: Mapping[str, Any] = {"marker": "o", "markerfacecolor": "white", "markeredgecolor": "black"}
_TRUE: Mapping[str, Any] = {"marker": "D", "markerfacecolor": "black", "markeredgecolor": "black"}


def imagined_and_true(
    rows: "Comparison | ContinuousComparison | Scorecard | Mapping[str, Evaluation | Score]",
    *,
    ax: "Axes | None" = None,
    style: str = "paper",
) -> "Axes":
    """Draw one line per guide from its true return to its imagined return; the difference is its delusion.

    Args:
        rows: from `compare` or `scorecard`, or results of `evaluate` by name.
        ax: where to draw; default: a new figure.
        style: "paper", or "slide", with larger type and thicker lines.

    Returns:
        The Axes. For each row, the line "delusion of NAME" goes from the true return to the imagined one; a return of
        −inf is written as a word at the left.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
        MissingExtra: without matplotlib.
    """
    found = rows.scorecard if isinstance(rows, Comparison | ContinuousComparison) else rows
    scores: Any = found.scores if isinstance(found, Scorecard) else found
    if not isinstance(scores, Mapping) or not scores:
        raise InvalidArgument(
            f"`rows` must be a Comparison, a Scorecard or a mapping from names to evaluations, and not empty, but is a "
            f"{type(rows).__name__}. Pass {{name: evaluate(model, guide)}}."
        )
    wrong = [type(each).__name__ for each in scores.values() if not isinstance(each, Evaluation | Score)]
    if wrong:
        raise InvalidArgument(
            f"`rows` must hold results of `evaluate` or `scorecard`, but holds a {wrong[0]}. Pass "
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
    headline(axes, "Imagined and true return", sizes, _legend(sizes.marker, sizes.edge))
    finish(axes)
    return axes


def _room(axes: "Axes", points: float) -> float:
    """Return the room for text of this width at either side, in spans of the data."""
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


def return_distributions(
    distributions: "ReturnDistribution | Mapping[str, ReturnDistribution]",
    *,
    ax: "Axes | None" = None,
    style: str = "paper",
) -> "Axes":
    """Draw the cumulative distribution of the true return of each policy; a mark on the curve is the mean.

    Args:
        distributions: from `return_distribution`, one or by name.
        ax: where to draw; default: a new figure.
        style: "paper", or "slide", with larger type and thicker lines.

    Returns:
        The Axes. The line of a policy, labelled by its name, rises at each possible return by its probability. The
        probability of a return of −inf is the height at the left edge.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
        MissingExtra: without matplotlib.
    """
    every, sizes = named(distributions, ReturnDistribution, "distributions"), style_of(style)
    every = {name or "policy": each for name, each in every.items()}
    looks = looks_of(list(every))
    width, height = sizes.inches
    axes = one_panel(ax, sizes, (1.15 * width, height))
    values = {name: each.values.double().cpu().numpy() for name, each in every.items()}
    finite = np.concatenate([each[np.isfinite(each)] for each in values.values()])
    if not len(finite):
        raise InvalidArgument(
            "`distributions` must have a finite return to draw, but every one is minus infinity. Forbid fewer outcomes."
        )
    low, high = float(finite.min()), float(finite.max())
    room = 0.06 * (high - low) or max(1.0, 0.06 * abs(low))
    left, right = low - room, high + room
    handles = []
    for (name, each), look in zip(every.items(), looks, strict=True):
        x, p = values[name], each.probability.double().cpu().numpy()
        lost = float(p[~np.isfinite(x)].sum())
        x, below = x[np.isfinite(x)], lost + p[np.isfinite(x)].cumsum()
        mean = amount(each.mean).replace("-", "−")
        (line,) = axes.plot(
            np.concatenate(([left], x, [right])), np.concatenate(([lost], below, [1.0])), drawstyle="steps-post",
            color=look.color, linestyle=look.line, linewidth=sizes.line, label=name,
        )  # fmt: skip
        handles.append((line, name, mean, look))
        if np.isfinite(each.mean):
            level = lost + float(p[(values[name] <= each.mean) & np.isfinite(values[name])].sum())
            axes.plot(
                [each.mean], [level], linestyle="none", marker=look.marker, markersize=1.5 * sizes.marker,
                markerfacecolor="white", markeredgecolor=look.color, markeredgewidth=2 * sizes.edge, zorder=4,
            )  # fmt: skip
    axes.set_xlim(left, right)
    axes.set_ylim(-0.03, 1.03)
    name_axes(axes, "return of an episode (reward units)", "cumulative distribution", sizes)
    numbered(axes.xaxis)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.grid(color="0.9", linewidth=sizes.edge)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    from matplotlib.lines import Line2D

    marked = [
        Line2D(
            [], [], color=look.color, linestyle=look.line, linewidth=sizes.line, marker=look.marker,
            markersize=1.3 * sizes.marker, markerfacecolor="white", label=f"{name}: mean {mean}",
        )
        for _, name, mean, look in handles
    ]  # fmt: skip
    headline(axes, "Distribution of the true return", sizes, marked)
    finish(axes)
    return axes
