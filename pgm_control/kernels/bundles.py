"""Bundles: named tuples of the arguments of the sweeps, for the compiled loops and for torch.

Numba takes about 1 µs to identify the type of each NamedTuple argument, and hardly any time for a plain tuple. The
entry points of the compiled loops therefore take plain tuples, in the order of the fields here, and bundle them again.
"""

from typing import Any, NamedTuple

Table = Any  # an array for the compiled loops, a tensor for torch
Plain = tuple[Any, ...]  # a bundle as a plain tuple
MASS_ROUNDING = 1e-4  # a row whose sum is nearer to 1 holds probabilities; the other sums are numbers of actions
SPARE = 8  # additional states for impossible outcomes: with one alone, adding their masses would be a chain of waits
Width = Any  # its length is K: a tuple, so that the loop over outcomes is compiled for that length, or an array


class Outcomes(NamedTuple):
    """The outcomes (outcome, pair) of all pairs (action, state), pairs with the most outcomes first: see `solve`."""

    successor: Table
    place: Table  # the index of the outcome in the flat tables of the MDP
    counts: Table  # (outcome,): the number of pairs that have this outcome; they are the first pairs
    common: Table  # (outcome,): whether all pairs have this outcome and it leads to one state
    lane: Table  # (pair,): the index of the pair, action · S + state
    ordered: bool  # whether the pairs are in the order of this index


class Problem(NamedTuple):
    """What is random and not chosen in one MDP; its probabilities may differ between the settings."""

    outcomes: Plain  # `Outcomes`, as a plain tuple, with all outcomes that are possible in any setting
    probability: Table  # (setting or 1, state action outcome)
    initial: Table  # (setting or 1, state)
    discount: float


class Settings(NamedTuple):
    """The tables that may differ between the settings of one MDP.

    For the compiled loops they are contiguous float64 arrays whose first axis is the number of settings or 1. For
    torch see `backward`.
    """

    reward: Table  # (…, state, action, outcome), in reward units
    final_reward: Table  # (…, state)
    action_prior: Table  # (…, state, action): probabilities, or a measure with other sums
    temperature: Table  # τ, positive, or 0 in all settings. One per setting, as are the next two.
    dynamics: Table  # β of the dynamics; where τ = 0, θ = β/τ, as for the next two
    initial: Table  # β of the start
    survival: Table  # β of survival; for the compiled loops a float, the same in all settings


class Cotangents(NamedTuple):
    """Derivatives of a scalar with respect to these terms, shaped as in `Solved`; (setting, 0, …) where all are 0."""

    objective: Table
    q: Table
    v: Table


class Solved(NamedTuple):
    """The results for each setting, and the requested derivatives; arrays that were not requested are empty."""

    q: Table  # (setting, time, action, state): actions come before states
    v: Table  # (setting, time and last, state)
    objective: Table  # in nats; in reward units if τ is 0
    by_reward: Table  # (setting, state, action, outcome)
    by_final_reward: Table
    by_numbers: Table  # (setting, 3): with respect to temperature, optimism of the dynamics, optimism of the start
    by_log_prior: Table  # (setting, action, state)
    by_probability: Table  # (setting, state, action, outcome), up to a constant for each row: see `soft_values`
    by_initial: Table  # (setting, state)


class Logs(NamedTuple):
    """The arrays into which the log-probabilities of one setting are written; empty where nothing is tilted.

    Shapes are those of the compiled loops; in torch no axes are flattened, and states come before actions.
    """

    policy: Table  # (time, action state)
    dynamics: Table  # (time, state action outcome), filled with −inf by the caller
    survival: Table  # (time, state)
    start: Table


class Single(NamedTuple):
    """The tables of one MDP and one action prior, as `solve_one` reads them."""

    outcomes: Plain  # `Outcomes`; impossible ones lead to the states from S on; indices are uint32
    weight: Table  # (outcome, pair): probabilities
    prior: Table  # (action, state), normalised
    log_mass: Table  # (state,): the logarithm of the sum of the prior before that
    initial: Table  # (state,)


class ValuesOfOne(NamedTuple):
    """The values of one setting."""

    q: Table  # (time, action state)
    v: Table  # (time and last, state); the last is an input
    value: Table  # (), L of the start, in reward units
    objective: Table  # (), in nats


class Messages(NamedTuple):
    """What the forward sweep of one setting needs of the backward sweep."""

    factor: Table  # (outcome, pair): p exp((r − c)/τ), or p if the dynamics are clamped
    narrow: Table  # (time,): whether the step was made of products
    message: Table  # (time, state and `SPARE`): exp(γ V/τ) of the next step, at most 1
    inverse: Table  # (time, state): the policy is ρ exp(Q/τ) times this, both up to the same factor
    policy: Table  # (time, action state): of the other steps
    start: Table  # (state,): the optimal start distribution


class GuideTables(NamedTuple):
    """The log-probabilities of a Markov guide; a table whose first axis is 1 holds for all times."""

    log_initial: Table  # (state,)
    log_policy: Table  # (time or 1, state, action)
    log_dynamics: Table  # (time or 1, state, action, outcome)


class ModelTables(NamedTuple):
    """The tables of the model that a guide is compared with, in nats."""

    log_initial: Table  # (state,)
    log_prior: Table  # (state, action)
    log_probability: Table  # (state, action, outcome)
    reward: Table
    successor: Table
    last: Table  # (state,): the value of the last state


class ToGo(NamedTuple):
    """The values of a guide, in nats."""

    ahead: Table  # (time and last, state): the ELBO to go
    advantage: Table  # (time, state, action)


class SweepTables(NamedTuple):
    """The tables that a sweep over all states of a problem without a horizon reads; see `Tables` of the operators."""

    probability: Table
    successor: Table
    reward: Table
    pay: Table
    rows: Table
    width: Width
    longest: int
    prior: Table  # (state or 1, action), normalised


class SweepNumbers(NamedTuple):
    """The numbers of a Bellman operator."""

    discount: float
    temperature: float
    scale: float  # β/τ


class SweepValues(NamedTuple):
    """The values that a sweep reads and writes."""

    v: Table  # (state,)
    out: Table  # (state,): a different array, or v for a sweep in place
    q: Table  # (state, action) or empty
    choice: Table  # (state,) or empty: the first of the best actions, at temperature 0
    policy: Table  # (state, action) or empty: π at temperatures above 0, and 0 at dead ends


class Chain(NamedTuple):
    """The linear part W of an operator: a row of weights per state. They sum to 1 unless no value can be reached.

    Either all rows have one width, or the row of a state is begin … end − 1 of the flat tables.
    """

    weight: Table
    successor: Table
    begin: Table  # (state,) or empty
    end: Table
    width: Width
