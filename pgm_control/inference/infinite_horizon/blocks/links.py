"""Links between the processes of blocks: each sends values to the others, and numbers are reduced over all."""

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol, final, runtime_checkable

import torch
import torch.distributed as dist
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

    def swap(self, out: Sequence[Tensor], into: Sequence[Tensor]) -> None:
        """Send `out[j]` to process j and receive `into[j]` from it; empty ones and those of this process are left out.

        All are contiguous, and `into[j]` has the shape and the dtype of what j sends.
        """
        ...


@final
class GlooLink:
    """A link over the network, by the library gloo that torch brings. Nothing global to the process is set."""

    def __init__(self, rank: int, size: int, store: Any, host: str, timeout: float) -> None:
        """Connect with the others.

        Args:
            rank, size: the number of this process, and of all.
            store: the `torch.distributed.TCPStore` at which all meet.
            host: the address of this machine at which the others reach it.
            timeout: after which a silent process counts as lost, in seconds.

        Raises:
            LinkBroken: if the others do not come.
        """
        self.rank, self.size, self._timeout = rank, size, timedelta(seconds=timeout)
        gloo: Any = dist.ProcessGroupGloo
        options = gloo._Options()
        options._timeout = self._timeout
        options._devices = [gloo.create_device(hostname=host)]
        self._group = self._tried(lambda: gloo(store, rank, size, options))

    def largest(self, numbers: Float[Tensor, " some"]) -> None:
        """Replace each number by the largest of all processes."""
        self._reduce(numbers, dist.ReduceOp.MAX)

    def total(self, numbers: Float[Tensor, " some"]) -> None:
        """Replace each number by the sum over all processes."""
        self._reduce(numbers, dist.ReduceOp.SUM)

    def swap(self, out: Sequence[Tensor], into: Sequence[Tensor]) -> None:
        """Send to all, and receive from all."""

        def begun() -> list[Any]:
            found = []
            for j in range(self.size):
                if j != self.rank:
                    found += [self._group.send([out[j]], j, 0)] if out[j].numel() else []
                    found += [self._group.recv([into[j]], j, 0)] if into[j].numel() else []
            return found

        for each in self._tried(begun):
            self._tried(each.wait)

    def _reduce(self, numbers: Tensor, operation: Any) -> None:
        options = dist.AllreduceOptions()
        options.reduceOp = operation
        self._tried(lambda: self._group.allreduce([numbers], options).wait())

    def _tried(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except RuntimeError as problem:
            said = " ".join(str(problem).split())
            raise LinkBroken(f"process {self.rank} of {self.size} has lost another one: {said}") from problem


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

    def swap(self, out: Sequence[Tensor], into: Sequence[Tensor]) -> None:
        """Copy from the others what they send."""
        self._meeting.boxes[self.rank] = out
        self._wait()
        for j, each in enumerate(into):
            if j != self.rank and each.numel():
                each.copy_(self._meeting.boxes[j][self.rank])
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
