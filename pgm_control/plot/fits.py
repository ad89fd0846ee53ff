"""How fits come to their optimum: the ELBO, step by step, and what is left of the gap."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..analysis.compare import Comparison
from ..chance.optimism import Optimism
from ..errors import InvalidArgument
from ..inference.exact.infer import infer
from ..inference.variational.elbo import objective_of
from ..inference.variational.fit import Fit
from ..text.wording import amount
from ..trajectories.blocks import Assignable, MarkovModel, require_model
from .canvas import ink, named, panels
from .labels import End, decades, finish, headline, label_ends, name_axes, numbered
from .style import looks_of, style_of

_LEAST = 1e-12  # nats: what is nearer to the optimum than this is rounding


def elbo_curves(
    model: MarkovModel,
    fits: "Fit[Any] | Comparison | Mapping[str, Fit[Any]]",
    *,
    axes: Any = None,
    style: str = "paper",
) -> np.ndarray:
    """Draw the ELBO of every step of a fit, below the exact optimum, and how far below it is, by powers of ten.

    The optimum of a guide whose blocks can be assigned, such as `FreeGuide` or `ClampedGuide`, is that of its own kind:
    log p(O) or the clamped optimum, say. That of any other guide is log p(O).

    Args:
        model: the tabular model that was fitted to.
        fits: one, or by name, or a `Comparison`.
        axes: two, for the ELBO and for the distance; a new figure unless given.
        style: "paper", or "slide", with larger type and thicker lines.

    Returns:
        The two Axes, an array. The lines called by the names of the fits hold the ELBO and the distance, in nats, from
        step 1; "optimum of NAME" is a level line. A distance below rounding, or above the optimum by noise, is a gap.

    Raises:
        InvalidArgument: naming the argument.
        MissingExtra: without matplotlib.
    """
    require_model(model, in_nats=True)
    every = named(fits.fits if isinstance(fits, Comparison) else fits, Fit, "fits")
    every = {name or "fit": each for name, each in every.items()}
    if not any(len(each.elbo) for each in every.values()):
        raise InvalidArgument("`fits` must hold a fit of at least one step, but none was made. Call fit(…, steps=…).")
    sizes, looks = style_of(style), looks_of(list(every))
    width, height = sizes.inches
    curves, distances = panels(axes, 2, sizes, columns=1, inches=(1.25 * width, 0.85 * height))
    ends, far = [], []
    shown: dict[str, tuple[str, float]] = {}
    for (name, each), look in zip(every.items(), looks, strict=True):
        elbo = each.elbo.detach().double().cpu().numpy()
        steps, (what, best) = np.arange(1, len(elbo) + 1), _optimum(model, each.guide)
        shown[name] = what, best
        common = {"color": look.color, "linestyle": look.line, "linewidth": sizes.line, "zorder": 3, "label": name}
        mark = {"marker": look.marker, "markersize": sizes.marker, "markevery": max(1, len(elbo) // 8)}
        curves.plot(steps, np.where(np.isfinite(elbo), elbo, np.nan), **common, **mark)
        curves.axhline(
            best, color=ink(curves), linestyle=look.line, linewidth=sizes.edge, zorder=2, label=f"optimum of {name}"
        )
        below = best - elbo
        below = np.where(np.isfinite(below) & (below > _LEAST * max(1.0, abs(best))), below, np.nan)
        distances.plot(steps, below, **common, **mark)
        known = np.flatnonzero(~np.isnan(below))
        if len(known):
            far.append(End(float(steps[known[-1]]), float(below[known[-1]]), name, look.color))
    last = max(len(each.elbo) for each in every.values())
    for panel in (curves, distances):
        panel.set_xlim(1 - 0.02 * last, last * 1.02)
    for (name, (what, best)), look in zip(shown.items(), looks, strict=True):
        if math.isfinite(best):
            ends.append(End(last * 1.02, best, f"{name}:\n{what} {amount(best)} nats".replace("-", "−"), look.color))
    name_axes(curves, "step of the fit", "ELBO (nats)", sizes)
    name_axes(distances, "step of the fit", "below its optimum (nats)", sizes)
    numbered(curves.yaxis)
    _distance_axis(distances)
    for panel, title in ((curves, "ELBO and exact optimum"), (distances, "What is left of the gap")):
        numbered(panel.xaxis, whole=True)
        panel.grid(color="0.9", linewidth=sizes.edge)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
        headline(panel, title, sizes)
    label_ends(curves, ends, sizes)
    label_ends(distances, far, sizes)
    finish(curves)
    finish(distances)
    return np.array([curves, distances], dtype=object)


def _optimum(model: MarkovModel, guide: Any) -> tuple[str, float]:
    """What the best of its kind reaches, in nats, and what to call it."""
    bound = infer(model, Optimism(1.0, 1.0, 1.0)).objective
    if not isinstance(guide, Assignable):
        return "log p(O) =", bound
    with torch.no_grad():
        best = float(objective_of(model, guide.optimum(), guide.optimism))
    same = math.isclose(best, bound, rel_tol=1e-9, abs_tol=1e-9)
    return ("log p(O) =" if same else "optimum"), best


def _distance_axis(axes: Any) -> None:
    """By powers of ten, where there is anything to show."""
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.get_lines()])
    values = values[np.isfinite(values)]
    if not len(values):
        axes.set_ylim(0, 1)
        return
    axes.set_yscale("log")
    low, high = values.min() / 1.6, values.max() * 1.6
    axes.set_ylim(low, high)
    decades(axes.yaxis, low, high)
