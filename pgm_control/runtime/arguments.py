"""Checks of arguments: numbers, choices and names, with one message for each kind.

A number may be one of Python or numpy, or an array or tensor without axes. True and False are not numbers.
"""

import inspect
import math
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

from ..errors import InvalidArgument

T = TypeVar("T")

_LONGEST = 200  # characters of a value in a message


def whole(name: str, value: Any, least: int = 1, *, remedy: str = "") -> int:
    """Require a whole number that is at least `least`.

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
    found = whole_number(value)
    if found is None or found < least:
        raise InvalidArgument(_text(name, f"a whole number, at least {least}{_below(value)}", value, remedy))
    return found


def whole_or_none(name: str, value: Any, least: int = 1, *, remedy: str = "") -> int | None:
    """Require None, or a whole number as in `whole`.

    Raises:
        InvalidArgument: if the argument is invalid; the message names it.
    """
    if value is None:
        return None
    found = whole_number(value)
    if found is None or found < least:
        raise InvalidArgument(_text(name, f"a whole number, at least {least}{_below(value)}, or None", value, remedy))
    return found


def positive(name: str, value: Any, what: str = "number", *, remedy: str = "") -> float:
    """Require a positive finite number; the message calls it `what`, as in "standard deviation".

    Raises:
        InvalidArgument: if the argument is invalid; the message names it.
    """
    found = number(value)
    if not 0 < found < math.inf:
        raise InvalidArgument(_text(name, f"a positive {what}", value, remedy))
    return found


def finite(name: str, value: Any, what: str = "number", *, remedy: str = "") -> float:
    """Require a finite number; `what` is the noun for it in the message, such as "return".

    Raises:
        InvalidArgument: if the argument is invalid; the message names it.
    """
    found = number(value)
    if not math.isfinite(found):
        raise InvalidArgument(_text(name, f"a finite {what}", value, remedy))
    return found


def ordered(name: str, value: Any, what: str = "number", *, remedy: str = "") -> float:
    """Require a number, which may be infinite but not nan; `what` is the noun for it in the message.

    Raises:
        InvalidArgument: if the argument is invalid; the message names it.
    """
    found = number(value)
    if math.isnan(found):
        raise InvalidArgument(_text(name, f"a {what}, and not nan", value, remedy))
    return found


def index(name: str, value: Any, count: int, what: str, *, remedy: str = "") -> int:
    """Require an index, a whole number from 0 to `count` − 1; `what` says of what, as in "a state".

    Raises:
        InvalidArgument: if the argument is invalid; the message names it.
    """
    found = whole_number(value)
    if found is None or not 0 <= found < count:
        raise InvalidArgument(_text(name, f"{what}, 0 to {count - 1}", value, remedy))
    return found


def fraction(name: str, value: Any, *, remedy: str = "") -> float:
    """Require a number above 0 and at most 1, such as a rate.

    Raises:
        InvalidArgument: if the argument is invalid; the message names it.
    """
    found = number(value)
    if not 0 < found <= 1:
        raise InvalidArgument(_text(name, "a number above 0 and at most 1", value, remedy))
    return found


def probability(name: str, value: Any, *, remedy: str = "") -> float:
    """Require a probability, from 0 to 1.

    Raises:
        InvalidArgument: if the argument is invalid; the message names it.
    """
    found = number(value)
    if not 0 <= found <= 1:
        raise InvalidArgument(_text(name, "a probability", value, remedy))
    return found


def one_of(name: str, value: Any, choices: Collection[str], *, remedy: str = "") -> None:
    """Require one of a few names.

    Raises:
        InvalidArgument: if the argument is none of the choices; the message names it and the choices.
    """
    if not isinstance(value, str) or value not in choices:
        raise InvalidArgument(_text(name, f"one of {', '.join(choices)}", value, remedy))


def flag(name: str, value: Any, *, remedy: str = "") -> bool:
    """Require True or False, of Python or numpy.

    Raises:
        InvalidArgument: if the argument is invalid; the message names it.
    """
    if not isinstance(value, bool | np.bool_):
        raise InvalidArgument(_text(name, "True or False", value, remedy))
    return bool(value)


def called(name: str, value: Any, *, remedy: str = "") -> str:
    """Require a name that files and terminals can hold: a string that has a UTF-8 encoding.

    Raises:
        InvalidArgument: if the argument is invalid; the message names it.
    """
    if not isinstance(value, str) or not is_encodable(value):
        raise InvalidArgument(_text(name, "a string of valid Unicode", value, remedy))
    return value


def named(name: str, value: Any, *, least: int = 1, what: str = "guide") -> dict[str, Any]:
    """Require a mapping from names to guides, or to another `what`, with at least `least` of them.

    Raises:
        InvalidArgument: if it is anything else, such as a list, or a name is no string that files can hold.
    """
    if not isinstance(value, Mapping) or len(value) < least:
        found = "empty" if isinstance(value, Mapping) else shown(value)
        few = ", at least one" if least else ""
        raise InvalidArgument(f"`{name}` must map names to {what}s{few}, but is {found}: pass {{'name': {what}}}.")
    return {called(f"{name}: {key!r}" if isinstance(key, str) else name, key): each for key, each in value.items()}


def listed(name: str, value: Any, what: str, error: type[Exception] = InvalidArgument) -> list[Any]:
    """Require a sequence that is not empty, such as a list with an array for each action.

    Raises:
        InvalidArgument: or `error`, if it is not; `what` says what it must hold.
    """
    try:
        found = [] if isinstance(value, str | bytes | Mapping) else list(value)
    except TypeError:
        found = []
    if not found:
        raise error(f"`{name}` must be a list of {what}, but is {shown(value)}.")
    return found


def instance(name: str, value: Any, kind: type[T], remedy: str) -> T:
    """Require an object of a class.

    Raises:
        InvalidArgument: if it is anything else; the message names the argument, and ends with the remedy.
    """
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise InvalidArgument(_text(name, f"{article} {kind.__name__}", value, remedy))
    return value


def function(name: str, value: Any) -> Callable[..., Any]:
    """Require something that can be called.

    Raises:
        InvalidArgument: if it is anything else.
    """
    if not callable(value):
        raise InvalidArgument(_text(name, "a function", value, ""))
    return value


def takes_two(function: Callable[..., Any]) -> bool:
    """Whether a function can be called with two arguments, as far as its signature says."""
    try:
        inspect.signature(getattr(function, "forward", function)).bind(0, {})  # of a torch module it says more
    except TypeError:
        return False
    except ValueError:  # a function without a signature
        return True
    return True


def functions(name: str, value: Any) -> tuple[Callable[..., Any], ...]:
    """Require a sequence of functions.

    Raises:
        InvalidArgument: if it is anything else, such as one function, or a sequence that holds a class.
    """
    found = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else None
    if found is None or any(isinstance(each, type) or not callable(each) for each in found):
        raise InvalidArgument(_text(name, "a list of functions", value, ""))
    return found


def is_encodable(value: str) -> bool:
    """Whether a string has a UTF-8 encoding; one with half of a surrogate pair, such as "\\ud800", has none."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def whole_number(value: Any) -> int | None:
    """The whole number that `value` is, if a tensor can hold it; None for anything else."""
    found = plain_number(value)
    return int(found) if isinstance(found, int) and abs(found) < 2**63 else None


