"""Large problems, built piece by piece, so that peak memory is little more than their tables."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import InvalidProblem
from ..runtime.arguments import flag, shown, whole_number
from ..runtime.array_like import ArrayLike, real_array, rounding
from ..runtime.memory import require_room
from ..runtime.moving import is_floating
from ..runtime.zero_pages import zeros
from . import checks
from .mdp import TabularMDP

_OF_ROW = "state", "action", "probability", "successor", "reward"
_PIECE = 1 << 18  # the number of outcomes that are checked at once


def mdp_from_blocks(
    blocks: Iterable[Any],
    num_states: int,
    num_actions: int,
    num_outcomes: int,
    horizon: int,
    discount: float = 1.0,
    initial: ArrayLike | None = None,
    *,
    of_rows: bool = False,
    dtype: torch.dtype = torch.float64,
    layout: Sequence[Sequence[int] | None] | None = None,
    state_names: Sequence[str] | None = None,
    action_names: Sequence[str] | None = None,
) -> TabularMDP:
    """Make a large MDP piece by piece: memory peaks at little more than its tables, 20 bytes for each outcome.

    With `of_rows`, the system provides memory only for those parts of the tables that hold outcomes, so that a few
    states may have many more outcomes than the others.

    Args:
        blocks: an iterable, such as a generator, of (probability, successor, reward) of consecutive states, each of
            shape (states of the block, A, at most K). Or, with `of_rows`, of (state, action, probability, successor,
            reward), numbers or vectors, in any order.
        num_states, num_actions, num_outcomes: S, A, K.
        horizon, discount: as in `TabularMDP`.
        initial: p(s_0); default: uniform over the states.
        of_rows: whether `blocks` gives outcomes in any order instead of consecutive states.
        dtype: of the tables, torch.float64 or torch.float32.
        layout, state_names, action_names: as in `TabularMDP`.

    Raises:
        InvalidProblem: as in `TabularMDP`; the message also names the block.
    """
    fill = _tables_of_rows if flag("of_rows", of_rows) else _all_of_blocks
    if not isinstance(blocks, Iterable) or isinstance(blocks, str | bytes):
        raise InvalidProblem(f"`blocks` must be an iterable of tuples of arrays, but is {shown(blocks)}.")
    found = fill(blocks, num_states, num_actions, num_outcomes, dtype)
    given = torch.full((num_states,), 1.0 / num_states, dtype=dtype) if initial is None else initial
    start = checks.table("initial", given, 1, checks.Kind(dtype, found.probability.device))
    checks.shape("initial", start, (num_states,), "one probability a state")
    mdp = object.__new__(TabularMDP)  # __init__ would copy the tables
    put = object.__setattr__
    put(mdp, "initial", checks.normalised("initial", start, (None,), given=given))
    for name, table in found._asdict().items():
        put(mdp, name, table)
    put(mdp, "horizon", checks.horizon("horizon", horizon))
    put(mdp, "discount", checks.discount("discount", discount))
    names = (
        checks.names("state_names", state_names, num_states),
        checks.names("action_names", action_names, num_actions),
    )
    put(mdp, "state_names", names[0])
    put(mdp, "action_names", names[1])
    put(mdp, "layout", checks.layout("layout", layout, names[0], num_states))
    return mdp


class OutcomeTables(NamedTuple):
    """The tables of an MDP. With 32-bit successors, as they are made here, and float64 an outcome takes 20 bytes."""

    probability: Float[Tensor, "state action outcome"]
    successor: Int[Tensor, "state action outcome"]
    reward: Float[Tensor, "state action outcome"]


def _all_of_blocks(
    blocks: Iterable[Any], num_states: int, num_actions: int, num_outcomes: int, dtype: torch.dtype
) -> OutcomeTables:
    found = tables_of_blocks(blocks, num_states, num_actions, num_outcomes, dtype)
    return with_rewards(found, repeats(found) and found.probability.numel() >= checks.LARGE)


def tables_of_blocks(
    blocks: Iterable[Any],
    num_states: int,
    num_actions: int,
    num_outcomes: int,
    dtype: torch.dtype,
    first_state: int = 0,
    num_successors: int | None = None,
) -> OutcomeTables:
    """The tables of consecutive states, filled from blocks. The reward has one outcome if it repeats in all blocks.

    Args:
        blocks: an iterable of (probability, successor, reward), each of shape (states of the block, A, at most K); rows
            that are shorter than K are padded with probability 0.
        num_states, num_actions, num_outcomes: S, A and K.
        dtype: of probabilities and rewards.
        first_state: the number of the first state, if the blocks begin with another than 0.
        num_successors: the number of states that outcomes may lead to; default: S.

    Raises:
        InvalidProblem: if an argument is invalid; the message names it, the offending entry and the block, or the
            number of states given.
    """
    found = _zeros(num_states, num_actions, num_outcomes, dtype)
    one, kind, first = zeros((num_states, num_actions, 1), dtype), checks.Kind(dtype, torch.device("cpu")), 0
    for block in blocks:
        try:
            if one is not None and not _repeats(block, num_outcomes):
                found.reward[:first], one = one[:first], None
            into = found if one is None else found._replace(reward=one)
            first += _put(into, block, first, kind, num_states if num_successors is None else num_successors)
        except InvalidProblem as problem:
            raise InvalidProblem(
                f"{problem} Index 0 of this block is state {first_state + first} of the problem."
            ) from None
    if first != num_states:
        raise InvalidProblem(
            f"`blocks` must give {num_states} states in all, `num_states`, but gave {first}. Correct one of the two."
        )
    return found if one is None else found._replace(reward=one)


def repeats(found: OutcomeTables) -> bool:
    """Whether the rewards are those of (state, action), and stand there for one outcome only."""
    return found.reward.shape[2] < found.probability.shape[2]


def with_rewards(found: OutcomeTables, shared: bool) -> OutcomeTables:
    """The tables with a reward for each outcome; a repeated one is shared between the outcomes, or copied."""
    every = found.reward.expand_as(found.probability)
    return found._replace(reward=every if shared else every.contiguous())


def _repeats(block: Any, num_outcomes: int) -> bool:
    """Whether the rewards of a block do not depend on the outcome, and all outcomes are possible."""
    return (
        isinstance(block, tuple | list)
        and len(block) == 3
        and checks.is_broadcast(block[2])
        and block[2].shape[-1] == num_outcomes
        and bool(((block[0] if isinstance(block[0], Tensor) else np.asarray(block[0])) > 0).all())
    )


def _put(found: OutcomeTables, block: Any, first: int, kind: checks.Kind, num_successors: int) -> int:
    """Check one block, write it from state `first` on, and return its number of states."""
    states, actions, outcomes = found.probability.shape
    if not isinstance(block, tuple | list) or len(block) != 3:
        raise InvalidProblem(
            "`blocks` must give triples (probability, successor, reward), but gave "
            f"{type(block).__name__} of {len(block) if hasattr(block, '__len__') else '?'}."
        )
    p = checks.table("probability", block[0], 3, kind)
    if p.shape[1] != actions or p.shape[2] > outcomes or first + len(p) > states:
        raise InvalidProblem(
            f"`probability` must have shape (states, {actions}, at most {outcomes}) with at most {states - first} "
            f"states left, but has shape {tuple(p.shape)}. Check `num_states`, `num_actions` and `num_outcomes`."
        )
    reward = checks.outcome_rewards("reward", block[2], p, kind, (None, None))
    successor = checks.successors("successor", block[1], p.shape, p.device, (None, None), num_states=num_successors)
    here, width = slice(first, first + len(p)), p.shape[2]
    found.probability[here, :, :width] = checks.normalised("probability", p, (None, None), given=block[0])
    found.successor[here, :, :width] = successor
    many = min(width, found.reward.shape[2])
    found.reward[here, :, :many] = reward[..., :many]
    return len(p)


def _tables_of_rows(
    rows: Iterable[Any], num_states: int, num_actions: int, num_outcomes: int, dtype: torch.dtype
) -> OutcomeTables:
    """Fill the tables from outcomes in any order, any number at a time.

    Args:
        rows: an iterable of (state, action, probability, successor, reward), numbers or vectors of one length. The
            outcomes of one (state, action) are numbered in the order in which they come.
        num_states, num_actions, num_outcomes: S, A and K, the largest number of outcomes of a (state, action).
        dtype: of probabilities and rewards.

    Raises:
        InvalidProblem: if an argument is invalid; the message names it, the offending entry and the remedy.
    """
    found = _zeros(num_states, num_actions, num_outcomes, dtype, of_rows=True)
    flat = [table.view(-1).numpy() for table in found]
    taken = np.zeros(num_states * num_actions, dtype=np.int32)
    narrowest = np.zeros(0)
    for chunk in rows:
        if not isinstance(chunk, tuple | list) or len(chunk) != 5:
            raise InvalidProblem("`blocks` must give (state, action, probability, successor, reward), five each time.")
        state, action, *outcome = (_vector(name, each) for name, each in zip(_OF_ROW, chunk, strict=True))
        _in_range("state", state, num_states)
        _in_range("action", action, num_actions)
        _in_range("successor", outcome[1], num_states)
        lengths = {len(each) for each in (state, action, *outcome)}
        if len(lengths) != 1:
            raise InvalidProblem(f"`blocks` must give vectors of one length, but gave lengths {sorted(lengths)}.")
        row = state.astype(np.int64) * num_actions + action
        order = np.argsort(row, kind="stable")
        row = row[order]
        begins = np.flatnonzero(np.r_[True, row[1:] != row[:-1]]) if len(row) else np.zeros(0, dtype=np.int64)
        counts = np.diff(np.r_[begins, len(row)])
        place = taken[row] + np.arange(len(row)) - np.repeat(begins, counts)
        taken[row[begins]] += counts.astype(np.int32)
        if len(place) and place.max() >= num_outcomes:
            full = divmod(int(row[place.argmax()]), num_actions)
            raise InvalidProblem(
                f"`num_outcomes` must be at least the number of outcomes of any (state, action), but is {num_outcomes} "
                f"and (state, action) {full} has more. Raise it."
            )
        narrowest = max(narrowest, outcome[0], key=rounding)
        for table, given in zip(flat, outcome, strict=True):
            table[row * num_outcomes + place] = given[order]
    return _checked(found, narrowest)


def _vector(name: str, value: Any) -> np.ndarray:
    found = np.atleast_1d(real_array(f"{name}` in `blocks", value, InvalidProblem))
    if found.ndim > 1:
        raise InvalidProblem(f"`{name}` in `blocks` must be a number or a vector, but has shape {found.shape}.")
    return found


def _zeros(states: int, actions: int, outcomes: int, dtype: torch.dtype, of_rows: bool = False) -> OutcomeTables:
    for name, size in (("num_states", states), ("num_actions", actions), ("num_outcomes", outcomes)):
        found = whole_number(size)
        if found is None or not 1 <= found < 2**31:
            raise InvalidProblem(f"`{name}` must be a whole number from 1 to 2^31 − 1, but is {shown(size)}.")
    if not is_floating(dtype):
        raise InvalidProblem(f"`dtype` must be torch.float64 or torch.float32, but is {shown(dtype)}.")
    shape = (states, actions, outcomes)
    if not of_rows:
        require_room(
            "num_states", f"the tables of {states:,} states, {actions} actions and {outcomes} outcomes",
            math.prod(shape), 4 + 2 * torch.empty(0, dtype=dtype).element_size(), "Take dtype=torch.float32, or fewer.",
        )  # fmt: skip
    return OutcomeTables(zeros(shape, dtype), zeros(shape, torch.int32), zeros(shape, dtype))


def _checked(found: OutcomeTables, given: np.ndarray) -> OutcomeTables:
    """Check and normalise filled tables in place, some states at a time; `given` has the dtype of the probabilities."""
    states, actions, outcomes = found.probability.shape
    step = max(1, _PIECE // (actions * outcomes))
    for first in range(0, states, step):
        here = slice(first, first + step)
        try:
            p = checks.normalised("probability", found.probability[here], (None, None), given=given)
            checks.rewards("reward", found.reward[here], (None, None))
        except InvalidProblem as problem:
            raise InvalidProblem(f"{problem} States are counted from {first} here.") from None
        impossible = (p == 0) & (found.reward[here] != 0)
        if not torch.equal(p, found.probability[here]):  # what is not written stays without memory
            found.probability[here] = p
        if bool(impossible.any()):
            found.reward[here].masked_fill_(impossible, 0.0)
    return found


def _in_range(name: str, index: np.ndarray, size: int) -> None:
    if not np.issubdtype(index.dtype, np.integer) or (len(index) and not (index.min() >= 0 and index.max() < size)):
        raise InvalidProblem(
            f"`{name}` in `blocks` must hold whole numbers from 0 to {size - 1}, but has dtype {index.dtype} and "
            f"values from {index.min()} to {index.max()}."
        )
