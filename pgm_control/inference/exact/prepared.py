"""The tables of a problem as the compiled loops read them, arranged once for as long as the tensors do not change."""

import weakref
from collections.abc import Callable
from operator import is_
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from ...kernels.bundles import MASS_ROUNDING, SPARE, Outcomes, Plain, Problem, Single
from ...problems.mdp import TabularMDP, last_reward
from ...trajectories.blocks import MarkovModel

_FULL = 0.75  # share of possible outcomes above which looking them up costs more than computing the impossible ones
Array = np.ndarray


class Own(NamedTuple):
    """The tables of a model for one setting."""

    single: Plain  # `Single`, as a plain tuple
    reward: Array  # (state action outcome,)
    last: Array  # (state,)


class _Kept(NamedTuple):
    """Something made of tensors. Holding them makes sure that another tensor is another object."""

    tables: tuple[Tensor | None, ...]
    versions: list[int] | None  # torch counts the changes in place of a tensor, except in inference mode
    made: Any


_problems: "weakref.WeakKeyDictionary[TabularMDP, _Kept]" = weakref.WeakKeyDictionary()
_singles: "weakref.WeakKeyDictionary[TabularMDP, _Kept]" = weakref.WeakKeyDictionary()
_owns: "weakref.WeakKeyDictionary[TabularMDP, _Kept]" = weakref.WeakKeyDictionary()


def problem_of(mdp: TabularMDP) -> Plain:
    """The `Problem` that all settings of an MDP share, as a plain tuple."""
    return _kept(_problems, mdp, (mdp.probability, mdp.successor, mdp.initial), _problem)


def own_tables(model: MarkovModel) -> Own:
    """The tables of a model for one setting; the next model of the same MDP replaces them."""
    mdp = model.mdp
    tables = (model.action_prior, mdp.probability, mdp.successor, mdp.initial, mdp.reward, mdp.final_reward)
    return _kept(_owns, mdp, tables, _own)


def array_of(table: Tensor) -> Array:
    """The table as a contiguous array of float64, which shares its memory if that is its form already."""
    return np.ascontiguousarray(table.detach().numpy(), dtype=np.float64)


def _kept(
    store: "weakref.WeakKeyDictionary[TabularMDP, _Kept]",
    mdp: TabularMDP,
    tables: tuple[Tensor | None, ...],
    make: Callable[..., Any],
) -> Any:
    """What `make` returned for the MDP and these tables, or makes now if a tensor was replaced or changed in place."""
    try:
        versions = [-1 if each is None else each._version for each in tables]
    except RuntimeError:  # a tensor of inference mode
        versions = None
    found = store.get(mdp)
    if found is None or versions is None or versions != found.versions or not all(map(is_, tables, found.tables)):
        store[mdp] = found = _Kept(tables, versions, make(mdp, *tables))
    return found.made


def _problem(mdp: TabularMDP, probability: Tensor, successor: Tensor, initial: Tensor) -> Plain:
    outcomes = _outcomes(probability, successor)
    return tuple(Problem(tuple(outcomes), array_of(probability).reshape(1, -1), array_of(initial), mdp.discount))


def _own(mdp: TabularMDP, action_prior: Tensor, *tables: Tensor | None) -> Own:
    own, prior = _kept(_singles, mdp, tables, _without_prior), array_of(action_prior).T
    mass = prior.sum(0)
    mass = np.where(abs(mass - 1.0) > MASS_ROUNDING, mass, 1.0)
    single = own.single._replace(prior=np.ascontiguousarray(prior / mass), log_mass=np.log(mass))
    return own._replace(single=tuple(single))


def _without_prior(
    mdp: TabularMDP,
    probability: Tensor,
    successor: Tensor,
    initial: Tensor,
    reward: Tensor,
    final_reward: Tensor | None,
) -> Own:
    (target, place, counts, _, lane, ordered), states = problem_of(mdp)[0], len(initial)
    weight = array_of(probability).reshape(-1)[place]
    target = np.where(weight > 0, target, states + np.arange(len(lane)) % SPARE)
    common = (target == target[:, :1]).all(1) & (counts == target.shape[1])
    small = [each.astype(np.uint32) for each in (target, place, lane)]
    outcomes = Outcomes(small[0], small[1], counts, common, small[2], ordered)
    single = Single(tuple(outcomes), weight, None, None, array_of(initial))
    return Own(single, array_of(reward).reshape(-1), array_of(last_reward(mdp)))


def _outcomes(probability: Tensor, successor: Tensor) -> Outcomes:
    """Outcomes by pair (s, a): pairs with most outcomes and possible outcomes first; unsorted if little is padding."""
    states, actions, outcomes = probability.shape
    shape = (outcomes, actions * states)
    possible = probability.permute(2, 1, 0).reshape(shape).numpy() > 0
    if possible.mean() > _FULL:
        possible = np.ones(shape, dtype=bool)
    order = np.argsort(~possible, axis=0, kind="stable")
    lane = np.argsort(-possible.sum(0), kind="stable")
    outcome, action, state = order[:, lane], lane // states, lane % states
    count = possible.sum(0)[lane]
    counts = (count > np.arange(shape[0])[:, None]).sum(1)
    wide = int((counts > 0).sum())  # the most possible outcomes of an event
    place = (state * actions + action) * outcomes + outcome[:wide]
    target = successor.reshape(-1).numpy()[place]
    common = (target == target[:, :1]).all(1) & (counts[:wide] == shape[1])
    ordered = bool((lane == np.arange(len(lane))).all())
    # Picking columns gives transposed arrays, except for one outcome; the loops are compiled for each order in memory.
    target, place = (np.ascontiguousarray(each, dtype=np.int64) for each in (target, place))
    counts, lane = (each.astype(np.int64) for each in (counts[:wide], lane))
    return Outcomes(target, place, counts, common, lane, ordered)
