"""Files that are written completely or not at all."""

import glob
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import InvalidArgument
from .alone.process import locked_file, unlock
from .arguments import is_encodable, shown

try:
    import fcntl
except ImportError:  # Windows, where partial files of killed processes stay
    fcntl = None

_SUFFIX = ".partial"
_LOCK = ".lock"


def path_of(path: Any, name: str = "path") -> Path:
    """The path of a file to write.

    Raises:
        InvalidArgument: if it is not a path, cannot be a file name, or is a folder; the message names the argument.
    """
    found = _path(path, name, "a file")
    if found.is_dir():
        raise InvalidArgument(f"`{name}` must be the path of a file, but {str(found)!r} is a folder. Add a file name.")
    return found


def folder_of(path: Any, name: str) -> Path:
    """The path of a folder, which may be made later.

    Raises:
        InvalidArgument: if it is not a path, cannot be the name of a folder, or is a file; the message names the
            argument.
    """
    found = _path(path, name, "a folder")
    if found.is_file():
        raise InvalidArgument(f"`{name}` must be the path of a folder, but {str(found)!r} is a file.")
    return found


def _path(path: Any, name: str, what: str) -> Path:
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str) or not text or not is_encodable(text) or "\0" in text:
        raise InvalidArgument(f"`{name}` must be the path of {what}, a string or a Path, but is {shown(path)}.")
    return Path(text)


def require_writable(folder: Path, name: str) -> None:
    """Make a folder if needed, and require that files can be written there.

    Raises:
        InvalidArgument: if they cannot; the message names the argument.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, prefix=".") as file:
            file.write(b"\0")
    except OSError as problem:
        raise _not_writable(name, "a folder", folder, problem) from problem


def _not_writable(name: str, what: str, path: Path, problem: OSError) -> InvalidArgument:
    return InvalidArgument(
        f"`{name}` must be {what} that can be written, but {str(path)!r} is not: {problem.strerror}."
    )


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file as `written_whole` does.

    Raises:
        InvalidArgument: if there can be no file with this path.
    """
    with written_whole(path) as file:
        file.write(content)


@contextmanager
def written_whole(path: str | Path) -> Iterator[BinaryIO]:
    """Write to a temporary file beside `path`, then rename it: after a crash the file is the old one or the new one.

    Temporary files for the same path whose process was killed are removed.

    Raises:
        InvalidArgument: if there can be no file with this path.
    """
    target = path_of(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_partial(target)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=_prefix(target), suffix=_SUFFIX)
    except OSError as problem:
        raise _not_writable("path", "the path of a file", target, problem) from problem
    try:
        with _locked(temporary):
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o666 & ~mask)  # mkstemp makes a private file, unlike open
            os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def alone_in(folder: Path, name: str = "out") -> Iterator[None]:
    """Hold a folder, which is made if needed, for this process alone; what was made and stays empty is removed.

    The lock is one of the system on the file `.lock`. It ends with the process, however that ends, so that a run that
    was killed can be continued. Where files have no locks, as on Windows, nothing is checked.

    Raises:
        InvalidArgument: if another process holds the folder, or it cannot be written; the message names the argument.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = locked_file(folder / _LOCK)
    except OSError as problem:
        raise _not_writable(name, "a folder", folder, problem) from problem
    if file is None:
        raise InvalidArgument(
            f"`{name}` must be a folder in which nothing else runs, but another process is running in {folder}. Wait "
            "for it, or give another folder."
        )
    try:
        yield
    finally:
        unlock(folder / _LOCK, file)
        with suppress(OSError):
            for each in made:
                each.rmdir()


def _remove_partial(target: Path) -> None:
    """Remove the temporary files for this target that no process has locked.

    An empty file is left alone: its process may be about to lock it.
    """
    for partial in target.parent.glob(f"{glob.escape(_prefix(target))}*{_SUFFIX}"):
        with suppress(OSError), _locked(partial) as is_ours:
            if is_ours and partial.stat().st_size:
                partial.unlink()


def _prefix(target: Path) -> str:
    return f".{target.name}."


@contextmanager
def _locked(path: str | Path) -> Iterator[bool]:
    """Lock a file until the process ends at the latest, and yield whether the lock was free."""
    if fcntl is None:
        yield False
        return
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another process has it, or the file system has no locks
            yield False
        else:
            yield True
