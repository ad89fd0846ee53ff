"""Many runs of one function, on this machine or on a cluster, as one tidy table."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InvalidArgument
from ..runtime.arguments import called, number, shown
from ..runtime.files import folder_of
from ..runtime.progress import Progress, require_progress, silent
from .engines import engine_of
from .functions import digest_of, for_workers, is_named, name_of, require_current
from .job import Job
from .result import Sweep, SweepStatus
from .run import run_jobs
from .settings import FAILURE, key_of, require_accepted, settings_of
from .store import store_in


def sweep(
    function: Callable[..., Mapping[str, Any]],
    settings: Sequence[Mapping[str, Any]] | Mapping[str, Iterable[Any]],
    *,
    engine: Any = None,
    jobs: int | None = None,
    out: str | Path | None = None,
    version: str | None = None,
    size: Callable[..., float] | None = None,
    progress: Progress = silent,
) -> Sweep:
    """Call a function with every setting, and return a tidy table with a row for each.

    With `out`, each result is a line of results.jsonl as soon as it is there, written to the disk by this process. The
    same call continues where an earlier one stopped: settings with a result are not run again; failed ones are. A line
    has a key made of the function's name, the setting and the version. A job runs at least once, and its result is
    written once.

    Args:
        function: called with a setting as its keyword arguments; it returns a mapping from names to numbers, strings,
            True, False, None, or lists and mappings of these. It takes its random numbers from a seed in the setting.
        settings: a list of mappings from arguments to values of the same kinds, each setting once; or one mapping from
            arguments to lists, which are crossed.
        engine: what runs the jobs. None: this process, one after another. "loky": processes of this machine.
            "threading": threads of this process. "dask": the current client of dask, or processes of this machine. A
            client of dask, or the address of a scheduler, `tcp://host:port` or `dask://host:port`. "ray": the cluster
            of Ray to which this process is connected, or processes of this machine.
        jobs: jobs at a time; −1 for one per core. With more than one and no engine, the engine is "loky". Default: one
            without an engine, one per core of this machine, or as many as a cluster takes.
        out: a folder, which one process holds at a time. results.csv has the table in the end. Default: nothing is
            written.
        version: a string that is part of every key: with another one, everything runs again. Default: a digest of the
            file that defines the function, so that an edited function runs again; files that it imports do not count,
            and in a notebook only the source of the function itself. A file that was edited after it was imported is
            refused.
        size: a function of the same arguments that returns a number: jobs with a larger one start earlier.
        progress: called at the beginning and after every job with the number of finished jobs; "failed" is the number
            of failed jobs among them, "left" the number of jobs left.

    Returns:
        A `Sweep`. A job that fails is a row with the reason. A worker that is lost costs its jobs only: they run
        again, up to three times, and then have failed. Ctrl-C ends the run and keeps the finished jobs.

    Raises:
        InvalidArgument: if an argument is invalid, before any job runs; if another process holds the folder; or if a
            worker cannot import the function.
        MissingExtra: if the package of the engine is missing.

    Examples:
        >>> from pgm_control import TabularModel, infer, sweep
        >>> from pgm_control.models import lottery
        >>> def value(optimism, temperature):
        ...     found = infer(TabularModel(lottery(), temperature), optimism)
        ...     return {"objective": round(found.objective, 4)}
        >>> found = sweep(value, {"optimism": [0.0, 1.0], "temperature": [1.0, 10.0]})
        >>> print(found)
        optimism  temperature  objective
        ────────  ───────────  ─────────
               0            1     2.3275
               0           10     0.1251
               1            1     6.7142
               1           10     0.1305
        4 rows, 0 failed, 0 left.
    """
    name = name_of(function)
    chosen = settings_of(settings)
    require_accepted(function, chosen)
    require_progress(progress)
    if size is not None and not callable(size):
        raise InvalidArgument(f"`size` must be a function of a setting, but is {shown(size)}.")
    taken = engine_of(engine, jobs)
    where = None if out is None else folder_of(out, "out").absolute()  # a job may change the folder of the process
    if where is not None and version is None and (taken.is_here or for_workers(function) is function):
        require_current(function, name, "function", "; or pass a `version`")
    version = _version(function, name, version, is_kept=where is not None)
    planned = [
        Job(
            key_of(name, each, version),
            {"function": name, "version": version, "setting": each},
            each,
            0.0 if size is None else _size(size, each),
        )
        for each in chosen
    ]
    with store_in(where) as store:
        known = {} if store is None else store.results()
        ran = run_jobs(function, planned, taken, store, known, progress)
        rows = [_row(job, *ran.outcomes[job.key]) for job in planned if job.key in ran.outcomes]
        found = Sweep(
            function=name,
            version=version,
            rows=tuple(rows),
            keys=tuple(job.key for job in planned if job.key in ran.outcomes),
            status=SweepStatus.interrupted if ran.was_interrupted else SweepStatus.complete,
            num_left=len(planned) - len(rows),
        )
        if where is not None:
            found.save(where)
    return found


def _version(function: Callable[..., Any], name: str, given: str | None, *, is_kept: bool) -> str:
    if is_kept and not is_named(function):
        raise InvalidArgument(
            f"`function` must have a name of its own when results are kept in `out`, but {name} is none: write it with "
            "`def`, not inside of another function."
        )
    if given is not None:
        return called("version", given)
    found = digest_of(function)
    if is_kept and not found:
        raise InvalidArgument(
            f"`version` must be given when results are kept in `out` and the source of `function` cannot be read, as "
            f"that of {name}. Pass a string, and another one when the function has changed."
        )
    return found


def _size(size: Callable[..., float], setting: Mapping[str, Any]) -> float:
    try:
        found = size(**setting)
    except Exception as problem:  # a function of the caller
        raise InvalidArgument(
            f"`size` must be a function of a setting, but for {shown(dict(setting))} it fails with "
            f"{type(problem).__name__}: {problem}"
        ) from problem
    found_number = number(found)
    if found_number != found_number:
        raise InvalidArgument(f"`size` must return a number, but for {shown(dict(setting))} it returns {shown(found)}.")
    return found_number


def _row(job: Job, result: Mapping[str, Any] | None, failure: str | None) -> dict[str, Any]:
    return {**job.arguments, **(result or {}), FAILURE: failure}
