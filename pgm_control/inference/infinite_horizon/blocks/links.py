"""Links between the processes of blocks: each sends values to the others, and numbers are reduced over all."""

import threading
from collections.abc import Callable, Sequence
from typing import Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


class LinkBroken(RuntimeError):
    """Another process does not answer any more."""


@runtime_checkable
class Link(Protocol):
    """The link of one process with the others. All processes call the same methods in the same order.

    Attributes:
        rank: the number of this process, from 0.
        size: the number of processes.
    """

    rank: int
    size: int

    def largest(self, numbers: Float[Tensor, " some"]) -> None:
        """Replace each number by the largest of all processes.

        Raises:
            LinkBroken: if another process does not answer, as in the other methods.
        """
        ...

    def total(self, numbers: Float[Tensor, " some"]) -> None:
        """Replace each number by the sum over all processes."""
        ...

    def swap(
        self, out: Sequence[Tensor], into: Sequence[Tensor], numbers: Float[Tensor, " some"] | None = None
    ) -> None:
        """Send `out[j]` to process j and receive `into[j]` from it; empty ones and those of this process are left out.

        All are contiguous, and `into[j]` has the shape and the dtype of what j sends. With `numbers` each of these is
        replaced by the largest of all processes, in the same exchange.
        """
        ...


@final
class Threads:
    """Where the threads of one process meet that hold one block each. `link(rank)` is the link of a thread."""

    def __init__(self, size: int) -> None:
        """Set the number of threads."""
        self.size = size
        self.barrier = threading.Barrier(size)
        self.rows: list[Tensor] = [torch.empty(0)] * size
        self.boxes: list[Sequence[Tensor]] = [()] * size

    def link(self, rank: int) -> "ThreadLink":
        """The link of one thread."""
        return ThreadLink(rank, self)

    def leave(self) -> None:
        """Let the other threads know that one has failed."""
        self.barrier.abort()


@final
class ThreadLink:
    """The link of a thread with the others of its process."""

    def __init__(self, rank: int, meeting: Threads) -> None:
        """Join the meeting of the threads."""
        self.rank, self.size, self._meeting = rank, meeting.size, meeting

    def largest(self, numbers: Float[Tensor, " some"]) -> None:
        """Replace each number by the largest of all threads."""
        self._reduce(numbers, lambda rows: torch.stack(rows).amax(0))

    def total(self, numbers: Float[Tensor, " some"]) -> None:
        """Replace each number by the sum over all threads."""
        self._reduce(numbers, lambda rows: torch.stack(rows).sum(0))

    def swap(
        self, out: Sequence[Tensor], into: Sequence[Tensor], numbers: Float[Tensor, " some"] | None = None
    ) -> None:
        """Copy from the others what they send."""
        meeting = self._meeting
        meeting.boxes[self.rank] = out
        meeting.rows[self.rank] = torch.empty(0) if numbers is None else numbers.clone()
        self._wait()
        for j, each in enumerate(into):
            if j != self.rank and each.numel():
                each.copy_(meeting.boxes[j][self.rank])
        if numbers is not None:
            torch.amax(torch.stack(meeting.rows), 0, out=numbers)
        self._wait()

    def _reduce(self, numbers: Tensor, reduced: Callable[[list[Tensor]], Tensor]) -> None:
        self._meeting.rows[self.rank] = numbers.clone()
        self._wait()
        numbers.copy_(reduced(self._meeting.rows))
        self._wait()

    def _wait(self) -> None:
        try:
            self._meeting.barrier.wait()
        except threading.BrokenBarrierError as problem:
            raise LinkBroken(f"thread {self.rank} of {self.size} has lost another one") from problem
