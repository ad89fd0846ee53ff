"""The copies of an environment that run side by side: making them, naming them, their resets and time limits."""

import copy
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from ..errors import InvalidArgument
from ..problems.gymnasium_table import time_limit

WorldSource = str | EnvSpec | gymnasium.Env | VectorEnv | Callable[[], gymnasium.Env]


def copies_of(source: WorldSource, number: int) -> list[gymnasium.Env]:
    """As many environments as asked for, of an id, a spec, an environment or a function that makes one.

    Raises:
        InvalidArgument: if it is none of these, or an environment without a spec is to be copied.
    """
    if isinstance(source, str | EnvSpec):
        return [gymnasium.make(source) for _ in range(number)]
    if isinstance(source, gymnasium.Env):
        spec = source.spec
        whole = spec is not None and all(wrapper.kwargs is not None for wrapper in spec.additional_wrappers)
        if spec is not None and whole:
            return [gymnasium.make(spec) for _ in range(number)]
        if number == 1:
            return [source]
        raise InvalidArgument(
            f"`num_envs` must be 1 for an environment without a spec to make copies from, but is {number}. Register it "
            "and pass its id, or pass a function that makes one."
        )
    if callable(source):
        made: Any = source
        return [made() for _ in range(number)]
    raise InvalidArgument(
        f"`env` must be the id of an environment, an environment, a vector of them, or a function that makes one, but "
        f"is a {type(source).__name__}."
    )


def split_observations(space: gymnasium.Space, observations: Any) -> list[Any]:
    """The observations of a vector environment, one for each copy; `space` is that of all of them."""
    return [_kept(each) for each in gymnasium.vector.utils.iterate(space, observations)]


def _kept(observation: Any) -> Any:
    """A copy: vector environments may write over theirs."""
    return observation.copy() if isinstance(observation, np.ndarray) else copy.deepcopy(observation)


def name_of(env: gymnasium.Env) -> str:
    """The id of an environment, or its class if it has none, for messages."""
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


def id_of(source: WorldSource) -> str | None:
    """The id by which Gymnasium makes the same environment, if there is one."""
    if isinstance(source, str):
        return source
    spec = None if isinstance(source, VectorEnv) else getattr(source, "spec", None)
    if spec is None or spec.additional_wrappers or spec.id not in gymnasium.registry:
        return None
    plain = gymnasium.spec(spec.id)  # what the id alone would make
    return spec.id if (plain.kwargs, plain.max_episode_steps) == (spec.kwargs, spec.max_episode_steps) else None


def vector_time_limit(env: VectorEnv) -> int | None:
    """The number of steps after which the environments of a vector truncate an episode, if it can be known."""
    bare = env.unwrapped
    if isinstance(bare, SyncVectorEnv):
        return time_limit(bare.envs[0])
    spec = bare.get_attr("spec")[0] if isinstance(bare, AsyncVectorEnv) else bare.spec
    return None if spec is None else spec.max_episode_steps


def autoreset_mode(env: VectorEnv) -> AutoresetMode:
    """When a vector environment resets a copy whose episode has ended.

    Raises:
        InvalidArgument: if it does not say so.
    """
    mode = env.metadata.get("autoreset_mode")
    if not isinstance(mode, AutoresetMode):
        raise InvalidArgument(
            f"`env.metadata['autoreset_mode']` must be a gymnasium.vector.AutoresetMode, but is {mode!r}. Without it "
            "nobody knows which steps are resets; set it to what the environment does."
        )
    return mode
