"""Checks of numeric tables. Each error names the argument, the offending entry, its value and the remedy."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InvalidProblem
from ..runtime.arguments import is_encodable, number, shown, whole_number
from ..runtime.array_like import Refusal, numbers, real_array, rounding
from .grid import Places, grid_of

_AXES = ("state", "action", "outcome")
BY_TIME = {3: "state, action, outcome", 4: "time, state, action, outcome"}  # axes of a table that may depend on time
_MOST_OFF = 0.01  # of any sum of probabilities from 1, in narrow dtypes too
LARGE = 1 << 20  # the number of outcomes from which memory matters
_MOST_CELLS = 1000  # the most cells of a grid for each state
Names = Sequence[tuple[str, ...] | None]


@dataclass(frozen=True)
class Kind:
    """The dtype and device that the tables of one MDP share."""

    dtype: torch.dtype
    device: torch.device


def kind(value: Any) -> Kind:
    """The dtype and device of a tensor of float64 or float32; float64, on the CPU if it is no tensor, otherwise."""
    if not isinstance(value, Tensor):
        return Kind(torch.float64, torch.device("cpu"))
    return Kind(value.dtype if value.dtype in (torch.float32, torch.float64) else torch.float64, value.device)


def table(
    name: str,
    value: Any,
    axes: int | Mapping[int, str],
    kind: Kind,
    error: Refusal = InvalidProblem,
    keeps_graph: bool = False,
) -> Tensor:
    """A copy of `value` as a floating tensor with the given number of axes, none of them empty.

    Args:
        name: the name of the argument, for messages.
        value: the value of the argument.
        axes: the number of axes among (state, action, outcome), or a mapping from allowed numbers to names of the axes.
        kind: the dtype and device of the copy.
        error: the class of error to raise.
        keeps_graph: whether gradients pass through the copy; else a tensor that requires them is refused.
    """
    allowed = {axes: ", ".join(_AXES[:axes])} if isinstance(axes, int) else axes
    wanted = " or ".join(f"{n} axes ({called})" for n, called in allowed.items())
    if value is None:
        raise error(f"`{name}` must be given, but is None. Pass an array with {wanted}.")
    given = numbers(name, value, error, keeps_graph)
    if given.ndim not in allowed:
        raise error(f"`{name}` must have {wanted}, but has shape {tuple(given.shape)}. Reshape it.")
    if given.numel() == 0:
        raise error(f"`{name}` must not be empty, but has shape {tuple(given.shape)}. Every axis needs an entry.")
    result = given.to(dtype=kind.dtype, device=kind.device, copy=True)
    same_infinities(name, given, result, error)
    return result


def slack(eps: float, many: Any) -> Any:
    """How far the sum of that many probabilities may be from one, for numbers of relative precision `eps`."""
    return np.minimum(np.maximum(1e-8, 16 * eps * np.sqrt(many)), _MOST_OFF)


def shape(name: str, value: Tensor, expected: tuple[int, ...], meaning: str) -> None:
    """Raise unless the array has the expected shape."""
    if tuple(value.shape) != expected:
        raise InvalidProblem(
            f"`{name}` must have shape {expected} ({meaning}), but has shape {tuple(value.shape)}. "
            "Check the order of its axes."
        )


def normalised(name: str, value: Tensor, names: Names, error: Refusal = InvalidProblem, given: Any = None) -> Tensor:
    """The probabilities `value`, checked and rescaled to sum to one over the last axis up to rounding.

    How far a sum may be from one depends on the dtype of the argument from which the table was made: in float64 by
    1e-8, in a narrower one by its rounding. Rows that already sum to one are kept bit for bit, so that a copy of an MDP
    is identical to it. Rows that require gradients are kept too, for the sake of their derivatives.

    Args:
        name: the name of the argument, for messages.
        value: the table.
        names: the names of the states and actions, for messages.
        error: the class of error to raise.
        given: the argument itself; default: the table.
    """
    at = _first(torch.isnan(value))
    if at is not None:
        raise error(f"{_entry(name, at, names)} must be a probability, but is nan. Replace it by a number.")
    at = _first(value < 0)
    if at is not None:
        raise error(
            f"{_entry(name, at, names)} must be a probability, but is {value[at].item():g}. "
            "Probabilities lie in [0, 1]; if these are log-probabilities, pass their exponentials."
        )
    total = value.sum(-1)
    eps, count = torch.finfo(value.dtype).eps, value.shape[-1]
    at = _first(~((total - 1).abs() <= slack(eps, count)))
    if at is not None:  # only then does it matter in which dtype the numbers came
        at = _first(~((total - 1).abs() <= slack(max(eps, rounding(value if given is None else given)), count)))
    if at is not None:
        raise error(
            f"{_entry(name, at, names)} must sum to 1 over its last axis, but sums to {total[at].item():.10g}. "
            "Divide by the sum, or correct an entry."
        )
    off = (total - 1).abs() > eps * count
    rescaled = bool(off.any()) and not value.requires_grad
    return torch.where(off[..., None], value / total[..., None], value) if rescaled else value


def no_counts(action_prior: object) -> None:
    """Raise if the action prior of an agent that does not see the state is a string, such as "count"."""
    if isinstance(action_prior, str):
        raise InvalidProblem(
            f"`action_prior` must be probabilities, or None for uniform, but is {action_prior!r}. The number of "
            "actions of a state would reveal the state to an agent that does not see it: pass probabilities."
        )


def rewards(name: str, value: Tensor, names: Names) -> None:
    """Raise if a reward is nan or +inf; −inf forbids an outcome and is allowed."""
    at = _first(torch.isnan(value))
    if at is not None:
        raise InvalidProblem(
            f"{_entry(name, at, names)} must be a reward, but is nan. Use -inf to forbid an outcome, 0 for no reward."
        )
    at = _first(value == torch.inf)
    if at is not None:
        raise InvalidProblem(
            f"{_entry(name, at, names)} must be less than +inf: exp(reward / temperature) would not be a likelihood. "
            "Use a large finite reward."
        )


def outcome_rewards(name: str, value: Any, probability: Tensor, kind: Kind, names: Names) -> Tensor:
    """The rewards r(s, a, k), checked, and 0 where the probability is 0; a view of r(s, a) if possible and worth it.

    The rewards of a large table that was broadcast over outcomes, as by `expand`, are stored once for each (s, a).
    """
    one = is_broadcast(value) and probability.numel() >= LARGE
    result = table(name, value[..., :1] if one else value, BY_TIME, kind, keeps_graph=True)
    whole = (*result.shape[:-1], value.shape[-1]) if one else tuple(result.shape)
    if whole[-3:] != tuple(probability.shape[-3:]):
        shape(name, result.expand(whole), tuple(probability.shape), "one reward an outcome, like `probability`")
    rewards(name, result, names if result.ndim == 3 else (None, *names))
    impossible = probability == 0
    if impossible.ndim > result.ndim:
        impossible = impossible.all(0)
    if one and not bool(impossible.any()):
        return result.expand(whole)
    return (result.expand(whole).clone() if one else result).masked_fill_(impossible, 0.0)


def last(horizon: int, **tables: Tensor) -> None:
    """Raise if a table that depends on time has another number of steps than the horizon."""
    for name, each in tables.items():
        if each.ndim > 3 and len(each) != horizon:
            raise InvalidProblem(
                f"`{name}` must have one entry for each of the {horizon} actions of the horizon, since it depends on "
                f"time, but has {len(each)}, in shape {tuple(each.shape)}. Give as many, or leave out the axis of time."
            )


def is_broadcast(value: Any) -> bool:
    """Whether an array or a tensor repeats the same numbers along its last axis."""
    if getattr(value, "ndim", 0) != 3 or value.shape[-1] == 1:
        return False
    strides = value.stride() if isinstance(value, Tensor) else getattr(value, "strides", (1,))
    return strides[-1] == 0


def same_infinities(name: str, before: Tensor | None, after: Tensor | None, error: Refusal = InvalidProblem) -> None:
    """Raise if a finite number became infinite in another dtype. Tables on torch's device "meta" always pass."""
    if before is None or after is None or before.is_meta or before.dtype == after.dtype:
        return
    overflown = after.isinf().to(before.device) if not after.is_meta else before.to(after.dtype).isinf()
    at = _first(overflown & ~before.isinf())
    if at is not None:
        raise error(
            f"{_entry(name, at, ())} must fit into {after.dtype}, but is {before[at].item():g}. Scale the rewards and "
            "the temperature, or take torch.float64 for all tables."
        )


