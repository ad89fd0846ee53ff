"""Bundles: what the sweeps are given together, under one name, for the compiled loops and for torch.

Numba takes about 1 µs to identify the type of each NamedTuple argument, hardly any time for a plain tuple. The entry
points of the compiled loops therefore take plain tuples, in the order of the fields here, and bundle them again.
"""

from typing import Any, NamedTuple

Table = Any  # an array for the compiled loops, a tensor for torch
Plain = tuple[Any, ...]  # a bundle without its name
Width = Any  # its length is that of a row: a tuple, to compile the loop over outcomes for that length, or an array


class Outcomes(NamedTuple):
    """The outcomes (outcome, pair) of all pairs (action, state), those with most outcomes first: see `solve`."""

    successor: Table
    place: Table  # where the outcome stands in the tables of the MDP
    counts: Table  # (outcome,): the number of pairs that have it; they stand first
    common: Table  # (outcome,): whether all pairs have it, and it leads to one state
    lane: Table  # (pair,): which pair it is, action · S + state
    ordered: bool  # the pairs are in the order of `lane`


class Problem(NamedTuple):
    """What is the same in all settings of one MDP."""

    outcomes: Plain  # `Outcomes`, without its name
    probability: Table  # (1, state action outcome)
    initial: Table  # (state,)
    discount: float


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


class Cotangents(NamedTuple):
    """Derivatives of a sum by its terms, shaped as in `Solved`; (setting, 0, …) where all are 0."""

    objective: Table
    q: Table
    v: Table


class Solved(NamedTuple):
    """The answers, setting by setting, and the derivatives that were asked for, else empty."""

    q: Table  # (setting, time, action, state): the solver has actions before states
    v: Table  # (setting, time and last, state)
    objective: Table  # in nats; τ times that, if τ is 0
    by_reward: Table  # (setting, state, action, outcome)
    by_final_reward: Table
    by_numbers: Table  # (setting, 3): by temperature, by optimism of the dynamics, by that of the start
    by_log_prior: Table  # (setting, action, state)


class Logs(NamedTuple):
    """Where log-probabilities are written, of one setting; empty where nothing is tilted.

    Shapes are those of the compiled loops; in torch no axes are flattened, and states are before actions.
    """

    policy: Table  # (time, action state)
    dynamics: Table  # (time, state action outcome), −inf
    survival: Table  # (time, state)
    start: Table


class GuideTables(NamedTuple):
    """Factors of a Markov guide and their logarithms; a table whose first axis is 1 holds for all times."""

    policy: Table  # (time or 1, state, action)
    log_policy: Table
    dynamics: Table  # (time or 1, state, action, outcome)
    log_dynamics: Table


class ModelTables(NamedTuple):
    """What a guide is measured by, in nats."""

    log_prior: Table  # (state, action)
    log_probability: Table  # (state, action, outcome)
    reward: Table
    successor: Table
    last: Table  # (state,): what the last state is worth


class ToGo(NamedTuple):
    """Values of a guide, in nats."""

    ahead: Table  # (time and last, state): the ELBO still to come
    advantage: Table  # (time, state, action)


class SweepTables(NamedTuple):
    """What a sweep over all states of a problem without a horizon reads; see `infinite_horizon.tables`."""

    probability: Table
    successor: Table
    reward: Table
    pay: Table
    rows: Table
    width: Width
    longest: int
    prior: Table


class SweepNumbers(NamedTuple):
    """The numbers of a Bellman operator."""

    discount: float
    temperature: float
    scale: float  # β/τ


class SweepValues(NamedTuple):
    """What a sweep starts from and what it writes."""

    v: Table  # (state,)
    out: Table  # (state,): another array, or v for a sweep in place
    q: Table  # (state, action) or empty
    choice: Table  # (state,) or empty: the first best action, at temperature 0


class FixedPolicy(NamedTuple):
    """A policy that takes the place of the maximum, and what it pays in each state; both may be empty."""

    policy: Table  # (state, action)
    bonus: Table  # (state,)
