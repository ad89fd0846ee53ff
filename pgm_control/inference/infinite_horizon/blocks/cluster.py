"""A Dask cluster as its client sees it: its workers, and calls on one of them."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, final

from ....errors import InvalidArgument, WorkersLost
from ....runtime.arguments import shown
from ....sweeps.dask_engine import require_dask, workers_of

PAUSE = 0.05  # seconds between two looks at the tasks
LOOK = 1.0  # seconds between two looks at the workers
_UNCONNECTED = (
    "`client` is closed, or its scheduler is gone, and so are results that were not saved. Start scheduler and workers "
    "again if they have ended, and run again with a new client; with the same `folder` the run goes on."
)


class Worker(NamedTuple):
    """A worker: its name stays if it is started again, its address does not."""

    name: str
    address: str


@final
class Cluster:
    """A Dask cluster as its client sees it."""

    def __init__(self, client: Any) -> None:
        """Keep the client."""
        self.client, self._known = client, dict[Worker, float]()

    @classmethod
    def of(cls, client: Any) -> "Cluster":
        """The cluster of a client.

        Raises:
            MissingExtra: if dask is not installed.
            InvalidArgument: if it is no `distributed.Client`, is closed, or has no workers.
        """
        distributed = require_dask("Blocks on workers", "Without `client` they are threads of this process.")
        if isinstance(client, distributed.Client) and client.status == "closed":
            raise InvalidArgument("`client` must be connected, but is closed. Make a new one.")
        if not isinstance(client, distributed.Client) or client.asynchronous:
            raise InvalidArgument(
                f"`client` must be a distributed.Client that is not asynchronous, but is {shown(client)}. Make one by "
                "Client('tcp://address-of-the-scheduler:8786')."
            )
        if client.status != "running":
            raise InvalidArgument(f"`client` must be connected, but is {client.status}. Make a new one.")
        found = cls(client)
        if not found.workers():
            raise InvalidArgument("`client` must have workers, but has none. Start some, or wait for them.")
        return found

    def workers(self) -> list[Worker]:
        """The workers, by name; as they were when the scheduler last answered, while the client connects again.

        Raises:
            WorkersLost: if the client has no connection to a scheduler.
        """
        return sorted(self._last_heard())

    def silent(self, seconds: float) -> list[Worker]:
        """The workers from which the scheduler has heard nothing for this time."""
        with suppress(OSError), self.connection():  # while the client connects again nothing is known of them
            now = self.client.run_on_scheduler(time.time)
            return [worker for worker, seen in self._last_heard().items() if seen < now - seconds]
        return []

    def _last_heard(self) -> dict[Worker, float]:
        with self.connection():
            try:
                found = workers_of(self.client)
            except OSError:
                if self.client.status not in ("running", "connecting"):
                    raise
            else:
                self._known = {Worker(str(about["name"]), at): about["last_seen"] for at, about in found.items()}
        return self._known

    def submit(self, worker: Worker, work: Callable[..., Any], *given: Any) -> Any:
        """The future of a call on one worker, which is never repeated."""
        key = f"{work.__name__}-{uuid.uuid4().hex}"
        with self.connection():
            return self.client.submit(
                work, *given, workers=[worker.address], allow_other_workers=False, retries=0, pure=False, key=key
            )

    def cancel(self, futures: list[Any]) -> None:
        """Cancel calls, also such as run; a client that is closed meanwhile has none."""
        with suppress(Exception):
            self.client.cancel(futures, force=True)

    @contextmanager
    def connection(self) -> Iterator[None]:
        """Within the context, errors of a client that has been closed, or has given up its scheduler, say so."""
        try:
            yield
        except WorkersLost:
            raise
        except Exception as problem:  # of many kinds, such as a KeyError where it knows of no workers any more
            if self.client.status not in ("closing", "closed"):
                raise
            raise WorkersLost(_UNCONNECTED) from problem

    def call(self, worker: Worker, timeout: float, work: Callable[..., Any], *given: Any) -> Any:
        """The result of a call on one worker.

        Raises:
            WorkersLost: if the worker does not answer in time, or is gone.
        """
        end = time.monotonic() + timeout
        return self.result(worker, self.submit(worker, work, *given), lambda: time.monotonic() > end)

    def result(self, worker: Worker, future: Any, is_late: Callable[[], bool]) -> Any:
        """The result of a future of one worker.

        Raises:
            WorkersLost: if the worker is gone, or `is_late`, asked about once a second, says that it is late.
        """
        import distributed

        looked = time.monotonic()
        while not future.done():
            time.sleep(PAUSE)
            if time.monotonic() > looked + LOOK:
                looked = time.monotonic()
                if is_late() or worker not in self.workers():
                    self.cancel([future])
                    raise WorkersLost(f"Worker {worker.name} at {worker.address} does not answer, or is gone.")
        try:
            with self.connection():
                return future.result()
        except (distributed.KilledWorker, distributed.CancelledError) as problem:
            raise WorkersLost(f"Worker {worker.name} at {worker.address} is gone.") from problem
