"""The arguments of `soft_values`: their checks, and their forms."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....chance.optimism import Optimism
from ....chance.risk import Risk, beta_of
from ....errors import InvalidArgument
from ....problems.checks import largest_temperature, slack
from ....problems.mdp import TabularMDP
from ....runtime.arguments import number as plain_number
from ....runtime.arguments import shown
from ....runtime.array_like import numbers, rounding

START = "optimism of the start"


def require_distributions(name: str, table: Tensor | None) -> None:
    """Refuse a table whose rows are not distributions."""
    if table is None:
        return
    rows = table.detach()
    off = (rows.sum(-1) - 1).abs()
    fits = bool((rows >= 0).all()) and float(off.max()) <= slack(0.0, 1)
    if not fits and not bool((rows >= 0).all() & (off <= slack(rounding(rows), rows.shape[-1])).all()):
        raise InvalidArgument(
            f"`{name}` must hold probabilities with rows that sum to 1, but an entry is below 0 or nan, or a row "
            f"sums to 1 ± {float(off.max()):.3g}. It is not normalised here, for the sake of its derivatives: pass "
            "torch.softmax(logits, -1)."
        )


def leading_axes(name: str, table: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of the settings, in front of those of one table."""
    if table is None:
        return ()
    dense = isinstance(table, Tensor) and table.layout is torch.strided and not table.is_complex()
    if not dense or tuple(table.shape[-len(shape) :]) != tuple(shape):
        raise InvalidArgument(
            f"`{name}` must be a tensor of real numbers, of shape (…, {', '.join(map(str, shape))}), but is "
            f"{shown(table)}."
        )
    return tuple(table.shape[: -len(shape)])


def betas_of(optimism: Any, temperature: Any) -> tuple[Any, Any, float]:
    """β of dynamics, start and survival; a tensor if a β, θ or the temperature of a `Risk` is one."""
    if not isinstance(optimism, Optimism):
        beta = beta_of(optimism, temperature)
        return beta, beta, 0.0
    survival = optimism.at(1.0).numbers("soft_values")[2]
    if isinstance(optimism.survival, Risk):
        raise InvalidArgument(
            f"`optimism` of survival must be a number β for soft_values, but is {optimism.survival}. Pass θτ, or use "
            "infer(model, optimism)."
        )
    return beta_of(optimism.dynamics, temperature), beta_of(optimism.initial, temperature), survival


def of_settings(name: str, number: Any) -> float | Tensor | None:
    """A number for all settings, a tensor with a number per setting, or None."""
    if number is None and name == "temperature":
        return None
    named = "optimism" if name == START else name
    found: Any = numbers(named, number, InvalidArgument) if isinstance(number, np.ndarray) else number
    if isinstance(found, Tensor):
        dense = found.layout is torch.strided and not found.is_complex() and found.dtype is not torch.bool
        valid = dense and bool(found.detach().isfinite().all())
    else:
        found = plain_number(found)
        valid = math.isfinite(found)
    if not valid:
        raise InvalidArgument(
            f"`{named}` must be a finite number, or a tensor with one for each setting, but is {shown(number)}."
        )
    if name == "temperature" and not bool((torch.as_tensor(found).detach() > 0).all()):
        raise InvalidArgument(
            f"`temperature` must be positive, but is {found}. At temperature 0 values have kinks and no "
            "derivative: use infer(model, optimism=0)."
        )
    return found


def require_moderate(temperature: float | Tensor | None, mdp: TabularMDP) -> None:
    """Refuse a temperature so large that β/τ would be taken for 0."""
    largest = largest_temperature(mdp.probability.dtype)
    if temperature is not None and bool((torch.as_tensor(temperature, dtype=torch.float64).detach() > largest).any()):
        raise InvalidArgument(
            f"`temperature` must be at most {largest:.1e} for {mdp.probability.dtype}, but is {temperature}. Only its "
            "size relative to the rewards matters: divide both by the same number."
        )


def spread(table: Tensor, batch: torch.Size, axes: int) -> Tensor:
    """The table with all axes of the batch, or as it is if its leading axes have length 1."""
    alike = all(size == 1 for size in table.shape[:-axes])
    return table if alike else table.expand(*batch, *table.shape[-axes:])
