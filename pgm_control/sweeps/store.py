"""The results of a sweep on disk: a line of JSON for each finished or failed job."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

from ..errors import InvalidArgument
from ..runtime.files import alone_in
from .json_values import text_of

RESULTS = "results.jsonl"
"""The name of the file in its folder."""


@final
class Store:
    """A file with a line for each job, which only the process that asks for the sweep writes.

    A line holds the `key` of the job, what is known of it (such as `function`, `version` and `setting`), and its
    `result`, or its `failure` if it has none. Lines of other keys are not changed.
    """

    def __init__(self, path: Path) -> None:
        """Set the path; nothing is read or written yet."""
        self.path = path

    def results(self, is_valid: Callable[[Mapping[str, Any]], bool] | None = None) -> dict[str, dict[str, Any]]:
        """The valid results by key, the first of each; failures and lines that cannot be read are left out."""
        found: dict[str, dict[str, Any]] = {}
        for line in self._lines():
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if not isinstance(entry, dict):
                continue
            key, result = entry.get("key"), entry.get("result")
            if isinstance(key, str) and isinstance(result, dict) and (is_valid is None or is_valid(result)):
                found.setdefault(key, result)
        return found

    def mend(self) -> None:
        """Cut off an incomplete last line."""
        if self.path.exists():
            with self.path.open("rb+") as file:
                file.truncate(_end_of_lines(file))

    def append(self, entry: Mapping[str, Any]) -> None:
        """Append a line, whole or not at all, and flush it to the disk.

        Raises:
            InvalidArgument: if a number cannot be written, or the disk takes no more.
        """
        line = text_of(entry).encode() + b"\n"
        try:
            with self.path.open("ab", buffering=0) as file:
                end, left = file.seek(0, os.SEEK_END), memoryview(line)
                try:
                    while left:
                        left = left[file.write(left) :]
                    os.fsync(file.fileno())
                except BaseException:  # a part of the line would spoil the next one
                    os.ftruncate(file.fileno(), end)
                    raise
        except OSError as problem:
            raise InvalidArgument(
                f"`out` must be a folder that can be written, but {str(self.path)!r} is not: {problem.strerror}. "
                "Finished jobs are kept: make room, and run the same again."
            ) from problem

    def _lines(self) -> Iterator[bytes]:
        if self.path.exists():
            with self.path.open("rb") as file:
                yield from (line for line in file if line.endswith(b"\n"))


@contextmanager
def store_in(folder: Path | None) -> Iterator[Store | None]:
    """Hold a folder for this process alone, and yield its file; None without a folder.

    Raises:
        InvalidArgument: if another process holds the folder, or it cannot be written.
    """
    if folder is None:
        yield None
        return
    with alone_in(folder):
        file = Store(folder / RESULTS)
        try:
            file.mend()
        except OSError as problem:
            raise InvalidArgument(
                f"`out` must be a folder whose {RESULTS} can be read and written, but {str(file.path)!r} cannot: "
                f"{problem.strerror or problem}. Give another folder."
            ) from problem
        yield file


def _end_of_lines(file: Any) -> int:
    """The position behind the last line break, searched from the end of the file."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - (1 << 16))
        file.seek(start)
        last = file.read(end - start).rfind(b"\n")
        if last >= 0:
            return start + last + 1
        end = start
    return 0
