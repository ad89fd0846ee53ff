"""One job of a benchmark: one guide is fitted to one problem with one seed, and scored."""

import copy
import dataclasses
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, final, runtime_checkable

import pyro
import torch

from ..analysis.evaluate import evaluate, true_return
from ..analysis.ledgers.ledger import ledger
from ..guides.zoo import GuideEntry
from ..inference.exact.infer import infer
from ..inference.sampling.estimate import Estimate, estimate
from ..inference.variational.elbo import FREE, objective_of
from ..inference.variational.fitting.fit import fit
from ..inference.variational.fitting.fit_result import Fit, FitStatus, FitStep
from ..models.zoo import ZooEntry
from ..runtime.randomness import seeded
from ..sweeps.functions import importable
from ..trajectories.blocks import Assignable, HasBlocks, MarkovModel
from .encoded import encoded
from .guides import guide_of, problem_of
from .rows import FAILED, BenchRow, JobResult, Point

_EVERY_STEP, _APART = 20, 1.02  # steps in a history: every step at first, then in geometric progression
_SMOOTHED = 50  # steps: noisy reports are averaged over a window of this length
_ONE_AT_A_TIME = threading.Lock()  # Pyro's handlers are global, and a cluster may run jobs in threads


@final
@dataclass(frozen=True)
class Job:
    """The description of a job in plain values, for any process.

    Attributes:
        problem, guide: by name, `module:name` for a guide of another module; or an entry.
        seed: the seed of the fit, and of a guide with a random initialisation.
        temperature: τ, in reward units per nat.
        horizon: number of actions; None for the problem's own.
        num_steps: largest number of steps of the fit; None for the number in the guide's entry.
        num_samples: number of trajectories for a guide whose scores can only be estimated.
        folder: the first folder in which modules are searched.
    """

    problem: str | ZooEntry
    guide: str | GuideEntry
    seed: int
    temperature: float
    horizon: int | None
    num_steps: int | None
    num_samples: int
    folder: str | None = None

    def row(self, message: str = "") -> BenchRow:
        """Return the row of a failed job, without numbers."""
        problem = self.problem if isinstance(self.problem, str) else self.problem.name
        guide = self.guide if isinstance(self.guide, str) else self.guide.name
        return BenchRow(problem, guide, self.seed, self.temperature, self.horizon, FAILED, message)


@runtime_checkable
class _KnowsItsELBO(Protocol):
    """A guide that estimates its ELBO with less noise than the log-weights, such as a mixture."""

    def elbo(self, num_samples: int, seed: torch.Generator) -> Estimate:
        """Return the estimated ELBO, in nats."""
        ...


def measured(job: Job) -> dict[str, Any]:
    """Return the row and the history of a job as plain values. The states of torch and Pyro are restored.

    Raises:
        KeyboardInterrupt: if Ctrl-C ended the fit.
    """
    with _ONE_AT_A_TIME, _apart(), importable(job.folder):
        result = _measured(job, job.row())
    if result.row.status == FitStatus.interrupted.name:
        raise KeyboardInterrupt
    return encoded(result)


@contextmanager
def _apart() -> Iterator[None]:
    """Use one thread, since parallel processes share the cores, and isolate random numbers and Pyro's parameters."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), pyro.get_param_store().scope():
            yield
    finally:
        torch.set_num_threads(threads)


def _measured(job: Job, row: BenchRow) -> JobResult:
    model = problem_of(job.problem).model(job.horizon, job.temperature)
    row = dataclasses.replace(row, horizon=model.mdp.horizon)
    entry = guide_of(job.guide)
    # The cost of the first use, such as loading code, does not count: the fit runs twice, first for one step.
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
    """Build and fit the guide as its entry says, with this seed and a new parameter store."""
    settings: dict[str, Any] = copy.deepcopy(dict(entry.fit))  # a loss or an optimiser may have state from its last fit
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
    """A recorder of the time of every step, and of the exact objective where the fit does not report it.

    Attributes:
        model: the model of the fit.
        is_needed: whether there is an exact objective that the fit does not report.
        seconds: wall time after each step, minus the time of the recorder itself.
        objectives: the objective in nats after each recorded step.
        spent: wall time of the recorder.
    """

    model: MarkovModel
    is_needed: bool
    seconds: list[float] = field(default_factory=list)
    objectives: dict[int, float] = field(default_factory=dict)
    spent: float = 0.0

    def note(self, step: FitStep) -> None:
        """Record a step; a callback of `fit`."""
        self.seconds.append(step.seconds - self.spent)
        if self.is_needed and _is_kept(step.step):
            start = time.perf_counter()
            self.objectives[step.step] = _objective(self.model, step.guide)
            self.spent += time.perf_counter() - start


def _is_kept(step: int) -> bool:
    """Return whether this step is in the history."""
    return step <= _EVERY_STEP or int(math.log(step, _APART)) > int(math.log(step - 1, _APART))


@torch.no_grad()
def _objective(model: MarkovModel, guide: HasBlocks) -> float:
    """Return the exact objective of the guide, in nats."""
    return float(objective_of(model, guide.blocks(), guide.optimism if isinstance(guide, Assignable) else FREE))


def _history(found: Fit[Any], watch: _Watch, final: float | None) -> tuple[Point, ...]:
    """Return the objective by step, exact if it is known, and the final objective."""
    reports = found.elbo_history.tolist()  # each report belongs to the parameters before the step
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
    """Return the fields of a row that describe the fitted guide."""
    evidence = infer(model, FREE).log_evidence
    if not isinstance(guide, HasBlocks):
        return _estimated(model, guide, num_samples, generator, evidence)
    found, parts = evaluate(model, guide), ledger(model, guide)
    best = earned = None
    if isinstance(guide, Assignable):
        optimum = guide.optimum()
        best, earned = float(objective_of(model, optimum, guide.optimism)), true_return(model.mdp, optimum.log_policy)
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
        "optimum_return": earned,
    }


def _estimated(
    model: MarkovModel, guide: Any, num_samples: int, generator: torch.Generator, evidence: float
) -> dict[str, Any]:
    """Return the fields of `_scores` that can be estimated for a guide without tables."""
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
