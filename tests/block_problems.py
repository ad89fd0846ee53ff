"""Problems that are made by ranges of states, the same however they are cut."""

from dataclasses import dataclass

import numpy as np

from pgm_control import BlockValues, policy_evaluation_blocks, value_iteration_blocks

CHUNK = 4096


@dataclass(frozen=True)
class Garnet:
    """Outcomes that lead anywhere; with forbidden ones, and rows of which some outcomes are impossible."""

    num_states: int
    num_actions: int = 4
    num_outcomes: int = 5
    seed: int = 0
    forbidden: float = 0.0
    padded: float = 0.0

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.num_states, self.num_actions, self.num_outcomes

    def __call__(self, start, stop):
        parts = [self._chunk(c, start, stop) for c in range(start // CHUNK, -(-stop // CHUNK))]
        return tuple(np.concatenate(each) for each in zip(*parts, strict=True))

    def _chunk(self, c, start, stop):
        first = c * CHUNK
        size = (min(CHUNK, self.num_states - first), self.num_actions, self.num_outcomes)
        rng = np.random.default_rng([self.seed, c])
        successor = rng.integers(0, self.num_states, size, dtype=np.int32)
        p = rng.standard_exponential(size)
        if self.padded:
            p[..., 1:] *= rng.random((*size[:2], self.num_outcomes - 1)) >= self.padded
        p /= p.sum(-1, keepdims=True)
        reward = np.repeat(rng.normal(size=size[:2])[..., None], self.num_outcomes, -1)
        if self.forbidden:
            reward = np.where((rng.random(size) < self.forbidden) & (p > 0), -np.inf, reward)
        here = slice(max(start, first) - first, min(stop, first + CHUNK) - first)
        return p[here], successor[here], reward[here]


@dataclass(frozen=True)
class Grid:
    """A square on which a step goes astray with probability .2; a goal in the middle, and rough ground."""

    side: int

    @property
    def num_states(self):
        return self.side**2

    @property
    def num_actions(self):
        return 4

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.side**2, 4, 3

    def __call__(self, start, stop):
        states = np.arange(start, stop)
        row, column = np.divmod(states, self.side)
        steps = [(-1, 0), (0, 1), (1, 0), (0, -1)]

        def after(move):
            down, right = steps[move % 4]
            last = self.side - 1
            return np.clip(row + down, 0, last) * self.side + np.clip(column + right, 0, last)

        successor = np.stack([np.stack([after(a), after(a + 1), after(a - 1)], -1) for a in range(4)], 1)
        p = np.broadcast_to([0.8, 0.1, 0.1], successor.shape)
        rough = np.concatenate(
            [np.random.default_rng([0, c]).random(CHUNK) for c in range(start // CHUNK, -(-stop // CHUNK))]
        )
        reward = -rough[start % CHUNK :][: stop - start]
        reward = np.where(states == self.num_states // 2, 10.0, reward)
        return p, successor.astype(np.int32), np.broadcast_to(reward[:, None, None], p.shape)


def maskings(num_actions, seed=0):
    """Rows of probabilities in which about a third of the actions are masked, by ranges of states."""

    def rows(start, stop):
        parts = []
        for c in range(start // CHUNK, -(-stop // CHUNK)):
            p = np.random.default_rng([seed, 1, c]).random((CHUNK, num_actions))
            p[:, 1:] *= p[:, 1:] > 1 / 3
            parts.append((p / p.sum(-1, keepdims=True))[max(start - c * CHUNK, 0) : stop - c * CHUNK])
        return np.concatenate(parts)

    return rows


def solved(problem, *numbers, **more) -> BlockValues:
    """`value_iteration_blocks` of a problem with a shape: temperature, optimism, discount, tolerance."""
    states, actions, outcomes = problem.shape
    return value_iteration_blocks(problem, states, actions, outcomes, *numbers, **more)


def evaluated(problem, *numbers, **more) -> BlockValues:
    """`policy_evaluation_blocks` of a problem with a shape: policy, temperature, discount, tolerance."""
    states, actions, outcomes = problem.shape
    return policy_evaluation_blocks(problem, states, actions, outcomes, *numbers, **more)
