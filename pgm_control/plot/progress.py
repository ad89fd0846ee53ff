"""Training curves: returns of learners, the ELBO of fits by step, and one picture of a training run."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float

from ..analysis.compare import Comparison
from ..chance.optimism import Optimism
from ..errors import InvalidArgument, MissingExtra
from ..inference.exact.infer import infer
from ..inference.variational.elbo import objective_of
from ..inference.variational.fitting.fit_result import Fit
from ..learners.learning import EvaluationPoint, Learning
from ..runtime.arguments import finite
from ..runtime.files import write_whole
from ..text.wording import amount
from ..trajectories.action_measure import evidence_name
from ..trajectories.blocks import Assignable, MarkovModel, require_model
from ..trajectories.tabulate import tabulate
from .canvas import Look, Style, ink, looks_of, named, one_panel, panels, style_of
from .labels import End, decades, finish, headline, label_ends, name_axes, numbered

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEAST = 1e-12  # nats: a smaller distance from the optimum is a rounding error
_HIDDEN = 0.1  # the share of the steps of a fit, its lowest, that need not be shown
_APART = ("step", "seconds", "episodes", "return", "length")  # columns that every learner has
_MOST = 4  # the largest number of panels beside the returns
_EVALUATED, _TRAINED = "#0072B2", "#999999"  # from the Okabe-Ito palette, for the colour-blind
_TEXT, _SMALL = 9.5, 8.5  # points


def learning_curves(
    learnings: "Learning | Mapping[str, Learning]",
    *,
    exact: float | None = None,
    ax: "Axes | None" = None,
    style: str = "paper",
) -> "Axes":
    """Draw the return of the policy over steps: the evaluations with one standard error, or else the training returns.

    Args:
        learnings: from `learn`, one or by name.
        exact: the return of the exact optimum, in reward units, drawn as a horizontal line for comparison.
        ax: where to draw; default: a new figure.
        style: "paper", or "slide", with larger type and thicker lines.

    Returns:
        The Axes. The lines that have the names as labels hold the mean returns of the evaluations or, without
        evaluations, of the last 100 episodes of training.

    Raises:
        InvalidArgument: if there is nothing to draw, or an argument is invalid; the message names it.
        MissingExtra: without matplotlib.
    """
    every, sizes = named(learnings, Learning, "learnings"), style_of(style)
    every = {name or "learner": each for name, each in every.items()}
    if exact is not None:
        exact = finite("exact", exact, "return", remedy="None leaves it out.")
    looks, curves = looks_of(list(every)), {name: _curve(each) for name, each in every.items()}
    if not any(len(steps) for steps, _, _ in curves.values()):
        raise InvalidArgument(
            "`learnings` must hold evaluations or training returns, but hold none: no episode ended. Learn for "
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
    headline(axes, "Return during training", sizes)
    label_ends(axes, ends, sizes)
    finish(axes)
    return axes


def _curve(learning: Learning) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the steps, the mean returns and their standard errors (0 where unknown)."""
    if learning.evaluations:
        rows = [(each.step, each.mean, each.standard_error) for each in learning.evaluations]
    else:
        rows = [(row["step"], row["return"], 0.0) for row in learning.log if "return" in row]
    table = np.array(rows, dtype=float).reshape(-1, 3)
    return table[:, 0], table[:, 1], np.where(np.isfinite(table[:, 2]), table[:, 2], 0.0)


