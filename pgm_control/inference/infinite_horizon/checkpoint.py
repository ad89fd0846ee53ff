"""Where value iteration stands, on disk: tensors and JSON, loadable without running code, written whole or not."""

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidCheckpoint
from ...problems.mdp import TabularMDP
from ...runtime.checkpoint import loaded
from ...runtime.checkpoint_checks import anything, fields, mapping, number, require, tensor, text
from ...runtime.files import write_whole

_FORMAT = 1
REMEDY = "Start afresh without `resume`."


@final
@dataclass(frozen=True, eq=False)
class SweepCheckpoint:
    """All that the next iteration depends on.

    Attributes:
        state: the tensors of the method.
        phase: the method that is at work; "auto" may have changed it.
        history: the span of the changes of every iteration, in reward units.
        seconds: time spent.
    """

    state: dict[str, Tensor]
    phase: str
    history: Float[Tensor, " iteration"]
    seconds: float

    def save(self, path: str | Path, description: dict[str, Any]) -> None:
        """Write to disk: a crash leaves the old file or the new one."""
        facts = {"format": _FORMAT, "phase": self.phase, "seconds": self.seconds, "description": description}
        buffer = io.BytesIO()
        torch.save({"state": self.state, "history": self.history, "json": json.dumps(facts)}, buffer)
        write_whole(path, buffer.getvalue())

    @classmethod
    def load(cls, path: str | Path, description: dict[str, Any]) -> "SweepCheckpoint":
        """Read a checkpoint of the problem that `description` tells of.

        Raises:
            InvalidCheckpoint: if there is none, it is not whole, or it belongs to another problem or method.
        """
        content, facts = loaded(path, "value_iteration", REMEDY)
        if facts.get("format") != _FORMAT:
            raise InvalidCheckpoint(
                f"{path} has checkpoint format {facts.get('format')}, but this version reads {_FORMAT}. "
                "Read it with the version that wrote it."
            )
        require(path, "value_iteration", content, _TENSORS, REMEDY)
        require(path, "value_iteration", facts, _FACTS, REMEDY)
        require_same(facts["description"], description)
        return cls(content["state"], facts["phase"], content["history"], facts["seconds"])


_TENSORS = fields({"state": mapping(anything), "history": tensor((None,), torch.float64, 0.0)})
_FACTS = fields({"format": number(whole=True), "phase": text, "seconds": number(0.0), "description": mapping(anything)})


def require_same(past: dict[str, Any], here: dict[str, Any]) -> None:
    """Refuse to continue something else.

    Raises:
        InvalidCheckpoint: naming what differs.
    """
    for key in {**here, **past}:
        if past.get(key) != here.get(key):
            raise InvalidCheckpoint(
                f"`resume` belongs to another run: its {key} was {past.get(key)}, but here it is {here.get(key)}. Pass "
                "the same arguments, or its values as `initial_value` to start from them."
            )


def digest(mdp: TabularMDP, prior: Float[Tensor, "state_or_one action"]) -> str:
    """A short name of all numbers of a problem that an endless run depends on."""
    found = hashlib.sha256(repr((tuple(mdp.probability.shape), str(mdp.probability.dtype))).encode())
    for table in (mdp.probability, mdp.successor.to(torch.int32), mdp.reward, prior):
        found.update(table.detach().cpu().contiguous().numpy().data)
    return found.hexdigest()[:16]
