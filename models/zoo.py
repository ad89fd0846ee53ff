"""The zoo: named problems on which guides are compared."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

from pgm_control.errors import InvalidArgument
from pgm_control.problems.mdp import TabularMDP
from pgm_control.runtime.arguments import called, function, shown
from pgm_control.text.one_line import one_line

from .frozen_lake import frozen_lake
from .lottery import lottery
from .restaurant import restaurant
from .risky_path import risky_path
from .slippery_cliff import slippery_cliff
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
    """

    name: str
    build: Callable[..., TabularMDP]
    summary: str
    twin: str | None = None

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


def _frozen_lake_8x8(horizon: int | None = None) -> TabularMDP:
    return frozen_lake("8x8", horizon)


def _frozen_lake_8x8_twin(horizon: int | None = None) -> TabularMDP:
    return frozen_lake_twin("8x8", horizon)


def _pair(
    name: str, build: Callable[..., TabularMDP], summary: str, build_twin: Callable[..., TabularMDP], of_twin: str
) -> tuple[ZooEntry, ZooEntry]:
    twin = f"{name}_twin"
    return ZooEntry(name, build, summary, twin), ZooEntry(twin, build_twin, of_twin)


_ENTRIES = (
    *_pair(
        "restaurant",
        restaurant,
        "Choose between an erratic kitchen and a dependable one: one decision.",
        restaurant_twin,
        "Both kitchens always serve a good dinner.",
    ),
    *_pair(
        "lottery",
        lottery,
        "Choose between a ticket with a rare jackpot and a sure wage: one decision.",
        lottery_twin,
        "The ticket always loses.",
    ),
    *_pair(
        "risky_path",
        risky_path,
        "Choose between a safe path of two steps and a jump with an even chance of goal or pit.",
        risky_path_twin,
        "The risky jump always arrives at the goal.",
    ),
    *_pair(
        "windy_bridge",
        windy_bridge,
        "A narrow bridge in gusts of wind: slips of the own foot and the wind are separate random events.",
        windy_bridge_twin,
        "The foot never slips and there is no wind.",
    ),
    *_pair(
        "slippery_cliff",
        slippery_cliff,
        "Gymnasium's CliffWalkingSlippery-v1: the way along the edge is short, and every step may slip sideways.",
        slippery_cliff_twin,
        "Gymnasium's CliffWalking-v1: every step goes as intended.",
    ),
    *_pair(
        "frozen_lake",
        frozen_lake,
        "Gymnasium's FrozenLake-v1, 4x4: cross slippery ice with holes in it.",
        frozen_lake_twin,
        "The 4x4 lake without slipping.",
    ),
    *_pair(
        "frozen_lake_8x8",
        _frozen_lake_8x8,
        "Gymnasium's FrozenLake8x8-v1: the same on a larger lake.",
        _frozen_lake_8x8_twin,
        "The 8x8 lake without slipping.",
    ),
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
