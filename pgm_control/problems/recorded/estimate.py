r"""Dynamics estimated from transitions: the Dirichlet posterior over the next state of each state and action."""

import math
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from ...errors import InvalidArgument, InvalidProblem
from ...runtime.arguments import is_number, one_of, shown, whole_or_none
from ...runtime.array_like import ArrayLike, numbers
from ...runtime.memory import require_room
from .transitions import Transitions, transitions_of

Unvisited = Literal["refuse", "forbid"]
"""What becomes of a state and action that the data never show: an error, or a reward of −inf."""

_NAMED = 5  # the most pairs or transitions that a message names


class Estimate(NamedTuple):
    r"""The Dirichlet posterior over dynamics, in outcome form: $p(\cdot \mid s, a) \sim \mathrm{Dir}(\alpha_{sa})$.

    Attributes:
        initial: p(s_0).
        concentration: α of each outcome: its count, and its share of the pseudocount. 0 for padding.
        successor, reward: as in `TabularMDP`.
        horizon: T.
    """

    initial: Float[np.ndarray, " state"]
    concentration: Float[np.ndarray, "state action outcome"]
    successor: Int[np.ndarray, "state action outcome"]
    reward: Float[np.ndarray, "state action outcome"]
    horizon: int

    def mean(self) -> Float[np.ndarray, "state action outcome"]:
        r"""The posterior mean, $\alpha_k / \sum_j \alpha_j$."""
        return self.concentration / self.concentration.sum(-1, keepdims=True)

    def draw(self, random: np.random.Generator) -> Float[np.ndarray, "state action outcome"]:
        r"""Dynamics drawn from the posterior.

        Gamma variates, normalised. They are drawn as logarithms, $\log G_{\alpha+1} + \tfrac1\alpha \log U$, since
        those of a small α underflow.
        """
        alpha = np.where(self.concentration > 0, self.concentration, 1.0)
        log_gamma = np.log(random.standard_gamma(alpha + 1)) - random.standard_exponential(alpha.shape) / alpha
        log_gamma = np.where(self.concentration > 0, log_gamma, -np.inf)
        found = np.exp(log_gamma - log_gamma.max(-1, keepdims=True))
        return found / found.sum(-1, keepdims=True)


class _Outcomes(NamedTuple):
    """Outcomes in rows: several of a pair (state, action) may lead to the same state."""

    pair: Int[np.ndarray, " outcome"]
    successor: Int[np.ndarray, " outcome"]
    concentration: Float[np.ndarray, " outcome"]
    reward: Float[np.ndarray, " outcome"]


def estimate_dynamics(
    data: Any,
    pseudocount: float | ArrayLike,
    sizes: tuple[int | None, int | None, int | None],
    initial: ArrayLike | None,
    unvisited: Unvisited,
    unseen_reward: float | ArrayLike | None,
) -> Estimate:
    """The posterior over dynamics for the arguments of `TabularMDP.from_transitions`.

    Args:
        data, pseudocount, initial, unvisited, unseen_reward: as documented there.
        sizes: `horizon`, `num_states` and `num_actions`.

    Raises:
        InvalidArgument, InvalidProblem: as documented there.
    """
    one_of("unvisited", unvisited, get_args(Unvisited))
    found = transitions_of(data)
    horizon = found.longest if sizes[0] is None else sizes[0]
    if horizon is None:
        raise InvalidProblem(
            "`horizon` must be given, because single transitions do not show how long an episode is. Pass horizon=…, "
            "the number of actions in an episode."
        )
    states, actions, end = _sizes(found, *sizes[1:])
    start, shape = _initial(found, initial, states), (states, actions, states)
    prior = _table("pseudocount", pseudocount, shape)
    if not (prior.min() >= 0 and prior.max() < np.inf):
        raise InvalidArgument(
            f"`pseudocount` must be 0 or more and finite, but lies between {prior.min():g} and {prior.max():g}."
        )
    unseen = None if unseen_reward is None else _table("unseen_reward", unseen_reward, shape)
    if unseen is not None and not bool((unseen < np.inf).all()):
        raise InvalidArgument("`unseen_reward` must be less than +inf and not nan. −inf forbids unseen transitions.")
    seen = _seen(found, actions, states, end)
    entered = start > 0
    entered[found.state] = True
    if prior.any():
        seen = _with_prior(seen, prior, unseen, shape, end)
    entered[seen.successor] = True
    rows = [seen, *_missing(seen, entered, end, actions, unvisited)]
    outcomes = _Outcomes(*(np.concatenate(column) for column in zip(*rows, strict=True)))
    return Estimate(start, *_padded(outcomes, states, actions), horizon)


