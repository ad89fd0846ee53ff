"""Blocks on the workers of a Dask cluster: Dask places and watches one long task a block; values travel directly.

Dask never starts such a task again by itself: it would come to a meeting that is over. Where a worker is lost, the
others notice that their link is broken, all tasks end, and the driver starts all of them again at a new meeting.
"""

import importlib
import pickle
import queue
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, final

from jaxtyping import Int
from torch import Tensor

from ....errors import InvalidArgument, WorkersLost
from ....runtime.interrupt import deferred_interrupt
from ....runtime.progress import Progress
from . import on_worker
from .cluster import LOOK, PAUSE, Cluster, Worker
from .job import BlockJob
from .links import LinkBroken
from .solving import BlockFacts, What

_HEARTBEATS = 5.0  # seconds in which a worker sends some


@final
class HeldOnDask:
    """Results on the workers of a cluster."""

    def __init__(self, cluster: Cluster, run: str, workers: list[Worker], timeout: float) -> None:
        """Keep where the blocks are."""
        self._cluster, self._run, self._workers, self._timeout = cluster, run, workers, timeout

    def read(self, what: What, rank: int, states: Int[Tensor, " some"]) -> Tensor:
        """Ask the worker of the block."""
        return self._asked(rank, on_worker.read, what, states)

    def save(self, folder: Path) -> None:
        """Let each worker write its files, side by side."""
        self._cluster.workers()  # an error without a connection
        futures = [
            self._cluster.submit(worker, on_worker.save, self._run, rank, str(folder))
            for rank, worker in enumerate(self._workers)
        ]
        for rank, (future, worker) in enumerate(zip(futures, self._workers, strict=True)):
            silence = max(self._timeout, _HEARTBEATS)
            try:
                self._cluster.result(worker, future, lambda: worker in self._cluster.silent(silence))  # noqa: B023
            except (WorkersLost, on_worker.NotHere) as problem:
                raise self._lost(rank, worker) from problem

    def close(self) -> None:
        """Let the workers forget the blocks; those that cannot be reached are left alone."""
        with suppress(WorkersLost):
            here = set(self._cluster.workers())
            for worker in self._workers:
                if worker in here:
                    with suppress(WorkersLost):
                        self._cluster.call(worker, self._timeout, on_worker.forget, self._run)

    def _asked(self, rank: int, work: Callable[..., Any], *given: Any) -> Any:
        worker = self._workers[rank]
        if worker not in self._cluster.workers():
            raise self._lost(rank, worker)
        try:
            return self._cluster.call(worker, self._timeout, work, self._run, rank, *given)
        except (WorkersLost, on_worker.NotHere) as problem:
            raise self._lost(rank, worker) from problem

    def _lost(self, rank: int, worker: Worker) -> WorkersLost:
        return WorkersLost(
            f"The values of block {rank} are lost: worker {worker.name} at {worker.address}, which held them, is gone "
            "or was started again, or they were freed. Save results in a folder, or run again with the same `folder`."
        )


def solved_on_dask(
    job: BlockJob, cluster: Cluster, progress: Progress, timeout: float, patience: float, max_restarts: int
) -> tuple[HeldOnDask, list[BlockFacts], int]:
    """Solve all blocks, starting again where a worker was lost.

    Args:
        job: the problem.
        cluster: the cluster.
        progress: called a few times a second.
        timeout: after which a silent process counts as lost, in seconds.
        patience: how long to wait for workers, in seconds.
        max_restarts: how often to start again.

    Returns:
        Where the values are, what each block says, and how often the processes were started again.

    Raises:
        WorkersLost: if workers do not come back, or are lost too often.
    """
    size, restarts = len(job.cut.bounds) - 1, 0
    workers = cluster.workers()[:size]
    with deferred_interrupt() as interrupted:
        while True:
            run = uuid.uuid4().hex
            try:
                return (
                    HeldOnDask(cluster, run, workers, timeout),
                    _tried(job, cluster, workers, run, progress, timeout, patience, interrupted),
                    restarts,
                )
            except (LinkBroken, WorkersLost) as problem:
                restarts += 1
                if restarts > max_restarts:
                    raise WorkersLost(
                        f"Workers were lost {restarts} times, which is more than `max_restarts`: {problem} "
                        f"{'Run again with the same `folder` to go on.' if job.folder else 'Give a `folder`.'}"
                    ) from problem
            except BaseException:
                _forgotten(cluster, workers, run)
                raise
            workers = _back(cluster, workers, run, timeout, patience, interrupted)


