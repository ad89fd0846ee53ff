"""The compiled solver for many settings of one MDP at once, from arrays to arrays."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import ModuleType

import numpy as np
import torch

from ....kernels.bundles import Cotangents, Logs, Plain, Settings, Solved
from ....problems.mdp import TabularMDP
from .prepared import problem_of, problem_with
from .recursion import Chances

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
    chances: Chances | None = None,
    by_chances: bool = False,
) -> Solved:
    """Solve all settings; `wants` is 0 for values, 1 for derivatives by rewards too, 2 for those by all but `chances`.

    The derivatives are those of the objective, or of the sum of objective, q and v times the cotangents. `chances` are
    arrays with one leading axis, of length 1 or of all settings; default: those of the MDP. The derivatives by them are
    added to the others if `by_chances`.
    """
    count = len(given.temperature)
    if count > 1:
        sizes = np.abs(given.dynamics)
        kinds = np.where(sizes == 0, 0, np.where(sizes < kernels.SMALL, 1, 2))
        if kinds.min() < kinds.max():  # one sweep uses one form of the operator
            parts = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)]
            found = [
                solved(
                    *(kernels, mdp, _some(given, part), wants, _picked(cotangents, part)),
                    chances=None if chances is None else Chances(*(_where(each, part) for each in chances)),
                    by_chances=by_chances,
                )
                for part in parts
            ]
            order = np.concatenate(parts).argsort()
            columns = (np.concatenate(each) for each in zip(*found, strict=True))
            return Solved(*(each[order] if len(each) else each for each in columns))
    answers, parts = arranged(kernels, mdp, given, wants, cotangents, logs, chances, by_chances)
    _in_parallel(parts)
    return answers


def arranged(
    kernels: ModuleType,
    mdp: TabularMDP,
    given: Settings,
    wants: int = 0,
    cotangents: Cotangents | None = None,
    logs: Logs = _NO_LOGS,
    chances: Chances | None = None,
    by_chances: bool = False,
) -> tuple[Solved, list[Callable[[], None]]]:
    """The arrays for the answers of `solved`, for β of one kind, and the calls that fill them.

    The calls may be repeated after new numbers have been written into the given arrays.
    """
    problem = problem_of(mdp) if chances is None else problem_with(mdp, *chances, every=by_chances)
    count, steps, (states, actions, outcomes) = len(given.temperature), mdp.horizon, mdp.probability.shape
    wanted, all_wanted, chances_wanted = (count if each else 0 for each in (wants > 0, wants > 1, by_chances))
    answers = Solved(
        np.empty((count, steps, actions, states)),
        np.empty((count, steps + 1, states)),
        np.empty(count),
        np.zeros((wanted, states, actions, outcomes)),
        np.empty((wanted, states)),
        np.zeros((wanted, 3)),
        np.empty((all_wanted, actions, states)),
        np.empty((chances_wanted, states, actions, outcomes)),
        np.empty((chances_wanted, states)),
    )
    if cotangents is None:
        cotangents = Cotangents(np.ones(count), np.empty((count, 0, 0, 0)), np.empty((count, 0, 0)))
    parts = [
        partial(
            kernels.solve,
            _part(problem, start),
            _part(given, start),
            wants,
            _part(cotangents, start),
            _part(answers, start),
            tuple(logs),
        )
        for start in range(0, count, ABREAST)
    ]
    return answers, parts


def _part(bundle: Plain, start: int) -> Plain:
    """One chunk of settings, as the compiled loops take it; a table of length 1 serves all settings."""
    end = start + ABREAST
    return tuple([each[start:end] if isinstance(each, Array) and len(each) > 1 else each for each in bundle])


def _some(given: Settings, which: Array) -> Settings:
    return given._replace(
        **{name: _where(table, which) for name, table in given._asdict().items() if name != "survival"}
    )


def _where(table: Array, which: Array) -> Array:
    return table[which] if len(table) > 1 else table


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
