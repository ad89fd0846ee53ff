"""The replay buffer: the latest transitions, sampled repeatedly."""

from typing import Any, NamedTuple, final

import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor

from ..errors import InvalidArgument
from ..runtime.checkpoint_checks import Problem, anything, fields, number, tensor
from ..text.one_line import one_line


class Transitions(NamedTuple):
    """A batch of transitions."""

    observation: Float[Tensor, "batch feature"]
    action: Num[Tensor, "batch ..."]
    reward: Float[Tensor, " batch"]
    next_observation: Float[Tensor, "batch feature"]
    goes_on: Float[Tensor, " batch"]
    """1, or 0 where the environment terminated, so that the next value is 0. A time limit does not terminate."""

    __repr__ = one_line


@final
class Replay:
    """A ring buffer of transitions, allocated once; a transition is one row, so that a batch is one gather.

    Attributes:
        capacity: the largest number of transitions that it holds.
        count: the number of transitions added so far.
    """

    def __init__(self, capacity: int, features: int, action_size: int, is_discrete: bool, device: torch.device) -> None:
        """Allocate the buffer.

        Raises:
            InvalidArgument: if the buffer does not fit into memory.
        """
        self.capacity, self.count = capacity, 0
        self._features, self._is_discrete = features, is_discrete
        self._action_size = 1 if is_discrete else action_size
        self._size = action_size if is_discrete else None
        width = 2 * features + self._action_size + 2
        try:
            self._rows = torch.zeros(capacity, width, device=device)
        except RuntimeError as problem:
            raise InvalidArgument(
                f"`capacity` must fit into memory, but {capacity} transitions of {4 * width} bytes do not. Take less."
            ) from problem

    def __len__(self) -> int:
        """The number of transitions stored now."""
        return min(self.count, self.capacity)

    def add(
        self,
        observation: Float[Tensor, "batch feature"],
        action: Num[Tensor, "batch ..."],
        reward: Float[Tensor, " batch"],
        next_observation: Float[Tensor, "batch feature"],
        terminated: Bool[Tensor, " batch"],
    ) -> None:
        """Add a batch; if the buffer is full, it overwrites the oldest transitions."""
        number = len(observation)
        flat = action.reshape(number, -1).to(torch.float32)
        goes_on = (~terminated).to(torch.float32)
        rows = torch.cat((observation, next_observation, flat, reward[:, None], goes_on[:, None]), -1)
        self.count += max(0, number - self.capacity)  # those that would be overwritten at once
        rows = rows[-self.capacity :]
        number, start = len(rows), self.count % self.capacity
        first = min(number, self.capacity - start)
        self._rows[start : start + first] = rows[:first]
        if first < number:
            self._rows[: number - first] = rows[first:]
        self.count += number

    def sample(self, number: int) -> Transitions:
        """A batch sampled uniformly with replacement, from torch's generator."""
        index = torch.randint(len(self), (number,), device=self._rows.device)
        return self._split(self._rows[index])

    def state(self) -> dict[str, Tensor | int]:
        """The stored transitions and the count, for a checkpoint."""
        return {"rows": self._rows[: len(self)].cpu().clone(), "count": self.count}

    def check(self, state: Any) -> Problem | None:
        """The problem with a state, or None: it must hold the stored rows, and the number of transitions ever added.

        Rewards beyond the range of float32 are stored as infinite.
        """
        problem = fields({"rows": anything, "count": number(0, whole=True)})(state)
        if problem is not None:
            return problem
        shape = (min(state["count"], self.capacity), self._rows.shape[1])
        problem = tensor(shape, self._rows.dtype, infinite=True)(state["rows"])
        if problem is not None:
            return Problem(("rows",), problem.text)
        goes_on, end = state["rows"][:, -1], 2 * self._features + self._action_size
        if not bool(((goes_on == 0) | (goes_on == 1)).all()):
            return Problem(("rows",), "must mark by 0 or 1 whether the episode continues, but holds other numbers")
        actions = state["rows"][:, 2 * self._features : end]
        if self._size is not None and not bool(((actions >= 0) & (actions < self._size) & (actions % 1 == 0)).all()):
            return Problem(("rows",), f"must hold actions from 0 to {self._size - 1}, but holds others")
        return None

    def restore(self, state: dict[str, Tensor | int]) -> None:
        """Restore a state that `state` returned."""
        rows, count = state["rows"], state["count"]
        assert isinstance(rows, Tensor)
        assert isinstance(count, int)
        self._rows[: len(rows)] = rows.to(self._rows.device)
        self.count = count

    def _split(self, rows: Float[Tensor, "batch column"]) -> Transitions:
        features, end = self._features, 2 * self._features + self._action_size
        action: Num[Tensor, "batch ..."] = rows[:, 2 * features : end]
        if self._is_discrete:
            action = action[:, 0].to(torch.int64)
        return Transitions(rows[:, :features], action, rows[:, end], rows[:, features : 2 * features], rows[:, end + 1])
