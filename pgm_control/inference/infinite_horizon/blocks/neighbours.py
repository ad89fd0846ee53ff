"""One block among the others: it exchanges the values of ghosts, and agrees on what depends on all states."""

import math
from collections.abc import Callable
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..operators.dead_ends import BackwardSearch, DeadEnds, HasOutcomes
from ..operators.share import Change, Form
from .cut import Cut
from .links import Link


@final
class Neighbours:
    """The share of a process that holds one block.

    A sweep ends with one exchange. Each block sends to every other the values that it asked for at the start, 8 bytes
    each, and five numbers, of which each takes the largest: minus the least change, the largest change, whether a value
    is not finite, the largest |v|, and whether one wants to end. Each process comes to the same certificate and decides
    alike.

    Attributes:
        num_sent: the number of bytes that this block sends in a sweep.
        ended: whether the processes have agreed to end.
    """

    def __init__(self, link: Link, cut: Cut, ghosts: Tensor, wants_to_end: Callable[[], bool]) -> None:
        """Let the others know which values are needed.

        Args:
            link: the link with the other blocks.
            cut: the blocks.
            ghosts: the states of other blocks whose values this one reads, sorted.
            wants_to_end: asked after every sweep.
        """
        self._link, self._wants_to_end = link, wants_to_end
        self._own = cut.bounds[link.rank + 1] - cut.bounds[link.rank]
        edges = torch.searchsorted(ghosts.contiguous(), torch.tensor(cut.bounds)).tolist()
        self._rooms = [slice(edges[j], edges[j + 1]) for j in range(link.size)]
        many = [torch.tensor([edges[j + 1] - edges[j]]) for j in range(link.size)]
        wanted = [torch.zeros(1, dtype=torch.int64) for _ in many]
        link.swap(many, wanted)
        self._wanted = [torch.empty(int(each), dtype=torch.int64) for each in wanted]
        link.swap([ghosts[room] - cut.bounds[j] for j, room in enumerate(self._rooms)], self._wanted)
        self._out = [torch.empty(len(each), dtype=torch.float64) for each in self._wanted]
        self.num_sent = sum(each.numel() * each.element_size() for each in self._out)
        self.ended, self._last, self._size = False, None, 0.0

    def largest(self, *numbers: float) -> list[float]:
        """The largest of each number over all blocks."""
        return self._agreed(self._link.largest, numbers)

    def total(self, *numbers: float) -> list[float]:
        """The sum of each number over all blocks."""
        return self._agreed(self._link.total, numbers)

    def form(self, mdp: HasOutcomes, optimism: float, compiled: bool, possible: int) -> Form:
        """Rows if over half of the entries of all blocks are padding; blocks are never dense."""
        kept, stored = self.total(float(possible), float(mdp.probability.numel()))
        return "rows" if 2 * kept < stored else "padded"

    def dead_ends(self, mdp: HasOutcomes, allowed: Bool[Tensor, "state action"], optimist: bool) -> DeadEnds:
        """The dead ends among own states and ghosts, after as many exchanges as a chain of them has blocks."""
        states = self._own + self._rooms[-1].stop
        search = BackwardSearch(mdp, allowed, optimist, states)
        search.lose((mdp.reward == -torch.inf).flatten().nonzero()[:, 0])
        known = torch.zeros(states - self._own, dtype=torch.bool)
        while True:
            lost = torch.zeros(states, dtype=torch.float64)
            lost[: self._own] = search.found.state
            self.exchange(lost)
            ghosts = lost[self._own :] > 0
            new = (ghosts & ~known).nonzero()[:, 0]
            (more,) = self.largest(float(len(new)))
            if more == 0:
                found = search.found
                return DeadEnds(torch.cat((found.state, ghosts)), found.action)
            known = ghosts
            search.lose(search.arrivals(new + self._own))

    def finish(self, out: Float[Tensor, " successor"], change: Change) -> Change:
        """Exchange values, and return the change over all blocks."""
        self._last, size = out, float(out[: self._own].abs().max())
        mine = (-change.least, change.largest, not change.whole, size if size < math.inf else math.inf)
        numbers = torch.tensor([*(float(each) for each in mine), float(self._wants_to_end())], dtype=torch.float64)
        self.exchange(out, numbers)
        least, largest, broken, self._size, ended = numbers.tolist()
        self.ended = ended > 0
        return Change(-least, largest, broken == 0)

    def size(self, v: Float[Tensor, " successor"]) -> float:
        """The largest |v| over all blocks, known already for the result of the last sweep."""
        if v is not self._last:
            (found,) = self.largest(float(v[: self._own].abs().max()))
            return found
        return self._size

    def exchange(self, v: Float[Tensor, " successor"], numbers: Float[Tensor, " some"] | None = None) -> None:
        """Send the values of own states to those that need them, and receive those of the ghosts.

        Numbers are replaced by their largest over all blocks.
        """
        for values, wanted in zip(self._out, self._wanted, strict=True):
            torch.index_select(v, 0, wanted, out=values)
        ahead = v[self._own :]
        self._link.swap(self._out, [ahead[room] for room in self._rooms], numbers)

    def _agreed(self, reduce: Callable[[Tensor], None], numbers: tuple[float, ...]) -> list[float]:
        found = torch.tensor(numbers, dtype=torch.float64)
        reduce(found)
        return found.tolist()
