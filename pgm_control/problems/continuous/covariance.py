"""Covariance matrices as arguments: a variance, two variances, or a matrix."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidProblem
from ...runtime.array_like import numbers
from .arrays import no_truth_values


def covariance(name: str, value: Any, size: int = 2, *, may_be_zero: bool = False) -> Float[Tensor, "state state"]:
    """A covariance matrix in float64 from one variance, a vector of variances or a matrix.

    Args:
        name: the name of the argument, for messages.
        value: the value of the argument.
        size: the number of dimensions.
        may_be_zero: whether the zero matrix is allowed, a value that is known for sure.

    Raises:
        InvalidProblem: if it is not symmetric and positive definite; the message names it.
    """
    given = real_numbers(name, value)
    shapes = {0: (), 1: (size,), 2: (size, size)}
    if given.ndim not in shapes or tuple(given.shape) != shapes[given.ndim] or not bool(given.isfinite().all()):
        raise InvalidProblem(
            f"`{name}` must be a variance, {size} variances, or a {size}×{size} covariance matrix of finite numbers, "
            f"but has shape {tuple(given.shape)}: {given.tolist()}."
        )
    if given.ndim < 2:
        given = torch.diag(given.expand(size))
    if may_be_zero and not bool(given.any()):
        return given.clone()
    is_symmetric = torch.allclose(given, given.T, rtol=1e-10, atol=0.0)
    if not is_symmetric or not bool(torch.linalg.eigvalsh(given).min() > 0):
        raise InvalidProblem(
            f"`{name}` must be positive{' or 0' if may_be_zero else ''}, as a matrix symmetric and positive definite, "
            f"but is {given.tolist()}. A mesh cannot hold a noise without a density; add a small variance."
        )
    return given.clone()


def real_numbers(name: str, value: Any) -> Tensor:
    """The value as a tensor of float64 without a graph; truth values are not numbers.

    Raises:
        InvalidProblem: if it holds anything else; the message names it.
    """
    numbers(name, value, InvalidProblem)  # a graph would be lost
    return no_truth_values(name, value).to(torch.float64)
