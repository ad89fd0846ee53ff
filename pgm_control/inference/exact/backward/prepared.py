"""The tables of a problem as the compiled loops read them, arranged once for as long as the tensors do not change."""

from typing import NamedTuple

import numpy as np
from torch import Tensor

from ....kernels.bundles import MASS_ROUNDING, SPARE, Outcomes, Plain, Problem, Single
from ....problems.mdp import TabularMDP, last_reward
from ....problems.timed import at_time
from ....trajectories.blocks import MarkovModel
from ....trajectories.remembered import kept
from ....trajectories.steps import prior_at

_FULL = 0.75  # share of possible outcomes above which looking them up costs more than computing the impossible ones
Array = np.ndarray


class Own(NamedTuple):
    """The tables of a model for one setting."""

    single: Plain  # `Single`, as a plain tuple
    reward: Array  # (state action outcome,)
    last: Array  # (state,)


def problem_of(mdp: TabularMDP) -> Plain:
    """The `Problem` that all settings of an MDP share, as a plain tuple."""
    return kept(mdp, _problem, (mdp.probability, mdp.successor, mdp.initial), lambda: _problem(mdp))


def problem_with(mdp: TabularMDP, probability: Array, initial: Array, every: bool) -> Plain:
    """The `Problem` of settings with probabilities of their own, (setting or 1, state, action, outcome) and (…, state).

    An outcome that is impossible in all settings is left out, unless `every` outcome is wanted.
    """
    possible = np.ones(probability.shape[1:], dtype=bool) if every else np.any(probability > 0, axis=0)
    outcomes = _outcomes(possible, mdp.successor)
    return tuple(Problem(tuple(outcomes), probability.reshape(len(probability), -1), initial, mdp.discount))


def own_tables(model: MarkovModel) -> Own:
    """The tables of a model for one setting; the next model of the same MDP replaces them."""
    mdp, prior = model.mdp, model.action_prior
    return kept(mdp, _own, (prior, *_tables_of(mdp)), lambda: _own(mdp, prior))


def array_of(table: Tensor) -> Array:
    """The table as a contiguous array of float64, which shares its memory if that is its form already."""
    return np.ascontiguousarray(table.detach().numpy(), dtype=np.float64)


def _tables_of(mdp: TabularMDP) -> tuple[Tensor | None, ...]:
    return mdp.probability, mdp.successor, mdp.initial, mdp.reward, mdp.final_reward


def _problem(mdp: TabularMDP) -> Plain:
    return problem_with(mdp, array_of(mdp.probability)[None], array_of(mdp.initial)[None], every=False)


def _own(mdp: TabularMDP, action_prior: Tensor) -> Own:
    single, reward, last = kept(mdp, _without_prior, _tables_of(mdp), lambda: _without_prior(mdp))
    return Own(_with_prior(single, action_prior), reward, last)


def _with_prior(single: Single, action_prior: Tensor) -> Plain:
    prior = array_of(action_prior).T
    mass = prior.sum(0)
    mass = np.where(abs(mass - 1.0) > MASS_ROUNDING, mass, 1.0)
    return tuple(single._replace(prior=np.ascontiguousarray(prior / mass), log_mass=np.log(mass)))


def single_at(model: MarkovModel, t: int) -> Plain:
    """The `Single` of step t of a model that depends on time. Outcomes that are possible at any time have a place."""
    mdp, prior = model.mdp, prior_at(model, t)
    outcomes = kept(mdp, single_at, (mdp.probability, mdp.successor), lambda: _outcomes_at_any_time(mdp))
    if mdp.probability.ndim > 3:
        return _with_prior(_single(outcomes, mdp, at_time(mdp.probability, t, 3)), prior)
    parts = mdp.probability, mdp.successor, mdp.initial
    single = kept(mdp, _single, parts, lambda: _single(outcomes, mdp, mdp.probability))
    if model.action_prior.ndim > 2:
        return _with_prior(single, prior)
    return kept(mdp, _with_prior, (*parts, prior), lambda: _with_prior(single, prior))


def _outcomes_at_any_time(mdp: TabularMDP) -> Outcomes:
    possible = array_of(mdp.probability).reshape(-1, *mdp.successor.shape) > 0
    return _outcomes(np.any(possible, axis=0), mdp.successor)


def _without_prior(mdp: TabularMDP) -> tuple[Single, Array, Array]:
    single = _single(problem_of(mdp)[0], mdp, mdp.probability)
    return single, array_of(mdp.reward).reshape(-1), array_of(last_reward(mdp))


def _single(shared: Plain, mdp: TabularMDP, probability: Tensor) -> Single:
    """The tables of one step, without the prior."""
    (target, place, counts, _, lane, ordered), states = shared, mdp.num_states
    weight = array_of(probability).reshape(-1)[place]
    target = np.where(weight > 0, target, states + np.arange(len(lane)) % SPARE)
    common = (target == target[:, :1]).all(1) & (counts == target.shape[1])
    small = [each.astype(np.uint32) for each in (target, place, lane)]
    outcomes = Outcomes(small[0], small[1], counts, common, small[2], ordered)
    return Single(tuple(outcomes), weight, None, None, array_of(mdp.initial))


def _outcomes(possible: Array, successor: Tensor) -> Outcomes:
    """Outcomes by pair (s, a): pairs with most outcomes and possible outcomes first; unsorted if little is padding."""
    states, actions, outcomes = possible.shape
    shape = (outcomes, actions * states)
    possible = possible.transpose(2, 1, 0).reshape(shape)
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
