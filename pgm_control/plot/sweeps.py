"""Sweeps over one parameter: returns and objective by optimism; return and entropy by temperature."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ..analysis.critical_optimism import CriticalOptimism
from ..analysis.evaluate import evaluate
from ..analysis.frontier import Frontier
from ..chance.optimism import Optimism
from ..chance.risk import Risk
from ..errors import InvalidArgument
from ..inference.exact.infer import infer
from ..models.tabular import model_like
from ..runtime.arguments import finite, instance, one_of, shown
from ..trajectories.blocks import MarkovModel, require_model
from .canvas import CLAMPED, FREE, Look, Style, ink, panels, plotted, size_in_points, style_of
from .labels import End, decades, finish, headline, label_ends, name_axes, numbered, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TRUE, _IMAGINED = Look("#0072B2", "", "-", "o"), Look("#E69F00", "///", "--", "^")
_OBJECTIVE = Look("#000000", "", "-.", "s")
_WIDE = 5.0  # |β| beyond which the axis is logarithmic outside of −1 … 1
_MARKS = (0, 1, -1, 0.5, -0.5, 0.25, 0.75, -0.25, 2, -2, 5, -5, 10, -10, 20, -20, 50, -50, 100, -100, 1000, -1000)


def dial_sweep(
    found: Frontier,
    *,
    critical: "float | CriticalOptimism | Sequence[float | CriticalOptimism] | None" = None,
    band: str = "auto",
    axes: Any = None,
    style: str = "paper",
) -> np.ndarray:
    r"""Draw the true mean return with a risk band, the imagined return, and the objective $J_\beta$, against β or θ.

    Args:
        found: from `frontier`, whose optimisms are single numbers β, or are all single `Risk`s θ.
        critical: values of β (or θ) at which the preferred action changes, to be marked.
        band: "cvar", from the CVaR up to the mean; "deviation", one standard deviation on either side; "none"; "auto"
            is "cvar" if the frontier has a CVaR, else "deviation".
        axes: two, for the returns and for the objective; default: a new figure.
        style: "paper", or "slide", with larger type and thicker lines.

    Returns:
        The two Axes, an array. Their lines "true mean", "imagined" and "objective" hold the numbers, by increasing β;
        numbers that are not finite are gaps.

    Raises:
        InvalidArgument: if an optimism is not a single number, or another argument is invalid; the message names it.
        MissingExtra: without matplotlib.
    """
    sizes = style_of(style)
    instance("found", found, Frontier, "Pass frontier(model).")
    betas, sign, about = _axis(found)
    order = sorted(range(len(betas)), key=lambda i: betas[i])
    points, x = [found.points[i] for i in order], np.array([betas[i] for i in order])
    band = _band(found, band)
    marked = list(critical) if isinstance(critical, Sequence) and not isinstance(critical, str | bytes) else [critical]
    flips = [_critical(each) for each in marked if each is not None]
    width, height = sizes.inches
    returns, objective = panels(axes, 2, sizes, columns=1, inches=(1.25 * width, 0.85 * height))
    mean = _finite([point.true_return for point in points])
    lines: list[tuple[Look, str, np.ndarray]] = [
        (_TRUE, "true mean", mean), (_IMAGINED, "imagined", _finite([point.imagined_return for point in points])),
    ]  # fmt: skip
    for look, name, values in lines:
        _line(returns, x, values, look, name, sizes)
    label = _draw_band(returns, points, x, mean, band, found.cvar_level)
    _line(objective, x, _finite([point.objective for point in points]), _OBJECTIVE, "objective", sizes)
    for panel, title, unit in (
        (returns, "True and imagined return by optimism", "return (reward units)"),
        (objective, "Optimal objective by optimism", "objective (nats)"),
    ):
        handles: list[Any] = []
        if panel is returns and label is not None:
            handles.append(label)
        for i, flip in enumerate(flips):
            rule = panel.axvline(flip, color="#D55E00", linestyle=(0, (1, 1.2)), linewidth=sizes.line, zorder=1)
            if panel is returns:
                rule.set_label(f"preference flips at {sign} = {flip:.4g}")
                handles += [rule] if i < 4 else []
        _beta_axis(panel, x, flips, sizes)
        name_axes(panel, about, unit, sizes)
        numbered(panel.yaxis)
        panel.grid(color="0.9", linewidth=sizes.edge)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
        headline(panel, title, sizes, handles)
    ends = [End(*last, name, look.color) for look, name, values in lines if (last := _last(x, values)) is not None]
    label_ends(returns, ends, sizes)
    for panel in (returns, objective):
        finish(panel)
    return np.array([returns, objective], dtype=object)


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
        temperatures: temperatures in reward units per nat; default: from 1/30 to 30 times the model's own.
        axes: two, for the return and for the entropy; default: a new figure.
        style: "paper", or "slide", with larger type and thicker lines.

    Returns:
        The two Axes, an array. Their lines "free" and "clamped" hold the numbers of `infer` and `evaluate`, by
        increasing temperature; numbers that are not finite are gaps.

    Raises:
        InvalidArgument: if a temperature is not positive, or another argument is invalid; the message names it.
        MissingExtra: without matplotlib.
    """
    require_model(model, in_nats=True)
    sizes = style_of(style)
    given = model.temperature * np.geomspace(1 / 30, 30, 13) if temperatures is None else temperatures
    x = np.unique(plotted("temperatures", given))
    if x.ndim != 1 or len(x) < 2 or not (np.isfinite(x) & (x > 0)).all():
        raise InvalidArgument(
            f"`temperatures` must hold at least two different positive numbers, but is {shown(temperatures)}. They are "
            "in reward units per nat; leave them out for a range around the model's own."
        )
    width, height = sizes.inches
    made = panels(axes, 2, sizes, columns=1, inches=(1.25 * width, 0.85 * height))
    found = {"free": [], "clamped": []}
    for tau in x:
        other = model_like(model, model.mdp, float(tau))
        for name, optimism in (("free", 1.0), ("clamped", 0.0)):
            found[name].append(evaluate(other, infer(other, optimism)))
    for panel, key, title, unit in (
        (made[0], "true_return", "True return of the policy", "return (reward units)"),
        (made[1], "policy_entropy", "Entropy of the policy", "entropy per episode (nats)"),
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


def _critical(flip: object) -> float:
    number = float(flip) if isinstance(flip, CriticalOptimism) else flip
    return finite("critical", number, "optimism", remedy="Pass critical_optimism(model, …), numbers, or None for none.")


def _line(axes: "Axes", x: np.ndarray, values: np.ndarray, look: Look, name: str, style: Style) -> None:
    axes.plot(
        x, values, linestyle=look.line, marker=look.marker, color=look.color, linewidth=style.line,
        markersize=style.marker, label=name, zorder=3,
    )  # fmt: skip


def _draw_band(
    axes: "Axes", points: Sequence[Any], x: np.ndarray, mean: np.ndarray, band: str, level: float | None
) -> Any:
    """Draw the band and return it as a handle for the legend; None without a band."""
    if band == "none":
        return None
    if band == "cvar":
        low, high = _finite([point.cvar for point in points]), mean
        label = f"CVaR at {100 * (level or 0):g} % to the mean"
    else:
        deviation = _finite([point.deviation for point in points])
        low, high, label = mean - deviation, mean + deviation, "± one standard deviation"
    return axes.fill_between(
        x, low, high, facecolor="#E3F0F8", edgecolor="#9CC7E3", hatch="...", linewidth=0, label=label, zorder=0
    )


def _band(found: Frontier, band: str) -> str:
    one_of("band", band, ("auto", "cvar", "deviation", "none"))
    if band == "cvar" and found.cvar_level is None:
        raise InvalidArgument(
            "`band` must be other than 'cvar' for a frontier without a CVaR. Call frontier(model, cvar_level=0.1), or "
            "pass band='deviation'."
        )
    if band == "auto":
        band = "deviation" if found.cvar_level is None else "cvar"
    if band == "deviation" and all(point.deviation is None for point in found.points):
        return "none"  # of a problem on a mesh it is not known
    return band


def _beta_axis(axes: "Axes", x: np.ndarray, flips: Sequence[float], style: Style) -> None:
    """Set the axis of β: linear, but logarithmic outside −1 … 1 for a wide range, with as many usual β as have room."""
    from matplotlib.ticker import NullLocator

    low, high = min([*x, *flips]), max([*x, *flips])
    if max(abs(low), abs(high)) > _WIDE:
        axes.set_xscale("symlog", linthresh=1.0, linscale=1.0)
    to_axes = axes.transScale.transform
    ends = to_axes(np.array([[low, 0.0], [high, 0.0]]))[:, 0]
    pad = 0.03 * (ends[1] - ends[0]) or 0.1
    bounds = axes.transScale.inverted().transform(np.array([[ends[0] - pad, 0.0], [ends[1] + pad, 0.0]]))[:, 0]
    axes.set_xlim(*bounds)
    reach, chosen = ends[1] - ends[0] + 2 * pad, []
    width = size_in_points(axes)[0] * 0.75
    marks = [mark for mark in _MARKS if bounds[0] <= mark <= bounds[1]]
    for mark in marks if len(marks) > 1 else (low, high):
        at = float(to_axes((mark, 0.0))[0])
        if all(abs(at - other) / reach * width > 3.6 * style.small for other, _ in chosen):
            chosen.append((at, mark))
    ticks = sorted(mark for _, mark in chosen)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks, labels=[written(float(mark)) for mark in ticks], fontsize=style.small)


