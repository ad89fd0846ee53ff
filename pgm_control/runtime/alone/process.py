"""Locks of the system on files, which end with the process that holds them, however it ends."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_PAUSE = 0.05  # seconds between two tries
_PATIENCE = 600.0  # seconds


def locked_file(path: Path) -> int | None:
    """The number of a locked open file, which is made if needed, or None if another process has locked it.

    Where files have no locks, as on Windows, the file is opened and not locked.

    Raises:
        OSError: if the file cannot be opened.
    """
    while True:
        file = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        except OSError:  # a file system without locks
            return file
        with suppress(OSError):
            if os.path.samestat(os.fstat(file), os.stat(path)):
                return file
        os.close(file)  # its holder has removed it in the meantime


def unlock(path: Path, file: int) -> None:
    """Remove and close a file of `locked_file`; the next process that waits for it makes it again."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)  # a process that was forked meanwhile has the file open, too
    os.close(file)


@contextmanager
def in_turn(path: Path, waits: Callable[[], object], patience: float = _PATIENCE) -> Iterator[None]:
    """Enter one process at a time, while the others wait; the lock is a file, which is removed afterwards.

    It saves work and guards nothing: a process that has waited for long enters without the lock, for its holder may
    have been halted, and so does every process where the file cannot be made or files have no locks.

    Args:
        path: the file.
        waits: called once before waiting.
        patience: the longest time to wait, in seconds.
    """
    file = _turn(path, waits, patience)
    try:
        yield
    finally:
        if file is not None:
            unlock(path, file)


def _turn(path: Path, waits: Callable[[], object], patience: float) -> int | None:
    end = None
    while True:
        try:
            file = locked_file(path)
        except OSError:  # a folder that is read-only, full or gone
            return None
        if file is not None:
            return file
        if end is None:
            waits()
            end = time.monotonic() + patience
        if time.monotonic() >= end:
            return None
        time.sleep(_PAUSE)