def indices(name: str, value: Any) -> Tensor:
    """A copy of `value` as a tensor of whole numbers on its device; 32-bit integers keep their dtype."""
    given = real_array(name, value, InvalidProblem)
    device = value.device if isinstance(value, Tensor) else torch.device("cpu")
    if not np.issubdtype(given.dtype, np.integer):
        raise InvalidProblem(
            f"`{name}` must hold integers (indices of states), but has dtype {given.dtype}. Cast it to int64."
        )
    return torch.as_tensor(given.astype(np.int32 if given.dtype == np.int32 else np.int64), device=device)


def successors(
    name: str,
    value: Any,
    expected: tuple[int, ...],
    device: torch.device,
    names: Names,
    num_states: int | None = None,
) -> Tensor:
    """A copy of `value` as state indices, checked to be in range. 32-bit integers keep their dtype."""
    result = indices(name, value).to(device)
    shape(name, result, tuple(expected), "one state an outcome, like `probability`")
    states = expected[0] if num_states is None else num_states
    at = _first((result < 0) | (result >= states))
    if at is not None:
        raise InvalidProblem(
            f"{_entry(name, at, names)} must be a state, 0 to {states - 1}, but is {int(result[at])}. "
            "Outcomes of probability 0 still need a state in range, say 0."
        )
    return result


