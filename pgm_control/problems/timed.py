"""Tables that may depend on time, and the refusal of those that do where this is not supported."""

import copy
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import InvalidProblem
from ..runtime.arguments import shown
from ..runtime.array_like import numbers, real_array
from .checks import temperature

M = TypeVar("M")

REMEDY = (
    "Put the time into the state, as pairs (t, s), or use infer, soft_values, fit, evaluate or ledger, which accept it."
)


def at_time(table: Tensor, t: int, axes: int) -> Tensor:
    """The table of step t; the table itself if it has no axis of time before its own `axes`."""
    return table[t] if table.ndim > axes else table


def by_time(table: Tensor, horizon: int, axes: int) -> Tensor:
    """The table with an axis of time, expanded without a copy if it had none."""
    return table if table.ndim > axes else table.expand(horizon, *table.shape)


def at_start(mdp: M) -> M:
    """The problem with the tables of its first step at all times, for pictures; itself if nothing depends on time."""
    tables: Any = mdp
    if max(tables.probability.ndim, tables.reward.ndim) == 3:
        return mdp
    found = copy.copy(mdp)
    for name in ("probability", "reward"):
        object.__setattr__(found, name, at_time(getattr(mdp, name), 0, 3))
    return found


def require_constant(name: str, mdp: Any) -> None:
    """Refuse a problem whose tables depend on time.

    Raises:
        InvalidProblem: with the tables and the remedy.
    """
    timed = [each for each in ("probability", "reward") if getattr(mdp, each).ndim > 3]
    if timed:
        raise InvalidProblem(
            f"`{name}` must be constant in time here, but its {' and '.join(timed)} depend{'s' * (len(timed) == 1)} on "
            f"time. {REMEDY}"
        )


def checked_temperatures(
    name: str, value: Any, horizon: int, dtype: torch.dtype
) -> float | Float[Tensor, " time_and_last"]:
    """The temperature as a number, or if it depends on time as a tensor of the T steps and the last state.

    Raises:
        InvalidProblem: if there are other than T or T + 1 numbers, or one of several is not positive.
    """
    if getattr(value, "ndim", 0) == 0 and not isinstance(value, list | tuple):
        return temperature(name, value, dtype)
    found = numbers(name, value, InvalidProblem).to(torch.float64)
    if (
        real_array(name, value, InvalidProblem).dtype.kind == "b"
        or found.ndim != 1
        or len(found) not in (horizon, horizon + 1)
    ):
        raise InvalidProblem(
            f"`{name}` must be a number, or one for each of the {horizon} steps, with or without another one for the "
            f"final reward, but is {shown(value)}."
        )
    each = [temperature(name, float(tau), dtype) for tau in found.detach()]
    if min(each) == 0:
        raise InvalidProblem(f"`{name}` must be positive at each step if it depends on time, but is 0 at one.")
    if len(set(each)) == 1:
        return each[0]
    return torch.cat((found, found[-1:])) if len(found) == horizon else found


def checked_observed(name: str, value: Any, horizon: int, has_end: bool) -> Bool[Tensor, " time_and_last"] | None:
    """Which optimality variables are observed, of the T steps and the last state; None for all.

    Raises:
        InvalidProblem: if they are not T or T + 1 booleans; T + 1 need an optimality variable of the last state.
    """
    if value is None:
        return None
    is_tensor = isinstance(value, Tensor) and value.layout is torch.strided
    found = value if is_tensor else torch.from_numpy(np.array(real_array(name, value, InvalidProblem)))
    if found.dtype != torch.bool or found.ndim != 1 or len(found) not in (horizon, horizon + 1):
        raise InvalidProblem(
            f"`{name}` must be one boolean for each of the {horizon} steps, with or without another one for the final "
            f"reward, but is {shown(value)}."
        )
    if len(found) == horizon + 1 and not has_end:
        raise InvalidProblem(
            f"`{name}` must be one boolean for each of the {horizon} steps, since the last state has no optimality "
            f"variable, but has {len(found)}. Give a final_reward to the problem, or leave out the last boolean."
        )
    found = torch.cat((found, found.new_ones(1))) if len(found) == horizon else found.clone()
    return None if bool(found.all()) else found
