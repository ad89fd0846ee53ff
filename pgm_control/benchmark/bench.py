"""The benchmark of guides: every guide on every problem, over seeds, in parallel processes."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ..errors import InvalidArgument
from ..guides.zoo import GuideEntry, guide_zoo
from ..inference.variational.fitting.checkpoint import identity
from ..models import zoo
from ..models.zoo import ZooEntry
from ..runtime.arguments import called, listed, whole, whole_or_none
from ..runtime.files import folder_of
from ..runtime.progress import Progress, require_progress, silent
from ..sweeps.engines import engine_of
from ..sweeps.functions import importable, require_current
from ..sweeps.job import Job as SweepJob
from ..sweeps.run import run_jobs
from ..sweeps.store import store_in
from ..trajectories.blocks import require_model
from .encoded import decoded
from .guides import guide_of, library_digest, problem_of, require_lawful, source_digest
from .job import Job, measured
from .page import Bench, BenchStatus
from .rows import JobResult, judged

_NAMES = "at least one name or entry, or None for all of the zoo"
Entry = TypeVar("Entry", bound=Any)  # a ZooEntry or a GuideEntry


class _Settings(NamedTuple):
    """The settings that are the same for all jobs and affect their results."""

    num_seeds: int
    temperature: float | None
    horizon: int | None
    num_steps: int | None
    num_samples: int


def bench(
    models: Sequence[str | ZooEntry] | None = None,
    guides: Sequence[str | GuideEntry] | None = None,
    *,
    num_seeds: int = 3,
    temperature: float | None = None,
    horizon: int | None = None,
    num_steps: int | None = None,
    num_samples: int = 1000,
    engine: Any = None,
    jobs: int | None = None,
    out: str | Path | None = None,
    folder: str | Path | None = None,
    progress: Progress = silent,
    command: str | None = None,
) -> Bench:
    """Fit and score every guide on every problem, from several seeds.

    Args:
        models: names in the zoo, or entries; default: the whole zoo.
        guides: names in the zoo, entries, or `module:name` for a class or function `MyGuide(model)`, or a
            `GuideEntry`, of any module; default: the whole zoo. Guides of other modules must first satisfy the laws of
            `check_guide`.
        num_seeds: the number of seeds: 0, 1, …
        temperature: τ, in reward units per nat, the same for all problems; default: that of each problem's entry.
        horizon: number of actions, the same for all problems; default: each problem's own.
        num_steps: largest number of steps of each fit; default: the number in the guide's entry, or 2000.
        num_samples: number of trajectories for guides whose scores can only be estimated.
        engine, jobs: what runs the jobs, and how many at a time, as for `sweep`: default: this process, one after
            another; `jobs=-1` takes a process for each core.
        out: a folder. Every finished job is a line in its results.jsonl. A job that is there with the same settings,
            code and versions is not run again unless it failed; results.csv and page.md are written at the end.
            Default: nothing is written.
        folder: the first folder in which modules are searched.
        progress: called at the beginning and after every job with the number of finished jobs; "failed" is the number
            of failed jobs among them, "left" the number of jobs left.
        command: the command that reproduces the result, shown on the page, or None.

    Returns:
        A `Bench`. A job that fails is a row with the reason. Ctrl-C ends the run and keeps the finished jobs.

    Raises:
        InvalidArgument: if an argument is invalid, before any job runs; the message names it, with the nearest names.
        LawBroken: if a guide of another module breaks a law, before any job runs.
        MissingExtra: if the package of the engine is missing.
    """
    num_seeds, num_samples = whole("num_seeds", num_seeds), whole("num_samples", num_samples, 2)
    num_steps = whole_or_none("num_steps", num_steps)
    require_progress(progress)
    called("command", "" if command is None else command)
    taken = engine_of(engine, jobs)
    settings = _Settings(num_seeds, temperature, horizon, num_steps, num_samples)
    where = None if folder is None else str(folder_of(folder, "folder").resolve())
    path = None if out is None else folder_of(out, "out").absolute()  # a job may change the folder of the process
    with importable(where):
        problems, fitted = _taken(models, guides)
        for each in fitted if path is not None else ():
            require_current(each.build, each.name, "guides")
        planned = _planned(problems, fitted, settings, where)
    with store_in(path) as store:
        known = {} if store is None else store.results(lambda found: decoded(found) is not None)
        ran = run_jobs(measured, planned, taken, store, known, progress)
        results = judged([_result(job, *ran.outcomes[job.key]) for job in planned if job.key in ran.outcomes])
        found = Bench(
            rows=tuple(each.row for each in results),
            objective_histories={
                (each.row.model, each.row.guide, each.row.seed): each.objective_history for each in results
            },
            models={entry.name: entry.summary for entry in problems},
            guides={entry.name: entry.summary for entry in fitted},
            settings=settings._asdict(),
            status=BenchStatus.interrupted if ran.was_interrupted else BenchStatus.complete,
            num_left=len(planned) - len(results),
            command=command,
        )
        if path is not None:
            found.save(path)
    return found


def _taken(
    models: Sequence[str | ZooEntry] | None, guides: Sequence[str | GuideEntry] | None
) -> tuple[list[ZooEntry], list[GuideEntry]]:
    """Return the chosen entries, without repetitions."""
    problems = tuple(zoo()) if models is None else listed("models", models, _NAMES)
    fitted = tuple(guide_zoo()) if guides is None else listed("guides", guides, _NAMES)
    return _once("models", problems, problem_of), _once("guides", fitted, guide_of)


def _once(argument: str, given: Sequence[Any], entry_of: Callable[[Any], Entry]) -> list[Entry]:
    try:
        entries = [entry_of(each) for each in given]
    except InvalidArgument as problem:
        raise InvalidArgument(f"`{argument}` has an entry that cannot be used: {problem}") from problem
    found: dict[str, Entry] = {}
    for entry in entries:
        if found.setdefault(entry.name, entry) != entry:
            raise InvalidArgument(f"`{argument}` must have different names, but two are called {entry.name!r}.")
    return list(found.values())


def _planned(
    problems: list[ZooEntry], guides: list[GuideEntry], settings: _Settings, folder: str | None
) -> list[SweepJob]:
    """Return the jobs in the order of the results, with the sizes of their problems; check guides of other modules."""
    known_problems, known_guides = zoo(), guide_zoo()
    num_seeds, temperature, horizon, num_steps, num_samples = settings
    models = {}
    for entry in problems:
        models[entry.name] = entry.model(horizon, temperature)
        require_model(models[entry.name], in_nats=True)
    sizes = {name: model.mdp.probability.numel() * model.mdp.horizon for name, model in models.items()}
    for guide in guides:
        if known_guides.get(guide.name) is not guide:
            require_lawful(guide, models[min(sizes, key=lambda name: sizes[name])])
    planned = []
    for problem in problems:
        for guide in guides:
            about = (identity(models[problem.name]), source_digest(guide), library_digest(), num_steps, num_samples)
            by_name = ":" in guide.name or known_guides.get(guide.name) is guide
            for seed in range(num_seeds):
                key = hashlib.sha256(repr((problem.name, guide.name, seed, *about)).encode()).hexdigest()[:16]
                shown = problem.name if known_problems.get(problem.name) is problem else problem
                tau, chosen = models[problem.name].temperature, guide.name if by_name else guide
                job = Job(shown, chosen, seed, tau, horizon, num_steps, num_samples, folder)
                said = {"setting": {"model": problem.name, "guide": guide.name, "seed": seed}}
                planned.append(SweepJob(key, said, {"job": job}, float(sizes[problem.name])))
    return planned


def _result(job: SweepJob, result: Mapping[str, Any] | None, failure: str | None) -> JobResult:
    found = None if result is None else decoded(result)
    return JobResult(job.arguments["job"].row(failure or "")) if found is None else found
