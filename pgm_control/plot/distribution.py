"""What policies may earn: the whole distribution of the true return."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..analysis.return_distribution import ReturnDistribution
from ..errors import InvalidArgument
from ..text.wording import amount
from .canvas import named, one_panel
from .labels import finish, headline, name_axes, numbered
from .style import looks_of, style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def return_distributions(
    distributions: "ReturnDistribution | Mapping[str, ReturnDistribution]",
    *,
    ax: "Axes | None" = None,
    style: str = "paper",
) -> "Axes":
    """Draw for every policy how probable a true return of at most so much is; its mean is a mark on its curve.

    Args:
        distributions: from `return_distribution`, one or by name.
        ax: where to draw; a new figure unless given.
        style: "paper", or "slide", with larger type and thicker lines.

    Returns:
        The Axes. The line of a policy, which bears its name, rises at each possible return by its probability; a
        probability of −inf is there from the left edge on.

    Raises:
        InvalidArgument: naming the argument.
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
            "`distributions` must have a finite return to draw, but every one is minus infinity. Forbid less."
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
    name_axes(axes, "return of an episode (reward units)", "probability of at most so much", sizes)
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
    headline(axes, "What each truly earns", sizes, marked)
    finish(axes)
    return axes
