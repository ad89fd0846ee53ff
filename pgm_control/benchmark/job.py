"""One job of a bench: one guide, fitted to one problem from one seed, and scored."""

import copy
import dataclasses
import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, final, runtime_checkable

import pyro
import torch

from ..analysis.evaluate import evaluate
from ..analysis.ledger import ledger
from ..guides.zoo import GuideEntry
from ..inference.exact.infer import infer
from ..inference.sampling.estimate import Estimate, estimate
from ..inference.variational.elbo import FREE, objective_of
from ..inference.variational.fit import Fit, FitStatus, FitStep, fit
from ..models import TabularModel
from ..models.zoo import ZooEntry
from ..runtime.randomness import seeded
from ..trajectories.blocks import Assignable, HasBlocks, MarkovModel
from .guides import guide_of, importable, problem_of
from .rows import FAILED, BenchRow, JobResult, Point

_EVERY_STEP, _APART = 20, 1.02  # of a history: every step at first, then each so many times the one before
_SMOOTHED = 50  # steps: of noisy reports the mean of so many counts
_ONE_AT_A_TIME = threading.Lock()  # Pyro's handlers are global, and a cluster may run jobs in threads


@final
@dataclass(frozen=True)
class Job:
    """What to run, in plain values, for any process.

    Attributes:
        key: by which its result is found again.
        problem, guide: by name, `module:name` for a guide of another module; or an entry.
        seed: of the fit, and of a guide that starts at random.
        temperature: τ, in reward units per nat.
        horizon: number of actions; None for the problem's own.
        num_steps: of the fit, at most; None for as many as the entry of the guide says.
        num_samples: trajectories, for a guide of which the scores can only be estimated.
        folder: in which modules are looked for first.
    """

    key: str
    problem: str | ZooEntry
    guide: str | GuideEntry
    seed: int
    temperature: float
    horizon: int | None
    num_steps: int | None
    num_samples: int
    folder: str | None = None


@runtime_checkable
class _KnowsItsELBO(Protocol):
    """A guide that estimates its ELBO with less noise than log-weights have, as a mixture does."""

    def elbo(self, num_samples: int, seed: torch.Generator) -> Estimate:
        """In nats."""
        ...


def run_job(job: Job) -> tuple[str, JobResult]:
    """The job's key, and what came of it; a failure is a row as well. Leaves torch and Pyro as they were."""
    problem = job.problem if isinstance(job.problem, str) else job.problem.name
    guide = job.guide if isinstance(job.guide, str) else job.guide.name
    row = BenchRow(problem, guide, job.seed, job.temperature, job.horizon, FAILED)
    try:
        with _ONE_AT_A_TIME, _apart(), importable(job.folder):
            return job.key, _measured(job, row)
    except Exception as failure:
        message = " ".join(f"{type(failure).__name__}: {failure}".split())
        return job.key, JobResult(dataclasses.replace(row, message=message))


def run_in_worker(job: Job) -> tuple[str, JobResult]:
    """The same in a process of ours, which leaves Ctrl-C to the one that asked."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return run_job(job)


@contextmanager
def _apart() -> Iterator[None]:
    """With one thread, for processes side by side must not fight for the cores; random numbers and parameters apart."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), pyro.get_param_store().scope():
            yield
    finally:
        torch.set_num_threads(threads)


def _measured(job: Job, row: BenchRow) -> JobResult:
    mdp = problem_of(job.problem).build()
    model = TabularModel(mdp if job.horizon is None else mdp.replace(horizon=job.horizon), job.temperature)
    row = dataclasses.replace(row, horizon=model.mdp.horizon)
    entry = guide_of(job.guide)
    # What the first use costs, such as loading code, is not the guide's: it is run twice, the first time for a step.
    for steps in (1, job.num_steps):
        found, watch = _run(model, entry, job.seed, steps)
        if found.status is FitStatus.interrupted:
            return JobResult(dataclasses.replace(row, status=found.status.name))
    seconds = found.seconds - watch.spent
    row = dataclasses.replace(row, status=found.status.name, num_steps=found.num_steps, seconds=seconds)
    scores = _scores(model, found.guide, job.num_samples, torch.Generator().manual_seed(job.seed))
    row = dataclasses.replace(row, **scores)
    return JobResult(row, _history(found, watch, row.objective))


