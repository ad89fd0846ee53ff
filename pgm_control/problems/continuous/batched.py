"""Checks of functions that return distributions over vectors, or rewards, for batches of states and actions."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from pyro.distributions import Delta
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from ...errors import InvalidProblem
from ...runtime.arguments import shown

_BATCH = 2  # elements in the batch that is compared with single calls
_SAME = 1e-6  # up to which they must agree, relative where numbers are large

Vectors = tuple[Float[Tensor, "batch coordinate"], ...]


def distribution_over_vectors(name: str, found: Any, batch: tuple[int, ...], size: int | None) -> Any:
    """Require a distribution of Pyro over vectors, from which draws are reparameterised.

    Args:
        name: what returned it, for the message.
        found: what it returned.
        batch: its batch shape.
        size: the number of coordinates of a draw; None for any.

    Raises:
        InvalidProblem: naming what returned it and the remedy.
    """
    if not isinstance(found, TorchDistributionMixin):
        raise InvalidProblem(
            f"`{name}` must be or return a distribution of Pyro, but gives {shown(found)}. Take those of "
            "pyro.distributions, such as dist.Normal(mean, scale).to_event(1)."
        )
    due = "of any size" if size is None else f"({size},)"
    if len(found.event_shape) != 1 or (size is not None and tuple(found.event_shape) != (size,)):
        raise InvalidProblem(
            f"`{name}` must give a distribution over vectors, with event shape {due}, but its event shape is "
            f"{tuple(found.event_shape)} and its batch shape {tuple(found.batch_shape)}. Independent coordinates are "
            "made a vector by .to_event(1)."
        )
    if tuple(found.batch_shape) != batch:
        raise InvalidProblem(
            f"`{name}` must give a distribution with the batch shape {batch} of the states, but gives "
            f"{tuple(found.batch_shape)}. Compute with the last axis, as in state[..., 0], and let the others be."
        )
    if not found.has_rsample:
        raise InvalidProblem(
            f"`{name}` must give a distribution with reparameterised draws (has_rsample), through which gradients "
            f"flow, but gives {type(found).__name__}, which has none. Take a continuous one, such as dist.Normal."
        )
    return found  # pyright: ignore[reportReturnType]


def is_point(distribution: Any) -> bool:
    """Whether a distribution is a point mass, which has no density."""
    while hasattr(distribution, "base_dist"):
        distribution = distribution.base_dist
    return isinstance(distribution, Delta)


def batched_distribution(name: str, function: Callable[..., Any], given: Vectors, size: int | None) -> Any:
    """The distribution for a batch, after checking that it is that of the single elements.

    Args:
        name: the argument that the function is.
        function: of the vectors.
        given: states, and actions; at least two of each.
        size: the number of coordinates of a draw; None for any.

    Raises:
        InvalidProblem: naming the function and the remedy.
    """
    given = tuple(each[:_BATCH] for each in given)
    found = distribution_over_vectors(name, called(name, function, *given), (_BATCH,), size)
    value = _draw(name, found)
    together = _density(name, found, value)
    for i in range(_BATCH):
        one = distribution_over_vectors(name, called(name, function, *(each[i] for each in given)), (), size)
        _require_same(name, _density(name, one, value[i]), together[i], "log-density")
    return found


def batched_numbers(name: str, function: Callable[..., Any], given: Vectors) -> None:
    """Require finite numbers for a batch, those of the single elements.

    Raises:
        InvalidProblem: naming the function and the remedy.
    """
    together = _numbers(name, called(name, function, *given), (len(given[0]),))
    for i in range(_BATCH):
        one = _numbers(name, called(name, function, *(each[i] for each in given)), ())
        _require_same(name, one, together[i], "reward")


def called(name: str, function: Callable[..., Any], *given: Tensor) -> Any:
    """What a function of the user returns for these vectors.

    Raises:
        InvalidProblem: if it raises an error; the message holds it.
    """
    try:
        return function(*given)
    except Exception as problem:  # of the user's code
        shapes = ", ".join(str(tuple(each.shape)) for each in given)
        raise InvalidProblem(
            f"`{name}` must take batches of vectors, but for vectors of shape {shapes} it raises "
            f"{type(problem).__name__}: {problem}. Compute with the last axis, as in state[..., 0]."
        ) from problem


def _draw(name: str, found: Any) -> Tensor:
    try:
        with torch.no_grad():
            value = found.rsample()
    except Exception as problem:  # of the user's distribution
        raise InvalidProblem(
            f"`{name}` must give a distribution that can be drawn from, but its rsample() raises "
            f"{type(problem).__name__}: {problem}."
        ) from problem
    if not bool(value.isfinite().all()):
        raise InvalidProblem(f"`{name}` must draw finite vectors, but draws {value[~value.isfinite()][0]}.")
    return value


def _density(name: str, found: Any, value: Tensor) -> Tensor:
    log_density = found.log_prob(value).detach()
    if not bool(log_density.isfinite().all()):
        raise InvalidProblem(
            f"`{name}` must give a distribution whose own draws have a finite log-density, but it is "
            f"{float(log_density[~log_density.isfinite()][0])}. Are its parameters numbers, and its scales positive?"
        )
    return log_density


def _numbers(name: str, found: Any, batch: tuple[int, ...]) -> Tensor:
    if not isinstance(found, Tensor) or found.is_complex() or not found.is_floating_point():
        raise InvalidProblem(f"`{name}` must return a tensor of rewards, but returns {shown(found)}.")
    if tuple(found.shape) != batch:
        raise InvalidProblem(
            f"`{name}` must return one reward for each element of a batch, shape {batch}, but returns shape "
            f"{tuple(found.shape)}. Sum over the last axis, the coordinates, and over no other."
        )
    if not bool(found.isfinite().all()):
        raise InvalidProblem(
            f"`{name}` must return finite rewards, but returns {float(found[~found.isfinite()][0])} for a draw of the "
            "model. A large negative reward takes the place of −inf."
        )
    return found.detach()


def _require_same(name: str, one: Tensor, other: Tensor, what: str) -> None:
    if not torch.allclose(one, other, rtol=_SAME, atol=_SAME):
        raise InvalidProblem(
            f"`{name}` must treat the elements of a batch apart, but its {what} for one of two elements is "
            f"{float(other):.6g}, and {float(one):.6g} for the same element alone. Compute along the last axis only."
        )
