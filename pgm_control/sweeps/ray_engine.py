"""The engine of Ray: its tasks run the jobs.

Ray's backend for joblib gives no results as they come, so that nothing could be kept of a run that stops. Tasks do.
"""

import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from ..errors import MissingExtra
from .job import FAILED, Answer, Call, Job, answer_in_worker, reason_of
from .processes import RETRIES, lost


def require_ray() -> Any:
    """Return Ray.

    Raises:
        MissingExtra: if it is missing, with the command that installs it.
    """
    try:
        import ray  # an extra
    except ImportError as problem:
        raise MissingExtra(
            'Jobs on Ray need ray, which is missing: pip install ray. engine="loky" runs processes of this machine '
            "without it."
        ) from problem
    return ray


def on_ray(call: Call, jobs: Sequence[Job], number: int, most: int | None) -> Iterator[tuple[Job, Answer]]:
    """Yield each job with its answer when it is ready. After an end before the last, the other jobs are cancelled.

    If this process is connected to Ray, or the variable RAY_ADDRESS names a cluster, the jobs run there, one for each
    core. Otherwise Ray is started on this machine, with `number` processes, and ends with the jobs.

    Args:
        call: the function.
        jobs: the jobs, in the order in which they start.
        number: processes, if Ray is started here.
        most: jobs at a time on a cluster; None for as many as it takes.
    """
    if not jobs:
        return
    ray = require_ray()
    if ray.is_initialized():
        yield from _on_cluster(ray, call, jobs, most)
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**quiet)
    else:
        ray.init(address="local", num_cpus=min(number, len(jobs)), include_dashboard=False, **quiet)
    try:
        yield from _on_cluster(ray, call, jobs, most)
    finally:
        ray.shutdown()


def _on_cluster(ray: Any, call: Call, jobs: Sequence[Job], most: int | None) -> Iterator[tuple[Job, Answer]]:
    task = ray.remote(num_cpus=1, max_retries=0)(answer_in_worker)
    sent = ray.put(call)
    todo, losses, running = deque(jobs), dict.fromkeys((job.key for job in jobs), 0), {}
    try:
        while todo or running:
            room = most if most is not None else 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
            while todo and len(running) < room:
                job = todo.popleft()
                running[task.remote(sent, dict(job.arguments))] = job
            [ready], _ = ray.wait(list(running), num_returns=1)
            job = running.pop(ready)
            try:
                found = Answer(*ray.get(ready))
            except ray.exceptions.RayTaskError as failure:  # such as an argument that cannot be read there
                found = Answer(FAILED, reason_of(failure.cause or failure))
            except ray.exceptions.RayError:  # the process or the machine is gone
                losses[job.key] += 1
                if losses[job.key] <= RETRIES:
                    todo.appendleft(job)
                    continue
                found = Answer(FAILED, lost(losses[job.key]))
            yield job, found
    finally:
        with suppress(Exception):  # a cluster that is gone, which what ended the jobs says
            for reference in running:
                ray.cancel(reference, force=True)
