"""Jobs on an engine, each result kept as soon as it is there."""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from ..errors import InvalidArgument
from ..runtime.interrupt import deferred_interrupt
from ..runtime.progress import Progress
from .engines import Engine
from .functions import for_workers
from .job import DONE, REFUSED, Call, Job
from .settings import FAILURE
from .store import Store


class Outcome(NamedTuple):
    """What a job gave: a result, or the reason of its failure."""

    result: Mapping[str, Any] | None
    failure: str | None = None


class Ran(NamedTuple):
    """The outcomes by key, and whether Ctrl-C ended the run before the last."""

    outcomes: dict[str, Outcome]
    was_interrupted: bool


def run_jobs(
    call: Call,
    jobs: Sequence[Job],
    engine: Engine,
    store: Store | None,
    known: Mapping[str, Mapping[str, Any]],
    progress: Progress,
) -> Ran:
    """Run the jobs whose results are not known, the largest first, and write each result when it is there.

    A job may run more than once, if its worker was lost; its result is written once, by this process.

    Args:
        call: the function.
        jobs: the jobs, with different keys.
        engine: what runs them.
        store: the file of results, or None.
        known: earlier results by key.
        progress: called at the beginning and after every job with the number of finished jobs; "failed" is the number
            of failed jobs among them, "left" the number of jobs left.

    Raises:
        InvalidArgument: if a worker cannot import the function.
    """
    found = {job.key: Outcome(known[job.key]) for job in jobs if job.key in known}
    # The largest first, so that no worker starts a large job when the others are finished.
    todo = sorted((job for job in jobs if job.key not in found), key=lambda job: -job.size)
    sent = call if engine.is_here else for_workers(call)
    failed = 0

    def report() -> None:
        progress(len(found), {"failed": float(failed), "left": float(len(jobs) - len(found))})

    try:
        report()
        with closing(engine.run(sent, todo)) as answers:  # pyright: ignore[reportArgumentType]
            for job, answer in answers:
                if job.key in found:
                    continue
                if answer.kind == REFUSED:
                    raise InvalidArgument(
                        f"`function` must be importable in the workers, but {answer.text}. Start them in its folder, "
                        "or anew if a file was changed; finished jobs are kept."
                    )
                is_done = answer.kind == DONE
                outcome = Outcome(json.loads(answer.text)) if is_done else Outcome(None, answer.text)
                failed += not is_done
                with deferred_interrupt() as pressed:  # a line is written whole
                    if store is not None:
                        given = {"result": outcome.result} if is_done else {FAILURE: outcome.failure}
                        store.append({"key": job.key, **job.about, **given})
                    found[job.key] = outcome
                report()
                if pressed():
                    raise KeyboardInterrupt
    except KeyboardInterrupt:
        return Ran(found, len(found) < len(jobs))
    return Ran(found, False)
