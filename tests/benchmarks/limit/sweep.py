"""The limit for value iteration without a horizon: `sweep.c` on arrays of one width."""

import ctypes
from dataclasses import dataclass

import numpy as np

from .compiled import library, pointer


@dataclass(eq=False)
class SweepLimit:
    """A solver for dynamics (S, 4, W) and rewards (S, 4) in the precision of `p`, with successors in int32."""

    p: np.ndarray
    successor: np.ndarray
    reward: np.ndarray
    discount: float

    def __post_init__(self) -> None:
        real = {"float64": "double", "float32": "float"}[self.p.dtype.name]
        self.library = library("sweep", f"-DREAL={real}", f"-DW={self.p.shape[-1]}")
        if self.p.shape[1] != 4 or self.successor.dtype != np.int32 or self.reward.dtype != self.p.dtype:
            raise ValueError("The sweep in C is for 4 actions, int32 successors and rewards in the precision of p.")
        self._tables = tuple(map(pointer, (self.p, self.successor, self.reward)))

    def sweep(self, v: np.ndarray, out: np.ndarray, temperature: float = 0.0, threads: int = 1) -> np.ndarray:
        """Write the Bellman operator of v to `out`; return the bounds of the change."""
        bounds = np.empty(2)
        size, numbers = len(v), (ctypes.c_double(self.discount), ctypes.c_double(temperature))
        self.library.once(threads, size, *numbers, *self._tables, *map(pointer, (v, out, bounds)))
        return bounds

    def solve(
        self, temperature: float = 0.0, tolerance: float = 1e-6, evaluations: int = 0, threads: int = 1
    ) -> tuple[np.ndarray, int]:
        """The fixed point by value or modified policy iteration, and the number of sweeps, -1 if too many."""
        v = np.zeros(len(self.p), self.p.dtype)
        numbers = map(ctypes.c_double, (self.discount, temperature, tolerance))
        return v, self.library.iterate(threads, len(v), *numbers, evaluations, 1_000_000, *self._tables, pointer(v))
