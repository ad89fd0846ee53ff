"""The roles of the sites of a Pyro program: which are states, actions, chance, and the factors of optimality."""

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal, final, get_args

from ..errors import InvalidArgument
from ..runtime.arguments import shown
from ..runtime.programs import require_callable, without_handlers

Role = Literal["state", "action", "chance", "optimality"]
DEFAULT_ROLES: Mapping[str, Role | tuple[Role, ...]] = {
    "state_*": ("state", "chance"),
    "action_*": "action",
    "outcome_*": "chance",
    "optimality_*": "optimality",
}


@final
class Roles:
    """The roles of sites, by the pattern of their names.

    A site is an *action*, which the policy draws; *chance*, which the world draws; a factor of *optimality*, observed,
    whose log-probability is r/τ; a *state*, on which later sites depend. It may be a state and chance at once, such as
    the next state of a program whose dynamics have no outcomes.

    A Pyro program states them in its attribute `roles`, a mapping from patterns of names, in which `*` stands for any
    text, to a role or several; the first pattern that fits counts. The default fits the sites of the tabular models:

        def program(): ...
        program.roles = {"state_*": ("state", "chance"), "torque_*": "action", "cost_*": "optimality"}
    """

    def __init__(self, patterns: Mapping[str, Role | tuple[Role, ...]] = DEFAULT_ROLES) -> None:
        """Check and store the patterns.

        Raises:
            InvalidArgument: if they are no mapping from names to roles.
        """
        if not isinstance(patterns, Mapping) or not patterns:
            raise InvalidArgument(_wrong(f"is {shown(patterns)}"))
        self._patterns: dict[str, frozenset[str]] = {}
        for pattern, given in patterns.items():
            roles = (given,) if isinstance(given, str) else given
            if not isinstance(roles, tuple | list | set | frozenset):
                raise InvalidArgument(_wrong(f"has {shown(given)} for {pattern!r}"))
            if not isinstance(pattern, str) or not roles or not set(roles) <= set(get_args(Role)):
                raise InvalidArgument(_wrong(f"has {shown(given)} for {pattern!r}"))
            if "optimality" in roles and len(roles) > 1:
                raise InvalidArgument(_wrong(f"has optimality and another role for {pattern!r}"))
            if {"action", "chance"} <= set(roles):
                raise InvalidArgument(_wrong(f"has action and chance for {pattern!r}: who draws it?"))
            self._patterns[pattern] = frozenset(roles)

    def __call__(self, site: str) -> frozenset[str]:
        """The roles of a site; none if no pattern fits."""
        return next((roles for pattern, roles in self._patterns.items() if fnmatchcase(site, pattern)), frozenset())

    def unused(self, sites: Iterable[str]) -> list[str]:
        """The patterns that fit no site."""
        names = list(sites)
        return [each for each in self._patterns if not any(fnmatchcase(name, each) for name in names)]

    def __repr__(self) -> str:
        """The patterns and their roles."""
        return f"Roles({ {pattern: tuple(sorted(roles)) for pattern, roles in self._patterns.items()} })"


def _wrong(what: str) -> str:
    return (
        '`roles` of the model must map patterns of site names to "state", "action", "chance", "optimality" or '
        f'several of them, such as {{"state_*": ("state", "chance"), "action_*": "action"}}, but {what}.'
    )


def roles_of(program: Callable[[], Any]) -> Roles:
    """The roles that a program states, by the attribute `roles` of the program inside of any handlers."""
    return Roles(getattr(without_handlers(program), "roles", DEFAULT_ROLES))


def require_program(name: str, program: Any, instead: str) -> None:
    """Require an argument that can be called as a Pyro program; `instead` says what else it may be."""
    if isinstance(program, type) or not callable(program):
        raise InvalidArgument(
            f"`{name}` must be {instead} or a Pyro program, which is called without arguments, but is {shown(program)}."
        )
    require_callable(name, program)


def temperature_of(program: Callable[[], Any]) -> float:
    """τ of a program, in reward units per nat: its attribute `temperature`, or 1, where rewards are in nats."""
    from_program = getattr(without_handlers(program), "temperature", 1.0)
    try:
        value = float(from_program)
    except (TypeError, ValueError, RuntimeError):
        value = float("nan")
    if not 0.0 < value < float("inf"):
        raise InvalidArgument(
            f"`temperature` of the model must be a positive number of reward units per nat, but is "
            f"{shown(from_program)}."
        )
    return value


def in_order(names: list[str]) -> list[str]:
    """Names of sites by their numbers, for messages: `state_2` before `state_10`."""
    return sorted(names, key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)])
