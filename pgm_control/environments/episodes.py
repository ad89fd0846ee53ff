"""Episodes of an environment side by side: begun together, each stepped until it has ended."""

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

from ..errors import EnvironmentFailure, InvalidArgument
from ..problems.gymnasium_table import time_limit
from ..runtime.arguments import whole
from .copies import WorldSource, autoreset_mode, copies_of, name_of, split_observations, vector_time_limit

_ONCE = torch.Size()


class Stepped(NamedTuple):
    """What a step gave; where an episode had ended before, its last observation, and nothing that counts."""

    observations: list[Any]
    reward: Float[np.ndarray, " batch"]
    terminated: Bool[np.ndarray, " batch"]
    truncated: Bool[np.ndarray, " batch"]


class Episodes(abc.ABC):
    """As many episodes as there are copies. None is begun again before all are.

    Attributes:
        num_envs: how many.
        observation_space, action_space: of one copy.
        limit: the environment's own time limit; None if it has none, or it is not known.
        name: for people.
        first: one copy to look at, if there is one in this process.
    """

    num_envs: int
    observation_space: gymnasium.Space
    action_space: gymnasium.Space
    limit: int | None
    name: str
    first: gymnasium.Env | None

    @staticmethod
    def of(env: WorldSource, num_envs: int | None) -> "Episodes":
        """Of an id, a spec, an environment, a function that makes one, or a vector of them.

        Raises:
            InvalidArgument: if there cannot be so many.
        """
        if isinstance(env, VectorEnv):
            return _Vector(env, num_envs)
        return _Copies(env, 1 if num_envs is None else num_envs)

    @abc.abstractmethod
    def reset(self, seeds: list[int]) -> list[Any]:
        """Begin all episodes anew, one seed each; gives their observations."""

    @abc.abstractmethod
    def step(self, actions: np.ndarray, alive: Bool[np.ndarray, " batch"]) -> Stepped:
        """One step of those that are alive."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close what was made here; what was passed in stays open."""


@final
class _Copies(Episodes):
    """One environment after the other; those that have ended wait for the others."""

    def __init__(self, source: Any, num_envs: int) -> None:
        self._envs = copies_of(source, whole("num_envs", num_envs))
        self._given = source
        self.first = self._envs[0]
        self.num_envs, self.limit = num_envs, time_limit(self.first)
        self.observation_space, self.action_space = self.first.observation_space, self.first.action_space
        self.name = name_of(self.first)
        self._seeds, self._last = [0] * num_envs, [None] * num_envs

    def reset(self, seeds: list[int]) -> list[Any]:
        """One copy after the other."""
        self._seeds = seeds
        self._last = [env.reset(seed=seed)[0] for env, seed in zip(self._envs, seeds, strict=True)]
        return self._last

    def step(self, actions: np.ndarray, alive: Bool[np.ndarray, " batch"]) -> Stepped:
        """The copies that are alive; an error of one says how to have it again."""
        reward = np.zeros(self.num_envs)
        terminated, truncated = np.zeros(self.num_envs, bool), np.zeros(self.num_envs, bool)
        for i in np.flatnonzero(alive):
            try:
                self._last[i], reward[i], terminated[i], truncated[i], _ = self._envs[i].step(actions[i])
            except Exception as problem:
                raise EnvironmentFailure(
                    f"{self.name} raised an error in an episode that began with reset(seed={self._seeds[i]}), for the "
                    f"action {actions[i]!r}: {problem!r}. What was learned so far is kept; mend the environment."
                ) from problem
        return Stepped(self._last, reward, terminated, truncated)

    def close(self) -> None:
        """Those that were made here."""
        for env in self._envs:
            if env is not self._given:
                env.close()


@final
class _Vector(Episodes):
    """A vector of environments. What it resets by itself has ended here and does not count."""

    def __init__(self, env: VectorEnv, num_envs: int | None) -> None:
        if num_envs not in (None, env.num_envs):
            raise InvalidArgument(
                f"`num_envs` must be {env.num_envs}, as in the vector `env`, or None, but is {num_envs}. To choose it, "
                "pass the id of the environment."
            )
        self._env, self._mode = env, autoreset_mode(env)
        self.num_envs, self.limit = env.num_envs, vector_time_limit(env)
        self.observation_space, self.action_space = env.single_observation_space, env.single_action_space
        self.name = type(env.unwrapped).__name__ if env.spec is None else env.spec.id
        self.first = next(iter(getattr(env.unwrapped, "envs", ())), None)
        self._ended = np.zeros(env.num_envs, bool)

    def reset(self, seeds: list[int]) -> list[Any]:
        """All at once. A list of seeds is for vectors of separate copies; any other is seeded by the first."""
        self._ended = np.zeros(self.num_envs, bool)
        seed: Any = seeds if hasattr(self._env.unwrapped, "env_fns") else seeds[0]
        return split_observations(self._env.observation_space, self._env.reset(seed=seed)[0])

    def step(self, actions: np.ndarray, alive: Bool[np.ndarray, " batch"]) -> Stepped:
        """All of them, as a vector does. The end of an episode is seen as it was, whatever the autoreset mode."""
        if self._mode is AutoresetMode.DISABLED and self._ended.any():
            self._env.reset(options={"reset_mask": self._ended})  # it refuses to step what has ended
        observation, reward, terminated, truncated, info = self._env.step(actions)
        self._ended = np.asarray(terminated | truncated)
        seen = split_observations(self._env.observation_space, observation)
        if self._mode is AutoresetMode.SAME_STEP:
            for i in np.flatnonzero(self._ended):
                seen[i] = info["final_obs"][i]
        return Stepped(seen, np.asarray(reward, np.float64), np.asarray(terminated), np.asarray(truncated))

    def close(self) -> None:
        """It was passed in and stays open."""


@final
class Unknown(TorchDistribution):
    """What the world does next: it can be drawn, and its density, the same in model and guide, is left out of both."""

    has_rsample = False

    def __init__(self, batch: torch.Size, event: torch.Size, draw: Callable[[], Tensor]) -> None:
        """Take how it is drawn."""
        self._draw = draw
        super().__init__(batch, event, validate_args=False)

    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        """There are no parameters."""
        return {}

    @property
    def support(self) -> constraints.Constraint:
        """Vectors."""
        return constraints.independent(constraints.real, 1)

    def sample(self, sample_shape: _size = _ONCE) -> Float[Tensor, "batch column"]:
        """Let it happen, once."""
        if sample_shape:
            raise InvalidArgument("A world can be drawn once at a time. Raise `num_envs` of SimulatorModel for more.")
        return self._draw()

    def log_prob(self, value: Float[Tensor, "*batch column"]) -> Float[Tensor, "*batch"]:
        """0."""
        return value.new_zeros(value.shape[:-1])

    def expand(self, batch_shape: Any, _instance: None = None) -> Any:
        """Itself: there are as many worlds as there are."""
        if torch.Size(batch_shape) != self.batch_shape:
            raise InvalidArgument(
                f"The plates around a SimulatorModel must leave its batch at {tuple(self.batch_shape)}, but make it "
                f"{tuple(batch_shape)}. Raise `num_envs` instead of vectorising particles."
            )
        return self
