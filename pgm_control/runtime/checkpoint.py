"""Checkpoint files: tensors and JSON with a checksum, loadable without running code, written whole or not at all.

A file is an archive of `torch.save` whose comment, at the end, is the SHA-256 digest of the archive without it.
"""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, final

import torch

from ..errors import InvalidCheckpoint
from .checkpoint_checks import Check, anything, fields, require
from .files import written_whole

FORMAT = 3
_HEX = 64  # characters of a digest
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
    with written_whole(path) as file:
        sealing: Any = _Sealing(file)
        try:
            torch.save({"tensors": tensors, "json": description}, sealing)
        except Exception:
            if sealing.problem is not None:  # such as a full disk, of which torch gives another error
                raise sealing.problem from None
            raise
        file.seek(-2, os.SEEK_END)
        file.write(_seal(sealing.digest))


@final
class _Sealing:
    """A file to which torch writes, and the digest of what it has written: no copy of it is in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.digest = file, hashlib.sha256()
        self.problem: OSError | None = None

    def write(self, piece: Any) -> int:
        self.digest.update(piece)
        try:
            return self._file.write(piece)
        except OSError as problem:
            self.problem = self.problem or problem
            raise

    def flush(self) -> None:
        self._file.flush()


def _seal(digest: Any) -> bytes:
    """The end of an archive whose comment is its digest, which other programs that read archives ignore."""
    return _HEX.to_bytes(2, "little") + digest.hexdigest().encode()


def _is_whole(found: bytes) -> bool:
    digest, end = hashlib.sha256(memoryview(found)[: -2 - _HEX]), found[-2 - _HEX :]
    digest.update(bytes(2))
    return end == _seal(digest)


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
        InvalidCheckpoint: if there is no such file; the file is incomplete, or was changed after it was written; it
            is of another kind or format; or a check finds a problem.
    """
    content, described = _loaded(path, kind, remedy)
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
    reason = "is incomplete, was changed after it was written, or was written by another program or version"
    try:
        found = Path(path).read_bytes()
        if _is_whole(found):
            content = torch.load(io.BytesIO(found), weights_only=True, map_location="cpu")
            described = json.loads(content.pop("json"))
            if isinstance(content, dict) and isinstance(described, dict):
                return content, described
    except FileNotFoundError:
        raise InvalidCheckpoint(f"There is no checkpoint at {path}. {remedy}") from None
    except OSError as problem:
        reason = f"cannot be read ({problem.strerror})"
    except Exception:
        pass  # a forged file raises nearly any error, and torch's message advises to load without safety
    raise InvalidCheckpoint(f"{path} is not a whole checkpoint of kind {kind!r}: it {reason}. {remedy}")
