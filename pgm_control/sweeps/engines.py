"""The engines of a sweep, by name: what runs the jobs, and gives each answer when it is ready.

| engine | what runs the jobs |
|---|---|
| None | this process, one after another |
| "loky" | processes of this machine, by joblib's executor |
| "threading" | threads of this process |
| "dask" | the current client of dask, or processes of this machine |
| `dask://host:port` or `tcp://host:port` | the workers of this scheduler of dask |
| a client of dask | its workers |
| "ray" | the cluster to which this process is connected, or processes of this machine |
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

from ..errors import InvalidArgument
from ..runtime.arguments import shown, whole_number
from .dask_engine import is_client, on_address, on_client, on_current, require_client, require_dask
from .job import Answer, Call, Job, answer
from .processes import on_processes, require_loky
from .ray_engine import on_ray, require_ray
from .threads import on_threads

NAMES = ("loky", "threading", "dask", "ray")
"""The engines that a name stands for."""
SCHEMES = ("dask://", "tcp://")
"""What the address of a scheduler of dask begins with."""

_MOST = 10_000  # jobs at a time
Run = Callable[[Call, Sequence[Job]], Iterator[tuple[Job, Answer]]]


@final
@dataclass(frozen=True)
class Engine:
    """What runs jobs.

    Attributes:
        run: takes a call and jobs, and yields each job with its answer when it is ready, in any order.
        is_here: whether the jobs run in this process, which has the function already.
    """

    run: Run
    is_here: bool


def engine_of(engine: Any, jobs: Any) -> Engine:
    """The engine of this name, address or client, for so many jobs at a time.

    Raises:
        InvalidArgument: if there is no such engine, or `jobs` is not a number of jobs.
        MissingExtra: if its package is missing, with the command that installs it.
    """
    number = _number(jobs)
    if engine is None and number in (None, 1):
        return Engine(_one_by_one, True)
    many = os.cpu_count() or 1 if number is None or number == -1 else number
    most = None if number == -1 else number  # of a cluster: as many as it takes
    name = "loky" if engine is None else engine if isinstance(engine, str) else ""
    if name == "loky":
        require_loky()
        return Engine(lambda call, todo: on_processes(call, todo, many), False)
    if name == "threading":
        return Engine(lambda call, todo: on_threads(call, todo, many), True)
    if name == "dask":
        require_dask()
        return Engine(lambda call, todo: on_current(call, todo, many, most), False)
    if name == "ray":
        require_ray()
        return Engine(lambda call, todo: on_ray(call, todo, many, most), False)
    if name.startswith(SCHEMES):
        require_dask()
        address = f"tcp://{name.partition('://')[2]}"
        return Engine(lambda call, todo: on_address(call, todo, address, most), False)
    if is_client(engine):
        require_client(engine)
        return Engine(lambda call, todo: on_client(call, todo, engine, most), False)
    raise InvalidArgument(
        f"`engine` must be None, {', '.join(NAMES)}, the address of a scheduler of dask such as tcp://host:8786, or a "
        f"client of dask, but is {shown(engine)}. Other backends of joblib, such as its own for Ray, do not give "
        "results as they come."
    )


def _number(jobs: Any) -> int | None:
    if jobs is None:
        return None
    number = whole_number(jobs)
    if number is None or number == 0 or number < -1 or number > _MOST:
        raise InvalidArgument(
            f"`jobs` must be a number of jobs at a time, at most {_MOST}, or −1 for one per core, but is {shown(jobs)}."
        )
    return number


def _one_by_one(call: Call, jobs: Sequence[Job]) -> Iterator[tuple[Job, Answer]]:
    for job in jobs:
        yield job, answer(call, job.arguments)
