"""Representations of records in one line, for `repr`."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from torch import Tensor

_SHOWN = 12  # the most entries of an array, a tuple or a mapping that are written out


def one_line(self: Any) -> str:
    """A dataclass or named tuple in one line; a class uses it as `__repr__ = one_line`.

    Arrays are written as their type and shape, unless they are short vectors. Floats have six digits. Functions are
    written by name. Fields that are None are left out.
    """
    names = [field.name for field in fields(self) if field.repr] if is_dataclass(self) else self._fields
    values = ((name, getattr(self, name)) for name in names)
    parts = ", ".join(f"{name}={_shown(value)}" for name, value in values if value is not None)
    return f"{type(self).__name__}({parts})"


def _shown(value: Any) -> str:
    if isinstance(value, Tensor | np.ndarray) and value.ndim > 0:
        if value.ndim == 1 and len(value) <= _SHOWN:
            return f"[{', '.join(map(_shown, value.tolist()))}]"
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, float | np.floating | Tensor):
        return f"{float(value):.6g}"
    if isinstance(value, Mapping):
        entries = ", ".join(f"{key!r}: {_shown(each)}" for key, each in value.items())
        return f"{{{entries}}}" if len(value) <= _SHOWN else f"{{{len(value)} entries}}"
    if isinstance(value, tuple | list | frozenset) and not hasattr(value, "_fields"):
        entries = ", ".join(map(_shown, value)) if len(value) <= _SHOWN else f"{len(value)} entries"
        return f"[{entries}]" if isinstance(value, list) else f"({entries},)" if len(value) == 1 else f"({entries})"
    if (callable(value) and type(value).__repr__ is object.__repr__) or hasattr(value, "__qualname__"):
        name = getattr(value, "__name__", type(value).__name__)
        return "a function" if name.startswith(("<", "_")) else name
    return repr(value)
