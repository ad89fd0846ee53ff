"""One picture of a comparison: the beliefs, actions and returns of each guide, and the convergence of SVI."""

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..analysis.compare import Comparison
from ..errors import MissingExtra
from ..text.wording import action_label, action_phrase, amount, short_chance, state_label, state_phrase
from ..trajectories.beliefs import believed_event, outcome_labels
from ..trajectories.steps import temperature_words
from .canvas import style_of
from .episodes import episode_maps
from .grid import has_layout, inches_of, layout_of
from .progress import draw_objective

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_CELLS = 400  # of a map
_MOST_BARS = 15  # per panel
_TITLE, _TEXT, _SMALL = 10.5, 9.5, 8.5  # points
_INCHES = (11.5, 8.4)


class _Look(NamedTuple):
    """The look of one kind of bar: an Okabe-Ito colour for the colour-blind, a hatch for black and white."""

    label: str
    color: str
    hatch: str


class _Bars(NamedTuple):
    """One bar per row, and the value of the fitted guide as a mark if there is one."""

    look: _Look
    values: Sequence[float]
    fitted: Sequence[float] | None


_TRUTH = _Look("true world", "#BBBBBB", "")
_FREE = _Look("free guide, exact", "#E69F00", "///")
_CLAMPED = _Look("clamped guide, exact", "#56B4E9", "...")
_MARK: Mapping[str, Any] = {"marker": "D", "markersize": 5, "markerfacecolor": "white", "markeredgecolor": "black"}


