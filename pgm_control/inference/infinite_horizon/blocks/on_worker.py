"""What runs on a worker of a cluster: the meeting point, the task of a block, and reading its result."""

import json
import pickle
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from jaxtyping import Int
from torch import Tensor
from torch.distributed import DistError, TCPStore  # pyright: ignore[reportPrivateImportUsage]

from ....errors import InvalidProblem
from ....sweeps.job import reason_of
from .held import save_block
from .job import BlockJob
from .links import LinkBroken
from .sockets import Listener, SocketLink
from .solving import BlockFacts, HeldBlock, What, solved_block

Meeting = tuple[str, int]  # the address and the port of the store
_APART = 0.1  # seconds between two reports, and between two looks at whether the task is still wanted
_STORES: dict[str, Any] = {}
_HELD: dict[tuple[str, int], HeldBlock] = {}
_ENDS: dict[str, threading.Event] = {}
_BUSY: dict[str, int] = {}
_LOCK = threading.Lock()


class NotHere(KeyError):
    """The block is not in this process."""


class NotUnderstood(Exception):
    """A worker cannot import what the functions of a job use."""


def meet(run: str, size: int) -> Meeting:
    """Open the store at which the processes of a run meet, and return where it is."""
    host = _host()
    store = TCPStore(host, 0, None, is_master=True, wait_for_workers=False)
    _STORES[run] = store
    return host, store.port


def work(sent: bytes, rank: int, meeting: Meeting, run: str, timeout: float, topic: str) -> BlockFacts:
    """Solve one block and keep its result here.

    Raises:
        InvalidProblem: if one of the user's functions ends by an exception such as SystemExit, which in a task would
            end the worker.
    """
    try:
        return _solved(sent, rank, meeting, run, timeout, topic)
    except Exception:
        raise
    except BaseException as failure:
        raise InvalidProblem(
            f"`block` and the other functions must return, or raise an Exception, but in the process of block {rank} "
            f"one ended by {reason_of(failure)}."
        ) from None


def _solved(sent: bytes, rank: int, meeting: Meeting, run: str, timeout: float, topic: str) -> BlockFacts:
    from distributed import get_worker, secede

    job = _job(sent)  # here, where an error is that of the task, and not in the loop of the worker
    worker = get_worker()
    key = worker.get_current_task()
    ended = _ENDS.setdefault(run, threading.Event())
    with _LOCK:
        _BUSY[run] = _BUSY.get(run, 0) + 1
    links: list[SocketLink] = []
    secede()  # the worker can answer others meanwhile
    looked = shown = time.monotonic()

    def is_dropped() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state not in ("executing", "long-running")  # nobody waits for it any more

    def wants_to_end() -> bool:
        nonlocal looked
        if time.monotonic() > looked + _APART:
            looked = time.monotonic()
            if is_dropped():
                ended.set()
        return ended.is_set()

    def connect() -> SocketLink:
        listener = Listener(_host())
        try:
            addresses = _all_addresses(meeting, rank, len(job.cut.bounds) - 1, listener, timeout, is_dropped)
            links.append(SocketLink(rank, run, listener, addresses, timeout))
        finally:
            listener.close()
        _STORES.pop(run, None)  # of the first process, with which all others are connected now
        return links[0]

    def progress(step: int, metrics: Mapping[str, float]) -> None:
        nonlocal shown
        if rank == 0 and time.monotonic() > shown + _APART:
            shown = time.monotonic()
            worker.log_event(topic, {"step": step, "metrics": {name: float(each) for name, each in metrics.items()}})

    try:
        held, facts = solved_block(job, rank, connect, progress, wants_to_end)
        if not is_dropped():
            _HELD[run, rank] = held
        return facts
    finally:
        for link in links:
            link.close()
        with _LOCK:
            _BUSY[run] -= 1


def end(run: str) -> None:
    """Let the processes of a run end after the current sweep."""
    _ENDS.setdefault(run, threading.Event()).set()


def is_free(run: str) -> bool:
    """Whether no task of a run is left here; its results are freed."""
    forget(run)
    return _BUSY.get(run, 0) == 0


def read(run: str, rank: int, what: What, states: Int[Tensor, " some"]) -> Tensor:
    """Values, values of actions, or policies of states of a block that lies here."""
    return _block(run, rank).read(what, states)


def save(run: str, rank: int, folder: str) -> None:
    """Write the files of a block that lies here."""
    save_block(_block(run, rank), Path(folder))


def forget(run: str) -> None:
    """Free the results of a run, and close its meeting point."""
    _STORES.pop(run, None)
    for key in [each for each in _HELD if each[0] == run]:
        del _HELD[key]


def _block(run: str, rank: int) -> HeldBlock:
    try:
        return _HELD[run, rank]
    except KeyError:
        raise NotHere(run, rank) from None


def _job(sent: bytes) -> BlockJob:
    try:
        return pickle.loads(sent)
    except (ImportError, AttributeError) as problem:  # a module, or a name in it, that is not here
        raise NotUnderstood(f"{type(problem).__name__}: {problem}") from problem


def _store(meeting: Meeting, timeout: float) -> Any:
    try:
        return TCPStore(*meeting, None, is_master=False, timeout=timedelta(seconds=timeout))
    except (RuntimeError, DistError) as problem:
        raise LinkBroken(f"nobody meets at {meeting[0]}:{meeting[1]}: {problem}") from problem


def _all_addresses(
    meeting: Meeting, rank: int, size: int, listener: Listener, timeout: float, is_dropped: Callable[[], bool]
) -> list[tuple[str, int]]:
    """Where all listen, once all have made their tables, however long that takes; the driver watches who is alive."""
    store, names = _store(meeting, timeout), [f"address {each}" for each in range(size)]
    try:
        store.set(names[rank], json.dumps([_host(), listener.port]))
        while not store.check(names):
            if is_dropped():
                raise LinkBroken("the run was given up before all had made their tables")
            time.sleep(_APART / 2)
        return [(str(host), int(port)) for host, port in (json.loads(store.get(name)) for name in names)]
    except DistError as problem:
        raise LinkBroken(f"the process of the meeting point is gone: {problem}") from problem


def _host() -> str:
    """The address at which the other workers reach this one."""
    from distributed import get_worker

    return get_worker().address.split("://")[-1].rsplit(":", 1)[0].strip("[]")
