"""Plots of the ledger: the gap by time step and by state."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float

from ..analysis.ledgers.continuous_ledger import ContinuousLedger
from ..analysis.ledgers.ledger_result import Ledger
from ..runtime.arguments import instance, one_of, whole
from ..text.wording import amount, state_label
from .canvas import Look, ink, one_panel, style_of
from .grid import Layout
from .labels import finish, headline, name_axes, numbered, wrapped
from .maps import state_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOOKS = {  # as in the explorer, and none of them is the look of a guide
    "initial": Look("#8C8C8C", "", "-", "s"),
    "policy": Look("#0072B2", "", "-", "s"),
    "dynamics": Look("#D55E00", "///", "-", "s"),
    "survival": Look("#009E73", "...", "-", "s"),
}
_REMEDY = "Pass ledger(model, guide)."
_WORDS = {"initial": "start", "policy": "policy", "dynamics": "dynamics", "survival": "survival"}


def ledger_over_time(account: Ledger | ContinuousLedger, *, ax: "Axes | None" = None, style: str = "paper") -> "Axes":
    """Draw the gap by time step, in nats, as stacked blocks; the start is drawn before step 0.

    Negative entries are drawn below zero. A step with an infinite entry is hatched over the whole height.

    Args:
        account: from `ledger`.
        ax: where to draw; default: a new figure.
        style: "paper", or "slide", with larger type and thicker lines.

    Returns:
        The Axes; their patches are `StepPatch`es, one per block, whose data are the tops and the baselines.

    Raises:
        InvalidArgument: for another `ax` or `style`.
        MissingExtra: without matplotlib.
    """
    sizes = style_of(style)
    if not isinstance(account, ContinuousLedger):
        instance("account", account, Ledger, _REMEDY)
    axes, steps = one_panel(ax, sizes), len(account.policy_by_step)
    blocks = {"initial": np.concatenate(([account.totals.initial], np.zeros(steps)))}
    for name in ("policy", "dynamics", "survival"):
        found = getattr(account, f"{name}_by_step", torch.zeros(steps))  # survival is clamped in a continuous ledger
        blocks[name] = np.concatenate(([0.0], found.detach().double().cpu().numpy()))
    above, below = np.zeros(steps + 1), np.zeros(steps + 1)
    edges = np.arange(-1, steps + 1).astype(float)
    for name, entries in blocks.items():
        if name in ("initial", "survival") and not entries.any():
            continue
        finite = np.where(np.isfinite(entries), entries, 0.0)
        base = np.where(finite >= 0, above, below)
        look = _LOOKS[name]
        axes.stairs(
            base + finite, edges, baseline=base, fill=True, facecolor=look.color,
            hatch=look.hatch[: sizes.dense], edgecolor="black", linewidth=sizes.edge / 2,
            label=f"{_WORDS[name]}: {_nats(float(entries.sum()))}",
        )  # fmt: skip
        above, below = above + finite.clip(min=0), below + finite.clip(max=0)
    broken = np.flatnonzero(~np.isfinite(sum(blocks.values())))
    for step in broken:
        axes.axvspan(edges[step], edges[step + 1], facecolor="none", hatch="++", edgecolor="#555555", linewidth=0)
    handles: list[Any] = list(axes.get_legend_handles_labels()[0])
    if len(broken):
        from matplotlib.patches import Patch

        handles.append(Patch(facecolor="none", hatch="++", edgecolor="#555555", label="infinite at this step"))
    axes.axhline(0, color=ink(axes), linewidth=sizes.edge)
    axes.set_xlim(-1 if blocks["initial"].any() else 0, steps)
    if above.max() == below.min() == 0:
        axes.set_ylim(0, 1)
    else:
        axes.set_ylim(1.05 * below.min(), 1.05 * above.max())
    name_axes(
        axes, "time t (steps; the start before 0)" if blocks["initial"].any() else "time t (steps)", "nats", sizes
    )
    numbered(axes.xaxis, whole=True)
    numbered(axes.yaxis)
    axes.spines[["top", "right"]].set_visible(False)
    headline(axes, f"Gap by time step ({_nats(account.gap)} in total)", sizes, handles)
    finish(axes)
    return axes


def ledger_map(
    account: Ledger,
    *,
    block: str = "all",
    layout: Layout | Sequence[str] | None = None,
    ax: "Axes | None" = None,
    style: str = "paper",
) -> "Axes":
    """Shade every cell of a grid world by its state's part of the gap, summed over the episode, in nats.

    Args:
        account: from `ledger`.
        block: "all", "initial", "policy", "dynamics" or "survival".
        layout: as in `layout_of`.
        ax, style: as in `ledger_over_time`.

    Returns:
        The Axes; their first image holds the numbers. A state with an infinite entry stays white.

    Raises:
        InvalidArgument: if the problem has no grid, or an argument is invalid; the message names it.
        MissingExtra: without matplotlib.
    """
    parts = by_state(account)
    one_of("block", block, ("all", *parts), remedy="all is their sum.")
    values = sum(parts.values()) if block == "all" else parts[block]
    total = f" ({_nats(float(np.sum(values)))} in total)"
    title = f"Gap by state{total}" if block == "all" else f"Gap by state, {_WORDS[block]} block{total}"
    return state_map(
        account.mdp, torch.as_tensor(values), "part of the gap (nats)", title=title, layout=layout, ax=ax, style=style
    )


def ledger_bars(
    account: Ledger | ContinuousLedger, *, max_states: int = 10, ax: "Axes | None" = None, style: str = "paper"
) -> "Axes":
    """Draw each state's part of the gap, summed over the episode, in nats, split by block, the largest first.

    States that are vectors are not counted: of a `ContinuousLedger` the bars are those of the steps and of the start.

    Args:
        account: from `ledger`.
        max_states: the largest number of bars; the last one is the sum of the others.
        ax, style: as in `ledger_over_time`.

    Returns:
        The Axes; their containers are the blocks.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
        MissingExtra: without matplotlib.
    """
    max_states = whole("max_states", max_states, remedy="It counts states.")
    sizes = style_of(style)
    if isinstance(account, ContinuousLedger):
        parts, row = _by_step(account), "step"
        names = ["start", *(f"t = {t}" for t in range(len(account.policy_by_step)))]
    else:
        parts, row = by_state(account), "state"
        names = [wrapped(state_label(account.mdp, s), 20, 2) for s in range(account.mdp.num_states)]
    total = np.sum(list(parts.values()), axis=0)
    order = [int(i) for i in np.argsort(-np.abs(total), kind="stable") if total[i] != 0 or len(names) <= max_states]
    shown, rest = (order, []) if len(order) <= max_states else (order[: max_states - 1], order[max_states - 1 :])
    labels = [names[i] for i in shown] + ([f"{len(rest)} others"] if rest else [])
    width, height = sizes.inches
    axes = one_panel(ax, sizes, (width, max(0.7 * height, (0.04 * len(labels) + 0.12) * sizes.text)))
    above, below = np.zeros(len(labels)), np.zeros(len(labels))
    for name, entries in parts.items():
        if name in ("initial", "survival") and not entries.any():
            continue
        values = np.array([entries[s] for s in shown] + ([float(entries[rest].sum())] if rest else []))
        finite = np.where(np.isfinite(values), values, 0.0)
        look = _LOOKS[name]
        axes.barh(
            range(len(labels)), finite, 0.7, left=np.where(finite >= 0, above, below), color=look.color,
            hatch=look.hatch[: sizes.dense], edgecolor="black", linewidth=sizes.edge,
            label=f"{_WORDS[name]}: {_nats(float(entries.sum()))}",
        )  # fmt: skip
        above, below = above + finite.clip(min=0), below + finite.clip(max=0)
    sums = [float(total[s]) for s in shown] + ([float(total[rest].sum())] if rest else [])
    for y, (end, value) in enumerate(zip(above, sums, strict=True)):
        axes.annotate(
            amount(value), (end, y), xytext=(4, 0), textcoords="offset points", va="center", fontsize=sizes.small,
            color=ink(axes),
        )  # fmt: skip
    axes.set_yticks(range(len(labels)), labels=labels, fontsize=sizes.small)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    high, low = float(above.max(initial=0.0)), float(below.min(initial=0.0))
    axes.set_xlim(1.05 * low, 1.25 * high + 0.25 * abs(low) or 1.0)
    name_axes(axes, "part of the gap (nats)", row, sizes)
    numbered(axes.xaxis, most=4)
    axes.axvline(0, color=ink(axes), linewidth=sizes.edge)
    axes.spines[["top", "right"]].set_visible(False)
    headline(axes, f"Gap by {row} ({_nats(account.gap)} in total)", sizes, axes.get_legend_handles_labels()[0])
    finish(axes)
    return axes


def by_state(account: Ledger) -> dict[str, Float[np.ndarray, " state"]]:
    """Return the gap by block and state, summed over the episode, in nats; survival counts at the state reached."""
    remedy = _REMEDY
    if isinstance(account, ContinuousLedger):
        remedy = "States that are vectors are not counted; ledger_over_time and ledger_bars draw this ledger by step."
    account = instance("account", account, Ledger, remedy)
    tables = {
        "initial": account.initial_by_state,
        "policy": account.policy_by_state.sum(0),
        "dynamics": account.dynamics_by_pair.sum((0, 2)),
        "survival": account.survival_by_state.sum(0),
    }
    return {name: table.detach().double().cpu().numpy() for name, table in tables.items()}


def _by_step(account: ContinuousLedger) -> dict[str, Float[np.ndarray, " row"]]:
    """The gap by block, of the start and of each step, in nats."""
    steps = np.zeros(len(account.policy_by_step))
    parts = {"initial": np.append(account.initial, steps)}
    for name in ("policy", "dynamics"):
        parts[name] = np.append(0.0, getattr(account, f"{name}_by_step").detach().double().cpu().numpy())
    return parts


def _nats(value: float) -> str:
    return f"{amount(value)} nat{'' if math.isclose(value, 1.0) else 's'}"
