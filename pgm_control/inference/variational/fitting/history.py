"""The history of a fit: one number a step, in memory that its checkpoints share."""

from collections.abc import Sequence
from typing import final, overload

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


@final
class History(Sequence[float]):
    """Numbers that only get more. What was taken before is a part of the same memory, which never changes."""

    def __init__(self, past: Float[Tensor, " step"] | None = None) -> None:
        """Begin with the numbers of an earlier fit."""
        self._held = np.empty(0) if past is None else past.numpy().copy()
        self._size = len(self._held)

    def append(self, value: float) -> None:
        """Add a number."""
        if self._size == len(self._held):
            larger = np.empty(max(128, 2 * self._size))  # the system gives memory when it is first written
            larger[: self._size] = self._held
            self._held = larger
        self._held[self._size] = value
        self._size += 1

    def taken(self) -> Float[Tensor, " step"]:
        """The numbers so far, not copied."""
        return torch.from_numpy(self._held[: self._size])

    def __len__(self) -> int:
        """The number of steps."""
        return self._size

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[float]: ...
    def __getitem__(self, index: int | slice) -> float | Sequence[float]:
        """A number, or some."""
        return self._held[: self._size][index].tolist()