def tabular_picture(comparison: Comparison) -> "Figure":
    """Draw the comparison of a tabular model in four panels, or six; see `picture`."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # an extra, and slow to import
        from matplotlib.figure import Figure
        from matplotlib.text import Text
    except ImportError as problem:
        raise MissingExtra("A picture needs matplotlib, which is missing: pip install matplotlib") from problem
    maps = _inches_of_maps(comparison)
    figure = Figure(figsize=(_INCHES[0], _INCHES[1] + maps), layout="constrained")
    FigureCanvasAgg(figure)
    heights = [*([maps] if maps > 0 else []), _INCHES[1] / 2, _INCHES[1] / 2]
    *top, (outcomes, choice), (returns, fits) = figure.subplots(len(heights), 2, height_ratios=heights)
    _draw_outcomes(outcomes, comparison)
    _draw_choice(choice, comparison)
    _draw_returns(returns, comparison)
    draw_objective(
        fits, comparison.model, {f"{name} guide": fit for name, fit in comparison.fits.items()}, style_of("paper")
    )
    _legend(figure, fitted=bool(comparison.fits))
    if top:
        guides = {"free guide, exact": comparison.free, "clamped guide, exact": comparison.clamped}
        episode_maps(comparison.model, guides, seed=comparison.settings["seed"] or 0, axes=top[0])
    title = f"{comparison.name} (T = {comparison.model.mdp.horizon}, τ = {temperature_words(comparison.model)})\n"
    headline = textwrap.fill(comparison.explanation.headline + ".", 110)
    figure.suptitle(title + headline, fontsize=12, fontweight="bold")
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # pyright: ignore[reportAttributeAccessIssue]  a name may contain a dollar sign
    return figure


def _inches_of_maps(comparison: Comparison) -> float:
    """Return the height of the row of maps; 0 if the problem has no map, or too large a one."""
    mdp = comparison.model.mdp
    if not has_layout(mdp):
        return 0.0
    grid = layout_of(mdp)
    width, height = inches_of(grid, style_of("paper"))
    return 0.0 if grid.rows * grid.columns > _MOST_CELLS else min(5.0, height * _INCHES[0] / 2 / width) + 0.6


def _draw_outcomes(axes: "Axes", comparison: Comparison) -> None:
    """Draw the most tilted event; if only the start is tilted, the start; if nothing is tilted, the first event."""
    mdp, explanation, free = comparison.model.mdp, comparison.explanation, comparison.free
    fit = comparison.fits.get("free")
    if explanation.differs and not explanation.events:
        labels, true, believed = [state_label(mdp, s) for s in range(mdp.num_states)], mdp.initial, free.initial
        fitted = None if fit is None else fit.guide.blocks().log_initial.detach().exp().tolist()
        bars = [
            _Bars(_TRUTH, true.tolist(), None),
            _Bars(_FREE, believed.tolist(), fitted),
            _Bars(_CLAMPED, true.tolist(), None),
        ]
        _draw_rows(axes, labels, bars, short_chance)
        _name(axes, "True and believed start of the episode", "probability")
        return
    first = explanation.at_start
    pair = (
        (explanation.events[0].state, explanation.events[0].action)
        if explanation.events
        else (first.state, first.free.index(max(first.free)))
    )
    event = believed_event(comparison.model, free, *pair)
    fitted = None
    if fit is not None:
        found = believed_event(comparison.model, fit.guide, *pair).outcomes
        by_target = {(outcome.successor, outcome.reward): outcome.believed for outcome in found}
        fitted = [by_target[outcome.successor, outcome.reward] for outcome in event.outcomes]
    true = [outcome.true for outcome in event.outcomes]
    bars = [
        _Bars(_TRUTH, true, None),
        _Bars(_FREE, [outcome.believed for outcome in event.outcomes], fitted),
        _Bars(_CLAMPED, true, None),
    ]
    _draw_rows(axes, outcome_labels(mdp, event), bars, short_chance)
    averaged = ", averaged over the episode" if mdp.horizon > 1 else ""
    title = f"True and believed outcomes of {action_phrase(mdp, event.action)} in {state_phrase(mdp, event.state)}"
    _name(axes, title, f"probability{averaged}")


def _draw_choice(axes: "Axes", comparison: Comparison) -> None:
    """Draw the first choice of each guide or, if the guides nearly agree there, the choice that differs the most."""
    mdp, choice = comparison.model.mdp, comparison.explanation.choice

    def fitted(name: str) -> Sequence[float] | None:
        fit = comparison.fits.get(name)
        return None if fit is None else fit.guide.blocks().log_policy.detach().exp()[choice.time, choice.state].tolist()

    labels = [action_label(mdp, a) for a in range(mdp.num_actions)]
    bars = [_Bars(_FREE, choice.free, fitted("free")), _Bars(_CLAMPED, choice.clamped, fitted("clamped"))]
    _draw_rows(axes, labels, bars, short_chance)
    when = "at the first step" if choice.time == 0 else f"at t = {choice.time}"
    _name(axes, f"Policy {when}, in {state_phrase(mdp, choice.state)}", "probability")


def _draw_returns(axes: "Axes", comparison: Comparison) -> None:
    """Draw the mean return of each guide in its own dynamics (imagined) and in those of the model (true)."""
    scores = comparison.scorecard.scores

    def returns(name: str) -> Sequence[float] | None:
        return (scores[name].imagined_return, scores[name].true_return) if name in scores else None

    bars = [
        _Bars(look, returns(f"{name}, exact") or (), returns(f"{name}, fitted"))
        for name, look in (("free", _FREE), ("clamped", _CLAMPED))
    ]
    _draw_rows(axes, ["imagined", "true"], bars, amount)
    unit = "return of an episode (reward units)"
    if comparison.untrained:
        unit += "\nMark off its bar: SVI does not train a policy in states its guide never expects."
    _name(axes, "Imagined and true return", unit)


def _draw_rows(axes: "Axes", labels: Sequence[str], bars: Sequence[_Bars], text: Callable[[float], str]) -> None:
    """Draw groups of bars: one group per label, one bar per kind with its number at the end; long lists are cut."""
    rows = _rows_to_show(bars)
    height, longest = 0.8 / len(bars), 0
    drawn = [value for each in bars for row in rows if (value := abs(_total(each.values, row))) < math.inf]
    span = 1.0 if text is short_chance else max(drawn, default=0.0) or 1.0
    for i, (look, values, fitted) in enumerate(bars):
        for j, row in enumerate(rows):
            y, value = j + (i - (len(bars) - 1) / 2) * height, _total(values, row)
            end = value if abs(value) < math.inf else 0.0
            side = -1 if end < 0 else 1
            axes.barh(y, end, 0.9 * height, color=look.color, hatch=look.hatch, edgecolor="black", linewidth=0.8)
            number = text(value)
            if fitted is not None and abs(mark := _total(fitted, row)) < math.inf:
                axes.plot([mark], [y], linestyle="none", zorder=3, clip_on=False, **_MARK)
                if abs(mark - end) > 0.02 * span:
                    number += f" (◇ {text(mark)})"
                end = side * max(side * end, side * mark)
            axes.annotate(
                number, (end, y), xytext=(6 * side, 0), textcoords="offset points",
                ha="left" if side > 0 else "right", va="center", fontsize=_SMALL,
            )  # fmt: skip
            longest = max(longest, len(number))
    lines = min(3, _MOST_BARS // len(rows))
    shown = [_wrapped(labels[row[0]], lines) if len(row) == 1 else f"{len(row)} others" for row in rows]
    axes.set_yticks(range(len(rows)), labels=shown, fontsize=_TEXT)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    low, high = (0.0, 1.0) if text is short_chance else axes.dataLim.intervalx
    share = min(0.5, 0.04 + 0.017 * longest)  # the share of the panel's width for the numbers beyond the bars
    room = (max(high, 0.0) - min(low, 0.0) or 1.0) * share / (1 - share)
    axes.set_xlim(low - room if low < 0 else 0.0, high + room if high > 0 or low == 0 else 0.0)
    if text is short_chance:
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.tick_params(axis="x", labelsize=_SMALL)


def _rows_to_show(bars: Sequence[_Bars]) -> list[list[int]]:
    """Return the indices of each row: one index per row, or, of many, the largest in order and one row for the rest."""
    count, most = len(bars[0].values), _MOST_BARS // len(bars)
    if count <= most:
        return [[i] for i in range(count)]
    size = [max(abs(each.values[i]) for each in bars) for i in range(count)]
    kept = sorted(sorted(range(count), key=lambda i: -size[i])[: most - 1])
    return [*([i] for i in kept), [i for i in range(count) if i not in kept]]


def _total(values: Sequence[float], row: Sequence[int]) -> float:
    return sum(values[i] for i in row)


def _wrapped(label: str, lines: int, width: int = 20) -> str:
    """Return the label in at most `lines` short lines."""
    split = [piece for line in label.split("\n") for piece in textwrap.wrap(line, width)]
    return "\n".join(split if len(split) <= lines else [*split[: lines - 1], f"{split[lines - 1][: width - 1]}…"])


def _name(axes: "Axes", title: str, unit: str) -> None:
    axes.set_title(_wrapped(title, lines=3, width=52), fontsize=_TITLE, loc="left")
    axes.set_xlabel(unit, fontsize=_TEXT)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(figure: "Figure", fitted: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Patch(facecolor=look.color, hatch=look.hatch, edgecolor="black", label=look.label)
        for look in (_TRUTH, _FREE, _CLAMPED)
    ]
    if fitted:
        handles.append(Line2D([], [], linestyle="none", label="the same guide, fitted by SVI", **_MARK))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=_TEXT, frameon=False)
