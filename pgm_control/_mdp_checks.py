"""The checks of an MDP's arguments. Each names the argument, the entry that offends, its value and the remedy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._errors import InvalidProblem

_AXES = ("state", "action", "outcome")
Names = Sequence[tuple[str, ...] | None]


@dataclass(frozen=True)
class Kind:
    """What the tables of one MDP share."""

    dtype: torch.dtype
    device: torch.device


def kind(value: Any) -> Kind:
    """The dtype and device of a floating tensor; float64 on the CPU for anything else."""
    if isinstance(value, Tensor):
        return Kind(value.dtype if value.is_floating_point() else torch.float64, value.device)
    return Kind(torch.float64, torch.device("cpu"))


def table(name: str, value: Any, ndim: int | tuple[int, ...], kind: Kind) -> Tensor:
    """A copy of `value` as a floating tensor with `ndim` axes, none of them empty."""
    if value is None:
        raise InvalidProblem(f"`{name}` must be an array, but is None.")
    try:
        given = value.detach() if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError) as problem:
        raise InvalidProblem(f"`{name}` must be a rectangular array of numbers: {problem}.") from problem
    wanted = (ndim,) if isinstance(ndim, int) else ndim
    if given.ndim not in wanted:
        axes = " or ".join(f"{n} ({', '.join(_AXES[:n])})" for n in wanted)
        raise InvalidProblem(f"`{name}` must have {axes} axes, but has shape {tuple(given.shape)}.")
    if given.numel() == 0:
        raise InvalidProblem(f"`{name}` must not be empty, but has shape {tuple(given.shape)}.")
    return given.to(dtype=kind.dtype, device=kind.device, copy=True)


def shape(name: str, value: Tensor, expected: tuple[int, ...], meaning: str) -> None:
    """Refuse an array of another shape."""
    if tuple(value.shape) != expected:
        raise InvalidProblem(f"`{name}` must have shape {expected} ({meaning}), but has shape {tuple(value.shape)}.")


def normalised(name: str, value: Tensor, names: Names) -> Tensor:
    """The probabilities `value`, checked and rescaled to sum to one over the last axis to the last digit."""
    at = _first(torch.isnan(value))
    if at is not None:
        raise InvalidProblem(f"{_entry(name, at, names)} must be a probability, but is nan. Replace it by a number.")
    at = _first(value < 0)
    if at is not None:
        raise InvalidProblem(
            f"{_entry(name, at, names)} must be a probability, but is {value[at].item():g}. "
            "Probabilities lie in [0, 1]; if these are log-probabilities, pass their exponentials."
        )
    total = value.sum(-1)
    tolerance = 1e-8 if value.dtype == torch.float64 else 16 * torch.finfo(value.dtype).eps * value.shape[-1] ** 0.5
    at = _first(~((total - 1).abs() <= tolerance))
    if at is not None:
        raise InvalidProblem(
            f"{_entry(name, at, names)} must sum to 1 over its last axis, but sums to {total[at].item():.10g}. "
            "Divide by the sum, or give the missing probability to an outcome."
        )
    return value / total[..., None]


def rewards(name: str, value: Tensor, names: Names) -> None:
    """Refuse nan and +inf; −inf is a forbidden outcome and is allowed."""
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


def successors(name: str, value: Any, probability: Tensor, names: Names) -> Tensor:
    """A copy of `value` as state indices, checked to be in range."""
    given = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if not np.issubdtype(given.dtype, np.integer):
        raise InvalidProblem(f"`{name}` must hold integers (indices of states), but has dtype {given.dtype}.")
    result = torch.as_tensor(given.astype(np.int64), device=probability.device)
    shape(name, result, tuple(probability.shape), "one state an outcome, like `probability`")
    states = probability.shape[0]
    at = _first((result < 0) | (result >= states))
    if at is not None:
        raise InvalidProblem(
            f"{_entry(name, at, names)} must be a state, 0 to {states - 1}, but is {int(result[at])}. "
            "Outcomes of probability 0 still need a state in range, say 0."
        )
    return result


def horizon(name: str, value: Any) -> int:
    """A positive whole number of actions."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InvalidProblem(f"`{name}` must be a whole number of actions, at least 1, but is {value!r}.")
    return int(value)


def discount(name: str, value: Any) -> float:
    """A probability of surviving a step."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < value <= 1:
        raise InvalidProblem(
            f"`{name}` must be the probability of surviving a step, more than 0 and at most 1, but is {value!r}. "
            "For an agent that looks one step ahead set horizon=1."
        )
    return float(value)


def names(name: str, value: Sequence[str] | None, count: int) -> tuple[str, ...] | None:
    """Distinct names, one an index."""
    if value is None:
        return None
    result = tuple(str(each) for each in value)
    if isinstance(value, str) or len(result) != count:
        raise InvalidProblem(f"`{name}` must hold {count} names, but holds {len(result)}: {value!r}.")
    twice = [each for each in result if result.count(each) > 1] if len(set(result)) < count else []
    if twice:
        raise InvalidProblem(f"`{name}` must be distinct, but {twice[0]!r} stands {result.count(twice[0])} times.")
    return result


def _first(bad: Tensor) -> tuple[int, ...] | None:
    where = bad.nonzero()
    return tuple(int(i) for i in where[0]) if len(where) else None


def _entry(name: str, index: tuple[int, ...], names: Names) -> str:
    """`probability[2, 1]` (state 'goal', action 'left')."""
    called = [
        f"{axis} {labels[i]!r}" for axis, i, labels in zip(_AXES, index, names, strict=False) if labels is not None
    ]
    place = f"[{', '.join(map(str, index))}]" if index else ""
    return f"`{name}{place}`" + (f" ({', '.join(called)})" if called else "")
