"""The zoo of guides: named guides to compare on a model."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, final

from pgm_control.errors import InvalidArgument
from pgm_control.runtime.arguments import called, function, shown
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
        name: the name for `guide_entry`.
        build: a function of the model that returns the guide.
        summary: the assumptions of the guide, in one sentence.
        fit: suitable arguments for `fit(model, guide, …)`, such as {"method": "natural_gradient"}.
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
        """Name a guide; without `fit` the defaults of `fit` are used.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it.
        """
        function("build", build)
        if fit is not None and not isinstance(fit, Mapping):
            raise InvalidArgument(f"`fit` must map names of arguments of `fit` to values, but is {shown(fit)}.")
        put = object.__setattr__  # the dataclass is frozen
        put(self, "name", called("name", name))
        put(self, "build", build)
        put(self, "summary", called("summary", summary))
        put(self, "fit", dict(fit or {}))


_ENTRIES = (
    GuideEntry("free", FreeGuide, "Free start, policy and dynamics: the exact posterior."),
    GuideEntry("clamped", ClampedGuide, "Free policy; true start and dynamics: max-ent control."),
    GuideEntry(
        "dial_mild", lambda model: DialGuide(model, 0.1), "Free dynamics at a price of 10 (β = 0.1): a little optimism."
    ),
    GuideEntry(
        "dial_robust",
        lambda model: DialGuide(model, -0.5),
        "Adversarial dynamics at a price of 2 (β = −0.5): robust control.",
    ),
    GuideEntry("open_loop", OpenLoopGuide, "A plan: actions do not depend on states; true start and dynamics."),
    GuideEntry("stationary", StationaryGuide, "The same policy at all times; true start and dynamics."),
    GuideEntry(
        "deterministic",
        DeterministicGuide,
        "One action for each time and state; true start and dynamics: risk-neutral control.",
        {"method": "exact"},
    ),
    GuideEntry(
        "neural", NeuralGuide, "The policy is a network; true start and dynamics.", {"method": "em", "num_steps": 200}
    ),
    GuideEntry("mean_field", MeanFieldGuide, "States and actions are independent of each other.", {"num_steps": 4000}),
    GuideEntry(
        "mixture",
        lambda model: MixtureGuide.apart(model, OpenLoopGuide),
        "One of three plans is drawn per trajectory: actions are correlated, but do not depend on states.",
        {"loss": MixtureELBO(), "num_steps": 500},
    ),
    GuideEntry(
        "low_rank",
        LowRankGuide,
        "The dynamics are tilted by one bias, with a strength that varies in time.",
        {"num_steps": 4000},
    ),
)


def guide_zoo() -> Mapping[str, GuideEntry]:
    """The entries of all named guides, by name; no guide is built yet."""
    return MappingProxyType({entry.name: entry for entry in _ENTRIES})


def guide_entry(name: str) -> GuideEntry:
    """The entry of the guide with this name.

    Raises:
        InvalidArgument: if there is none; the message lists the nearest names.
    """
    entries = guide_zoo()
    if not isinstance(name, str):
        raise InvalidArgument(
            f"`name` must be a guide of the zoo, but is {shown(name)}. There are {', '.join(entries)}."
        )
    if name in entries:
        return entries[name]
    near = difflib.get_close_matches(name.lower().replace("-", "_").replace(" ", "_"), entries, n=3, cutoff=0.5)
    remedy = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise InvalidArgument(
        f"`name` must be a guide of the zoo, but is {name!r}. {remedy}There are {', '.join(entries)}."
    )