def elbo_curves(
    model: MarkovModel,
    fits: "Fit[Any] | Comparison | Mapping[str, Fit[Any]]",
    *,
    axes: Any = None,
    style: str = "paper",
) -> np.ndarray:
    """Draw the ELBO, or other objective, of fits by step with the exact optimum, and the distance, on a log scale.

    The optimum of a guide whose blocks can be assigned, such as `FreeGuide` or `ClampedGuide`, is the optimum of its
    family: log p(O) or the clamped optimum, for example. The optimum of any other guide is log p(O).

    Args:
        model: the tabular model of the fits.
        fits: one, or by name, or a `Comparison`.
        axes: two, for the objective and for the distance; default: a new figure.
        style: "paper", or "slide", with larger type and thicker lines.

    Returns:
        The two Axes, an array. The lines with the names of the fits hold the objective and the distance, in nats, from
        step 1; "optimum of NAME" is a horizontal line. A distance below rounding, or negative by noise, is a gap.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
        MissingExtra: without matplotlib.
    """
    require_model(model, in_nats=True, timed=True)
    every = named(fits.fits if isinstance(fits, Comparison) else fits, Fit, "fits")
    every = {name or "fit": each for name, each in every.items()}
    if not any(len(each.elbo_history) for each in every.values()):
        raise InvalidArgument(
            "`fits` must hold a fit of at least one step, but has no steps. Call fit(…, num_steps=…)."
        )
    sizes, looks = style_of(style), looks_of(list(every))
    width, height = sizes.inches
    curves, distances = panels(axes, 2, sizes, columns=1, inches=(1.25 * width, 0.85 * height))
    optima, far = draw_objective(curves, model, every, sizes), []
    for (name, each), look in zip(every.items(), looks, strict=True):
        elbo = _history(each)
        steps, below = np.arange(1, len(elbo) + 1), optima[name] - elbo
        below = np.where(np.isfinite(below) & (below > _LEAST * max(1.0, abs(optima[name]))), below, np.nan)
        distances.plot(steps, below, **_curve_style(name, look, len(elbo), sizes))
        known = np.flatnonzero(~np.isnan(below))
        if len(known):
            far.append(End(float(steps[known[-1]]), float(below[known[-1]]), name, look.color))
    distances.set_xlim(curves.get_xlim())
    _distance_axis(distances)
    _frame(distances, "Distance from the optimum", f"optimum − {_objective(every)} (nats)", sizes)
    label_ends(distances, far, sizes)
    finish(distances)
    return np.array([curves, distances], dtype=object)


def draw_objective(axes: "Axes", model: MarkovModel, fits: Mapping[str, Fit[Any]], sizes: Style) -> dict[str, float]:
    """Draw the objective of fits by step, and the optimum of each as a line with its name; return the optima, in nats.

    The first steps may lie far below the optima, and outside of the panel.
    """
    ends, optima, histories = [], {}, {name: _history(each) for name, each in fits.items()}
    last = max(1, *(len(elbo) for elbo in histories.values()))
    for (name, elbo), look in zip(histories.items(), looks_of(list(fits)), strict=True):
        what, best = _optimum(model, fits[name].guide)
        optima[name] = best
        finite = np.where(np.isfinite(elbo), elbo, np.nan)
        axes.plot(np.arange(1, len(elbo) + 1), finite, **_curve_style(name, look, len(elbo), sizes))
        axes.axhline(
            best, color=ink(axes), linestyle=look.line, linewidth=sizes.edge, zorder=2, label=f"optimum of {name}"
        )
        if math.isfinite(best):
            ends.append(End(last * 1.02, best, f"{name}:\n{what} {amount(best)} nats".replace("-", "−"), look.color))
    axes.set_xlim(1 - 0.02 * last, last * 1.02)
    _limit_objective(axes, list(histories.values()), list(optima.values()))
    numbered(axes.yaxis)
    objective = _objective(fits)
    _frame(
        axes,
        f"{objective[0].upper()}{objective[1:]} of each fit, and its optimum (thin line)",
        f"{objective} (nats)",
        sizes,
    )
    label_ends(axes, ends, sizes)
    finish(axes)
    return optima


def _history(fit: Fit[Any]) -> Float[np.ndarray, " step"]:
    return fit.elbo_history.detach().double().cpu().numpy()


def _objective(fits: Mapping[str, Fit[Any]]) -> str:
    names = {each.objective_name for each in fits.values()}
    return names.pop() if len(names) == 1 else "objective"