def horizon(name: str, value: Any) -> int:
    """The horizon, checked to be a positive whole number of actions."""
    found = whole_number(value)
    if found is None or found < 1:
        raise InvalidProblem(
            f"`{name}` must be a whole number of actions, at least 1, but is {shown(value)}. "
            "An infinite horizon is approximated by a long horizon, or by a discount below 1."
        )
    return found


def discount(name: str, value: Any) -> float:
    """The discount, checked to be a probability of surviving a step."""
    found = number(value)
    if not 0 < found <= 1:
        raise InvalidProblem(
            f"`{name}` must be the probability of surviving a step, more than 0 and at most 1, but is {shown(value)}. "
            "For an agent that looks one step ahead set horizon=1."
        )
    return found


def largest_temperature(dtype: torch.dtype) -> float:
    """The largest temperature for tables of this dtype; near the end of its range β/τ would be taken for 0."""
    return math.sqrt(torch.finfo(dtype).max)


def temperature(name: str, value: Any, dtype: torch.dtype) -> float:
    """The temperature in reward units per nat, checked to be from 0 to `largest_temperature`."""
    if isinstance(value, Tensor) and value.requires_grad and torch.is_grad_enabled():
        numbers(name, value)
    found = number(value)
    largest = largest_temperature(dtype)
    if not 0 <= found <= largest:
        raise InvalidProblem(
            f"`{name}` must be a number of reward units per nat, 0 or more and at most {largest:.1e} for {dtype}, but "
            f"is {shown(value)}. Only its size relative to the rewards matters: divide both by the same number."
        )
    return found


def names(name: str, value: Sequence[str] | None, count: int) -> tuple[str, ...] | None:
    """The names as a tuple, checked to be distinct and one for each index."""
    if value is None:
        return None
    result = tuple(str(each) for each in value) if isinstance(value, Iterable) else ()
    if isinstance(value, str) or len(result) != count:
        raise InvalidProblem(
            f"`{name}` must hold {count} names, one for each index, but is {shown(value)}. Pass a list of strings, or "
            "None."
        )
    for i, each in enumerate(result):
        if not is_encodable(each):
            raise InvalidProblem(f"`{name}[{i}]` must be a string of valid Unicode, but is {each!r}. Change it.")
    often = Counter(result).most_common(1)[0]
    if often[1] > 1:
        raise InvalidProblem(
            f"`{name}` must be distinct, but {often[0]!r} occurs {often[1]} times. Make repeated names "
            "distinct, for example by a number."
        )
    return result


def layout(name: str, value: Any, names: tuple[str, ...] | None, count: int) -> Places | None:
    """Return the grid cell of each state, or None if there is no layout.

    Raises:
        InvalidProblem: if two states share a cell, since a picture shows one state in a cell, or a place is invalid.
    """
    if value is None:
        return None
    given = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else ()
    if len(given) != count:
        raise InvalidProblem(
            f"`{name}` must hold {count} places, one for each state, but holds {len(given)}. Write None for "
            "a state that is not on the grid."
        )
    result = tuple(None if each is None else _cell(name, s, each, names) for s, each in enumerate(given))
    if not any(result):
        raise InvalidProblem(f"`{name}` must place a state, but holds None alone. Pass None instead of the list.")
    grid = grid_of(result)
    if grid.rows * grid.columns > _MOST_CELLS * count:
        raise InvalidProblem(
            f"`{name}` must be a grid of at most {_MOST_CELLS} cells for each state, but has {grid.rows} rows and "
            f"{grid.columns} columns for {count} states. Number them from 0, without gaps."
        )
    for s, cell in enumerate(result):
        if cell is not None and grid.state_at[cell] != s:
            raise InvalidProblem(
                f"{_entry(name, (s,), (names,))} must differ from the cells of other states, but is {cell}, as "
                f"is that of state {grid.state_at[cell]}. Lay such states out side by side, as maps in a "
                "row, or write None."
            )
    return result


def _cell(name: str, state: int, value: Any, names: tuple[str, ...] | None) -> tuple[int, int]:
    pair = tuple(value) if isinstance(value, Iterable) else ()
    whole = [whole_number(each) for each in pair]
    if len(pair) != 2 or any(each is None or each < 0 for each in whole):
        raise InvalidProblem(
            f"{_entry(name, (state,), (names,))} must be (row, column), two whole numbers from 0, or None, but is "
            f"{value!r}. Count both from the upper left corner."
        )
    return int(pair[0]), int(pair[1])


def _first(bad: Tensor) -> tuple[int, ...] | None:
    where = bad.nonzero()
    return tuple(int(i) for i in where[0]) if len(where) else None


def _entry(name: str, index: tuple[int, ...], names: Names) -> str:
    """The words for an entry: `probability[2, 1]` (state 'goal', action 'left')."""
    axes = ("time", *_AXES) if len(names) == 3 else _AXES
    called = [
        f"{axis} {labels[i]!r}" for axis, i, labels in zip(axes, index, names, strict=False) if labels is not None
    ]
    place = f"[{', '.join(map(str, index))}]" if index else ""
    return f"`{name}{place}`" + (f" ({', '.join(called)})" if called else "")
