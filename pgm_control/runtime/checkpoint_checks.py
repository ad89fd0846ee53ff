"""Checks of the content of a checkpoint, made before any of it is used."""

import collections.abc
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ..errors import InvalidCheckpoint

_EXACT = (torch.float32, torch.float64)  # whose least and largest entry torch finds without a copy
_LARGEST = 2**63  # whole numbers from here on fit into no tensor
_SHOWN = 60  # the most characters of a value in a message


class Problem(NamedTuple):
    """A problem that a check found in a value.

    Attributes:
        at: the names that lead to the value, from the outermost to the innermost.
        text: what the value must be, and what it is: "must …, but …".
    """

    at: tuple[str, ...]
    text: str


Check = Callable[[Any], Problem | None]
"""A function that returns the problem of a value, or None."""


def require(where: object, whole: str, found: Any, check: Check, remedy: str) -> None:
    """Raise if a check finds a problem in a value.

    Args:
        where: the file, or the argument, that holds the value.
        whole: what the value is to be used for, as in "this guide".
        found: the value.
        check: the check of the value.
        remedy: a sentence for the end of the message.

    Raises:
        InvalidCheckpoint: if an entry is invalid; the message names it, what it must be, what it is, and the remedy.
    """
    problem = check(found)
    if problem is not None:
        its = f"its `{'.'.join(problem.at)}`" if problem.at else "it"
        raise InvalidCheckpoint(f"{where} does not fit {whole}: {its} {problem.text}. {remedy}")


def must_be(wanted: str, found: Any) -> Problem:
    """The problem of a value that is not what is wanted."""
    if isinstance(found, Tensor | dict | list | tuple):
        return Problem((), f"must be {wanted}, but is a {type(found).__name__}")
    text = repr(found)
    return Problem((), f"must be {wanted}, but is {text if len(text) <= _SHOWN else text[:_SHOWN] + '…'}")


def fields(checks: Mapping[Any, Check], others: bool = False) -> Check:
    """The check for a dictionary with these keys, and no others unless `others` is True."""

    def check(found: Any) -> Problem | None:
        if not isinstance(found, dict):
            return must_be("a dictionary", found)
        for key in checks:
            if key not in found:
                return Problem((str(key),), "must be there, but is missing")
        for key in () if others else found:
            if key not in checks:
                return Problem((str(key)[:_SHOWN],), "must not be there, but is")
        return _first((key, each(found[key])) for key, each in checks.items())

    return check


def mapping(check: Check) -> Check:
    """The check for a dictionary from names to values that all pass `check`."""

    def check_all(found: Any) -> Problem | None:
        if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
            return must_be("a dictionary of names", found)
        return _first((key, check(value)) for key, value in found.items())

    return check_all


def row(checks: Sequence[Check]) -> Check:
    """The check for a list or a tuple with one entry for each of `checks`."""

    def check(found: Any) -> Problem | None:
        if not isinstance(found, list | tuple) or len(found) != len(checks):
            count = f"{len(found)} entries" if isinstance(found, list | tuple) else f"a {type(found).__name__}"
            return Problem((), f"must be a list of {len(checks)} entries, but is {count}")
        return _first((i, each(value)) for i, (each, value) in enumerate(zip(checks, found, strict=True)))

    return check


def every(check: Check) -> Check:
    """The check for a list or a tuple of any length whose entries all pass `check`."""

    def check_all(found: Any) -> Problem | None:
        if not isinstance(found, list | tuple):
            return must_be("a list", found)
        return _first((i, check(value)) for i, value in enumerate(found))

    return check_all


def tensor(
    shape: Sequence[int | None],
    dtype: torch.dtype | None,
    least: int | float = -math.inf,
    most: int | float = math.inf,
    infinite: bool = False,
) -> Check:
    """The check for a dense tensor without gradients and without nan.

    Args:
        shape: its shape; None for an axis of any size.
        dtype: its dtype; None for float32 or float64.
        least, most: the bounds of its entries.
        infinite: whether entries may be infinite.
    """

    def check(found: Any) -> Problem | None:
        if not isinstance(found, Tensor) or not _is_plain(found):
            return must_be("a dense tensor without gradients", found)
        if found.dtype not in (_EXACT if dtype is None else (dtype,)):
            wanted = "torch.float32 or torch.float64" if dtype is None else dtype
            return Problem((), f"must have dtype {wanted}, but has {found.dtype}")
        if found.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, found.shape, strict=True)):
            wanted = str(tuple(shape)).replace("None", "any")
            return Problem((), f"must have shape {wanted}, but has {tuple(found.shape)}")
        if found.numel() == 0:
            return None
        entries = torch.view_as_real(found.detach()) if found.is_complex() else found.detach()
        entries = entries if entries.dtype in _EXACT else entries.to(torch.float64)
        low, high = (float(each) for each in entries.aminmax())  # nan where an entry is
        if math.isnan(low):
            return Problem((), "must not hold nan, but does")
        if not infinite and math.inf in (-low, high):
            return Problem((), "must hold finite numbers, but holds an infinite one")
        if low < least or high > most:
            worst = low if low < least else high
            return Problem((), f"must hold numbers from {least:g} to {most:g}, but holds {worst:g}")
        return None

    return check