def _run(model: MarkovModel, entry: GuideEntry, seed: int, steps: int | None) -> "tuple[Fit[Any], _Watch]":
    """Build and fit as the entry says, from this seed, with parameters of its own."""
    settings: dict[str, Any] = copy.deepcopy(dict(entry.fit))  # a loss or an optimiser may remember its last fit
    if steps is not None:
        settings["num_steps"] = steps
    pyro.clear_param_store()
    with seeded(seed):
        guide = entry.build(model)
    watch = _Watch(model, is_needed=isinstance(guide, HasBlocks) and settings.get("loss") is not None)
    callbacks = (*settings.pop("callbacks", ()), watch.note)
    return fit(model, guide, seed=seed, callbacks=callbacks, **settings), watch


@final
@dataclass(eq=False)
class _Watch:
    """Notes the time of every step, and the exact objective where the fit reports something else.

    Attributes:
        model: of the fit.
        is_needed: whether there is an exact objective that the fit does not report.
        seconds: wall time after each step, without what the watch itself took.
        objectives: in nats, after the steps that are kept.
        spent: wall time of the watch.
    """

    model: MarkovModel
    is_needed: bool
    seconds: list[float] = field(default_factory=list)
    objectives: dict[int, float] = field(default_factory=dict)
    spent: float = 0.0

    def note(self, step: FitStep) -> None:
        """A callback of `fit`."""
        self.seconds.append(step.seconds - self.spent)
        if self.is_needed and _is_kept(step.step):
            start = time.perf_counter()
            self.objectives[step.step] = _objective(self.model, step.guide)
            self.spent += time.perf_counter() - start


def _is_kept(step: int) -> bool:
    """Whether this step is in the history."""
    return step <= _EVERY_STEP or int(math.log(step, _APART)) > int(math.log(step - 1, _APART))


@torch.no_grad()
def _objective(model: MarkovModel, guide: HasBlocks) -> float:
    """What the guide maximises, exactly, in nats."""
    return float(objective_of(model, guide.blocks(), guide.optimism if isinstance(guide, Assignable) else FREE))


def _history(found: Fit[Any], watch: _Watch, final: float | None) -> tuple[Point, ...]:
    """The objective on the way, as exact as it is known, and at the end."""
    reports = found.elbo_history.tolist()  # each of the parameters before the step
    seconds = (0.0, *watch.seconds)
    if watch.is_needed:
        known = watch.objectives
    elif isinstance(found.guide, HasBlocks):
        known = dict(enumerate(reports))
    else:
        recent = ((n, reports[max(0, n - _SMOOTHED) : n]) for n in range(1, found.num_steps) if _is_kept(n))
        known = {n: sum(some) / len(some) for n, some in recent}
    kept = [(n, value) for n, value in known.items() if n < found.num_steps and _is_kept(n)]
    return tuple(
        Point(n, round(value, 6), round(seconds[n], 5))
        for n, value in (*kept, (found.num_steps, math.nan if final is None else final))
    )


def _scores(model: MarkovModel, guide: Any, num_samples: int, generator: torch.Generator) -> dict[str, Any]:
    """The fields of a row that are about the guide as it is now."""
    evidence = infer(model, FREE).log_evidence
    if not isinstance(guide, HasBlocks):
        return _estimated(model, guide, num_samples, generator, evidence)
    found, parts = evaluate(model, guide), ledger(model, guide)
    best = None
    if isinstance(guide, Assignable):
        best = float(objective_of(model, guide.optimum(), guide.optimism))
    return {
        "log_evidence": evidence,
        "elbo": found.elbo,
        "gap": parts.gap,
        **parts.totals._asdict(),
        "imagined_return": found.imagined_return,
        "true_return": found.true_return,
        "delusion": found.delusion,
        "objective": _objective(model, guide),
        "optimum": best,
        "optimum_is_exact": best is not None,
    }


def _estimated(
    model: MarkovModel, guide: Any, num_samples: int, generator: torch.Generator, evidence: float
) -> dict[str, Any]:
    """The same for a guide without tables, as far as it is known."""
    found = estimate(model, guide, num_samples, generator)
    elbo = guide.elbo(num_samples, generator) if isinstance(guide, _KnowsItsELBO) else found.elbo
    scores: dict[str, Any] = {
        "log_evidence": evidence,
        "gap": 0.0 if elbo.mean == evidence else evidence - elbo.mean,
        "elbo": elbo.mean,
        "elbo_error": elbo.standard_error,
        "objective": elbo.mean,
        "optimum_is_exact": False,
    }
    for name in ("imagined_return", "true_return", "delusion"):
        number = getattr(found, name)
        scores |= {name: number.mean, f"{name}_error": number.standard_error}
    return scores
