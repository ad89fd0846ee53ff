"""What the temperature does: return and entropy of the free and the clamped policy."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ..analysis.evaluate import evaluate
from ..errors import InvalidArgument
from ..inference.exact.infer import infer
from ..trajectories.blocks import MarkovModel, require_model
from .canvas import ink, panels
from .labels import End, decades, finish, headline, label_ends, name_axes, numbered
from .style import CLAMPED, FREE, style_of


def temperature_sweep(
    model: MarkovModel,
    temperatures: "Sequence[float] | Float[Tensor, ' batch'] | Float[np.ndarray, ' batch'] | None" = None,
    *,
    axes: Any = None,
    style: str = "paper",
) -> np.ndarray:
    """Draw the true return and the entropy of the exact free and clamped policies against the temperature.

    Args:
        model: the tabular model; its own temperature is marked.
        temperatures: to try, in reward units per nat; unless given, from a thirtieth to thirty times the model's own.
        axes: two, for the return and for the entropy; a new figure unless given.
        style: "paper", or "slide", with larger type and thicker lines.

    Returns:
        The two Axes, an array. Their lines "free" and "clamped" hold the numbers of `infer` and `evaluate`, by rising
        temperature; what is not finite is a gap.

    Raises:
        InvalidArgument: if a temperature is not positive, or naming the argument.
        MissingExtra: without matplotlib.
    """
    from ..models import TabularModel  # not at module level: models import the core

    require_model(model, in_nats=True)
    sizes = style_of(style)
    given = model.temperature * np.geomspace(1 / 30, 30, 13) if temperatures is None else temperatures
    x = np.unique(np.asarray(given, dtype=float))
    if x.ndim != 1 or len(x) < 2 or not (np.isfinite(x) & (x > 0)).all():
        raise InvalidArgument(
            f"`temperatures` must hold at least two different positive numbers, but is {temperatures!r}. They are in "
            "reward units per nat; leave them out for a range around the model's own."
        )
    width, height = sizes.inches
    made = panels(axes, 2, sizes, columns=1, inches=(1.25 * width, 0.85 * height))
    found = {"free": [], "clamped": []}
    for tau in x:
        other = TabularModel(model.mdp, float(tau), model.action_prior)
        for name, optimism in (("free", 1.0), ("clamped", 0.0)):
            found[name].append(evaluate(other, infer(other, optimism)))
    for panel, key, title, unit in (
        (made[0], "true_return", "What the policy truly earns", "return (reward units)"),
        (made[1], "policy_entropy", "How much it leaves to chance", "entropy of an episode (nats)"),
    ):
        ends = []
        panel.set_xscale("log")
        for (name, scores), look in zip(found.items(), (FREE, CLAMPED), strict=True):
            values = np.array([getattr(each, key) for each in scores])
            values = np.where(np.isfinite(values), values, np.nan)
            panel.plot(
                x, values, linestyle=look.line, marker=look.marker, color=look.color, linewidth=sizes.line,
                markersize=sizes.marker, label=name, zorder=3,
            )  # fmt: skip
            known = np.flatnonzero(~np.isnan(values))
            if len(known):
                ends.append(End(float(x[known[-1]]), float(values[known[-1]]), f"{name} guide", look.color))
        handles = []
        if x[0] <= model.temperature <= x[-1]:
            own = panel.axvline(
                model.temperature, color=ink(panel), linestyle=":", linewidth=sizes.edge * 1.5, zorder=1
            )
            own.set_label(f"temperature of the model, {model.temperature:g}")
            handles = [own] if panel is made[0] else []
        margin = math.sqrt(x[-1] / x[0]) ** 0.06
        panel.set_xlim(x[0] / margin, x[-1] * margin)
        decades(panel.xaxis, *panel.get_xlim())
        name_axes(panel, "temperature τ (reward units per nat)", unit, sizes)
        numbered(panel.yaxis)
        panel.grid(color="0.9", linewidth=sizes.edge)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
        headline(panel, title, sizes, handles)
        label_ends(panel, ends, sizes)
        finish(panel)
    return made
