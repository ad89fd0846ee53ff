"""Settings of a sweep: a list of mappings, or lists that are crossed; and the key of each."""

import hashlib
import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import InvalidArgument
from ..runtime.arguments import shown
from .json_values import canonical, plain

FAILURE = "failure"
"""The column of a table that holds the reason of a failed job: no setting and no result has this name."""
_WANTED = "a list of mappings, or a mapping from names to lists, which are crossed"
_DIGITS = 32  # of a key


def settings_of(given: Any) -> list[dict[str, Any]]:
    """The settings in plain values of JSON, in their order; the last of crossed lists varies fastest.

    Raises:
        InvalidArgument: if they are none of the two kinds, a value is not one of JSON, or a setting is there twice.
    """
    found = _crossed(given) if isinstance(given, Mapping) else _listed(given)
    first: dict[str, int] = {}
    for index, setting in enumerate(found):
        if FAILURE in setting:
            raise InvalidArgument(f"`settings` must not use the name {FAILURE!r}, but entry {index} does.")
        before = first.setdefault(_canonical(setting, index), index)
        if before != index:
            raise InvalidArgument(
                f"`settings` must differ, but entries {before} and {index} are both {shown(setting)}. Leave one out, "
                "or give each a seed."
            )
    return found


def key_of(function: str, setting: Mapping[str, Any], version: str) -> str:
    """The key of a job: the SHA-256 of the function's name, the setting and the version, cut to 32 digits."""
    return hashlib.sha256(canonical([function, dict(setting), version]).encode()).hexdigest()[:_DIGITS]


def require_accepted(function: Callable[..., Any], settings: Sequence[Mapping[str, Any]]) -> None:
    """Require that the function takes every setting as its keyword arguments.

    Raises:
        InvalidArgument: if an argument is missing, or one is given that the function does not have.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some functions of compiled modules have none
        return
    for index, setting in enumerate(settings):
        try:
            signature.bind(**setting)
        except TypeError as problem:
            raise InvalidArgument(
                f"`settings` must be arguments of {getattr(function, '__name__', 'the function')}{signature}, but "
                f"entry {index} is {shown(dict(setting))}: {problem}."
            ) from problem


def _canonical(setting: Mapping[str, Any], index: int) -> str:
    try:
        return canonical(setting)
    except ValueError as problem:
        raise InvalidArgument(
            f"`settings` must be values that can be written, but entry {index}: {problem}"
        ) from problem


def _listed(given: Any) -> list[dict[str, Any]]:
    rows = _entries(given)
    if not rows:
        raise InvalidArgument(f"`settings` must be {_WANTED}, but is {shown(given)}.")
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InvalidArgument(f"`settings` must be {_WANTED}, but entry {index} is {shown(row)}.")
    return [plain(row, f"`settings`, entry {index},") for index, row in enumerate(rows)]


def _crossed(given: Mapping[Any, Any]) -> list[dict[str, Any]]:
    lists = {}
    for name, values in given.items():
        found = _entries(values)
        if not found:
            raise InvalidArgument(
                f"`settings` must map each name to a list of values, but {name!r} is {shown(values)}. Put a single "
                "value into a list."
            )
        lists[name] = found
    if not lists:
        raise InvalidArgument(f"`settings` must be {_WANTED}, but is empty.")
    plain_lists = plain(lists, "`settings`")
    return [dict(zip(plain_lists, values, strict=True)) for values in itertools.product(*plain_lists.values())]


def _entries(given: Any) -> list[Any]:
    """The entries of a list, range, array or other sequence; none for anything else."""
    if isinstance(given, str | bytes | Mapping | set | frozenset):
        return []
    try:
        return list(given)
    except TypeError:
        return []
