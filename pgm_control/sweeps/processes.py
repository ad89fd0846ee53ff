"""The engine of processes on this machine, by loky, which joblib brings."""

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any, final

from ..errors import MissingExtra
from .job import FAILED, Answer, Call, Job, answer_in_worker, reason_of

RETRIES = 3
"""How often a job runs again after its process was lost; then it has failed."""

_PATIENCE = 5.0  # seconds, of a wait that a busy machine makes longer
_WATCHED = 1.0  # seconds between looks at whether the process that asked is still there
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def require_loky() -> Any:
    """Return loky.

    Raises:
        MissingExtra: if joblib is missing, with the command that installs it.
    """
    try:
        from joblib.externals import loky  # an extra
    except ImportError as problem:
        raise MissingExtra(
            "Parallel jobs need joblib, which is missing: pip install joblib. Without `engine` and `jobs` "
            "they run one after another."
        ) from problem
    return loky


def on_processes(call: Call, jobs: Sequence[Job], number: int) -> Iterator[tuple[Job, Answer]]:
    """Yield each job with its answer when it is ready. After an end before the last, the processes are killed.

    Each process has an executor of its own, so that a process that dies takes its own job with it and no other.

    Args:
        call: the function.
        jobs: the jobs, in the order in which they start.
        number: processes.
    """
    todo, losses = deque(jobs), dict.fromkeys((job.key for job in jobs), 0)
    places = [_Place() for _ in range(min(number, len(todo)))]
    free, running = list(places), dict[Future[Answer], tuple[_Place, Job]]()
    try:
        while todo or running:
            while todo and free:
                job, place = todo.popleft(), free.pop()
                running[place.start(call, job)] = place, job
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                place, job = running.pop(future)
                free.append(place)
                failure = future.exception()
                if failure is None:
                    yield job, future.result()
                elif not isinstance(failure, BrokenProcessPool):  # such as arguments that cannot be sent
                    yield job, Answer(FAILED, reason_of(failure))
                else:
                    place.close()
                    losses[job.key] += 1
                    if losses[job.key] <= RETRIES:
                        todo.appendleft(job)
                    else:
                        yield job, Answer(FAILED, lost(losses[job.key]))
    finally:
        for place in places:
            place.close()


def lost(times: int) -> str:
    """The reason of a job whose worker was lost too often."""
    return f"WorkerLost: the process of the job ended {times} times, perhaps for lack of memory."


@final
class _Place:
    """A process for one job at a time, made anew when it was lost."""

    def __init__(self) -> None:
        self._executor: Any = None
        self._last: Future[Answer] | None = None

    def start(self, call: Call, job: Job) -> Future[Answer]:
        try:
            self._last = self._submit(call, job)
        except BrokenProcessPool:  # it was lost while it had nothing to do
            self.close()
            self._last = self._submit(call, job)
        return self._last

    def _submit(self, call: Call, job: Job) -> Future[Answer]:
        if self._executor is None:
            self._executor = _executor()
        with _held_back():  # the first job starts the process, which has the signals of this one until `_begin`
            return self._executor.submit(answer_in_worker, call, job.arguments)

    def close(self) -> None:
        if self._executor is not None:
            if self._last is not None:
                _until_passed_on(self._last)
            self._executor.shutdown(wait=True, kill_workers=True)
            self._executor, self._last = None, None


def _until_passed_on(job: Future[Answer]) -> None:
    """Wait until loky has handed the job to its process, which takes a fraction of a millisecond.

    Loky's thread ends with a ``KeyError`` where it meets a job that a shutdown with ``kill_workers`` has taken away.
    """
    end = time.monotonic() + _PATIENCE
    while not (job.running() or job.done()) and time.monotonic() < end:
        time.sleep(0.001)


def _executor() -> Any:
    threads = {name: os.environ.get(name, "1") for name in _THREADS}
    return require_loky().ProcessPoolExecutor(1, initializer=_begin, initargs=(os.getpid(),), env=threads)


@contextmanager
def _held_back() -> Iterator[None]:
    """Hold back Ctrl-C, which comes after the block instead, from this thread and the processes that it starts."""
    if os.name != "posix":
        yield
        return
    resource_tracker.ensure_running()  # the start of this process of Python would let the signal through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(parent: int) -> None:
    """Leave Ctrl-C to the process that asks, and end when it has ended, however that was."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.name == "posix":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCHED)
        os._exit(1)

    if os.name == "posix":
        threading.Thread(target=watch, daemon=True).start()
