"""How loops are compiled: the options, the cache on disk, and a notice before the first is compiled."""

import functools
import hashlib
import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import numba
from numba.core.event import Event, Listener, register

from .cached.loop_cache import LoopCache, when_waiting

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
# Python calls the entries only. What unpacks the arguments of a call takes a quarter of the time of compiling.
_INNER: dict[str, Any] = {**_OPTIONS, "no_cpython_wrapper": True}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile the unwrapped function: the shape checker of the tests wraps it, and a wrapper cannot be compiled.

    Only compiled functions can call the result; Python calls an `entry`. A product and a sum may be rounded once, not
    twice ("contract"); nothing else may be reordered.
    """
    return numba.njit(**_INNER, fastmath={"contract"})(inspect.unwrap(function))


def compiled_in_any_order(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile as `compiled` does; sums may also be reordered, so that several terms are added side by side."""
    return numba.njit(**_INNER, fastmath={"contract", "reassoc"})(inspect.unwrap(function))


def entry(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile as `compiled` does, and cache on disk under a name that changes with any file here or with the bundles.

    Numba looks only at the file of the function itself, and would keep an old copy of the functions it calls. Where no
    folder can be written, as in a read-only installation without a home, there is no cache; a warning says so once.
    """
    bare = inspect.unwrap(function)
    bare.__qualname__ += f"_{_sources()}"
    dispatcher: Any = numba.njit(**_OPTIONS, fastmath={"contract"})(bare)
    try:
        dispatcher._cache = LoopCache(bare)
    except RuntimeError:  # "no locator available"
        _warn_of_no_cache()
    return dispatcher


@functools.cache
def _warn_of_no_cache() -> None:
    warnings.warn(
        "There is no folder for compiled loops that can be written, so every process compiles them again. Set the "
        "environment variable NUMBA_CACHE_DIR to such a folder.",
        RuntimeWarning,
        stacklevel=2,
    )


@functools.cache
def _sources() -> str:
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def announce(compiles: Callable[[], None], waits: Callable[[], None]) -> None:
    """Call `compiles` before any of these loops is compiled, and `waits` before waiting for a process that compiles it.

    A loop that is read from the cache is not announced.
    """
    register("numba:compile", _Listener(compiles))
    when_waiting(waits)


@final
class _Listener(Listener):
    """A listener of numba that calls a function when the compilation of one of these loops begins."""

    def __init__(self, say: Callable[[], None]) -> None:
        self._say = say

    def on_start(self, event: Event) -> None:
        function = (event.data or {})["dispatcher"].py_func
        if function.__module__.startswith(f"{__package__}."):
            self._say()

    def on_end(self, event: Event) -> None:
        pass
