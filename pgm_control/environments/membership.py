"""Membership of observations in Gymnasium's spaces, one observation or a batch, and what is wrong with others."""

from collections.abc import Mapping
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium import spaces

_ROUNDING = 1e-5  # the relative distance from a bound that counts as rounding
_LARGEST = float(np.finfo(np.float32).max)


@final
class Membership:
    """The check whether an observation is in a space, and finite in float32, in which networks compute.

    A space of Gymnasium's own accepts what its numbers allow, whatever holds them: lists and arrays of another dtype
    too, if nothing would be cut off. Bounds are exact up to rounding.

    Attributes:
        space: the space.
    """

    def __init__(self, space: gymnasium.Space, is_bounded: bool = True) -> None:
        """Prepare the check. If `is_bounded` is False, finite numbers outside the bounds of a box pass."""
        self.space = space
        parts = space.items() if isinstance(space, spaces.Dict) else ()
        parts = enumerate(space) if isinstance(space, spaces.Tuple) else parts
        self._parts = {name: Membership(part, is_bounded) for name, part in parts}
        if isinstance(space, spaces.Box):
            bounds = (each.astype(np.float64) for each in (space.low, space.high))
            low, high = bounds if is_bounded else (-np.inf, np.inf)
            self._low = np.maximum(low - _ROUNDING * (1 + np.abs(low)), -_LARGEST)
            self._high = np.minimum(high + _ROUNDING * (1 + np.abs(high)), _LARGEST)

    def problem(self, found: Any, batch: tuple[int, ...] = ()) -> str | None:
        """What is wrong with an observation, such as "has shape (3,)"; None if nothing is.

        Args:
            found: an observation, or a batch in the form of Gymnasium's `batch_space`.
            batch: (N,) for a batch of N observations.
        """
        space = self.space
        if isinstance(space, spaces.Dict | spaces.Tuple):
            return self._problem_of_parts(found, batch)
        if isinstance(space, spaces.Discrete | spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary):
            return self._problem_of_numbers(found, batch)
        each = found if batch else (found,)
        return None if all(space.contains(one) for one in each) else f"is {found!r}"

    def _problem_of_parts(self, found: Any, batch: tuple[int, ...]) -> str | None:
        if isinstance(self.space, spaces.Dict):
            if not isinstance(found, Mapping):
                return f"is a {type(found).__name__}"
            if found.keys() != self._parts.keys():
                return f"has the keys {', '.join(map(str, found))}"
        elif not isinstance(found, tuple | list) or len(found) != len(self._parts):
            return f"is {found!r}"
        parts: Any = found
        for name, part in self._parts.items():
            problem = part.problem(parts[name], batch)
            if problem is not None:
                return f"at {name!r} {problem}"
        return None

    def _problem_of_numbers(self, found: Any, batch: tuple[int, ...]) -> str | None:
        space: Any = self.space
        try:
            array = np.asarray(found)
        except (TypeError, ValueError, RuntimeError):  # a ragged list, or a tensor that numpy cannot read
            return f"is {found!r}"
        is_real = isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)
        if array.dtype.kind not in ("biuf" if is_real else "biu"):
            return f"is {found!r}, of dtype {array.dtype}"
        if array.shape != (*batch, *(space.shape or ())):
            return f"is {found!r}, of shape {array.shape}"
        if isinstance(space, spaces.Box):
            is_in = (array >= self._low) & (array <= self._high)
        elif isinstance(space, spaces.MultiBinary):
            is_in = (array == 0) | (array == 1)
        else:
            sizes = space.nvec if isinstance(space, spaces.MultiDiscrete) else space.n
            is_in = (array >= space.start) & (array < space.start + sizes)
        return None if np.all(is_in) else f"is {found!r}"
