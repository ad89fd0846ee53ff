"""The cache of compiled loops on disk, for any number of processes at once.

There is one file for each loop and the types of its arguments, with a digest of its content. It is written beside and
renamed. Numba's own cache has an index besides: of two processes that compile one loop for different types at the same
time, one may overwrite the loop of the other under its name, and a file that is cut off is an error.
"""

import hashlib
import pickle
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, final

import llvmlite
import numba
from numba.core.caching import FunctionCache
from numba.core.event import Event, Listener, register
from numba.core.serialize import dumps

from ...errors import InvalidArgument
from ...runtime.alone.process import in_turn
from ...runtime.files import write_whole

_DIGEST = hashlib.sha256().digest_size
_waits: list[Callable[[], None]] = []


def when_waiting(say: Callable[[], None]) -> None:
    """Call a function before this process waits for another that compiles the same loop."""
    _waits.append(say)


@final
class LoopCache(FunctionCache):  # pyright: ignore[reportUntypedBaseClass]
    """The cache of a loop, which numba asks before it compiles and hands over what it has compiled.

    A loop that is not there is compiled by one process, and the others wait and load it. The turn begins before numba
    compiles and ends when the loop is saved, the compilation fails, or the process ends. Anything wrong with the
    files, or with the folder, means that the loop is compiled again: it is never an error.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        """Find a folder.

        Raises:
            RuntimeError: if no folder can be written.
        """
        super().__init__(function)
        self._turn = ExitStack()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled loop for these types; None if this process is to compile it now."""
        self.release()
        target_context.refresh()
        key = self._index_key(sig, target_context.codegen())
        path = self._path(key)
        found = self._read(path, key, target_context)
        if found is None and self._enabled:
            self._turn.enter_context(in_turn(path.with_suffix(".lock"), _announce))
            found = self._read(path, key, target_context)
        if found is not None:
            self.release()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write a loop that has been compiled, if the folder can be written and has room."""
        try:
            if self._enabled and self._impl.check_cachable(data):
                key = self._index_key(sig, data.codegen)
                content = dumps((key, self._impl.reduce(data)))
                with suppress(OSError, InvalidArgument):
                    write_whole(self._path(key), hashlib.sha256(content).digest() + content)
        finally:
            self.release()

    def release(self) -> None:
        """End the turn of this process, if it has one."""
        self._turn.close()

    def flush(self) -> None:
        """Remove nothing: a file of another version has another name."""

    def _path(self, key: Any) -> Path:
        facts = repr((key, numba.__version__, llvmlite.__version__)).encode()
        return Path(self.cache_path) / f"{self._impl.filename_base}.{hashlib.sha256(facts).hexdigest()[:16]}.nbc"

    def _read(self, path: Path, key: Any, target_context: Any) -> Any:
        """The loop in a file; None if there is none, or it is not whole."""
        if not self._enabled:
            return None
        try:
            content = path.read_bytes()
            if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
                return None
            written, data = pickle.loads(content[_DIGEST:])
            return self._impl.rebuild(target_context, data) if written == key else None
        except Exception:  # unreadable, or it refers to what another version of a library had
            return None


def _announce() -> None:
    for say in _waits:
        say()


@final
class _Failures(Listener):
    """A listener of numba that ends the turn of a process whose compilation fails or is interrupted."""

    def on_start(self, event: Event) -> None:
        pass

    def on_end(self, event: Event) -> None:
        cache = (event.data or {})["dispatcher"]._cache
        if isinstance(cache, LoopCache) and sys.exc_info()[1] is not None:  # `event.is_failed` is true after a success
            cache.release()


register("numba:compile", _Failures())
