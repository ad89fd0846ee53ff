"""The one place that decides between compiled loops and torch."""

import functools
import importlib.util
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

from .bundles import Table

_COMPILES = "Compiling the loops that this needs, each only once after an installation: 10 to 70 s on one core."
_WAITS = "Waiting for another process that compiles the loops that this needs, each only once after an installation."

# A warning is shown, also in a notebook, without any configuration of logging: the call would seem to hang.
_notices: list[Callable[[str], None]] = [logging.getLogger("pgm_control").warning]
_waited: list[bool] = []  # not empty once there was a notice of waiting


def kernels_for(table: Table, steps: int) -> ModuleType | None:
    """The module of compiled loops, or None for torch.

    The loops are compiled if numba is installed (extra `fast`), the table is on the CPU, and there is more than one
    step. With one step torch is as fast, and the first call takes some seconds to compile. PGM_CONTROL_BACKEND=torch
    in the environment always selects torch.
    """
    if steps == 1 or not table.is_cpu or os.environ.get("PGM_CONTROL_BACKEND") == "torch":
        return None
    return _finite_horizon()


def sweeps_for(table: Table) -> ModuleType | None:
    """The module of compiled sweeps over all states of a large problem, or None for torch, by the same rule."""
    return None if kernels_for(table, steps=2) is None else _infinite_horizon()


@contextmanager
def before_compiling(say: Callable[[str], None]) -> Iterator[None]:
    """Within this context, call `say` with a notice instead of the logger "pgm_control" before a loop is compiled.

    There is one notice in a process, before the first loop, and before it one if another process compiles a loop that
    this one waits for. Loops that are read from a cache do not count.
    """
    _notices.append(say)
    try:
        yield
    finally:
        _notices[:] = [each for each in _notices if each is not say]


def _compilation_begins() -> None:
    if _notices:
        say = _notices[-1]
        _notices.clear()
        say(_COMPILES)


def _waiting_begins() -> None:
    if _notices and not _waited:
        _waited.append(True)
        _notices[-1](_WAITS)


@functools.cache
def _finite_horizon() -> ModuleType | None:
    if importlib.util.find_spec("numba") is None:
        return None
    from . import compiling, finite_horizon

    compiling.announce(_compilation_begins, _waiting_begins)
    return finite_horizon


@functools.cache
def _infinite_horizon() -> ModuleType:
    from . import infinite_horizon

    return infinite_horizon