def _curve_style(name: str, look: Look, steps: int, sizes: Style) -> dict[str, Any]:
    return {
        "color": look.color, "linestyle": look.line, "linewidth": sizes.line, "zorder": 3, "label": name,
        "marker": look.marker, "markersize": sizes.marker, "markevery": max(1, steps // 8),
    }  # fmt: skip


def _frame(axes: "Axes", title: str, y: str, sizes: Style) -> None:
    name_axes(axes, "step of the fit", y, sizes)
    numbered(axes.xaxis, whole=True)
    axes.grid(color="0.9", linewidth=sizes.edge)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    headline(axes, title, sizes)


def _limit_objective(axes: "Axes", histories: Sequence[Float[np.ndarray, " step"]], optima: Sequence[float]) -> None:
    """Show the optima, as much again below them as they are apart, and all but the lowest tenth of each curve."""
    bests = [best for best in optima if math.isfinite(best)]
    curves = [kept for elbo in histories if len(kept := elbo[np.isfinite(elbo)])]
    if not bests and not curves:
        return
    values = np.concatenate([*curves, bests])
    needed = [float(np.quantile(kept, _HIDDEN)) for kept in curves] + [2 * min(bests) - max(bests) for _ in bests[:1]]
    low, high = max(min(needed), float(values.min())), float(values.max())
    margin = 0.05 * (high - low) or 0.5
    axes.set_ylim(low - margin, high + margin)


def _optimum(model: MarkovModel, guide: Any) -> tuple[str, float]:
    """Return the label and the value of the best objective of the guide's family, in nats."""
    bound = infer(model, Optimism(1.0, 1.0, 1.0)).log_evidence
    if not isinstance(guide, Assignable):
        return f"{evidence_name(model)} =", bound
    with torch.no_grad():
        best = float(objective_of(model, tabulate(model, guide.optimum()), guide.optimism))
    same = math.isclose(best, bound, rel_tol=1e-9, abs_tol=1e-9)
    return (f"{evidence_name(model)} =" if same else "optimum"), best


def _distance_axis(axes: Any) -> None:
    """Make the axis of the distances logarithmic, if there are any distances."""
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.get_lines()])
    values = values[np.isfinite(values)]
    if not len(values):
        axes.set_ylim(0, 1)
        return
    axes.set_yscale("log")
    low, high = values.min() / 1.6, values.max() * 1.6
    axes.set_ylim(low, high)
    decades(axes.yaxis, low, high)


def curve(
    title: str,
    log: Sequence[Mapping[str, float]],
    evaluations: Sequence[EvaluationPoint],
    path: str | Path | None = None,
) -> "Figure":
    """Draw the returns of evaluation and training over steps, and every other column of the log in a small panel.

    No global state changes: no pyplot, no style, no backend.

    Args:
        title: the title of the figure.
        log: rows, as in `Learning`.
        evaluations: as in `Learning`.
        path: a file to write the picture to; the suffix (.png, .pdf, .svg) is the format. Default: no file.

    Raises:
        MissingExtra: without matplotlib, with the command that installs it.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # an extra, and slow to import
        from matplotlib.figure import Figure
        from matplotlib.text import Text
    except ImportError as problem:
        raise MissingExtra("A picture needs matplotlib, which is missing: pip install matplotlib") from problem
    names = list(dict.fromkeys(name for row in log for name in row if name not in _APART))[:_MOST]
    figure = Figure(figsize=(10.5 if names else 7, 5), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(max(1, len(names)), 2 if names else 1, width_ratios=(2.2, 1) if names else None)
    _draw_returns(figure.add_subplot(grid[:, 0]), log, evaluations)
    for i, name in enumerate(names):
        _draw_number(figure.add_subplot(grid[i, 1]), name, log, last=i == len(names) - 1)
    figure.suptitle(title, fontsize=12, fontweight="bold")
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # pyright: ignore[reportAttributeAccessIssue]  a name may contain a dollar sign
    if path is not None:
        buffer = io.BytesIO()
        figure.savefig(buffer, format=Path(path).suffix.lstrip(".") or "png", dpi=130)
        write_whole(path, buffer.getvalue())
    return figure


def _draw_returns(axes: "Axes", log: Sequence[Mapping[str, float]], evaluations: Sequence[EvaluationPoint]) -> None:
    rows = [row for row in log if "return" in row]
    if rows:
        label = "training: sampled actions, mean of the last 100 episodes"
        axes.plot([row["step"] for row in rows], [row["return"] for row in rows], "--", color=_TRAINED, label=label)
    if evaluations:
        steps, means = [each.step for each in evaluations], [each.mean for each in evaluations]
        errors = [each.standard_error if each.standard_error < float("inf") else 0.0 for each in evaluations]
        low, high = ([m + side * e for m, e in zip(means, errors, strict=True)] for side in (-1, 1))
        axes.fill_between(steps, low, high, color=_EVALUATED, alpha=0.2, linewidth=0)
        axes.plot(
            steps, means, "-o", color=_EVALUATED, markersize=3.5, label="evaluation: most probable actions, ± 1 s.e."
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
