"""Files that are written completely or not at all."""

import os
import tempfile
from pathlib import Path
from typing import Any

from ..errors import InvalidArgument
from .arguments import is_encodable, shown


def path_of(path: Any, name: str = "path") -> Path:
    """The path of a file to write.

    Raises:
        InvalidArgument: if it is not a path, cannot be a file name, or is a folder; the message names the argument.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str) or not text or not is_encodable(text) or "\0" in text:
        raise InvalidArgument(f"`{name}` must be the path of a file, a string or a Path, but is {shown(path)}.")
    if Path(text).is_dir():
        raise InvalidArgument(f"`{name}` must be the path of a file, but {text!r} is a folder. Add a file name.")
    return Path(text)


def write_whole(path: str | Path, content: bytes) -> None:
    """Write to a temporary file beside `path`, then rename it: after a crash the file is the old one or the new one.

    Raises:
        InvalidArgument: if there can be no file with this path.
    """
    target = path_of(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".partial")
    except (FileExistsError, NotADirectoryError, PermissionError) as problem:
        raise InvalidArgument(
            f"`path` must be the path of a file that can be written, but {str(target)!r} is not: {problem.strerror}."
        ) from problem
    try:
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
