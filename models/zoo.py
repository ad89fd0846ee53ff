"""The zoo: named problems on which guides are compared."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

from pgm_control.errors import InvalidArgument
from pgm_control.problems.mdp import TabularMDP
from pgm_control.problems.named import PROBLEMS
from pgm_control.runtime.arguments import called, function, positive, shown
from pgm_control.text.one_line import one_line

from .frozen_lake import frozen_lake
from .lottery import lottery
from .restaurant import restaurant
from .risky_path import risky_path
from .slippery_cliff import slippery_cliff
from .tabular import TabularModel
from .twins import (
    frozen_lake_twin,
    lottery_twin,
    restaurant_twin,
    risky_path_twin,
    slippery_cliff_twin,
    windy_bridge_twin,
)
from .windy_bridge import windy_bridge


@final
@dataclass(frozen=True)
class ZooEntry:
    """A named problem.

    Attributes:
        name: the name by which `zoo_entry` finds it.
        build: the function that makes the problem. All arguments have defaults; problems of variable length take
            `horizon=…`.
        summary: a description in one sentence.
        twin: the name of its deterministic twin; None for a twin.
        temperature: the temperature at which commands and pages show it, in reward units per nat: one at which the
            returns of free and clamped guides differ, and the clamped one earns much of the best return.
    """

    name: str
    build: Callable[..., TabularMDP]
    summary: str
    twin: str | None = None
    temperature: float = 1.0

    __repr__ = one_line

    def __post_init__(self) -> None:
        """Check the entry.

        Raises:
            InvalidArgument: if a name or the summary is not a string, or `build` not a function.
        """
        for name in ("name", "summary"):
            called(name, getattr(self, name))
        if self.twin is not None:
            called("twin", self.twin)
        function("build", self.build)
        object.__setattr__(self, "temperature", positive("temperature", self.temperature))

    def model(self, horizon: int | None = None, temperature: float | None = None) -> TabularModel:
        """The problem as a model; default: at its own horizon and temperature."""
        mdp = self.build()
        mdp = mdp if horizon is None else mdp.replace(horizon=horizon)
        return TabularModel(mdp, self.temperature if temperature is None else temperature)


def _frozen_lake_8x8(horizon: int | None = None) -> TabularMDP:
    return frozen_lake("8x8", horizon)


def _frozen_lake_8x8_twin(horizon: int | None = None) -> TabularMDP:
    return frozen_lake_twin("8x8", horizon)


_BUILD: Mapping[str, Callable[..., TabularMDP]] = {
    "restaurant": restaurant,
    "restaurant_twin": restaurant_twin,
    "lottery": lottery,
    "lottery_twin": lottery_twin,
    "risky_path": risky_path,
    "risky_path_twin": risky_path_twin,
    "windy_bridge": windy_bridge,
    "windy_bridge_twin": windy_bridge_twin,
    "slippery_cliff": slippery_cliff,
    "slippery_cliff_twin": slippery_cliff_twin,
    "frozen_lake": frozen_lake,
    "frozen_lake_twin": frozen_lake_twin,
    "frozen_lake_8x8": _frozen_lake_8x8,
    "frozen_lake_8x8_twin": _frozen_lake_8x8_twin,
}

_ENTRIES = tuple(
    ZooEntry(each.name, _BUILD[each.name], each.summary, each.twin, each.settings.temperature) for each in PROBLEMS
)


def zoo() -> Mapping[str, ZooEntry]:
    """A mapping from names to entries; each problem is followed by its deterministic twin. This builds no problem."""
    return MappingProxyType({entry.name: entry for entry in _ENTRIES})


def zoo_entry(name: str) -> ZooEntry:
    """The problem of that name.

    Raises:
        InvalidArgument: if there is no such problem; the message suggests the nearest names.
    """
    entries = zoo()
    if not isinstance(name, str):
        raise InvalidArgument(f"`name` must be one of the zoo, but is {shown(name)}. The zoo has {', '.join(entries)}.")
    if name in entries:
        return entries[name]
    plain = {each.replace("_", ""): each for each in entries}
    near = difflib.get_close_matches("".join(filter(str.isalnum, name.lower())), plain, n=3, cutoff=0.5)
    remedy = f"Did you mean {' or '.join(repr(plain[each]) for each in near)}? " if near else ""
    raise InvalidArgument(f"`name` must be one of the zoo, but is {name!r}. {remedy}The zoo has {', '.join(entries)}.")