def _axis(found: Frontier) -> tuple[list[float], str, str]:
    """The numbers along the axis, their sign, and the title of the axis."""
    given = [point.optimism for point in found.points]
    if all(isinstance(each, Risk) for each in given):
        return [float(each.theta) for each in given], "θ", "risk θ (per reward unit; 0: neutral)"  # pyright: ignore[reportAttributeAccessIssue]
    return [_beta(each) for each in given], "β", "optimism β (0: clamped, 1: free)"


def _beta(optimism: float | Risk | Optimism) -> float:
    beta: Any = optimism
    if isinstance(optimism, Optimism) and optimism.dynamics == optimism.initial:
        beta = optimism.dynamics
    if not isinstance(beta, float):
        raise InvalidArgument(
            f"`found` must have numbers β, which make an axis, or must have a Risk in every point, but has {optimism}. "
            "Call frontier(model, [0.0, …, 1.0])."
        )
    return beta


def _finite(values: Sequence[float | None]) -> np.ndarray:
    array = np.array(values, dtype=float)
    return np.where(np.isfinite(array), array, np.nan)


def _last(x: np.ndarray, values: np.ndarray) -> tuple[float, float] | None:
    known = np.flatnonzero(~np.isnan(values))
    return (float(x[known[-1]]), float(values[known[-1]])) if len(known) else None
