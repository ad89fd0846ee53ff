"""The loop of an iterative method: its steps and seconds, progress, callbacks, saving, Ctrl-C, and how it ended."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Generic, TypeVar, final

from .arguments import functions
from .interrupt import deferred_interrupt
from .progress import Progress, passes, require_progress, silent
from .status import Status

S = TypeVar("S", bound=Status)


@final
class Loop(Generic[S]):
    """The steps of an iterative method, from the first to the last; a resumed run continues after its last step.

    The body of the loop makes a step and reports it. It need not know what else may end the loop:

        with Loop(FitStatus.out_of_steps, limit=steps, progress=progress, callbacks=callbacks) as loop:
            for step in loop:
                value = update()
                if not math.isfinite(value):
                    loop.end(FitStatus.not_finite)
                    break
                ending = FitStatus.converged if is_flat(value) else None
                loop.report({"elbo": value}, FitStep(step, value), ending)
        return loop.status

    Within the `with` statement Ctrl-C ends the loop after the current step; a second one raises KeyboardInterrupt.

    Attributes:
        steps: the number of steps made, including those before a resume.
        seconds: the time these steps took. Assign to it to leave out time that does not count.
        over: whether the loop has ended.
        status: how the loop ended; while it runs, the status of reaching the limit.
    """

    def __init__(
        self,
        at_limit: S,
        *,
        limit: int | None = None,
        begin: int = 0,
        seconds: float = 0.0,
        progress: Progress = silent,
        callbacks: Sequence[Callable[[Any], bool | None]] = (),
        save: Callable[[], object] | None = None,
        save_every: int = 1,
        interrupted: Callable[[], bool] | None = None,
    ) -> None:
        """Start the clock.

        Args:
            at_limit: the status if the loop reaches the limit. Its enumeration also has the members `interrupted` and,
                if there are callbacks, `stopped`.
            limit: the number of steps at which the loop ends; no step is made if `begin` is not below it. None if only
                the method, a callback or Ctrl-C ends the loop.
            begin: the number of steps made before; −1 if the first step is numbered 0.
            seconds: the time those steps took.
            progress: called after every step.
            callbacks: called after every step that reports `seen`; a callback that returns True stops the loop.
            save: called before the next step whenever the number of steps has passed a multiple of `save_every`. At
                the end the caller saves its own result.
            save_every: a number of steps.
            interrupted: asked after every step whether to end here, in place of Ctrl-C.

        Raises:
            InvalidArgument: if `progress` or one of `callbacks` is not a function.
        """
        require_progress(progress)
        self._limit = math.inf if limit is None else limit
        self._start = time.perf_counter() - seconds
        self.steps, self.status, self.over = begin, at_limit, begin >= self._limit
        self._progress, self._callbacks = progress, functions("callbacks", callbacks)
        self._save, self._save_every = save, save_every
        self._asked, self._stack = interrupted, ExitStack()

    def __enter__(self) -> "Loop[S]":
        """Defer Ctrl-C until the current step has finished."""
        self._interrupted = self._asked or self._stack.enter_context(deferred_interrupt())
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the previous handling of Ctrl-C."""
        self._stack.close()

    def __iter__(self) -> Iterator[int]:
        """Yield the number of each step before it is made."""
        while not self.over:
            before = self.steps
            yield before + 1
            if self._save is not None and not self.over and passes(before, self.steps, self._save_every):
                self._save()

    @property
    def seconds(self) -> float:
        """The time that the steps took, in seconds."""
        return time.perf_counter() - self._start

    @seconds.setter
    def seconds(self, seconds: float) -> None:
        self._start = time.perf_counter() - seconds

    def report(
        self, metrics: Mapping[str, float], seen: object = None, ending: S | None = None, steps: int | None = None
    ) -> None:
        """Count a step, show it, and end the loop if a callback, the method, Ctrl-C or the limit says so.

        Args:
            metrics: shown as progress.
            seen: the argument of the callbacks; with None they are not called.
            ending: the status, if the method ends the loop here.
            steps: the total number of steps made; default: one more than before.
        """
        self.steps = self.steps + 1 if steps is None else steps
        self._progress(self.steps, metrics)
        answers = [] if seen is None else [callback(seen) for callback in self._callbacks]
        if True in answers:
            self.end(type(self.status)["stopped"])
        elif ending is not None:
            self.end(ending)
        elif self._interrupted():
            self.end(type(self.status)["interrupted"])
        else:
            self.over = self.steps >= self._limit

    def end(self, status: S) -> None:
        """End the loop with this status."""
        self.status, self.over = status, True
