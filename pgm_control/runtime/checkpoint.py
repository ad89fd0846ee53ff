"""Files of checkpoints: tensors and JSON, loadable without running code."""

import json
from pathlib import Path
from typing import Any

import torch

from ..errors import InvalidCheckpoint


def loaded(path: str | Path, kind: str, remedy: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a file holds, on the CPU: its tensors, and its facts of JSON.

    Args:
        path: of the file.
        kind: what wrote it, as in "a fit".
        remedy: a sentence.

    Raises:
        InvalidCheckpoint: if there is no such file, it cannot be read, or it holds something else.
    """
    reason = ""
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        facts = json.loads(content.pop("json"))
        if isinstance(content, dict) and isinstance(facts, dict):
            return content, facts
    except FileNotFoundError:
        raise InvalidCheckpoint(f"There is no checkpoint at {path}. {remedy}") from None
    except OSError as problem:
        reason = f" ({problem.strerror})"
    except Exception:
        pass  # bytes that are not a checkpoint end in nearly any error, and torch's text advises to load without safety
    raise InvalidCheckpoint(f"{path} is not a whole checkpoint of {kind}, or cannot be read{reason}. {remedy}")
