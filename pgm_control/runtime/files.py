"""Files that are written completely or not at all."""

import glob
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import InvalidArgument
from .arguments import shown

try:
    import fcntl
except ImportError:  # Windows, where partial files of killed processes stay
    fcntl = None

_SUFFIX = ".partial"


def write_whole(path: str | Path, content: bytes) -> None:
    """Write to a temporary file beside `path`, then rename it: after a crash the file is the old one or the new one.

    Temporary files for the same path whose process was killed are removed.

    Raises:
        InvalidArgument: if the path is a folder, or no path.
    """
    target = require_file_path("path", path)
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_partial(target)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=_prefix(target), suffix=_SUFFIX)
    try:
        with _locked(temporary):
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o666 & ~mask)  # mkstemp makes a private file, unlike open
            os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def require_file_path(name: str, path: Any) -> Path:
    """Require the path of a file that exists or can be created.

    Raises:
        InvalidArgument: if it is a folder, or no path; the message calls the argument `name`.
    """
    if not isinstance(path, str | os.PathLike) or not path:
        raise InvalidArgument(f"`{name}` must be the path of a file, but is {shown(path)}.")
    if Path(path).is_dir():
        raise InvalidArgument(f"`{name}` must be the path of a file, but {path} is a folder. Add the name of a file.")
    return Path(path)


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
