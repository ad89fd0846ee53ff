"""Problems without a horizon as flat arrays: random Garnets, which mix fast, and two families that mix slowly."""

from dataclasses import dataclass

import numpy as np
import torch

from pgm_control import TabularMDP


@dataclass(frozen=True, eq=False)
class Arrays:
    """A problem with dynamics p (S, 4, W), outcomes leading to `successor`, and rewards r (S, 4)."""

    name: str
    p: np.ndarray
    successor: np.ndarray
    reward: np.ndarray
    discount: float

    @property
    def states(self) -> int:
        return len(self.p)

    @property
    def bytes(self) -> int:
        return self.p.nbytes + self.successor.nbytes + self.reward.nbytes

    def mdp(self) -> TabularMDP:
        start = np.zeros(self.states)
        start[0] = 1.0
        reward = torch.from_numpy(self.reward)[..., None].expand(self.p.shape)
        tables = torch.from_numpy(self.p), torch.from_numpy(self.successor), reward
        return TabularMDP(torch.from_numpy(start), *tables, horizon=1, discount=self.discount)

    def half(self) -> "Arrays":
        """The same problem in float32."""
        p, reward = self.p.astype(np.float32), self.reward.astype(np.float32)
        return Arrays(self.name, p, self.successor, reward, self.discount)


def garnet(states: int, seed: int = 0) -> Arrays:
    """A random problem: 5 distinct successors, Dirichlet probabilities, normal rewards, discount .99."""
    random = np.random.default_rng(seed)
    successor = random.integers(0, states, (states * 4, 5), dtype=np.int32)
    while True:
        order = np.sort(successor, -1)
        again = np.flatnonzero((order[:, 1:] == order[:, :-1]).any(-1))
        if len(again) == 0:
            break
        successor[again] = random.integers(0, states, (len(again), 5), dtype=np.int32)
    p = random.dirichlet(np.ones(5), (states, 4))
    return Arrays(f"Garnet, S = {states}", p, successor.reshape(states, 4, 5), random.normal(size=(states, 4)), 0.99)


def corridor(length: int, discount: float = 0.999) -> Arrays:
    """A corridor with two moves back and two forth, which slip; only the far end has a reward."""
    here = np.arange(length)
    moves = np.array([[-1, 0, 1], [-2, -1, 0], [1, 0, -1], [2, 1, 0]])
    successor = np.clip(here[:, None, None] + moves, 0, length - 1).astype(np.int32)
    p = np.ascontiguousarray(np.broadcast_to([0.8, 0.1, 0.1], successor.shape))
    reward = np.zeros((length, 4))
    reward[-1] = 1.0
    return Arrays(f"corridor of {length}, discount {discount}", p, successor, reward, discount)


def grid(side: int, discount: float = 0.999) -> Arrays:
    """A square grid with four moves that slip to the sides; each cell has a random cost, the centre a prize."""
    row, column = np.divmod(np.arange(side * side), side)
    steps = [(-1, 0), (0, 1), (1, 0), (0, -1)]

    def after(move: int) -> np.ndarray:
        up, right = steps[move % 4]
        return np.clip(row + up, 0, side - 1) * side + np.clip(column + right, 0, side - 1)

    successor = np.stack([np.stack([after(a), after(a + 1), after(a - 1)], -1) for a in range(4)], 1).astype(np.int32)
    p = np.ascontiguousarray(np.broadcast_to([0.8, 0.1, 0.1], successor.shape))
    reward = np.repeat(-np.random.default_rng(0).random(side * side)[:, None], 4, 1)
    reward[side * side // 2 + side // 2] = 10.0
    return Arrays(f"grid of {side} x {side}, discount {discount}", p, successor, reward, discount)
