"""A block of states where it lies: its tables, with its successors renumbered, and the states of others among them."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from ....errors import InvalidProblem
from ....problems.from_blocks import OutcomeTables, tables_of_blocks
from ....runtime.arguments import shown

Tables = Callable[[int, int], Any]
_PIECE = 1 << 18  # the number of outcomes that a function makes at once
_ROW = 128  # states


class Cut(NamedTuple):
    """A partition of the states 0 … S − 1 into consecutive blocks."""

    bounds: tuple[int, ...]  # block i has the states from entry i on, up to entry i + 1

    @classmethod
    def even(cls, num_states: int, num_blocks: int) -> "Cut":
        """Blocks whose sizes differ by at most one."""
        return cls(tuple(num_states * i // num_blocks for i in range(num_blocks + 1)))

    def owners(self, states: Int[Tensor, " some"]) -> Int[Tensor, " some"]:
        """The block of each state."""
        return torch.searchsorted(torch.tensor(self.bounds[1:]), states, right=True)


class BlockTables(NamedTuple):
    """The outcomes of the states of one block. Successors below n are its own states; n + i is the i-th ghost.

    A ghost is a state of another block that an outcome leads to. Ghosts are sorted by their number, so that those of
    one block stand side by side.
    """

    probability: Shaped[Tensor, "state action outcome"]
    successor: Int[Tensor, "state action outcome"]
    reward: Shaped[Tensor, "state action outcome"]
    ghosts: Int[Tensor, " ghost"]


def block_tables(
    block: Tables, cut: Cut, rank: int, num_actions: int, num_outcomes: int, dtype: torch.dtype
) -> BlockTables:
    """Make the tables of one block by the user's function, some states at a time, and renumber the successors.

    Raises:
        InvalidProblem: if the function gives anything but valid tables; the message names the entry and the block.
    """
    start, stop, num_states = *cut.bounds[rank : rank + 2], cut.bounds[-1]
    pieces = _pieces(block, start, stop, max(1, _PIECE // (num_actions * num_outcomes)))
    found = tables_of_blocks(pieces, stop - start, num_actions, num_outcomes, dtype, start, num_states)
    return renumbered(found, start, num_states)


def renumbered(found: OutcomeTables, start: int, num_states: int) -> BlockTables:
    """Replace the numbers of successors, in place. Beside the tables, this takes one byte for each of all states.

    Impossible outcomes, such as those that fill up a row, lead to the first own state, so that nothing is sent for
    them.
    """
    own, parts = len(found.probability), [each.numpy() for each in found.successor.view(-1).split(_PIECE)]
    seen = np.zeros((-(-num_states // _ROW), _ROW), dtype=np.uint8)  # in rows whose sums are below 256
    by_state = seen.reshape(-1)
    for part, weights in zip(parts, found.probability.view(-1).split(_PIECE), strict=True):
        part[weights.numpy() == 0] = start
        by_state[part] = 1
    by_state[start : start + own] = 0
    ghosts = np.flatnonzero(seen)
    for row in range(0, len(seen), _PIECE):
        seen[row : row + _PIECE] = np.cumsum(seen[row : row + _PIECE], axis=1, dtype=np.uint8)
    count = seen[:, -1].cumsum(dtype=np.int32) - seen[:, -1]  # of ghosts in the rows before
    for part in parts:
        outside = (part < start) | (part >= start + own)
        ghost = count[part // _ROW] + by_state[part] - 1
        part[:] = np.where(outside, own + ghost, part - start)
    return BlockTables(*found, torch.from_numpy(ghosts))


def _pieces(block: Tables, start: int, stop: int, size: int) -> Iterator[Any]:
    for first in range(start, stop, size):
        last = min(first + size, stop)
        found = block(first, last)
        if not isinstance(found, tuple | list) or len(found) != 3:
            what = f"a {type(found).__name__} of {len(found)}" if isinstance(found, tuple | list) else shown(found)
            raise InvalidProblem(
                f"`block` must return (probability, successor, reward), but block({first}, {last}) is {what}."
            )
        try:
            many = np.shape(found[0])[:1]
        except ValueError:  # rows of several lengths, of which the check of the tables says more
            many = (last - first,)
        if many != (last - first,):
            raise InvalidProblem(
                f"`block` must return the tables of the states from its first argument to before its second, but "
                f"block({first}, {last}) has {many[0] if many else 'no'} states. Return {last - first}."
            )
        yield found
