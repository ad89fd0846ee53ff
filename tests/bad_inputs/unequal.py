"""Whether two answers differ in any number: results are compared field by field."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

_TIMES = {"seconds", "_seconds", "_seen"}


def unequal(one: Any, other: Any, depth: int = 8) -> bool:
    """Whether a number, a string or the size of a part differs; objects of other libraries are not compared."""
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return not (torch.is_tensor(one) and torch.is_tensor(other) and _alike(_array(one), _array(other)))
    if isinstance(one, np.ndarray | np.generic | int | float):
        return not _alike(np.asarray(one), np.asarray(other))
    if isinstance(one, str) or one is None:
        return one != other
    if depth == 0:
        return False
    if isinstance(one, Mapping):
        return list(one) != list(other) or any(unequal(one[key], other[key], depth - 1) for key in one)
    if isinstance(one, list | tuple):
        return len(one) != len(other) or any(unequal(*pair, depth - 1) for pair in zip(one, other, strict=True))
    if not type(one).__module__.startswith("pgm_control"):
        return False
    fields = {key: value for key, value in getattr(one, "__dict__", {}).items() if key not in _TIMES}
    return any(unequal(value, getattr(other, key), depth - 1) for key, value in fields.items() if hasattr(other, key))


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().to_dense().numpy()


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    if one.dtype.kind not in "biuf" or other.dtype.kind not in "biuf":
        return True
    return one.shape == other.shape and np.array_equal(one, other, equal_nan=True)
