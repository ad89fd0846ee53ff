"""The engine of a cluster of dask: its workers run the jobs."""

import logging
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from ..errors import InvalidArgument, MissingExtra, PGMControlError
from .job import FAILED, Answer, Call, Job, answer_in_worker, reason_of

_PATIENCE = "10s"  # until a scheduler must answer
_LOST = (
    "The scheduler of dask was lost, or has dropped a job ({}). Finished jobs are kept: start the scheduler and "
    "workers again if they have ended, and run the sweep again."
)
_WITHOUT = 'engine="loky" runs processes of this machine without it.'


def require_dask(what: str = "Jobs on a cluster of dask", remedy: str = _WITHOUT) -> Any:
    """Return the package `distributed`.

    Args:
        what: what needs it.
        remedy: what works without it.

    Raises:
        MissingExtra: if it is missing, with the command that installs it.
    """
    try:
        import distributed  # an extra
    except ImportError as problem:
        raise MissingExtra(f"{what} need distributed, which is missing: pip install distributed. {remedy}") from problem
    return distributed


def is_client(engine: Any) -> bool:
    """Whether this is a client of dask."""
    distributed = sys.modules.get("distributed")
    return distributed is not None and isinstance(engine, distributed.Client)


def require_client(client: Any) -> None:
    """Require a client that is connected and answers directly.

    Raises:
        InvalidArgument: if it is closed, or one of asynchronous code.
    """
    if client.asynchronous or client.status != "running":
        what = "asynchronous" if client.asynchronous else client.status
        raise InvalidArgument(
            f"`engine` must be a client of dask that is connected, but it is {what}: pass a new Client."
        )


def workers_of(client: Any) -> dict[str, dict[str, Any]]:
    """What the scheduler knows of each worker, by its address.

    `Client.scheduler_info` would return what a thread of the client may have emptied a moment after it was filled.

    Raises:
        OSError: if the scheduler does not answer.
    """
    return client.sync(client.scheduler.identity)["workers"]


def on_current(call: Call, jobs: Sequence[Job], number: int, most: int | None) -> Iterator[tuple[Job, Answer]]:
    """Run the jobs on the current client of dask, or on `number` processes of this machine, which end with the jobs."""
    if not jobs:
        return
    distributed = require_dask()
    try:
        current = distributed.Client.current()
    except ValueError:  # there is none
        current = None
    if current is not None:
        require_client(current)
        yield from on_client(call, jobs, current, most)
        return
    import dask.config

    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"}),  # it gives up workers that start slowly
        distributed.LocalCluster(
            n_workers=min(number, len(jobs)),
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",  # its default port may be taken
            scheduler_kwargs={"dashboard": False},
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield from on_client(call, jobs, client, most)


def on_address(call: Call, jobs: Sequence[Job], address: str, most: int | None) -> Iterator[tuple[Job, Answer]]:
    """Run the jobs on the workers of the scheduler at this address.

    Raises:
        InvalidArgument: if no scheduler answers there.
    """
    if not jobs:
        return
    kind = require_dask().Client
    client = kind.__new__(kind)  # so that it can be closed: collected while another starts, it waits for itself
    try:
        client.__init__(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as problem:
        client.close()
        raise InvalidArgument(
            f"`engine` must be the address of a scheduler of dask, but none answers at {address}: "
            f"{' '.join(str(problem).split())}"
        ) from problem
    with client:
        yield from on_client(call, jobs, client, most)


def on_client(call: Call, jobs: Sequence[Job], client: Any, most: int | None) -> Iterator[tuple[Job, Answer]]:
    """Yield each job with its answer when it is ready. After an end before the last, the other jobs are cancelled.

    If a worker dies, the scheduler gives its jobs to others; a job with which more workers died than the scheduler's
    setting `allowed-failures` says has failed.

    Args:
        call: the function.
        jobs: the jobs, in the order in which they start.
        client: the client.
        most: jobs at a time; None for as many as the workers take.

    Raises:
        PGMControlError: if the scheduler is lost.
    """
    distributed = require_dask()
    names = f"sweep-{uuid.uuid4().hex[:8]}"  # of no other sweep, whose end would cancel these jobs
    todo, running = iter(jobs), {}
    finished = distributed.as_completed(loop=client.loop)

    def start() -> None:
        for job in todo:
            future = client.submit(answer_in_worker, call, dict(job.arguments), key=f"{names}-{job.key}", pure=False)
            running[future] = job
            finished.add(future)
            if most is not None and len(running) >= most:
                return

    try:
        with suppress(OSError):  # a scheduler that is lost: the jobs say so
            if not workers_of(client):
                logging.getLogger("pgm_control").warning("The scheduler of dask has no workers: the jobs wait for one.")
        start()
        for future in finished:
            job = running.pop(future)
            if future.status == "finished":
                found = Answer(*future.result())
            elif future.status == "error":
                failure = future.exception()
                is_lost = isinstance(failure, distributed.KilledWorker)
                found = Answer(FAILED, f"WorkerLost: {failure}" if is_lost else reason_of(failure))
            else:
                raise PGMControlError(_LOST.format(future.status))
            future.release()
            yield job, found
            start()
    except PGMControlError:
        raise
    except Exception as problem:  # of many kinds
        if client.status not in ("closing", "closed"):
            raise
        raise PGMControlError(_LOST.format(f"the client is {client.status}")) from problem
    finally:
        if running:
            with suppress(Exception):  # a client that has lost its scheduler
                client.cancel(list(running))
