"""The one place that decides between compiled loops and torch."""

import functools
import importlib.util
import os
from types import ModuleType

from torch import Tensor


def kernels_for(table: Tensor, steps: int) -> ModuleType | None:
    """The compiled loops, or None for torch.

    Compiled if numba is installed (extra `fast`), the table is on the CPU, and there is a loop to compile: with one
    step torch is as fast, and the first call compiles for some seconds. PGM_CONTROL_BACKEND=torch in the environment
    always takes torch.
    """
    if steps == 1 or table.device.type != "cpu" or os.environ.get("PGM_CONTROL_BACKEND") == "torch":
        return None
    return _kernels()


def sweeps_for(table: Tensor) -> ModuleType | None:
    """The compiled sweeps over all states of a large problem, or None for those in torch, by the same rule."""
    return None if kernels_for(table, steps=2) is None else importlib.import_module(".infinite_horizon", __package__)


@functools.cache
def _kernels() -> ModuleType | None:
    if importlib.util.find_spec("numba") is None:
        return None
    return importlib.import_module(".finite_horizon", __package__)
