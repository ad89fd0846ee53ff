"""Defer Ctrl-C until the current step has finished."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import final


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether Ctrl-C was pressed. A second press interrupts immediately, as usual.

    A deferral inside another passes the press on when it ends. Signals reach only the main thread; in other threads
    the function always returns False.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before, here = signal.getsignal(signal.SIGINT), _Deferred()
    signal.signal(signal.SIGINT, here)
    try:
        yield lambda: here.pressed
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.default_int_handler)
        if isinstance(before, _Deferred):
            before.pressed = before.pressed or here.pressed


@final
class _Deferred:
    """A signal handler that records the first Ctrl-C."""

    def __init__(self) -> None:
        self.pressed = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True
