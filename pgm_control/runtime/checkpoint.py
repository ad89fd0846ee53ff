"""Files of checkpoints: tensors and JSON, loadable without running code, written whole or not at all."""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import InvalidCheckpoint
from .checkpoint_checks import Check, anything, fields, require
from .files import write_whole

FORMAT = 2
_SHOWN = 200  # characters of what a checkpoint was written for


def write(path: str | Path, kind: str, tensors: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write a checkpoint: a crash leaves the old file or the new one.

    Args:
        path: of the file.
        kind: what can read it, such as "fit".
        tensors: nested dictionaries and lists of tensors, and of numbers and strings among them.
        facts: what JSON holds.
    """
    description = json.dumps({"kind": kind, "format": FORMAT, "facts": facts})
    buffer = io.BytesIO()
    checksums = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(True)  # `read` compares them
    try:
        torch.save({"tensors": tensors, "json": description}, buffer)
    finally:
        torch.serialization.set_crc32_options(checksums)
    write_whole(path, buffer.getvalue())


def read(
    path: str | Path, kind: str, tensors: Check, facts: Check, remedy: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a checkpoint: its tensors, on the CPU, and its facts.

    Args:
        path: of the file.
        kind: as it was written.
        tensors: what the tensors must be.
        facts: what the facts must be.
        remedy: a sentence on what to do without this file.

    Raises:
        InvalidCheckpoint: if there is no such file; it is not whole, or a bit of it is another than was written; it is
            of another kind or format; or a check finds a problem.
    """
    content, described = _loaded(path, kind, remedy)
    if "kind" not in described and "format" in described:
        raise InvalidCheckpoint(
            f"{path} was written by an earlier version, whose files this version does not read. {remedy}"
        )
    if described.get("kind") != kind:
        raise InvalidCheckpoint(
            f"{path} must hold a checkpoint of kind {kind!r}, but holds one of kind {described.get('kind')!r}. Load it "
            "with what wrote it."
        )
    if described.get("format") != FORMAT:
        raise InvalidCheckpoint(
            f"{path} has checkpoint format {described.get('format')!r}, but this version reads {FORMAT}. Load it with "
            "the version that wrote it."
        )
    parts = {"tensors": tensors, "kind": anything, "format": anything, "facts": facts}
    require(path, f"the kind {kind!r}", {**described, **content}, fields(parts), remedy)
    return content["tensors"], described["facts"]


def require_same(where: object, past: Mapping[str, Any], here: Mapping[str, Any], remedy: str) -> None:
    """Refuse to continue something else than a checkpoint was written for.

    Args:
        where: the file, or the argument, that holds it.
        past: what the checkpoint was written for, by name.
        here: what it is to be used for.
        remedy: a sentence.

    Raises:
        InvalidCheckpoint: naming what differs.
    """
    for key in {**here, **past}:
        if past.get(key) != here.get(key):
            was, now = (str(each.get(key))[:_SHOWN] for each in (past, here))
            raise InvalidCheckpoint(
                f"{where} belongs to another run: its {key} was {was}, but here it is {now}. {remedy}"
            )


def _loaded(path: str | Path, kind: str, remedy: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What torch finds in a file, and what the JSON in it says."""
    reason = ""
    try:
        with open(path, "rb") as file:
            # The file is an archive with a checksum of each entry, which torch writes but does not compare.
            if zipfile.ZipFile(file).testzip() is None:
                file.seek(0)
                content = torch.load(file, weights_only=True, map_location="cpu")
                described = json.loads(content.pop("json"))
                if isinstance(content, dict) and isinstance(described, dict):
                    return content, described
    except FileNotFoundError:
        raise InvalidCheckpoint(f"There is no checkpoint at {path}. {remedy}") from None
    except OSError as problem:
        reason = f" ({problem.strerror})"
    except Exception:
        pass  # bytes that are not a checkpoint end in nearly any error, and torch's text advises to load without safety
    raise InvalidCheckpoint(f"{path} is not a whole checkpoint of kind {kind!r}, or cannot be read{reason}. {remedy}")