def _sizes(found: Transitions, num_states: int | None, num_actions: int | None) -> tuple[int, int, int]:
    """S, A, and the state in which episodes have ended: the last one, or S if no episode was terminated."""
    states, actions = whole_or_none("num_states", num_states), whole_or_none("num_actions", num_actions)
    terminal, goes_on = found.next_state[found.terminated], found.next_state[~found.terminated]
    largest, ends = int(max(found.state.max(), found.next_state.max())), len(terminal) > 0
    if states is None:
        is_end = (terminal == largest).all() and not (found.state == largest).any() and not (goes_on == largest).any()
        states = largest + 1 + (ends and not is_end)
    if actions is None:
        actions = int(found.action.max()) + 1
    for what, name, size in (("state", "num_states", states), ("next_state", "num_states", states),
                             ("action", "num_actions", actions)):  # fmt: skip
        worst = int(getattr(found, what).max())
        if worst >= size:
            raise InvalidArgument(
                f"`{name}` must be more than every {what} in `data`, but is {size}, and a {what} is {worst}. Raise it, "
                "or correct the recording."
            )
    require_room(
        "num_states", f"tables of {states:,} states and {actions:,} actions", states * actions, 32,
        "Number states and actions from 0, without gaps.",
    )  # fmt: skip
    if not ends:
        return states, actions, states
    end = states - 1
    if (found.state == end).any() or (goes_on == end).any() or 0 < np.count_nonzero(terminal == end) < len(terminal):
        raise InvalidArgument(
            f"`num_states` must count a last state for the end of episodes, as `data` hold terminated transitions, but "
            f"is {states}, and state {end} is not the end of all of them, or not only an end. Pass num_states="
            f"{largest + 2}."
        )
    return states, actions, end


def _initial(found: Transitions, initial: ArrayLike | None, states: int) -> Float[np.ndarray, " state"]:
    """p(s_0): as it is given, or how often episodes began in each state."""
    if initial is not None:
        start = numbers("initial", initial, InvalidProblem).numpy(force=True).astype(np.float64)
        if start.shape != (states,):
            raise InvalidProblem(
                f"`initial` must have shape {(states,)} (one probability a state), but has shape {start.shape}."
            )
        return start
    if found.starts is None:
        raise InvalidProblem(
            "`initial` must be given, because single transitions do not show where episodes begin. Pass the "
            "probability of each first state, or `data` as a list of episodes."
        )
    return np.bincount(found.starts, minlength=states) / len(found.starts)


def _table(name: str, value: float | ArrayLike, shape: tuple[int, int, int]) -> Float[np.ndarray, "..."]:
    """A number, or a table that broadcasts against (state, action, next_state)."""
    table = numbers(name, value, InvalidArgument).numpy(force=True).astype(np.float64)
    fits = table.ndim <= 3 and all(n in (1, m) for n, m in zip(table.shape[::-1], shape[::-1], strict=False))
    if not fits or (table.ndim == 0 and not is_number(value)):
        raise InvalidArgument(
            f"`{name}` must be a number, or broadcast against (state, action, next_state), {shape}, but is "
            f"{shown(value)}. Use axes of size 1 for what it does not depend on."
        )
    return table


