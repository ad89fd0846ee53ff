"""Results as JSON: infinities as text, and files that are written completely or not at all."""

import json
import math
from pathlib import Path
from typing import Any

from ..errors import InvalidArgument
from ..runtime.files import path_of, write_whole


def plain(value: Any) -> Any:
    """The value with infinities and nan as text, tuples as lists, and keys as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def save_as_json(found: dict[str, Any], path: str | Path) -> None:
    """Write numbers as JSON.

    Raises:
        InvalidArgument: if the path does not end in .json.
    """
    if path_of(path).suffix.lower() != ".json":
        raise InvalidArgument(
            f"`path` must end in .json, but is {str(path)!r}: this file holds numbers. Pictures of them are in "
            "pgm_control.plot."
        )
    write_whole(path, (json.dumps(found, indent=2, allow_nan=False) + "\n").encode())
