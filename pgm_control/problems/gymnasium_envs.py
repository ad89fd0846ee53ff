"""Gymnasium environments: making them from ids, their names, wrappers and time limits."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import gymnasium
from gymnasium import wrappers
from gymnasium.envs.registration import EnvSpec

from ..errors import InvalidArgument

_ONLY_WATCHES = (  # a wrapper's step may do anything, so those that do not change the problem are listed
    wrappers.TimeLimit,
    wrappers.OrderEnforcing,
    wrappers.PassiveEnvChecker,
    wrappers.RecordEpisodeStatistics,
    wrappers.RecordVideo,
    wrappers.RenderCollection,
    wrappers.HumanRendering,
)


@final
@dataclass(frozen=True, eq=False)
class Maker:
    """An entry point of a spec, which makes an environment of a problem; copies of the spec share the problem.

    Attributes:
        build: the class of the environment, called with the problem and the settings of the spec.
        problem: the problem, whose tables are not copied.
        metadata: those of the class, which Gymnasium reads before it makes an environment.
    """

    build: Callable[..., gymnasium.Env[Any, Any]]
    problem: Any
    metadata: Mapping[str, Any]

    def __call__(self, **arguments: Any) -> gymnasium.Env[Any, Any]:
        """The environment with these settings."""
        return self.build(self.problem, **arguments)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Maker":
        """The same maker."""
        return self


def made(source: str | EnvSpec, **options: Any) -> gymnasium.Env:
    """The environment of an id or a spec.

    Raises:
        InvalidArgument: if Gymnasium does not make it, because the id is not registered or a package is missing.
    """
    try:
        return gymnasium.make(source, **options)
    except (gymnasium.error.Error, ImportError) as problem:
        name = source if isinstance(source, str) else source.id
        raise InvalidArgument(f"Gymnasium cannot make {name!r}: {problem}. Pass another id as `env`.") from problem


def name_of(env: gymnasium.Env) -> str:
    """The id of an environment, or the name of its class if it has none, for messages."""
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


def layers(env: gymnasium.Env) -> Iterator[gymnasium.Wrapper]:
    """The wrappers, from the outermost in."""
    while isinstance(env, gymnasium.Wrapper):
        yield env
        env = env.env


def changing_wrapper(env: gymnasium.Env) -> gymnasium.Wrapper | None:
    """The outermost wrapper that may change rewards, observations or actions, or None if there is none."""
    return next((layer for layer in layers(env) if not isinstance(layer, _ONLY_WATCHES)), None)


def time_limit(env: gymnasium.Env) -> int | None:
    """The number of steps after which the environment truncates an episode (its tightest limit), or None."""
    limits = [layer._max_episode_steps for layer in layers(env) if isinstance(layer, wrappers.TimeLimit)]
    limits += [spec.max_episode_steps for spec in (env.spec, env.unwrapped.spec) if spec is not None]
    return min((each for each in limits if each is not None), default=None)
