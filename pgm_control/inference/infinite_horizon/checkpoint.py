"""The checkpoint of value iteration: tensors and JSON, written atomically, loadable without running code."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...problems.mdp import TabularMDP
from ...runtime.checkpoint import read, write
from ...runtime.checkpoint_checks import anything, fields, mapping, number, tensor, text

_KIND = "value_iteration"
REMEDY = "Start again without `resume`."
_PIECE = 1 << 24  # numbers that are hashed at once


@final
@dataclass(frozen=True, eq=False)
class SweepCheckpoint:
    """The state that the next iteration depends on.

    Attributes:
        state: the tensors of the method.
        phase: the method in use, where "auto" was requested.
        history: the span of the changes in each iteration, in reward units.
        seconds: the time spent.
    """

    state: dict[str, Tensor]
    phase: str
    history: Float[Tensor, " iteration"]
    seconds: float

    def save(self, path: str | Path, description: dict[str, Any]) -> None:
        """Write the checkpoint to disk atomically: after a crash the file is the old one or the new one."""
        facts = {"phase": self.phase, "seconds": self.seconds, "description": description}
        write(path, _KIND, {"state": self.state, "history": self.history}, facts)

    @classmethod
    def load(cls, path: str | Path) -> tuple["SweepCheckpoint", dict[str, Any]]:
        """The checkpoint in a file, and the description of the problem that it belongs to.

        Raises:
            InvalidCheckpoint: if the file is missing, incomplete, or holds what value_iteration does not write.
        """
        tensors, facts = read(path, _KIND, _TENSORS, _FACTS, REMEDY)
        return cls(tensors["state"], facts["phase"], tensors["history"], facts["seconds"]), facts["description"]


_TENSORS = fields({"state": mapping(anything), "history": tensor((None,), torch.float64, 0.0)})
_FACTS = fields({"phase": text, "seconds": number(0.0), "description": mapping(anything)})


def digest(mdp: TabularMDP, prior: Float[Tensor, "state_or_one action"]) -> str:
    """A short hash of all numbers of a problem that value iteration depends on."""
    return digest_of_tables(mdp.probability, mdp.successor.to(torch.int32), mdp.reward, prior)


def digest_of_tables(probability: Tensor, *tables: Tensor) -> str:
    """A short hash of the numbers of tables, and of the shape and the dtype of the first; without a copy of any."""
    found = hashlib.sha256(repr((tuple(probability.shape), str(probability.dtype))).encode())
    for table in (probability, *tables):
        rows = max(1, _PIECE * len(table) // max(1, table.numel()))
        for piece in table.detach().split(rows):
            found.update(piece.cpu().contiguous().numpy().data)
    return found.hexdigest()[:16]
