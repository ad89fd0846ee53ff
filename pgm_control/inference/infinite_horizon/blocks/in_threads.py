"""Blocks in the threads of one process: the same code as over several, without a network."""

import threading
from collections.abc import Callable
from typing import final

from ....runtime.interrupt import deferred_interrupt
from ....runtime.memory import require_room
from ....runtime.progress import Progress, silent
from .job import BlockJob
from .links import Link, LinkBroken, Threads
from .solving import BlockFacts, HeldBlock, solved_block


def solved_in_threads(job: BlockJob, progress: Progress) -> tuple[list[HeldBlock], list[BlockFacts]]:
    """Solve all blocks, the first on the calling thread. Ctrl-C ends the run after the current sweep.

    Raises:
        InvalidArgument, InvalidProblem, InvalidCheckpoint: what the first block that fails raises, as any other error;
            or if the tables of all blocks do not fit into memory.
    """
    size, states = len(job.cut.bounds) - 1, job.cut.bounds[-1]
    require_room(
        "num_states", f"the tables of {states:,} states, {job.num_actions} actions and {job.num_outcomes} outcomes",
        states * job.num_actions * job.num_outcomes, 4 + 2 * job.dtype.itemsize,
        "Take dtype=torch.float32, fewer, or a `client`, whose workers hold a block each.",
    )  # fmt: skip
    meeting = Threads(size)
    workers = [_Worker(job, rank, meeting) for rank in range(1, size)]
    for each in workers:
        each.start()
    first = _Worker(job, 0, meeting)
    try:
        with deferred_interrupt() as interrupted:
            first.solve(progress, interrupted)
    except BaseException:
        meeting.leave()
        raise
    finally:
        for each in workers:
            each.join()
    every = [first, *workers]
    failures = [each.failure for each in every if each.failure is not None]
    for failure in sorted(failures, key=lambda each: isinstance(each, LinkBroken)):
        raise failure
    found = [each.found for each in every if each.found is not None]
    return [held for held, _ in found], [facts for _, facts in found]


@final
class _Worker(threading.Thread):
    """The thread of one block."""

    def __init__(self, job: BlockJob, rank: int, meeting: Threads) -> None:
        super().__init__(daemon=True)
        self._job, self._rank, self._meeting = job, rank, meeting
        self.found: tuple[HeldBlock, BlockFacts] | None = None
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Solve the block without a word."""
        self.solve(silent, lambda: False)

    def solve(self, progress: Progress, wants_to_end: Callable[[], bool]) -> None:
        """Solve the block, and keep its failure."""
        try:
            self.found = solved_block(self._job, self._rank, self._connected, progress, wants_to_end)
        except BaseException as failure:  # without it the others would wait for a thread that sys.exit() has ended
            self.failure = failure
            self._meeting.leave()

    def _connected(self) -> Link:
        return self._meeting.link(self._rank)
