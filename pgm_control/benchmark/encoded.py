"""The result of a job as plain values, for the line of a file."""

import dataclasses
from collections.abc import Mapping
from typing import Any, get_type_hints

from ..runtime.checkpoint_checks import fields, hinted
from .rows import BenchRow, JobResult, Point

_FIELDS = {field.name for field in dataclasses.fields(BenchRow)}
_CHECK = fields({name: hinted(hint) for name, hint in get_type_hints(BenchRow).items()})


def encoded(result: JobResult) -> dict[str, Any]:
    """Return the row and the history as mappings and lists."""
    return {
        "row": dataclasses.asdict(result.row),
        "objective_history": [list(each) for each in result.objective_history],
    }


def decoded(found: Mapping[str, Any]) -> JobResult | None:
    """Return the result that these values hold; None if they are those of another version, or broken."""
    try:
        return _decoded(found)
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def _decoded(found: Mapping[str, Any]) -> JobResult:
    row = found["row"]
    if set(row) != _FIELDS:
        raise KeyError("a row of another version")
    history = tuple(Point(int(step), value, when) for step, value, when in found["objective_history"])
    values = {name: 0.0 if isinstance(value, float) else value for name, value in row.items()}  # nan is a number too
    numbers = [value for point in history for value in point]
    if _CHECK(values) is not None or not all(isinstance(each, int | float) for each in numbers):
        raise TypeError("a row of other kinds of values")
    return JobResult(BenchRow(**row), history)
