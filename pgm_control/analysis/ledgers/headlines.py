"""The finding of a ledger in one sentence, and its numbers as words."""

import math
from collections.abc import Mapping

from ...text.wording import amount

SHORT = {"initial": "start", "policy": "policy", "dynamics": "dynamics", "survival": "survival"}
_NAMES = {"initial": "the start", "policy": "the policy", "dynamics": "the dynamics", "survival": "survival"}


def gap_headline(totals: Mapping[str, float], gap: float, best: str, rounding: float) -> str:
    """The finding in one sentence.

    Args:
        totals: the contribution of each block, in nats.
        gap: their sum.
        best: the name of the reference, "posterior" or "optimum".
        rounding: the size of rounding errors, in nats.
    """
    counts = {name: nats for name, nats in totals.items() if abs(nats) > rounding}
    if not counts:
        return f"No gap: the guide is the exact {best}."
    if not math.isfinite(gap):
        guilty = [SHORT[name] for name, nats in counts.items() if not math.isfinite(nats)]
        or_else = "" if best == "posterior" or gap < 0 else ", or differ from the model where β is 0"
        return f"The gap is {amount(gap)}: the guide's {' and '.join(guilty)} can go where the {best} cannot{or_else}."
    largest = max(counts, key=lambda name: abs(counts[name]))
    nats, what = counts[largest], _NAMES[largest]
    if min(counts.values()) < 0:
        return f"The largest entry is {what}: {amount(nats)} nats, in a gap of {amount(gap)}."
    if len(counts) == 1:
        return f"All of the gap is {what}: {amount(gap)} nats."
    share = nats / gap
    how_much = "Almost all" if share >= 0.9 else "Most" if share >= 0.6 else "The largest part"
    return f"{how_much} of the gap is {what}: {amount(nats)} of {amount(gap)} nats."


def share_of(nats: float, gap: float, totals: Mapping[str, float], rounding: float) -> str:
    """The share of the gap, or a dash if the gap is infinite or 0, or an entry is negative."""
    if not math.isfinite(gap) or gap <= rounding or min(totals.values()) < -rounding:
        return "–"
    return f"{100 * nats / gap:.1f} %"
