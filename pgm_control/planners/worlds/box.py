"""The box within which plans are drawn."""

import functools
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ...text.one_line import one_line

_EDGE = 1e-9  # of the width of a box, within which no action is drawn: a density may be 0 on the edge itself


@final
@dataclass(frozen=True, eq=False)
class Box:
    """The bounds of actions, infinite where there is none. What follows from them is computed once for all plans.

    Attributes:
        low, high: the bounds, in units of the action.
    """

    low: Float[Tensor, " action"]
    high: Float[Tensor, " action"]

    __repr__ = one_line

    @classmethod
    def without_bounds(cls, size: int) -> "Box":
        """The whole space of this many coordinates."""
        far = torch.full((size,), torch.inf, dtype=torch.float64)
        return cls(-far, far)

    @functools.cached_property
    def is_bounded(self) -> bool:
        """Whether there is any bound."""
        return bool(self.low.isfinite().any() or self.high.isfinite().any())

    @functools.cached_property
    def bounds(self) -> Float[Tensor, "2 1 1 action"]:
        """Both bounds, the low one first, beside episodes and steps."""
        return torch.stack((self.low, self.high))[:, None, None]

    @functools.cached_property
    def inside(self) -> tuple[Float[Tensor, " action"], Float[Tensor, " action"]]:
        """The bounds, a little inwards."""
        width = torch.where((self.high - self.low).isfinite(), self.high - self.low, 1.0)
        return self.low + _EDGE * width, self.high - _EDGE * width
