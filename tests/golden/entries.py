"""Entries of a record: conversion of values into named tensors and texts, and comparison of two records."""

import enum
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

Entry = Tensor | str
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?|-?\.\d+")
_TIME = re.compile(r"\d+(?:\.\d+)?\s*(?:s|ms|us|µs|minutes?)\b")


class Verdict(NamedTuple):
    """The result of comparing an entry with the recorded one."""

    name: str
    kind: str  # equal, close, differs, missing, new
    detail: str = ""


def entries(name: str, value: Any) -> dict[str, Entry]:
    """The entries of a value. Mappings and ragged sequences add a level to the name; a status is its member's name.

    Raises:
        TypeError: for a value that is neither numbers nor text.
    """
    if isinstance(value, Tensor):
        return {name: value.detach().cpu().contiguous().clone()}
    if isinstance(value, enum.Enum):
        return {name: value.name}
    if isinstance(value, str) or value is None:
        return {name: str(value)}
    if isinstance(value, Mapping) or hasattr(value, "_asdict"):
        inner = value if isinstance(value, Mapping) else value._asdict()
        return {key: each for part, of in inner.items() for key, each in entries(f"{name}/{part}", of).items()}
    table = _table(value)
    if table is not None:
        return {name: torch.from_numpy(table.copy())}
    if isinstance(value, list | tuple):
        return {key: each for i, of in enumerate(value) for key, each in entries(f"{name}/{i}", of).items()}
    raise TypeError(f"{name} must be numbers, text or a collection of them, but is a {type(value).__name__}.")


def _table(value: Any) -> np.ndarray | None:
    """The value as an array of numbers, or None if it is not numeric."""
    try:
        found = np.asarray(value)
    except ValueError:
        return None
    return found if found.dtype.kind in "biuf" else None


def attributes(thing: object, names: str) -> dict[str, Any]:
    """Public attributes by name; `names` are separated by blanks."""
    return {name: getattr(thing, name) for name in names.split()}


def numbers(text: str) -> list[float]:
    """The numbers in a text, without times."""
    return [float(each.replace(",", "").rstrip(".")) for each in _NUMBER.findall(_TIME.sub("", text))]


def tensors_in(path: str | Path) -> dict[str, Any]:
    """The tensors and numbers in a checkpoint, by dotted names; times and JSON are left out."""
    found: dict[str, Any] = {}

    def walk(name: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, each in value.items():
                walk(f"{name}.{key}" if name else str(key), each)
        elif isinstance(value, list | tuple):
            for i, each in enumerate(value):
                walk(f"{name}.{i}", each)
        elif isinstance(value, Tensor | bool | int | float) and "seconds" not in name:
            found[name] = value

    walk("", torch.load(path, weights_only=True))
    return found


def renamed(record: Mapping[str, Entry], rules: Iterable[tuple[str, str]]) -> dict[str, Entry]:
    """A record with (pattern, replacement) applied, in order, to names and to texts.

    Raises:
        ValueError: if two entries get the same name.
    """
    found: dict[str, Entry] = {}
    for old, value in record.items():
        name = old
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
            value = re.sub(pattern, replacement, value) if isinstance(value, str) else value
        if name in found:
            raise ValueError(f"The map gives the name {name} to two entries; one of them is {old}.")
        found[name] = value
    return found


def compare(old: Mapping[str, Entry], new: Mapping[str, Entry], tolerance_torch: float) -> list[Verdict]:
    """A verdict for each entry of either record, by name.

    Args:
        old: the recorded entries.
        new: the current entries.
        tolerance_torch: for entries of the torch back end, absolute and relative; others must be equal bit for bit.
    """
    found = []
    for name in sorted({*old, *new}):
        if name not in new:
            found.append(Verdict(name, "missing"))
        elif name not in old:
            text = new[name]
            found.append(Verdict(name, "new", text if isinstance(text, str) else ""))
        else:
            tolerance = tolerance_torch if name.split("/")[1] == "torch" else 0.0
            found.append(Verdict(name, *_compared(old[name], new[name], tolerance)))
    return found


def _compared(old: Entry, new: Entry, tolerance: float) -> tuple[str, str]:
    if isinstance(old, str) or isinstance(new, str):
        return ("equal", "") if isinstance(old, str) and old == new else ("differs", f"{_brief(old)} → {_brief(new)}")
    if old.shape != new.shape or old.dtype != new.dtype:
        return "differs", f"{_brief(old)} → {_brief(new)}"
    if old.numpy().tobytes() == new.numpy().tobytes():
        return "equal", ""
    one, other = old.double(), new.double()
    apart = torch.where((one == other) | (one.isnan() & other.isnan()), 0.0, (one - other).abs())
    close = tolerance > 0 and torch.allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)
    return "close" if close else "differs", f"by at most {float(apart.max()):.3g}, {int((apart > 0).sum())} numbers"


def _brief(entry: Entry) -> str:
    return repr(entry[:200]) if isinstance(entry, str) else f"{tuple(entry.shape)} {entry.dtype}"
