"""Checks of numeric tables. Each error names the argument, the offending entry, its value and the remedy."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InvalidArgument, InvalidProblem
from ..runtime.arguments import is_number
from .grid import Places, grid_of

_AXES = ("state", "action", "outcome")
_MOST_CELLS = 1000  # the most cells of a grid for each state
Refusal = type[InvalidProblem] | type[InvalidArgument]
Names = Sequence[tuple[str, ...] | None]


@dataclass(frozen=True)
class Kind:
    """The dtype and device that the tables of one MDP share."""

    dtype: torch.dtype
    device: torch.device


def kind(value: Any) -> Kind:
    """The dtype and device of a floating tensor; float64 on the CPU for anything else."""
    if isinstance(value, Tensor):
        if value.is_floating_point() and value.dtype not in (torch.float32, torch.float64):
            raise InvalidProblem(
                f"Tables must be torch.float64 or torch.float32, but are {value.dtype}. Pass them as `.double()`."
            )
        return Kind(value.dtype if value.is_floating_point() else torch.float64, value.device)
    return Kind(torch.float64, torch.device("cpu"))


def table(name: str, value: Any, axes: int | Mapping[int, str], kind: Kind, error: Refusal = InvalidProblem) -> Tensor:
    """A copy of `value` as a floating tensor with the given number of axes, none of them empty.

    Args:
        name: the name of the argument, for messages.
        value: the value of the argument.
        axes: the number of axes among (state, action, outcome), or a mapping from allowed numbers to names of the axes.
        kind: the dtype and device of the copy.
        error: the class of error to raise.
    """
    allowed = {axes: ", ".join(_AXES[:axes])} if isinstance(axes, int) else axes
    wanted = " or ".join(f"{n} axes ({called})" for n, called in allowed.items())
    if value is None:
        raise error(f"`{name}` must be given, but is None. Pass an array with {wanted}.")
    try:
        given = value.detach() if isinstance(value, Tensor) else torch.from_numpy(np.array(value, dtype=np.float64))
    except (TypeError, ValueError) as problem:
        raise error(f"`{name}` must be a rectangular array of numbers: {problem}. Pad short rows.") from problem
    if given.is_complex():
        raise error(f"`{name}` must hold real numbers, but has dtype {given.dtype}. Pass its real part.")
    if given.ndim not in allowed:
        raise error(f"`{name}` must have {wanted}, but has shape {tuple(given.shape)}. Reshape it.")
    if given.numel() == 0:
        raise error(f"`{name}` must not be empty, but has shape {tuple(given.shape)}. Every axis needs an entry.")
    return given.to(dtype=kind.dtype, device=kind.device, copy=True)


def shape(name: str, value: Tensor, expected: tuple[int, ...], meaning: str) -> None:
    """Raise unless the array has the expected shape."""
    if tuple(value.shape) != expected:
        raise InvalidProblem(
            f"`{name}` must have shape {expected} ({meaning}), but has shape {tuple(value.shape)}. "
            "Check the order of its axes."
        )


def normalised(name: str, value: Tensor, names: Names, error: Refusal = InvalidProblem) -> Tensor:
    """The probabilities `value`, checked and rescaled to sum to one over the last axis up to rounding.

    Rows that already sum to one are kept bit for bit, so that a copy of an MDP is identical to it.
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
    tolerance = 1e-8 if value.dtype == torch.float64 else 16 * torch.finfo(value.dtype).eps * value.shape[-1] ** 0.5
    at = _first(~((total - 1).abs() <= tolerance))
    if at is not None:
        raise error(
            f"{_entry(name, at, names)} must sum to 1 over its last axis, but sums to {total[at].item():.10g}. "
            "Divide by the sum, or correct an entry."
        )
    off = (total - 1).abs()[..., None] > torch.finfo(value.dtype).eps * value.shape[-1]
    return torch.where(off, value / total[..., None], value)


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


def same_infinities(name: str, before: Tensor | None, after: Tensor | None) -> None:
    """Raise if a finite reward became infinite in another dtype. Rewards on torch's device "meta" always pass."""
    if before is None or after is None or before.is_meta or before.dtype == after.dtype:
        return
    overflown = after.isinf().to(before.device) if not after.is_meta else before.to(after.dtype).isinf()
    at = _first(overflown & ~before.isinf())
    if at is not None:
        raise InvalidProblem(
            f"{_entry(name, at, ())} must fit into {after.dtype}, but is {before[at].item():g}. Scale the rewards and "
            "the temperature, or keep torch.float64."
        )


def successors(name: str, value: Any, probability: Tensor, names: Names, num_states: int | None = None) -> Tensor:
    """A copy of `value` as state indices, checked to be in range. 32-bit integers keep their dtype."""
    try:
        given = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    except ValueError as problem:
        raise InvalidProblem(f"`{name}` must be a rectangular array: {problem}. Pad short rows.") from problem
    if not np.issubdtype(given.dtype, np.integer):
        raise InvalidProblem(
            f"`{name}` must hold integers (indices of states), but has dtype {given.dtype}. Cast it to int64."
        )
    width = np.int32 if given.dtype == np.int32 else np.int64
    result = torch.as_tensor(given.astype(width), device=probability.device)
    shape(name, result, tuple(probability.shape), "one state an outcome, like `probability`")
    states = probability.shape[0] if num_states is None else num_states
    at = _first((result < 0) | (result >= states))
    if at is not None:
        raise InvalidProblem(
            f"{_entry(name, at, names)} must be a state, 0 to {states - 1}, but is {int(result[at])}. "
            "Outcomes of probability 0 still need a state in range, say 0."
        )
    return result


def horizon(name: str, value: Any) -> int:
    """The horizon, checked to be a positive whole number of actions."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InvalidProblem(
            f"`{name}` must be a whole number of actions, at least 1, but is {value!r}. "
            "An infinite horizon is approximated by a long horizon, or by a discount below 1."
        )
    return int(value)


def discount(name: str, value: Any) -> float:
    """The discount, checked to be a probability of surviving a step."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < value <= 1:
        raise InvalidProblem(
            f"`{name}` must be the probability of surviving a step, more than 0 and at most 1, but is {value!r}. "
            "For an agent that looks one step ahead set horizon=1."
        )
    return float(value)


def temperature(name: str, value: Any, dtype: torch.dtype) -> float:
    """The temperature in reward units per nat, checked to be 0 or more and finite in the dtype of the tables."""
    if not is_number(value) or not 0 <= float(value) < torch.finfo(dtype).max:
        raise InvalidProblem(
            f"`{name}` must be a number of reward units per nat, 0 or more, but is {value!r}. "
            "Only its size relative to the rewards matters."
        )
    return float(value)


def names(name: str, value: Sequence[str] | None, count: int) -> tuple[str, ...] | None:
    """The names as a tuple, checked to be distinct and one for each index."""
    if value is None:
        return None
    result = tuple(str(each) for each in value)
    if isinstance(value, str) or len(result) != count:
        raise InvalidProblem(
            f"`{name}` must hold {count} names, one for each index, but is {value!r}. Pass a list of strings, or None."
        )
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
    whole = all(isinstance(each, int | np.integer) and not isinstance(each, bool) and each >= 0 for each in pair)
    if len(pair) != 2 or not whole:
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
    called = [
        f"{axis} {labels[i]!r}" for axis, i, labels in zip(_AXES, index, names, strict=False) if labels is not None
    ]
    place = f"[{', '.join(map(str, index))}]" if index else ""
    return f"`{name}{place}`" + (f" ({', '.join(called)})" if called else "")
