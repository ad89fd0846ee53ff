"""Parallel episodes of an environment, which begin together and are each stepped until they end."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple, final

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from jaxtyping import Bool, Float
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.types import _size

from ..errors import InvalidArgument
from ..problems.gymnasium_envs import name_of, time_limit
from ..runtime.arguments import whole
from .checked import Checked, CheckedVector
from .copies import WorldSource, copies_of, split_observations, vector_time_limit

_ONCE = torch.Size()


class Stepped(NamedTuple):
    """The results of a step. For an episode that had ended before, only the observation, its last one, is used."""

    observations: list[Any]
    reward: Float[np.ndarray, " batch"]
    terminated: Bool[np.ndarray, " batch"]
    truncated: Bool[np.ndarray, " batch"]


class Episodes(abc.ABC):
    """Parallel episodes, one for each copy of an environment. All are reset together.

    Attributes:
        num_envs: the number of copies.
        observation_space, action_space: those of one copy.
        limit: the environment's own time limit; None if it has none or it is not known.
        name: the name of the environment, for messages.
        first: the first copy, or None if there is none in this process.
        copies: the copies, if they are stepped one by one; empty for a vector.
    """

    num_envs: int
    observation_space: gymnasium.Space
    action_space: gymnasium.Space
    limit: int | None
    name: str
    first: gymnasium.Env | None
    copies: list[gymnasium.Env]

    @staticmethod
    def of(env: WorldSource, num_envs: int | None) -> "Episodes":
        """The episodes of an id, a spec, an environment, a function that makes one, or a vector of environments.

        Raises:
            InvalidArgument: if that number of copies cannot be made.
        """
        if isinstance(env, VectorEnv):
            return _Vector(env, num_envs)
        return _Copies(env, 1 if num_envs is None else num_envs)

    @abc.abstractmethod
    def reset(self, seeds: list[int]) -> list[Any]:
        """Reset all episodes, with one seed each, and return their first observations."""

    @abc.abstractmethod
    def step(self, actions: np.ndarray, alive: Bool[np.ndarray, " batch"]) -> Stepped:
        """Step the copies whose episodes are alive."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close the environments made here; those passed in stay open."""


@final
class _Copies(Episodes):
    """Copies that are stepped one after the other; those whose episode has ended are not stepped."""

    def __init__(self, source: Any, num_envs: int) -> None:
        num_envs = whole("num_envs", num_envs)
        self.copies, self._given = copies_of(source, num_envs), source
        self._envs = [Checked(each) for each in self.copies]
        self.first = self.copies[0]
        self.num_envs, self.limit = num_envs, time_limit(self.first)
        self.observation_space, self.action_space = self.first.observation_space, self.first.action_space
        self.name = name_of(self.first)
        self._last: list[Any] = [None] * num_envs

    def reset(self, seeds: list[int]) -> list[Any]:
        """Reset one copy after the other."""
        self._last = [env.reset(seed=seed)[0] for env, seed in zip(self._envs, seeds, strict=True)]
        return self._last

    def step(self, actions: np.ndarray, alive: Bool[np.ndarray, " batch"]) -> Stepped:
        """Step the copies that are alive."""
        reward = np.zeros(self.num_envs)
        terminated, truncated = np.zeros(self.num_envs, bool), np.zeros(self.num_envs, bool)
        for i in np.flatnonzero(alive):
            self._last[i], reward[i], terminated[i], truncated[i], _ = self._envs[i].step(actions[i])
        return Stepped(self._last, reward, terminated, truncated)

    def close(self) -> None:
        """Close the environments made here."""
        for env in self.copies:
            if env is not self._given:
                env.close()


@final
class _Vector(Episodes):
    """The episodes of a vector environment. Steps after an automatic reset are ignored."""

    def __init__(self, env: VectorEnv, num_envs: int | None) -> None:
        if num_envs not in (None, env.num_envs):
            raise InvalidArgument(
                f"`num_envs` must be {env.num_envs}, as in the vector `env`, or None, but is {num_envs}. To choose it, "
                "pass the id of the environment."
            )
        self._env = CheckedVector(env)
        self.num_envs, self.limit = env.num_envs, vector_time_limit(env)
        self.observation_space, self.action_space = env.single_observation_space, env.single_action_space
        self.name = self._env.name
        self.first = next(iter(getattr(env.unwrapped, "envs", ())), None)
        self.copies, self._ended = [], np.zeros(env.num_envs, bool)

    def reset(self, seeds: list[int]) -> list[Any]:
        """Reset all at once; see `CheckedVector.reset` for the seeds that are used."""
        self._ended = np.zeros(self.num_envs, bool)
        return split_observations(self._env.observation_space, self._env.reset(seed=seeds)[0])

    def step(self, actions: np.ndarray, alive: Bool[np.ndarray, " batch"]) -> Stepped:
        """Step all copies. The last observation of an episode is returned in every autoreset mode."""
        if self._env.mode is AutoresetMode.DISABLED and self._ended.any():
            self._env.reset(options={"reset_mask": self._ended})  # it refuses to step an episode that has ended
        observation, reward, terminated, truncated, info = self._env.step(actions)
        self._ended = terminated | truncated
        return Stepped(self._env.reached(observation, self._ended, info), reward, terminated, truncated)

    def close(self) -> None:
        """Do nothing: the vector was passed in and stays open."""


@final
class Unknown(TorchDistribution):
    """The distribution of what the environment does next. Its density is unknown and is left out of model and guide."""

    has_rsample = False

    def __init__(self, batch: torch.Size, event: torch.Size, draw: Callable[[], Tensor]) -> None:
        """Take the shapes, and the function that draws a sample."""
        self._draw = draw
        super().__init__(batch, event, validate_args=False)

    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        """An empty dictionary: there are no parameters."""
        return {}

    @property
    def support(self) -> constraints.Constraint:
        """The constraint that samples are real vectors."""
        return constraints.independent(constraints.real, 1)

    def sample(self, sample_shape: _size = _ONCE) -> Float[Tensor, "batch column"]:
        """Draw once, by calling `draw`."""
        if sample_shape:
            raise InvalidArgument(
                "An environment is drawn once at a time. Raise `num_envs` of SimulatorModel for more."
            )
        return self._draw()

    def log_prob(self, value: Float[Tensor, "*batch column"]) -> Float[Tensor, "*batch"]:
        """Return 0: the density cancels between model and guide."""
        return value.new_zeros(value.shape[:-1])

    def expand(self, batch_shape: Any, _instance: None = None) -> Any:
        """Return the distribution itself: the number of environments is fixed."""
        if torch.Size(batch_shape) != self.batch_shape:
            raise InvalidArgument(
                f"The plates around a SimulatorModel must leave its batch at {tuple(self.batch_shape)}, but make it "
                f"{tuple(batch_shape)}. Raise `num_envs` instead of vectorising particles."
            )
        return self
