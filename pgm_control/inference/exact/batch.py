"""Many settings of one MDP at once, through the compiled solver: from arrays to arrays."""

import math
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...problems.mdp import TabularMDP

_ABREAST = 16  # settings in neighbouring lanes: enough to fill vector registers, few enough to stay in the cache
_FULL = 0.75  # of the faces possible: from there on it costs more to look dice up than to throw impossible faces
_NONE = np.empty((0, 0)), np.empty((0, 0)), np.empty((0, 0)), np.empty(0)
Array = np.ndarray
Table = Any  # an array for the compiled loops, a tensor for torch
Cotangents = tuple[Array, Array, Array]  # by the objective, by q and by v, shaped as in `Solved`; (setting, 0, 0) for 0


class Settings(NamedTuple):
    """What may differ between the settings of one MDP.

    For the compiled loops: contiguous float64 arrays, the first axis their number or 1. For torch: see `backward`.
    """

    reward: Table  # (…, state, action, outcome), in reward units
    final_reward: Table  # (…, state)
    action_prior: Table  # (…, state, action), normalised
    temperature: Table  # τ, positive; or all of them 0, with no optimism. Never 1 for short, nor are the next two.
    dynamics: Table  # β of the dynamics
    initial: Table  # β of the start
    survival: Table  # β of survival; for the compiled loops a float, the same in all


class Solved(NamedTuple):
    """The answers, setting by setting, and the derivatives that were asked for, else empty."""

    q: Array  # (setting, time, action, state): the solver has actions before states
    v: Array  # (setting, time and last, state)
    objective: Array  # in nats; τ times that, if τ is 0
    by_reward: Array  # (setting, state, action, outcome)
    by_final_reward: Array
    by_numbers: Array  # (setting, 3): by temperature, by optimism of the dice, by that of the start
    by_log_prior: Array  # (setting, action, state)


class Logs(NamedTuple):
    """Where log-probabilities are written, of one setting; empty where nothing is tilted.

    Shapes are those of the compiled loops; in torch no axes are flattened, and states are before actions.
    """

    policy: Table  # (time, action state)
    dynamics: Table  # (time, state action outcome), −inf
    survival: Table  # (time, state)
    start: Table


def last_reward(mdp: TabularMDP) -> Float[Tensor, " state"]:
    """The reward of the last state, 0 where the problem has none."""
    return torch.zeros_like(mdp.initial) if mdp.final_reward is None else mdp.final_reward


def solved(
    kernels: ModuleType,
    mdp: TabularMDP,
    given: Settings,
    wants: int = 0,
    cotangents: Cotangents | None = None,
    logs: Logs | None = None,
) -> Solved:
    """Solve all settings; `wants` is 0 for values, 1 for the derivatives by rewards too, 2 for all of them.

    The derivatives are of the objective, or of the sum of objective, q and v times the cotangents.
    """
    count = len(given.temperature)
    if count > 1:
        sizes = np.abs(given.dynamics)
        kinds = np.where(sizes == 0, 0, np.where(sizes < kernels.SMALL, 1, 2))
        if kinds.min() < kinds.max():  # one sweep treats all its dice alike
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
    logs: Logs | None = None,
) -> tuple[Solved, list[Callable[[], None]]]:
    """The arguments of `solved`, for dice of one kind: answers to be, and the calls that write them.

    They may be called again, after new numbers were written into the arrays that were given.
    """
    dice, probability, initial = _tables(mdp)
    count, steps, (states, actions, outcomes) = len(given.temperature), mdp.horizon, mdp.probability.shape
    pairs, wanted, all_wanted = actions * states, (count if wants > 0 else 0), (count if wants > 1 else 0)
    answers = (
        np.empty((count, steps, pairs)),
        np.empty((count, steps + 1, states)),
        np.empty(count),
        np.zeros((wanted, states * actions * outcomes)),
        np.empty((wanted, states)),
        np.zeros((wanted, 3)),
        np.empty((all_wanted, pairs)),
    )
    tables = (
        given.reward.reshape(len(given.reward), -1),
        given.action_prior[..., None],
        given.final_reward[:, None, :, None],
    )
    numbers = given.temperature, given.dynamics, given.initial
    none = np.empty((count, 0, 0))
    costs = (np.ones(count), none, none)
    if cotangents is not None:
        by_q = cotangents[1]
        costs = (cotangents[0], by_q.reshape(*by_q.shape[:2], math.prod(by_q.shape[2:])), cotangents[2])
    parts = [
        partial(
            kernels.solve,
            dice,
            probability,
            *(table if len(table) == 1 else table[part] for table in tables),
            initial,
            mdp.discount,
            *(number[part] for number in numbers),
            given.survival,
            wants,
            *(cost[part] for cost in costs),
            *(answer[part] for answer in answers[:3]),
            *(_NONE if logs is None else logs),
            *(answer[part] for answer in answers[3:]),
        )
        for part in (slice(start, start + _ABREAST) for start in range(0, count, _ABREAST))
    ]
    q, v, objective, by_reward, by_last, by_numbers, by_log_prior = answers
    shaped = Solved(
        q.reshape(count, steps, actions, states),
        v,
        objective,
        by_reward.reshape(wanted, states, actions, outcomes),
        by_last,
        by_numbers,
        by_log_prior.reshape(all_wanted, actions, states),
    )
    return shaped, parts


