"""Where the draws of a distribution over vectors lie."""

from typing import Any

import torch
from jaxtyping import Float
from pyro.distributions import constraints
from torch import Tensor


def is_everywhere(distribution: Any) -> bool:
    """Whether the draws have no bounds, as far as the distribution says: one that names no support has none."""
    return _support(distribution) in (None, constraints.real, constraints.real_vector)


def box_of(distribution: Any, size: int) -> tuple[Float[Tensor, " coordinate"], Float[Tensor, " coordinate"]]:
    """The lowest and the highest vector of the draws of one distribution, infinite where it has no such bounds."""
    support = _support(distribution)
    low, high = getattr(support, "lower_bound", -torch.inf), getattr(support, "upper_bound", torch.inf)
    low, high = (torch.as_tensor(each, dtype=torch.float64).detach() for each in (low, high))
    return low.expand(size).clone(), high.expand(size).clone()


def _support(distribution: Any) -> Any:
    """The constraint of a coordinate, or of a vector if it is not one by coordinates; None if there is none."""
    try:
        support = distribution.support
    except (NotImplementedError, AttributeError):
        return None
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support