def _tried(
    job: BlockJob,
    cluster: Cluster,
    workers: list[Worker],
    run: str,
    progress: Progress,
    timeout: float,
    patience: float,
    interrupted: Callable[[], bool],
) -> list[BlockFacts]:
    """One run of all tasks, to their end or to the first loss."""
    for worker in workers:  # in a thread of the worker: what unpickles a task would stop its heartbeats meanwhile
        cluster.call(worker, patience, importlib.import_module, on_worker.__name__)
    meeting = cluster.call(workers[0], patience, on_worker.meet, run, len(workers))
    topic, sent = f"pgm_control-{run}", _pickled(job)
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()  # filled by a thread of the client
    with cluster.connection():
        cluster.client.subscribe_topic(topic, events.put)
    futures = [
        cluster.submit(worker, on_worker.work, sent, rank, meeting, run, timeout, topic)
        for rank, worker in enumerate(workers)
    ]
    asked, looked = None, time.monotonic()
    try:
        while not all(future.status == "finished" for future in futures):
            time.sleep(PAUSE)
            while not events.empty():
                _, said = events.get()
                progress(said["step"], said["metrics"])
            if any(future.status in ("error", "lost", "cancelled") for future in futures):
                raise _reason(futures)
            if time.monotonic() > looked + LOOK:
                looked = time.monotonic()
                gone = set(workers) - set(cluster.workers())
                if gone:
                    raise WorkersLost(f"worker {min(gone).name} is gone.")
                silent = set(workers) & set(cluster.silent(max(timeout, _HEARTBEATS)))
                if silent:
                    raise WorkersLost(f"worker {min(silent).name} has not answered for {timeout:g} s.")
            if interrupted() and asked is None:
                asked = cluster.submit(workers[0], on_worker.end, run)
        return [cluster.result(*each, lambda: False) for each in zip(workers, futures, strict=True)]
    except BaseException:
        cluster.cancel(futures)
        raise
    finally:
        with suppress(Exception):
            cluster.client.unsubscribe_topic(topic)


def _pickled(job: BlockJob) -> bytes:
    """The job as bytes, with the functions of the script themselves; the scheduler need not import what they use."""
    import cloudpickle  # dask brings it

    try:
        return cloudpickle.dumps(job)
    except (pickle.PicklingError, TypeError, AttributeError) as problem:
        raise InvalidArgument(
            f"`block` and the other functions must be such that they can be sent to workers, but: {problem}. Let them "
            "open files and make generators themselves."
        ) from problem


def _reason(futures: list[Any]) -> Exception:
    """The error of the user's own functions if there is one, or of a broken link."""
    import distributed

    lost = LinkBroken, distributed.KilledWorker, distributed.CancelledError
    end = time.monotonic() + LOOK
    found: list[Exception] = []
    while time.monotonic() < end:  # the block that failed and those that lost it report at about the same time
        found = [future.exception() for future in futures if future.status == "error"]
        for each in found:
            if isinstance(each, on_worker.NotUnderstood):
                return InvalidArgument(
                    f"`block` and the other functions must be such that workers can import what they use, but: {each}. "
                    "Install it there, or start the workers with PYTHONPATH=. in its folder."
                )
            if not isinstance(each, lost):
                return each
        time.sleep(PAUSE)
    return LinkBroken(f"{found[0] if found else 'a worker is gone'}.")


def _forgotten(cluster: Cluster, workers: list[Worker], run: str) -> None:
    """Let the workers close the meeting point and free what they hold, without waiting for them."""
    import distributed

    with suppress(Exception):  # a scheduler that is gone
        here = set(cluster.workers())
        for worker in workers:
            if worker in here:
                distributed.fire_and_forget(cluster.submit(worker, on_worker.forget, run))


def _back(
    cluster: Cluster,
    before: list[Worker],
    run: str,
    timeout: float,
    patience: float,
    interrupted: Callable[[], bool],
) -> list[Worker]:
    """As many workers as before that answer and have nothing to do; a block keeps the worker of the same name.

    A worker that does not even send heartbeats is started again by its nanny, if it has one.

    Raises:
        WorkersLost: if there are not enough in time.
        KeyboardInterrupt: if Ctrl-C was pressed and some are missing.
    """
    end, asked, free, restarted = time.monotonic() + patience, {}, set[Worker](), set[str]()
    while time.monotonic() < end:
        here = cluster.workers()
        for worker in here:
            future = asked.setdefault(worker, None) or cluster.submit(worker, on_worker.is_free, run)
            asked[worker] = future if future.status == "pending" else None
            if future.status == "finished" and future.result():
                free.add(worker)
        by_name = {worker.name: worker for worker in here if worker in free}
        spare = [by_name[name] for name in sorted(set(by_name) - {worker.name for worker in before})]
        found = [by_name.get(worker.name) or (spare.pop(0) if spare else None) for worker in before]
        ready = [worker for worker in found if worker is not None]
        if len(ready) == len(before):
            return ready
        late = {worker.address for worker in cluster.silent(max(timeout, _HEARTBEATS))} - restarted
        if late:  # only once each: a second call would end the new process
            restarted |= late
            with suppress(Exception):
                cluster.client.restart_workers(sorted(late), timeout=patience)
        if interrupted():
            raise KeyboardInterrupt
        time.sleep(4 * PAUSE)
    raise WorkersLost(
        f"`client` has fewer than {len(before)} workers that answer, after {patience:g} s, `patience`. Start the lost "
        "ones again, and run again with the same `folder` to go on."
    )
