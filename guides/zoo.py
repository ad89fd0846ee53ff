"""The zoo of guides: named ones, to compare on a model."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, final

from pgm_control.errors import InvalidArgument
from pgm_control.text.one_line import one_line
from pgm_control.trajectories.blocks import MarkovModel

from .clamped import ClampedGuide
from .deterministic import DeterministicGuide
from .dial import DialGuide
from .free import FreeGuide
from .low_rank import LowRankGuide
from .mean_field import MeanFieldGuide
from .mixture import MixtureELBO, MixtureGuide
from .neural import NeuralGuide
from .open_loop import OpenLoopGuide
from .stationary import StationaryGuide


@final
@dataclass(frozen=True, init=False)
class GuideEntry:
    """A named guide.

    Attributes:
        name: by which `guide_entry` finds it.
        build: makes it for a model; its parameters have defaults.
        summary: what it assumes, in one sentence.
        fit: arguments for `fit(model, guide, …)` that suit it, such as {"method": "natural_gradient"}.
    """

    name: str
    build: Callable[[MarkovModel], Callable[[], Any]]
    summary: str
    fit: Mapping[str, Any]

    __repr__ = one_line

    def __init__(
        self,
        name: str,
        build: Callable[[MarkovModel], Callable[[], Any]],
        summary: str,
        fit: Mapping[str, Any] | None = None,
    ) -> None:
        """Name a guide; without `fit`, the defaults of `fit` suit it."""
        put = object.__setattr__  # the dataclass is frozen
        put(self, "name", name)
        put(self, "build", build)
        put(self, "summary", summary)
        put(self, "fit", dict(fit or {}))


_ENTRIES = (
    GuideEntry("free", FreeGuide, "Start, policy and dice are its own: the exact posterior."),
    GuideEntry("clamped", ClampedGuide, "The policy is its own; start and dice are the model's: max-ent control."),
    GuideEntry("dial_mild", lambda model: DialGuide(model, 0.1), "Dice at ten times their price: a little optimism."),
    GuideEntry(
        "dial_robust", lambda model: DialGuide(model, -0.5), "Dice in the hands of an adversary, at twice the price."
    ),
    GuideEntry("open_loop", OpenLoopGuide, "A plan: actions that do not depend on states; true start and dice."),
    GuideEntry("stationary", StationaryGuide, "One policy for all times; true start and dice."),
    GuideEntry(
        "deterministic",
        DeterministicGuide,
        "One action for each time and state; true start and dice: risk-neutral control.",
        {"method": "exact"},
    ),
    GuideEntry(
        "neural", NeuralGuide, "A network is the policy; true start and dice.", {"method": "em", "num_steps": 200}
    ),
    GuideEntry("mean_field", MeanFieldGuide, "States and actions are independent of each other.", {"num_steps": 4000}),
    GuideEntry(
        "mixture",
        lambda model: MixtureGuide.apart(model, OpenLoopGuide),
        "One of three plans, drawn once per trajectory: actions that are correlated without looking.",
        {"loss": MixtureELBO(), "num_steps": 500},
    ),
    GuideEntry("low_rank", LowRankGuide, "Dice are bent by one bias, more or less with time.", {"num_steps": 4000}),
)


def guide_zoo() -> Mapping[str, GuideEntry]:
    """The named guides by name. Nothing is built yet."""
    return MappingProxyType({entry.name: entry for entry in _ENTRIES})


def guide_entry(name: str) -> GuideEntry:
    """The guide of that name.

    Raises:
        InvalidArgument: if there is none, with the nearest names.
    """
    entries = guide_zoo()
    if name in entries:
        return entries[name]
    near = difflib.get_close_matches(name.lower().replace("-", "_").replace(" ", "_"), entries, n=3, cutoff=0.5)
    remedy = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise InvalidArgument(
        f"`name` must be a guide of the zoo, but is {name!r}. {remedy}There are {', '.join(entries)}."
    )