def _seen(found: Transitions, actions: int, states: int, end: int) -> _Outcomes:
    """The counts of the transitions and their mean rewards.

    Transitions that ended in different states stay apart, because their rewards differ and inference tilts each by its
    own, although all lead to the same end.
    """
    key = ((found.state * actions + found.action) * states + found.next_state) * 2 + found.terminated
    order = np.argsort(key, kind="stable")
    key, reward = key[order], found.reward[order]
    begins = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    count = np.diff(np.r_[begins, len(key)]).astype(np.float64)
    low, high = np.minimum.reduceat(reward, begins), np.maximum.reduceat(reward, begins)
    mean = np.clip(np.add.reduceat(reward, begins) / count, low, high)  # exact where all are equal
    first = order[begins]
    successor = np.where(found.terminated[first], end, found.next_state[first])
    return _Outcomes(key[begins] // (2 * states), successor, count, mean)


def _with_prior(
    seen: _Outcomes,
    prior: Float[np.ndarray, "..."],
    unseen_reward: Float[np.ndarray, "..."] | None,
    shape: tuple[int, int, int],
    end: int,
) -> _Outcomes:
    """Add the pseudocounts: to the outcomes that were seen, and as outcomes that were not.

    Outcomes that lead to the same state share its pseudocount in proportion to their counts.
    """
    states, actions, _ = shape
    require_room(
        "num_states", f"the counts of {states:,} states, {actions:,} actions and {states:,} next states",
        5 * math.prod(shape), 8, "Leave `pseudocount` 0, so that only transitions that were seen are stored.",
    )  # fmt: skip
    prior = np.broadcast_to(prior, shape).reshape(states * actions, states)
    count = np.zeros(prior.shape)
    np.add.at(count, (seen.pair, seen.successor), seen.concentration)
    share = seen.concentration / count[seen.pair, seen.successor]
    grown = seen.concentration + share * prior[seen.pair, seen.successor]
    new = (count == 0) & (prior > 0)
    new[end * actions :] = False
    pair, successor = np.nonzero(new)
    if unseen_reward is None and len(pair):
        named = (f"{p // actions} → {s} under action {p % actions}" for p, s in zip(pair, successor, strict=True))
        raise InvalidProblem(
            f"`unseen_reward` must be given, because `pseudocount` makes {len(pair):,} transitions possible whose "
            f"reward the data do not show: {_few(named, len(pair))}. Pass a number, or a table by (state, action, "
            "next_state); or a table of pseudocounts that is 0 for impossible transitions."
        )
    paid = np.broadcast_to(0.0 if unseen_reward is None else unseen_reward, shape)
    new_rows = _Outcomes(pair, successor, prior[pair, successor], paid[pair // actions, pair % actions, successor])
    return _Outcomes(*map(np.concatenate, zip(seen._replace(concentration=grown), new_rows, strict=True)))


def _missing(
    seen: _Outcomes, entered: Bool[np.ndarray, " state"], end: int, actions: int, unvisited: Unvisited
) -> list[_Outcomes]:
    """Outcomes that stay, for the pairs without any: of the end, of states never entered, and of the others.

    Raises:
        InvalidProblem: if there are others and `unvisited` is "refuse".
    """
    has = np.zeros(len(entered) * actions, bool)
    has[seen.pair] = True
    pair = np.flatnonzero(~has)
    state = pair // actions
    decides = entered[state] & (state != end)
    if decides.any() and unvisited == "refuse":
        named = (f"({p // actions}, {p % actions})" for p in pair[decides])
        raise InvalidProblem(
            f"`data` must show every action in every state that they enter, but {int(decides.sum()):,} pairs (state, "
            f"action) were never visited: {_few(named, int(decides.sum()))}. Record more episodes; pass a "
            '`pseudocount` and an `unseen_reward`, the prior; or unvisited="forbid", which gives these actions the '
            "reward −inf."
        )
    reward = np.where(decides, -np.inf, 0.0)
    return [_Outcomes(pair, state, np.ones(len(pair)), reward)]


def _few(named: Iterable[str], count: int) -> str:
    first = [each for _, each in zip(range(_NAMED), named, strict=False)]
    return ", ".join(first) + (f" and {count - _NAMED:,} more" if count > _NAMED else "")


def _padded(outcomes: _Outcomes, states: int, actions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Concentration, successor and reward by (state, action, outcome)."""
    order = np.lexsort((outcomes.successor, outcomes.pair))
    pair, successor, concentration, reward = (column[order] for column in outcomes)
    counts = np.bincount(pair, minlength=states * actions)
    place = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = states * actions, int(counts.max())
    require_room(
        "data", f"tables of {states:,} states, {actions:,} actions and {shape[1]:,} outcomes", math.prod(shape), 40,
        "Merge states, or pass the outcomes to mdp_from_blocks(of_rows=True).",
    )  # fmt: skip
    found = np.zeros(shape), np.zeros(shape, np.int64), np.zeros(shape)
    for table, column in zip(found, (concentration, successor, reward), strict=True):
        table[pair, place] = column
    return tuple(table.reshape(states, actions, -1) for table in found)  # pyright: ignore[reportReturnType]
