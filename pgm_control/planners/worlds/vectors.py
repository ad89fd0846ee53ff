"""Checks of vectors that are arguments of planners: states, and the deviation of the first plans."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidArgument
from ...runtime.arguments import shown
from ...runtime.array_like import numbers


def checked_states(state: Any, size: int) -> tuple[Float[Tensor, "episode state"], bool]:
    """States as rows, and whether the argument was a single one.

    Raises:
        InvalidArgument: unless it is a finite vector of this size, or rows of them.
    """
    found = numbers("state", state, InvalidArgument).detach().to("cpu", torch.float64)
    if found.ndim not in (1, 2) or found.shape[-1] != size or not found.numel():
        raise InvalidArgument(
            f"`state` must be a vector of {size} numbers, or one row of them for each episode, but has shape "
            f"{tuple(found.shape)}."
        )
    if not bool(found.isfinite().all()):
        raise InvalidArgument("`state` must be finite, but holds nan or infinite entries.")
    return (found[None], True) if found.ndim == 1 else (found, False)


def observed_states(observation: Any, size: int) -> tuple[Float[Tensor, "episode state"], bool]:
    """States at the beginning of observations, as rows, and whether the argument was a single one.

    Raises:
        InvalidArgument: unless each observation has at least this many finite numbers.
    """
    found = numbers("observation", observation, InvalidArgument).detach().to("cpu", torch.float64)
    if found.ndim not in (1, 2) or found.shape[-1] < size or not found.numel():
        raise InvalidArgument(
            f"`observation` must hold a state of {size} numbers, or one in each row of a batch, but has shape "
            f"{tuple(found.shape)}."
        )
    if not bool(found.isfinite().all()):
        raise InvalidArgument("`observation` must be finite, but holds nan or infinite entries.")
    return (found[None, :size], True) if found.ndim == 1 else (found[:, :size], False)


def deviations(spread: Tensor | None, default: Float[Tensor, "*batch action"]) -> Float[Tensor, "*batch action"]:
    """The deviation of the first plans by coordinate, as given or by default.

    Raises:
        InvalidArgument: if it has another number of coordinates.
    """
    if spread is None:
        return default
    if spread.ndim > 1 or (spread.ndim == 1 and spread.shape[0] != default.shape[-1]):
        raise InvalidArgument(
            f"`spread` must be a positive number, or one for each of the {default.shape[-1]} coordinates of an action, "
            f"but has shape {tuple(spread.shape)}."
        )
    return spread.to(default).expand(default.shape)


def checked_spread(spread: Any) -> Tensor | None:
    """The argument `spread` as a tensor, or None.

    Raises:
        InvalidArgument: unless it holds positive numbers.
    """
    if spread is None:
        return None
    found = numbers("spread", spread, InvalidArgument).detach().double()
    if not found.numel() or not bool(((found > 0) & found.isfinite()).all()):
        raise InvalidArgument(f"`spread` must be positive, a deviation of actions, but is {shown(spread)}.")
    return found
