"""A learner on disk: tensors and JSON, loadable without running code, written whole or not at all."""

import io
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .._errors import InvalidCheckpoint
from .._whole_file import write_whole

_UNREADABLE = (RuntimeError, OSError, pickle.UnpicklingError, EOFError, LookupError, TypeError, ValueError)


def write(path: str | Path, tensors: dict[str, Any], facts: dict[str, Any]) -> None:
    """Write nested dictionaries of tensors and numbers, and what JSON holds: a crash leaves the old file or the new."""
    buffer = io.BytesIO()
    torch.save({"tensors": tensors, "json": json.dumps(facts)}, buffer)
    write_whole(path, buffer.getvalue())


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read both.

    Raises:
        InvalidCheckpoint: if there is no such file, or it is not whole, or holds something else.
    """
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        return content["tensors"], json.loads(content["json"])
    except FileNotFoundError as problem:
        raise InvalidCheckpoint(f"There is no checkpoint at {path}.") from problem
    except _UNREADABLE as problem:
        raise InvalidCheckpoint(f"{path} is not a whole checkpoint of a learner: {problem}") from problem


def state_of(part: Any) -> Any:
    """Of a module or an optimiser, or what the part says itself."""
    return part.state() if hasattr(part, "state") and callable(part.state) else part.state_dict()


def restore_to(part: Any, state: Any) -> None:
    """Put back what `state_of` gave."""
    (part.restore if hasattr(part, "restore") else part.load_state_dict)(state)


def configuration(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a learner, from the `locals()` of its constructor: all but itself and the environment."""
    config = {name: value for name, value in given.items() if name not in ("self", "env", "__class__")}
    return {**config, "hidden": list(given["hidden"])}


def is_plain(value: Any) -> bool:
    """Whether JSON has it."""
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True
