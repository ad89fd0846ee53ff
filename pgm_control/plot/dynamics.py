"""The true dynamics beside the dynamics that a guide believes in."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import InvalidArgument
from ..inference.exact.infer import infer
from ..problems.mdp import TabularMDP
from ..runtime.arguments import called, index, shown, whole
from ..text.wording import action_phrase, amount, short_chance, state_phrase
from ..trajectories.beliefs import Event, believed_event, outcome_labels, tilted_events
from ..trajectories.blocks import Blocks, HasBlocks, MarkovModel, require_model
from ..trajectories.tabulate import tabulate
from .canvas import FREE, TRUE, Style, ink, one_panel, size_in_points, style_of
from .labels import finish, headline, name_axes, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_OUTCOMES = 8  # per event


def outcomes(
    model: MarkovModel,
    guide: HasBlocks | None = None,
    *,
    state: int | None = None,
    action: int | None = None,
    max_rows: int = 3,
    name: str = "free guide",
    ax: "Axes | None" = None,
    style: str = "paper",
) -> "Axes":
    r"""Draw the true probability of each outcome beside the probability that a guide assigns to it.

    An event is a state and an action, averaged over the steps at which the guide expects it. Outcomes that lead to the
    same state with the same reward are one bar. The events drawn are those that the guide tilts, at most one per
    state, in decreasing order of the expected $KL(q_t(k \mid s,a) \,\|\, p(k \mid s,a))$. If the guide tilts none, its
    most probable first event is drawn.

    Args:
        model: the tabular model.
        guide: a guide or posterior; default: the exact free posterior.
        state, action: the indices of one event to draw instead; both or neither.
        max_rows: the largest number of events; fewer are drawn where the Axes are too small.
        name: the name of the guide in the legend.
        ax: where to draw; default: a new figure.
        style: "paper", or "slide", with larger type and thicker lines.

    Returns:
        The Axes; their first container holds the true probabilities, the second the believed ones.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
        InvalidGuide: if the guide does not fit the model.
        MissingExtra: without matplotlib.
    """
    require_model(model, timed=True)
    sizes, mdp = style_of(style), model.mdp
    max_rows, name = whole("max_rows", max_rows, remedy="It counts events."), called("name", name)
    if (state is None) != (action is None):
        raise InvalidArgument(
            f"`state` and `action` must be given together, but are {shown(state)} and {shown(action)}. Leave out both "
            "for the events with the largest tilt."
        )
    blocks = tabulate(model, infer(model, 1.0) if guide is None else guide)
    if state is not None and action is not None:
        s, a = index("state", state, mdp.num_states, "a state"), index("action", action, mdp.num_actions, "an action")
        drawn: tuple[Event, ...] = (believed_event(model, blocks, s, a),)
    else:
        drawn = tilted_events(model, blocks, max_rows) or (_first(model, blocks),)
    rows = [(_title(mdp, event), _bars(mdp, event)) for event in drawn]
    width, height = sizes.inches
    axes = one_panel(ax, sizes, (1.15 * width, max(0.7 * height, (0.042 * _lines(rows) + 0.13) * sizes.text)))
    while len(rows) > 1 and _lines(rows) * 2 * sizes.small > size_in_points(axes)[1]:
        rows.pop()
    _draw(axes, rows, sizes)
    averaged = ", averaged over the episode" if mdp.horizon > 1 else ""
    name_axes(axes, f"probability{averaged}", "", sizes)
    axes.tick_params(axis="y", length=0)
    headline(axes, "True and believed dynamics", sizes, _legend(name, sizes))
    finish(axes)
    return axes


class _Bar(NamedTuple):
    """One outcome in the plot: its label and its probabilities."""

    label: str
    true: float
    believed: float


def _draw(axes: "Axes", rows: Sequence[tuple[str, Sequence[_Bar]]], style: Style) -> None:
    y, places, bars = 0, [], []
    for title, each in rows:
        axes.annotate(
            wrapped(title, 58, 1), (0.0, y + 0.1), xytext=(4, 0), textcoords="offset points", va="center",
            fontsize=style.small, fontweight="bold", color=ink(axes),
        )  # fmt: skip
        places += range(y + 1, y + 1 + len(each))
        bars += each
        y += 1 + len(each)
    for look, offset, values in ((TRUE, -0.2, [b.true for b in bars]), (FREE, 0.2, [b.believed for b in bars])):
        at = [place + offset for place in places]
        axes.barh(
            at, values, 0.38, color=look.color, hatch=look.hatch[: style.dense], edgecolor="black", linewidth=style.edge
        )
        for value, height in zip(values, at, strict=True):
            axes.annotate(
                short_chance(value), (value, height), xytext=(4, 0), textcoords="offset points", va="center",
                fontsize=0.85 * style.small, color=ink(axes),
            )  # fmt: skip
    labels = [wrapped(bar.label, 26, 2) for bar in bars]
    axes.set_yticks(places, labels=labels, fontsize=0.9 * style.small)
    axes.set_ylim(y - 0.4, -0.6)
    axes.set_xlim(0, 1.15)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.spines[["top", "right"]].set_visible(False)


def _lines(rows: Sequence[tuple[str, Sequence[_Bar]]]) -> int:
    return sum(1 + len(bars) for _, bars in rows)


def _bars(mdp: TabularMDP, event: Event) -> list[_Bar]:
    """Return the outcomes, the most raised first; of a long list, the largest ones and the sum of the others."""
    labels = outcome_labels(mdp, event)
    every = [_Bar(label, outcome.true, outcome.believed) for label, outcome in zip(labels, event.outcomes, strict=True)]
    if len(every) <= _MOST_OUTCOMES:
        return every
    ranked = sorted(range(len(every)), key=lambda i: -max(every[i].true, every[i].believed))
    kept, rest = sorted(ranked[: _MOST_OUTCOMES - 1]), ranked[_MOST_OUTCOMES - 1 :]
    others = _Bar(f"{len(rest)} others", sum(every[i].true for i in rest), sum(every[i].believed for i in rest))
    return [*(every[i] for i in kept), others]


def _title(mdp: TabularMDP, event: Event) -> str:
    where = f"{action_phrase(mdp, event.action)} in {state_phrase(mdp, event.state)}"
    return f"KL {amount(event.tilt)} nats: {where}"


def _first(model: MarkovModel, blocks: Blocks) -> Event:
    """Return the first event: the most probable start and action."""
    start = int(blocks.log_initial.argmax())
    return believed_event(model, blocks, start, int(blocks.log_policy[0, start].argmax()))


def _legend(name: str, style: Style) -> list[Any]:
    from matplotlib.patches import Patch

    looks = ((TRUE, "true"), (FREE, f"believed by the {name}"))
    return [
        Patch(facecolor=look.color, hatch=look.hatch[: style.dense], edgecolor="black", label=label)
        for look, label in looks
    ]
