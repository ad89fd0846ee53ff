"""The parameters of people as arguments: one number for all, or one for each person, with the axes of a batch."""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.risk import Risk
from ...errors import InvalidArgument
from ...runtime.arguments import flag, shown
from ...runtime.array_like import numbers

_TINY = 1e-290  # beside a lapse of 0, keeps the derivative by it


class PersonParameters(NamedTuple):
    """Parameters of each person, whose axis is the last but that of the weights."""

    optimism: Float[Tensor, "*batch person"]
    temperature: Float[Tensor, "*batch person"]
    log_lapse: tuple[Float[Tensor, "*#batch person"], Float[Tensor, "*#batch person"]] | None
    """log λ and log(1 − λ); None for no lapse."""
    weights: Float[Tensor, "*#batch person weight"] | None
    hard: bool


def parameters_of(
    count: int, num_weights: int, optimism: Any, temperature: Any, lapse: Any, weights: Any, hard: Any
) -> PersonParameters:
    """Return the parameters of `count` people.

    Raises:
        InvalidArgument: if one is out of range or has another shape; the message names it.
    """
    tau = _by_person("temperature", temperature, count)
    if not bool((tau.detach() > 0).all()):
        raise InvalidArgument("`temperature` must be positive, in reward units per nat, but holds others.")
    given = _by_person("optimism", optimism.theta if isinstance(optimism, Risk) else optimism, count)
    chance = _by_person("lapse", lapse, count)
    if not bool(((chance.detach() >= 0) & (chance.detach() <= 1)).all()):
        raise InvalidArgument("`lapse` must hold probabilities, from 0 to 1, but holds others.")
    if flag("hard", hard) and bool((given.detach() != 0).any()):
        raise InvalidArgument("`optimism` must be 0 if `hard`: the Boltzmann demonstrator has no β.")
    beta = given * tau if isinstance(optimism, Risk) else given
    beta, tau = torch.broadcast_tensors(beta, tau)
    has_lapse = chance.requires_grad or bool((chance.detach() > 0).any())
    logs = ((chance + _TINY).log(), torch.log1p(-chance)) if has_lapse else None
    return PersonParameters(beta, tau, logs, _weights(weights, num_weights, count), bool(hard))


def _by_person(name: str, value: Any, count: int) -> Float[Tensor, "*batch person"]:
    found = _numbers(name, value)
    if found.ndim and found.shape[-1] not in (1, count):
        raise InvalidArgument(
            f"`{name}` must be one number, or one for each of {count} people in its last axis, but has the shape "
            f"{tuple(found.shape)}."
        )
    if not bool(found.detach().isfinite().all()):
        raise InvalidArgument(f"`{name}` must hold finite numbers, but holds others.")
    return found.expand(*found.shape[:-1], count)


def _numbers(name: str, value: Any) -> Tensor:
    found = numbers(name, value, InvalidArgument, keeps_graph=True)
    if found.dtype is torch.bool or isinstance(value, bool | np.bool_) or not found.numel():
        raise InvalidArgument(f"`{name}` must be a number, or one for each person, but is {shown(value)}.")
    return found.double()


def _weights(weights: Any, number: int, count: int) -> Float[Tensor, "*batch person weight"] | None:
    if (weights is None) != (number == 0):
        given = "none is given" if weights is None else "`features` has none"
        raise InvalidArgument(f"`weights` must hold one number for each of `features`, but {given}.")
    if weights is None:
        return None
    found = _numbers("weights", weights)
    if found.ndim == 1:
        found = found[None]
    if found.ndim < 2 or found.shape[-1] != number or found.shape[-2] not in (1, count):
        raise InvalidArgument(
            f"`weights` must have the shape ({number},), or (…, {count}, {number}) with the people in the last but one "
            f"axis, but has {tuple(found.shape)}."
        )
    if not bool(found.detach().isfinite().all()):
        raise InvalidArgument("`weights` must hold finite numbers, but holds others.")
    return found.expand(*found.shape[:-2], count, number)
