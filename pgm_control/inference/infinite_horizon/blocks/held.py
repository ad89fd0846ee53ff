"""Where the results of blocks lie, and how single states of them are read: in this process, or in a folder."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, final, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from ....errors import InvalidArgument, InvalidCheckpoint
from ....runtime.files import write_whole, written_whole
from .cut import Cut
from .solving import HeldBlock, What

WHAT: tuple[What, ...] = ("value", "action_value", "policy")
FACTS = "blocks.json"
_ROWS = 1 << 16  # states that are written at once


@runtime_checkable
class Held(Protocol):
    """The results of all blocks, which are read state by state and never gathered."""

    def read(self, what: What, rank: int, states: Int[Tensor, " some"]) -> Tensor:
        """Values, values of actions, or policies of states of one block."""
        ...

    def save(self, folder: Path) -> None:
        """Write the files of all blocks."""
        ...

    def close(self) -> None:
        """Free the memory where the results lie."""
        ...


@final
class HeldHere:
    """Results in this process."""

    def __init__(self, blocks: Sequence[HeldBlock]) -> None:
        """Hold the blocks in their order."""
        self._blocks = list(blocks)

    def read(self, what: What, rank: int, states: Int[Tensor, " some"]) -> Tensor:
        """Read them from the block."""
        return self._blocks[rank].read(what, states)

    def save(self, folder: Path) -> None:
        """Write the files of all blocks."""
        for block in self._blocks:
            save_block(block, folder)

    def close(self) -> None:
        """Nothing else holds the blocks."""


@final
class Freed:
    """Results that were freed."""

    def read(self, what: What, rank: int, states: Int[Tensor, " some"]) -> Tensor:
        """Refuse.

        Raises:
            InvalidArgument: always.
        """
        raise InvalidArgument("The values were freed: the result is closed. Ask before `close()`, or save them.")

    def save(self, folder: Path) -> None:
        """Refuse.

        Raises:
            InvalidArgument: always.
        """
        raise InvalidArgument("The values were freed: the result is closed. Save them before `close()`.")

    def close(self) -> None:
        """Do nothing."""


@final
class HeldInFolder:
    """Results in the files of a folder, which are mapped into memory and read where needed."""

    def __init__(self, folder: Path, cut: Cut) -> None:
        """Map the files.

        Raises:
            InvalidCheckpoint: if one is missing or has another length.
        """
        self._folder, self._cut = folder, cut
        self._files = [{what: self._mapped(what, rank) for what in WHAT} for rank in range(len(cut.bounds) - 1)]

    def read(self, what: What, rank: int, states: Int[Tensor, " some"]) -> Tensor:
        """Read them from the file of the block."""
        return torch.from_numpy(np.array(self._files[rank][what][(states - self._cut.bounds[rank]).numpy()]))

    def save(self, folder: Path) -> None:
        """Copy the files."""
        for rank, files in enumerate(self._files):
            for what in WHAT:
                table = files[what]
                pieces = (table[first : first + _ROWS] for first in range(0, len(table), _ROWS))
                write_table(folder / file_name(what, self._cut.bounds[rank]), table.shape, pieces)

    def close(self) -> None:
        """Nothing else holds the files."""

    def _mapped(self, what: What, rank: int) -> np.ndarray:
        start, stop = self._cut.bounds[rank : rank + 2]
        path = self._folder / file_name(what, start)
        try:
            found = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as problem:
            raise InvalidCheckpoint(
                f"{path} cannot be read as a table of results: {problem}. Save them again."
            ) from None
        axes = 1 if what == "value" else 2
        if not isinstance(found, np.ndarray) or found.ndim != axes or len(found) != stop - start:
            raise InvalidCheckpoint(f"{path} must hold {stop - start} states, but does not. Save the results again.")
        if found.dtype != np.float64:
            raise InvalidCheckpoint(f"{path} must hold float64 numbers, but holds {found.dtype}. Save them again.")
        return found


def file_name(what: What, start: int) -> str:
    """The name of the file of the block that begins with a state."""
    return f"{what}_{start}.npy"


def save_block(block: HeldBlock, folder: Path) -> None:
    """Write the three files of a block."""
    many = len(block.v)
    for what in WHAT:
        shape = (many,) if what == "value" else tuple(block.q.shape)
        rows = (torch.arange(first, min(first + _ROWS, many)) + block.start for first in range(0, many, _ROWS))
        write_table(folder / file_name(what, block.start), shape, (block.read(what, each).numpy() for each in rows))


def write_table(path: Path, shape: tuple[int, ...], pieces: Iterable[np.ndarray]) -> None:
    """Write a table of float64 to a new file, which then takes the place of the one before.

    A process that has mapped the old file keeps it, and a full disk is an error. In a mapped file it would end the
    process.
    """
    about = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.float64)), "fortran_order": False, "shape": shape}
    with written_whole(path) as file:
        np.lib.format.write_array_header_1_0(file, about)
        for piece in pieces:
            file.write(np.ascontiguousarray(piece).data)


def save_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the certificate and the sizes of the blocks, as the last file."""
    write_whole(folder / FACTS, json.dumps(facts).encode())
