"""Checkpoint files: tensors and JSON, loadable without running code, written completely or not at all."""

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
_SHOWN = 200  # the most characters of a value in a message


def write(path: str | Path, kind: str, tensors: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write a checkpoint; after a crash the file is the old one or the new one.

    Args:
        path: the file.
        kind: the kind of checkpoint, such as "fit", which `read` compares.
        tensors: nested dictionaries and lists of tensors, numbers and strings.
        facts: values that JSON can hold.
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
    """Read a checkpoint and return its tensors, on the CPU, and its facts.

    Args:
        path: the file.
        kind: the kind with which it was written.
        tensors: the check of the tensors.
        facts: the check of the facts.
        remedy: a sentence on what to do without this file.

    Raises:
        InvalidCheckpoint: if there is no such file; the file is incomplete, or a bit of it has changed; it is of
            another kind or format; or a check finds a problem.
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
    """Raise if a checkpoint was written for a different run.

    Args:
        where: the file, or the argument, that holds the checkpoint.
        past: the properties of the run that wrote the checkpoint, by name.
        here: the same properties of the present run.
        remedy: a sentence for the end of the message.

    Raises:
        InvalidCheckpoint: if a property differs; the message names it.
    """
    for key in {**here, **past}:
        if past.get(key) != here.get(key):
            was, now = (str(each.get(key))[:_SHOWN] for each in (past, here))
            raise InvalidCheckpoint(
                f"{where} belongs to another run: its {key} was {was}, but here it is {now}. {remedy}"
            )


def _loaded(path: str | Path, kind: str, remedy: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of a file as torch loads it, and the content of its JSON entry."""
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
        pass  # invalid bytes raise nearly any error, and torch's message advises to load without safety
    raise InvalidCheckpoint(f"{path} is not a whole checkpoint of kind {kind!r}, or cannot be read{reason}. {remedy}")
