"""Defer Ctrl-C until the current step has finished."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import final


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether Ctrl-C was pressed. A second press interrupts at once, as usual.

    A deferral inside another passes the press on when it ends. Signals reach the main thread alone; in another thread
    the function always says no.
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
    """A handler that notes the first Ctrl-C."""

    def __init__(self) -> None:
        self.pressed = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True