def number(
    least: int | float = -math.inf, most: int | float = math.inf, *, whole: bool = False, infinite: bool = False
) -> Check:
    """The check for a number that is neither a tensor nor nan."""

    def check(found: Any) -> Problem | None:
        kind = int if whole else int | float
        if isinstance(found, bool) or not isinstance(found, kind):
            return must_be("a whole number" if whole else "a number", found)
        if isinstance(found, int) and abs(found) >= _LARGEST:
            return must_be("less than 2^63", found)
        if math.isnan(found) or (math.isinf(found) and not infinite):
            return must_be("a finite number", found)
        if not least <= found <= most:
            bounds = f"{least:g} or more" if most == math.inf else f"from {least:g} to {most:g}"
            return must_be(bounds, found)
        return None

    return check


def text(found: Any) -> Problem | None:
    """The check for a string."""
    return None if isinstance(found, str) else must_be("a string", found)


def flag(found: Any) -> Problem | None:
    """The check for True or False."""
    return None if isinstance(found, bool) else must_be("true or false", found)


def nothing(found: Any) -> Problem | None:
    """The check for None."""
    return None if found is None else must_be("null", found)


def anything(found: Any) -> Problem | None:
    """The check that every value passes, for values that are checked when they are restored."""
    return None


def either(*checks: Check) -> Check:
    """The check for a value that passes one of the checks; its problem is that of the last check."""

    def check(found: Any) -> Problem | None:
        problems = [each(found) for each in checks]
        return None if None in problems else problems[-1]

    return check


def one_of(*values: Any) -> Check:
    """The check for one of these values, of the same type."""

    def check(found: Any) -> Problem | None:
        if any(type(found) is type(value) and found == value for value in values):
            return None
        return must_be(f"one of {', '.join(map(repr, values))}", found)

    return check


def generator_state(device: torch.device | str = "cpu") -> Check:
    """The check for a state that torch's generator of this device accepts."""

    def check(found: Any) -> Problem | None:
        problem = tensor((None,), torch.uint8)(found)
        if problem is None:
            try:
                torch.Generator(device).set_state(found)
            except RuntimeError:
                return Problem((), "must be a state of torch's generator, but is none")
        return problem

    return check


def alike(template: Any) -> Check:
    """The check for the structure of a template: keys, lengths and types, and the shape and dtype of tensors.

    A tensor may have infinite entries only if the template has some.
    """
    if isinstance(template, Tensor):
        return tensor(template.shape, template.dtype, infinite=bool(template.isinf().any()))
    if isinstance(template, Mapping):
        return fields({key: alike(value) for key, value in template.items()})
    if isinstance(template, list | tuple):
        return row([alike(value) for value in template])
    if isinstance(template, bool):
        return flag
    if isinstance(template, int | float):
        return number(infinite=math.isinf(template))
    return text if isinstance(template, str) else nothing if template is None else anything


def hinted(hint: Any) -> Check:
    """The check for a JSON value of this type hint; the parts of a union that JSON cannot hold are left out."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return either(*(hinted(each) for each in args if not _is_foreign(each)))
    if origin is Literal:
        return one_of(*args)
    if origin in (collections.abc.Sequence, list, tuple):
        return every(hinted(args[0]))
    plain: dict[Any, Check] = {
        bool: flag, int: number(whole=True), float: number(), str: text, type(None): nothing
    }  # fmt: skip
    return plain.get(hint, anything)


def _is_plain(found: Tensor) -> bool:
    """Whether the memory of a tensor holds its entries as they are: the compiled loops read it through numpy."""
    odd = (found.is_meta, found.is_quantized, found.requires_grad, found.is_neg(), found.is_conj())
    return found.layout is torch.strided and not any(odd)


def _is_foreign(hint: Any) -> bool:
    """Whether JSON never holds a value of this type: functions, tensors, modules."""
    kind = typing.get_origin(hint) or hint
    return kind is collections.abc.Callable or (isinstance(kind, type) and issubclass(kind, Tensor | torch.nn.Module))


def _first(problems: Any) -> Problem | None:
    """The first problem among the pairs (name, problem or None), with the name put before its path."""
    for name, problem in problems:
        if problem is not None:
            return Problem((str(name), *problem.at), problem.text)
    return None
