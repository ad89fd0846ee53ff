"""Checks of arguments: numbers and choices, with one message for each kind."""

import math
from collections.abc import Collection
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor

from ..errors import InvalidArgument


def whole(name: str, value: Any, least: int = 1, *, remedy: str = "") -> int:
    """Require a whole number, of Python or numpy, that is at least `least`.

    Args:
        name: the name of the argument, for the message.
        value: the value of the argument.
        least: the least number allowed.
        remedy: a sentence for the end of the message.

    Returns:
        The number as a Python int.

    Raises:
        InvalidArgument: if the argument is invalid; the message names it.
    """
    if not is_whole(value) or value < least:
        raise InvalidArgument(_text(name, f"a whole number, at least {least}{_below(value)}", value, remedy))
    return int(value)


def whole_or_none(name: str, value: Any, least: int = 1, *, remedy: str = "") -> int | None:
    """Require None, or a whole number as in `whole`.

    Raises:
        InvalidArgument: if the argument is invalid; the message names it.
    """
    if value is None:
        return None
    if not is_whole(value) or value < least:
        raise InvalidArgument(_text(name, f"a whole number, at least {least}{_below(value)}, or None", value, remedy))
    return int(value)


def positive(name: str, value: Any, what: str = "number", *, remedy: str = "") -> float:
    """Require a positive finite number, of Python or numpy; the message calls it `what`, as in "standard deviation".

    Raises:
        InvalidArgument: if the argument is invalid; the message names it.
    """
    if not is_number(value) or not 0 < value < math.inf:
        raise InvalidArgument(_text(name, f"a positive {what}", value, remedy))
    return float(value)


def finite(name: str, value: Any, what: str = "number", *, remedy: str = "") -> float:
    """Require a finite number, of Python or numpy; `what` is the noun for it in the message, such as "return".

    Raises:
        InvalidArgument: if the argument is invalid; the message names it.
    """
    if not is_number(value) or not math.isfinite(value):
        raise InvalidArgument(_text(name, f"a finite {what}", value, remedy))
    return float(value)


def fraction(name: str, value: Any, *, remedy: str = "") -> float:
    """Require a number above 0 and at most 1, such as a rate.

    Raises:
        InvalidArgument: if the argument is invalid; the message names it.
    """
    if not is_number(value) or not 0 < value <= 1:
        raise InvalidArgument(_text(name, "a number above 0 and at most 1", value, remedy))
    return float(value)


def probability(name: str, value: Any, *, remedy: str = "") -> float:
    """Require a probability, from 0 to 1.

    Raises:
        InvalidArgument: if the argument is invalid; the message names it.
    """
    if not is_number(value) or not 0 <= value <= 1:
        raise InvalidArgument(_text(name, "a probability", value, remedy))
    return float(value)


def one_of(name: str, value: Any, choices: Collection[str], *, remedy: str = "") -> None:
    """Require one of a few names.

    Raises:
        InvalidArgument: if the argument is none of the choices; the message names it and the choices.
    """
    if not isinstance(value, str) or value not in choices:
        raise InvalidArgument(_text(name, f"one of {', '.join(choices)}", value, remedy))


def is_whole(value: Any) -> TypeGuard[int | np.integer]:
    """Whether `value` is a whole number of Python or numpy that a tensor can hold; True and False are not."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and abs(int(value)) < 2**63


def is_number(value: Any) -> TypeGuard[float | np.floating | Tensor]:
    """Whether `value` is a real number of Python or numpy, or a tensor without axes; nan is a number, True is not."""
    if isinstance(value, Tensor):
        return value.ndim == 0 and value.dtype is not torch.bool and not value.is_complex()
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _below(value: Any) -> str:
    return " and below 2**63" if isinstance(value, int) and value >= 2**63 else ""


def _text(name: str, wanted: str, value: Any, remedy: str) -> str:
    return f"`{name}` must be {wanted}, but is {value!r}.{' ' if remedy else ''}{remedy}"
