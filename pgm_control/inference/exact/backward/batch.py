"""The compiled solver for many settings of one MDP at once, from arrays to arrays."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import ModuleType

import numpy as np
import torch

from ....kernels.bundles import Cotangents, Logs, Plain, Settings, Solved
from ....problems.mdp import TabularMDP
from .prepared import problem_of

ABREAST = 16  # settings solved side by side: enough to fill vector registers, few enough to stay in the cache
Array = np.ndarray
_NO_LOGS = Logs(np.empty((0, 0)), np.empty((0, 0)), np.empty((0, 0)), np.empty(0))


def solved(
    kernels: ModuleType,
    mdp: TabularMDP,
    given: Settings,
    wants: int = 0,
    cotangents: Cotangents | None = None,
    logs: Logs = _NO_LOGS,
) -> Solved:
    """Solve all settings; `wants` is 0 for values, 1 for derivatives by rewards too, 2 for all derivatives.

    The derivatives are those of the objective, or of the sum of objective, q and v times the cotangents.
    """
    count = len(given.temperature)
    if count > 1:
        sizes = np.abs(given.dynamics)
        kinds = np.where(sizes == 0, 0, np.where(sizes < kernels.SMALL, 1, 2))
        if kinds.min() < kinds.max():  # one sweep uses one form of the operator
            parts = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)]
            found = [solved(kernels, mdp, _some(given, part), wants, _picked(cotangents, part)) for part in parts]
            order = np.concatenate(parts).argsort()
            columns = (np.concatenate(each) for each in zip(*found, strict=True))
            return Solved(*(each[order] if len(each) else each for each in columns))
    answers, parts = arranged(kernels, mdp, given, wants, cotangents, logs)
    _in_parallel(parts)
    return answers


def arranged(
    kernels: ModuleType,
    mdp: TabularMDP,
    given: Settings,
    wants: int = 0,
    cotangents: Cotangents | None = None,
    logs: Logs = _NO_LOGS,
) -> tuple[Solved, list[Callable[[], None]]]:
    """The arrays for the answers of `solved`, for β of one kind, and the calls that fill them.

    The calls may be repeated after new numbers have been written into the given arrays.
    """
    problem = problem_of(mdp)
    count, steps, (states, actions, outcomes) = len(given.temperature), mdp.horizon, mdp.probability.shape
    wanted, all_wanted = (count if wants > 0 else 0), (count if wants > 1 else 0)
    answers = Solved(
        np.empty((count, steps, actions, states)),
        np.empty((count, steps + 1, states)),
        np.empty(count),
        np.zeros((wanted, states, actions, outcomes)),
        np.empty((wanted, states)),
        np.zeros((wanted, 3)),
        np.empty((all_wanted, actions, states)),
    )
    if cotangents is None:
        cotangents = Cotangents(np.ones(count), np.empty((count, 0, 0, 0)), np.empty((count, 0, 0)))
    parts = [
        partial(
            kernels.solve,
            problem,
            _part(given, start),
            wants,
            _part(cotangents, start),
            _part(answers, start),
            tuple(logs),
        )
        for start in range(0, count, ABREAST)
    ]
    return answers, parts


def _part(bundle: Settings | Cotangents | Solved, start: int) -> Plain:
    """One chunk of settings, as the compiled loops take it; a table of length 1 serves all settings."""
    end = start + ABREAST
    return tuple([each[start:end] if isinstance(each, Array) and len(each) > 1 else each for each in bundle])


def _some(given: Settings, which: Array) -> Settings:
    return given._replace(
        **{name: table[which] for name, table in given._asdict().items() if name != "survival" and len(table) > 1}
    )


def _picked(cotangents: Cotangents | None, which: Array) -> Cotangents | None:
    return None if cotangents is None else Cotangents(*(each[which] for each in cotangents))


def _in_parallel(parts: list[Callable[[], None]]) -> None:
    """Run the parts on as many threads as torch uses; the compiled loops release the interpreter lock."""
    threads = 1 if len(parts) == 1 else min(torch.get_num_threads(), len(parts))
    if threads == 1:
        for part in parts:
            part()
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda part: part(), parts))
