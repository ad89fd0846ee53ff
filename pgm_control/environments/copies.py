"""Parallel copies of an environment: making and naming them, their autoreset modes and time limits."""

import copy
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from ..errors import InvalidArgument
from ..problems.gymnasium_envs import made, time_limit

WorldSource = str | EnvSpec | gymnasium.Env | VectorEnv | Callable[[], gymnasium.Env]


def copies_of(source: WorldSource, number: int) -> list[gymnasium.Env]:
    """A list of `number` environments, made from an id, a spec, an environment or a function that makes one.

    Raises:
        InvalidArgument: if `source` is none of these, or an environment without a spec would have to be copied.
    """
    if isinstance(source, str | EnvSpec):
        return [made(source) for _ in range(number)]
    if isinstance(source, gymnasium.Env):
        spec = source.spec
        whole = spec is not None and all(wrapper.kwargs is not None for wrapper in spec.additional_wrappers)
        if spec is not None and whole:
            return [made(spec) for _ in range(number)]
        if number == 1:
            return [source]
        raise InvalidArgument(
            f"`num_envs` must be 1 for an environment without a spec to make copies from, but is {number}. Register "
            "the environment and pass its id, or pass a function that makes the environment."
        )
    if callable(source):
        make: Any = source
        return [make() for _ in range(number)]
    raise InvalidArgument(
        f"`env` must be the id of an environment, an environment, a vector of them, or a function that makes one, but "
        f"is a {type(source).__name__}."
    )


def split_observations(space: gymnasium.Space, observations: Any) -> list[Any]:
    """The observations of a vector environment as a list, one for each copy; `space` is the batched space."""
    return [_kept(each) for each in gymnasium.vector.utils.iterate(space, observations)]


def _kept(observation: Any) -> Any:
    """A copy of the observation, because vector environments may overwrite theirs."""
    return observation.copy() if isinstance(observation, np.ndarray) else copy.deepcopy(observation)


def id_of(source: WorldSource) -> str | None:
    """The id from which Gymnasium makes the same environment, or None if there is no such id."""
    if isinstance(source, str):
        return source
    spec = None if isinstance(source, VectorEnv) else getattr(source, "spec", None)
    if spec is None or spec.additional_wrappers or spec.id not in gymnasium.registry:
        return None
    plain = gymnasium.spec(spec.id)  # the environment that the id alone makes
    return spec.id if (plain.kwargs, plain.max_episode_steps) == (spec.kwargs, spec.max_episode_steps) else None


def vector_time_limit(env: VectorEnv) -> int | None:
    """The number of steps after which the environments of a vector truncate an episode, or None if it is not known."""
    bare = env.unwrapped
    if isinstance(bare, SyncVectorEnv):
        return time_limit(bare.envs[0])
    spec = bare.get_attr("spec")[0] if isinstance(bare, AsyncVectorEnv) else bare.spec
    return None if spec is None else spec.max_episode_steps


def autoreset_mode(env: VectorEnv) -> AutoresetMode:
    """The autoreset mode of a vector environment: when it resets a copy whose episode has ended.

    Raises:
        InvalidArgument: if its metadata do not contain it.
    """
    given = env.metadata.get("autoreset_mode")
    text = getattr(given, "value", given)  # the member of another enumeration, such as EnvPool's
    if isinstance(text, str):
        for mode in AutoresetMode:
            if _plain(text) in (_plain(mode.value), _plain(mode.name)):
                return mode
    raise InvalidArgument(
        f"`env.metadata['autoreset_mode']` must be a gymnasium.vector.AutoresetMode, or its name, but is {given!r}. "
        "Without it a reset cannot be distinguished from a step. Set it to the mode that the environment uses."
    )


def _plain(text: str) -> str:
    return text.replace("_", "").replace("-", "").lower()