def number(value: Any) -> float:
    """The real number that `value` is, which may be infinite; nan for anything else."""
    found = plain_number(value)
    if found is None:
        return math.nan
    try:
        return float(found)
    except OverflowError:  # a whole number of more than 308 digits
        return math.inf if found > 0 else -math.inf


def is_number(value: Any) -> bool:
    """Whether `value` is a real number, nan and infinities included."""
    return plain_number(value) is not None


def shown(value: Any) -> str:
    """The value as messages show it: arrays and tensors by kind and shape, classes by name, anything long cut short."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    is_tensor = _is_tensor(value)
    if (is_tensor or isinstance(value, np.ndarray)) and (value.ndim or not is_number(value)):
        sparse = "" if str(getattr(value, "layout", "torch.strided")) == "torch.strided" else "sparse "
        dtype = str(value.dtype).removeprefix("torch.")
        what = f"a {sparse}tensor" if is_tensor else "an array"
        return f"{what} of {dtype}, shape {tuple(value.shape)}"
    try:
        text = repr(value)
    except Exception:  # the repr of another library's object
        text = f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def plain_number(value: Any) -> int | float | None:
    """The number of Python that `value` is or holds, or None for anything else; True and False are not numbers."""
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, int | float):
        return value
    if _is_tensor(value):
        real = str(value.dtype) != "torch.bool" and not value.is_complex()
        held = value.ndim == 0 and str(value.layout) == "torch.strided" and not value.is_meta
        return value.item() if real and held else None
    if getattr(value, "ndim", None) == 0 and hasattr(value, "__array__"):  # of numpy or another library
        array = np.asarray(value)
        return {"i": int, "u": int, "f": float}.get(array.dtype.kind, lambda _: None)(array)
    return None


def _is_tensor(value: Any) -> bool:
    """Whether `value` is a tensor of torch, which the command line has not imported while it checks its options."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _below(value: Any) -> str:
    return " and below 2**63" if isinstance(value, int) and value >= 2**63 else ""


def _text(name: str, wanted: str, value: Any, remedy: str) -> str:
    return f"`{name}` must be {wanted}, but is {shown(value)}.{' ' if remedy else ''}{remedy}"
