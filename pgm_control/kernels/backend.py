"""The one place that decides between compiled loops and torch."""

import functools
import importlib.util
import os
from types import ModuleType

from torch import Tensor


def kernels_for(table: Tensor, steps: int) -> ModuleType | None:
    """The module of compiled loops, or None for torch.

    The loops are compiled if numba is installed (extra `fast`), the table is on the CPU, and there is more than one
    step. With one step torch is as fast, and the first call takes some seconds to compile. PGM_CONTROL_BACKEND=torch
    in the environment always selects torch.
    """
    if steps == 1 or table.device.type != "cpu" or os.environ.get("PGM_CONTROL_BACKEND") == "torch":
        return None
    return _finite_horizon()


def sweeps_for(table: Tensor) -> ModuleType | None:
    """The module of compiled sweeps over all states of a large problem, or None for torch, by the same rule."""
    return None if kernels_for(table, steps=2) is None else _infinite_horizon()


@functools.cache
def _finite_horizon() -> ModuleType | None:
    if importlib.util.find_spec("numba") is None:
        return None
    from . import finite_horizon

    return finite_horizon


@functools.cache
def _infinite_horizon() -> ModuleType:
    from . import infinite_horizon

    return infinite_horizon
