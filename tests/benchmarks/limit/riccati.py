"""The limit for linear-quadratic control: `riccati.c` on many problems side by side that are constant in time."""

import ctypes

import numpy as np

from .compiled import library, pointer

STATES, ACTIONS, NOISES = 4, 2, 4  # as in riccati.c
Array = np.ndarray


def aligned(*shape: int) -> Array:
    """An array of zeros that begins at a multiple of 64 bytes, as vector instructions of C expect."""
    size = int(np.prod(shape))
    room = np.zeros(size + 8)
    first = -room.ctypes.data // 8 % 8
    return room[first : first + size].reshape(shape)


class RiccatiLimit:
    """A solver for problems without linear terms, with buffers allocated beforehand, which `solve` fills.

    The arguments are arrays with the problem as their first axis: transition [A B] (4, 6), root of the noise (4, 4),
    hessian (6, 6), final hessian (4, 4), and θ, which is 0 in all problems or in none. Results are in lanes, problem
    fastest: `p` (block, T + 1, 4, 4, lane), `gain` (block, T, 2, 4, lane), `inverse` (block, T, 2, 2, lane), `logs`
    (block, T, 2, lane): log det (I + θ L'PL), or tr(W P) where θ is 0, and log det Haa.
    """

    def __init__(self, horizon: int, transition: Array, root: Array, hessian: Array, last: Array, theta: Array) -> None:
        if transition.shape[1:] != (STATES, STATES + ACTIONS) or root.shape[1:] != (STATES, NOISES):
            raise ValueError("The limit in C is for 4 states, 2 actions and 4 noises.")
        self.lanes = library("riccati").problems_in_a_register()
        self.count, self.blocks = len(theta), -(-len(theta) // self.lanes)
        self.given = tuple(map(self._in_lanes, (transition, root, hessian, last, theta)))
        blocks, lanes = self.blocks, self.lanes
        self.p = aligned(blocks, horizon + 1, STATES, STATES, lanes)
        self.gain = aligned(blocks, horizon, ACTIONS, STATES, lanes)
        self.inverse = aligned(blocks, horizon, ACTIONS, ACTIONS, lanes)
        self.logs = aligned(blocks, horizon, 2, lanes)
        arrays = (*self.given, self.p, self.gain, self.inverse, self.logs)
        call, sizes = library("riccati").solve_lq, (blocks, horizon, int(bool(np.any(theta != 0))))
        call.restype = None
        pointers = tuple(map(pointer, arrays))
        self.solve = lambda: call(*map(ctypes.c_int, sizes), *pointers)

    def _in_lanes(self, table: Array) -> Array:
        padded = table[np.minimum(np.arange(self.blocks * self.lanes), self.count - 1)]
        result = aligned(self.blocks, *table.shape[1:], self.lanes)
        result[:] = np.moveaxis(padded.reshape(self.blocks, self.lanes, *table.shape[1:]), 1, -1)
        return result

    def by_problem(self, table: Array) -> Array:
        """The result with the problem as its first axis."""
        return np.moveaxis(table, -1, 1).reshape(-1, *table.shape[1:-1])[: self.count]
