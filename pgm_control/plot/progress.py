"""What learners earn while they learn."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InvalidArgument
from ..learners.learning import Learning
from ..text.wording import amount
from .canvas import ink, named, one_panel
from .labels import End, finish, headline, label_ends, name_axes, numbered
from .style import looks_of, style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def learning_curves(
    learnings: "Learning | Mapping[str, Learning]",
    *,
    exact: float | None = None,
    ax: "Axes | None" = None,
    style: str = "paper",
) -> "Axes":
    """Draw what the policy earns against the steps made: the evaluations, with one standard error, else the training.

    Args:
        learnings: from `learn`, one or by name.
        exact: the return that exact inference reaches, in reward units, to compare with; as a level line.
        ax: where to draw; a new figure unless given.
        style: "paper", or "slide", with larger type and thicker lines.

    Returns:
        The Axes. The lines that bear the names hold the mean returns of the evaluations, or, where there were none, of
        the last 100 episodes of training.

    Raises:
        InvalidArgument: if there is nothing to draw, or naming the argument.
        MissingExtra: without matplotlib.
    """
    every, sizes = named(learnings, Learning, "learnings"), style_of(style)
    every = {name or "learner": each for name, each in every.items()}
    if exact is not None and (isinstance(exact, bool) or not math.isfinite(exact)):
        raise InvalidArgument(f"`exact` must be a finite return, but is {exact!r}. None leaves it out.")
    looks, curves = looks_of(list(every)), {name: _curve(each) for name, each in every.items()}
    if not any(len(steps) for steps, _, _ in curves.values()):
        raise InvalidArgument(
            "`learnings` must hold evaluations or returns of training, but hold none: no episode ended. Learn for "
            "longer, or build the learner with `evaluate_every`."
        )
    width, height = sizes.inches
    axes = one_panel(ax, sizes, (1.25 * width, height))
    for (name, (steps, means, errors)), look in zip(curves.items(), looks, strict=True):
        axes.fill_between(steps, means - errors, means + errors, color=look.color, alpha=0.25, linewidth=0)
        axes.plot(
            steps, means, color=look.color, linestyle=look.line, linewidth=sizes.line, marker=look.marker,
            markersize=sizes.marker, markevery=max(1, len(steps) // 12), label=name,
        )  # fmt: skip
    last = max(float(steps[-1]) for steps, _, _ in curves.values() if len(steps))
    ends = [
        End(float(steps[-1]), float(means[-1]), name, look.color)
        for (name, (steps, means, _)), look in zip(curves.items(), looks, strict=True)
        if len(steps)
    ]
    if exact is not None:
        axes.axhline(exact, color=ink(axes), linestyle=(0, (1, 1.5)), linewidth=sizes.line, label="exact")
        ends.append(End(1.02 * last, exact, f"exact: {amount(exact)}", ink(axes)))
    axes.set_xlim(-0.02 * last, 1.02 * last)
    name_axes(axes, "steps of the environment", "return of an episode (reward units)", sizes)
    numbered(axes.xaxis, whole=True)
    numbered(axes.yaxis)
    axes.grid(color="0.9", linewidth=sizes.edge)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    headline(axes, "What the policy earns while it is learned", sizes)
    label_ends(axes, ends, sizes)
    finish(axes)
    return axes


def _curve(learning: Learning) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps, mean returns and their standard errors, 0 where unknown."""
    if learning.evaluations:
        rows = [(each.step, each.mean, each.standard_error) for each in learning.evaluations]
    else:
        rows = [(row["step"], row["return"], 0.0) for row in learning.log if "return" in row]
    table = np.array(rows, dtype=float).reshape(-1, 3)
    return table[:, 0], table[:, 1], np.where(np.isfinite(table[:, 2]), table[:, 2], 0.0)
