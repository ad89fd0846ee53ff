"""The one place that decides between compiled loops and torch."""

import functools
import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

from .bundles import Table

_notices: list[Callable[[], None]] = []


def kernels_for(table: Table, steps: int) -> ModuleType | None:
    """The module of compiled loops, or None for torch.

    The loops are compiled if numba is installed (extra `fast`), the table is on the CPU, and there is more than one
    step. With one step torch is as fast, and the first call takes some seconds to compile. PGM_CONTROL_BACKEND=torch
    in the environment always selects torch.
    """
    return None if steps == 1 or table.device.type != "cpu" or _torch_is_selected() else _finite_horizon()


def sweeps_for(table: Table) -> ModuleType | None:
    """The module of compiled sweeps over all states of a large problem, or None for torch, by the same rule."""
    return None if kernels_for(table, steps=2) is None else _infinite_horizon()


@contextmanager
def before_compiling(say: Callable[[], None]) -> Iterator[None]:
    """Within this context, call `say` once before a loop is compiled. Loops that are read from a cache do not count."""
    _notices.append(say)
    try:
        yield
    finally:
        _notices[:] = [each for each in _notices if each is not say]


def compilation_begins() -> None:
    """Make the calls of `before_compiling`."""
    while _notices:
        _notices.pop()()


def _torch_is_selected() -> bool:
    return os.environ.get("PGM_CONTROL_BACKEND") == "torch"


def _numba_is_installed() -> bool:
    return importlib.util.find_spec("numba") is not None


@functools.cache
def _finite_horizon() -> ModuleType | None:
    if not _numba_is_installed():
        return None
    from . import finite_horizon

    return finite_horizon


@functools.cache
def _infinite_horizon() -> ModuleType:
    from . import infinite_horizon

    return infinite_horizon
