"""The results of a benchmark on disk: a line for each finished job, so that an interrupted run can resume."""

import dataclasses
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, final, get_type_hints

from ..runtime.checkpoint_checks import fields, hinted
from .rows import FAILED, BenchRow, JobResult, Point

_FIELDS = {field.name for field in dataclasses.fields(BenchRow)}
_CHECK = fields({name: hinted(hint) for name, hint in get_type_hints(BenchRow).items()})


@final
class ResultFile:
    """A file of lines, each a JSON object with the key of the job, its row, and its history.

    Lines with other keys, from other settings or versions, are not changed.
    """

    def __init__(self, path: Path) -> None:
        """Set the path; nothing is read or written yet."""
        self.path = path

    def results(self) -> dict[str, JobResult]:
        """Return the results by key; of two, the later one. Unreadable lines and failed jobs are skipped."""
        found = {}
        for line in self._lines():
            try:
                key, result = _decoded(json.loads(line))
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                continue
            found[key] = result
        return {key: result for key, result in found.items() if result.row.status != FAILED}

    def mend(self) -> None:
        """Cut off an incomplete last line, and create the folder if needed."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and (content := self.path.read_bytes()) and not content.endswith(b"\n"):
            os.truncate(self.path, content.rfind(b"\n") + 1)

    def append(self, key: str, result: JobResult) -> None:
        """Append a line in one write, and flush it to disk."""
        with self.path.open("ab") as file:
            file.write(_encoded(key, result))
            file.flush()
            os.fsync(file.fileno())

    def _lines(self) -> Iterator[bytes]:
        if self.path.exists():
            content = self.path.read_bytes()
            yield from content[: content.rfind(b"\n") + 1].splitlines()


def _encoded(key: str, result: JobResult) -> bytes:
    row = {name: _plain(value) for name, value in asdict(result.row).items()}
    history = [[_plain(value) for value in point] for point in result.objective_history]
    return json.dumps({"key": key, "row": row, "objective_history": history}, allow_nan=False).encode() + b"\n"


def _decoded(line: Mapping[str, Any]) -> tuple[str, JobResult]:
    row = line["row"]
    if set(row) != _FIELDS:
        raise KeyError("a row of another version")
    texts = ("model", "guide", "status", "message")
    row = {name: value if name in texts else _number(value) for name, value in row.items()}
    history = tuple(Point(int(step), _number(value), _number(when)) for step, value, when in line["objective_history"])
    values = {name: 0.0 if isinstance(value, float) else value for name, value in row.items()}  # nan is a number too
    numbers = [value for point in history for value in point]
    if _CHECK(values) is not None or not all(isinstance(each, int | float) for each in numbers):
        raise TypeError("a row of other kinds of values")
    return str(line["key"]), JobResult(BenchRow(**row), history)


def _plain(value: Any) -> Any:
    """Return infinities and nan as strings, since JSON has none."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value