def _some(given: Settings, which: Array) -> Settings:
    return given._replace(
        **{name: table[which] for name, table in given._asdict().items() if name != "survival" and len(table) > 1}
    )


def _picked(cotangents: Cotangents | None, which: Array) -> Cotangents | None:
    return None if cotangents is None else (cotangents[0][which], cotangents[1][which], cotangents[2][which])


def _in_parallel(parts: list[Callable[[], None]]) -> None:
    """On as many threads as torch uses; the compiled loops hold no lock."""
    threads = 1 if len(parts) == 1 else min(torch.get_num_threads(), len(parts))
    if threads == 1:
        for part in parts:
            part()
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda part: part(), parts))


Dice = tuple[Array, Array, Array, Array, Array, bool]
_prepared: "weakref.WeakKeyDictionary[TabularMDP, tuple[Dice, Array, Array]]" = weakref.WeakKeyDictionary()


def _tables(mdp: TabularMDP) -> tuple[Dice, Array, Array]:
    """What never changes: the dice as `sweep` has them, probabilities with an axis for settings, the start."""
    if mdp not in _prepared:
        probability = np.ascontiguousarray(mdp.probability.numpy(), dtype=np.float64).reshape(1, -1)
        _prepared[mdp] = (_dice(mdp), probability, np.ascontiguousarray(mdp.initial.numpy(), dtype=np.float64))
    return _prepared[mdp]


def _dice(mdp: TabularMDP) -> Dice:
    """Dice with most faces first, and of each die its possible faces first; or as they are, if little is padding."""
    shape = (mdp.num_outcomes, mdp.num_actions * mdp.num_states)
    possible = mdp.probability.permute(2, 1, 0).reshape(shape).numpy() > 0
    if possible.mean() > _FULL:
        possible = np.ones(shape, dtype=bool)
    order = np.argsort(~possible, axis=0, kind="stable")
    lane = np.argsort(-possible.sum(0), kind="stable")
    faces, action, state = order[:, lane], lane // mdp.num_states, lane % mdp.num_states
    count = possible.sum(0)[lane]
    counts = (count > np.arange(shape[0])[:, None]).sum(1)
    wide = int((counts > 0).sum())  # no die has more faces than that
    place = (state * mdp.num_actions + action) * mdp.num_outcomes + faces[:wide]
    successor = mdp.successor.reshape(-1).numpy()[place].astype(np.int64)
    common = (successor == successor[:, :1]).all(1) & (counts[:wide] == shape[1])
    ordered = bool((lane == np.arange(len(lane))).all())
    return successor, place.astype(np.int64), counts[:wide].astype(np.int64), common, lane.astype(np.int64), ordered
