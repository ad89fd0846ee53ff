"""Runners of jobs: one after another, or in parallel processes by joblib."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..errors import InvalidArgument, MissingExtra, PGMControlError
from ..runtime.arguments import shown, whole_number
from .job import Job, run_in_worker, run_job
from .rows import JobResult

_MOST = 10_000  # processes

Runner = Callable[[Sequence[Job]], Iterator[tuple[str, JobResult]]]


def runner(jobs: int, backend: str | None) -> Runner:
    """Return a function that runs jobs and yields each result when it is ready, in any order.

    Raises:
        InvalidArgument: if `jobs` is not a number of processes, or joblib does not know the backend.
        MissingExtra: if joblib is needed and missing, with the command that installs it.
    """
    number = whole_number(jobs)
    if number is None or number == 0 or abs(number) > _MOST:
        raise InvalidArgument(
            f"`jobs` must be a number of processes, at most {_MOST}, or −1 for one per core, but is {shown(jobs)}."
        )
    jobs = number
    if jobs == 1 and backend is None:
        return lambda todo: map(run_job, todo)
    try:
        import joblib  # an extra
    except ImportError as problem:
        raise MissingExtra(
            "Parallel jobs need joblib, which is missing: pip install joblib. jobs=1 works without it."
        ) from problem
    try:
        with joblib.parallel_config(backend=backend or "loky", n_jobs=jobs):
            parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)  # pyright: ignore[reportArgumentType]
    except (ValueError, ImportError) as problem:
        said = " ".join(str(problem).split())
        raise InvalidArgument(
            f"`backend` must be one that joblib knows and that gives results as they come, such as loky, or dask or "
            f"ray once installed and registered, but is {backend!r}: {said}"
        ) from problem
    return lambda todo: _side_by_side(joblib, parallel, todo)


def _side_by_side(joblib: Any, parallel: Any, todo: Sequence[Job]) -> Iterator[tuple[str, JobResult]]:
    if not todo:
        return
    found = parallel(joblib.delayed(run_in_worker)(job) for job in todo)
    try:
        yield from found
    except joblib.externals.loky.process_executor.TerminatedWorkerError as problem:
        raise PGMControlError(
            "A process of the bench was killed, perhaps for lack of memory. Finished jobs are kept: run the bench "
            "again, with fewer jobs."
        ) from problem
    finally:
        found.close()
