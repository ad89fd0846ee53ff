"""Values that a line of JSON holds: numbers, texts, True, False, None, and lists and mappings of these.

Lines are written by Python's json: nan and the infinities are the words NaN, Infinity and -Infinity, which Python,
pandas and JavaScript's JSON5 read, and strict parsers of JSON refuse.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import InvalidArgument
from ..runtime.arguments import is_encodable, plain_number, shown

KINDS = "numbers, strings, True, False, None, and lists and mappings of these"


def plain(value: Any, where: str) -> Any:
    """The value in types of Python's json; scalars of numpy and torch become numbers, and tuples become lists.

    Args:
        value: the value.
        where: the value's place, the beginning of the message.

    Raises:
        InvalidArgument: if JSON has no such value.
    """
    try:
        return _plain(value, where)
    except RecursionError as problem:
        raise InvalidArgument(f"{where} must be of {KINDS}, but is nested too deeply.") from problem


def text_of(value: Any) -> str:
    """One line of JSON; mappings keep their order.

    Raises:
        InvalidArgument: if a whole number has too many digits for Python to print.
    """
    try:
        return json.dumps(value)
    except ValueError as problem:
        raise InvalidArgument(f"A value cannot be written: {problem}") from problem


def canonical(value: Any) -> str:
    """One line of JSON that does not depend on the order of mappings."""
    return json.dumps(value, sort_keys=True)


def copied(value: Any) -> Any:
    """The value with new lists and mappings; all else, which nobody can change or which is no value of JSON, itself."""
    if type(value) is dict:
        return {name: copied(each) for name, each in value.items()}
    return [copied(each) for each in value] if type(value) is list else value


def _plain(value: Any, where: str) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, str):
        if not is_encodable(value):
            raise InvalidArgument(f"{where} must be a string of valid Unicode, but is {shown(value)}.")
        return str.__str__(value)
    if isinstance(value, Mapping):
        wrong = [name for name in value if not isinstance(name, str) or not is_encodable(name)]
        if wrong:
            raise InvalidArgument(f"{where} must have names that are strings, but has {shown(wrong[0])}.")
        return {str.__str__(name): _plain(each, f"{where}: {name!r}") for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, f"{where}: entry {index}") for index, each in enumerate(value)]
    number = plain_number(value)
    if number is None:
        truth = _truth(value)
        if truth is not None:
            return truth
        remedy = " Pass a list, by its method tolist()." if hasattr(value, "tolist") else ""
        raise InvalidArgument(f"{where} must be of {KINDS}, but is {shown(value)}.{remedy}")
    return float(number) if isinstance(number, float) else int(number)


def _truth(value: Any) -> bool | None:
    """The truth value that a tensor or an array without axes holds."""
    if getattr(value, "ndim", None) == 0 and str(getattr(value, "dtype", "")) in ("bool", "torch.bool"):
        return bool(value)
    return None
