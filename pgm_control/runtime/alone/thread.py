"""What only one thread of a process can use at a time: Pyro's handlers and parameters, and torch's random numbers.

They are one for all threads. Two threads that run Pyro programs at once would put their handlers on one stack, and two
that seed torch's generator would draw each other's numbers: a wrong result, or one that cannot be repeated, and often
no error.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

from ...errors import UsedByAnotherThread

_PATIENCE = 60.0  # seconds


@contextmanager
def alone(what: str | None = None) -> Iterator[None]:
    """Use Pyro and torch's global random numbers in this thread only; contexts of one thread may be nested.

    Another thread waits, unless this is a long computation, which has a name.

    Args:
        what: the name of a long computation, for the message; None for a short one.

    Raises:
        UsedByAnotherThread: if a long computation runs in another thread, or a short one does not end.
    """
    _turn.begin(what)
    try:
        yield
    finally:
        _turn.end(what)


@final
class _Turn:
    """The thread that is inside, how often, and in which long computations."""

    def __init__(self) -> None:
        self.changed, self.owner, self.depth = threading.Condition(), 0, 0
        self.names: list[str] = []

    def begin(self, what: str | None) -> None:
        with self.changed:
            me, end = threading.get_ident(), time.monotonic() + _PATIENCE
            while self.depth and self.owner != me:
                if self.names or time.monotonic() >= end:
                    raise UsedByAnotherThread(_problem(what, self.names))
                self.changed.wait(max(0.0, end - time.monotonic()))
            self.owner, self.depth = me, self.depth + 1
            if what is not None:
                self.names.append(what)
                self.changed.notify_all()

    def end(self, what: str | None) -> None:
        with self.changed:
            self.depth -= 1
            if what is not None:
                self.names.pop()
            self.changed.notify_all()

    def renew(self) -> None:
        """In a process that has just been forked only the thread that forked it goes on."""
        self.changed = threading.Condition()
        if self.owner != threading.get_ident():
            self.depth, self.names = 0, []


def _problem(what: str | None, names: list[str]) -> str:
    other = f"`{names[0]}` is running" if names else f"a computation has been running for {_PATIENCE:.0f} s"
    mine = "This computation" if what is None else f"`{what}`"
    return (
        f"{mine} must not run while {other} in another thread of this process: Pyro's handlers and parameters, and "
        "torch's random numbers, are one for all threads. Use processes, or run one after another."
    )


_turn = _Turn()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_turn.renew)
