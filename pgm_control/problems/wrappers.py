"""The wrappers around a Gymnasium environment: which of them leave its problem alone, and the time limit they set."""

from collections.abc import Iterator

import gymnasium
from gymnasium import wrappers

_ONLY_WATCHES = (  # a wrapper's step may do anything, so those that leave the problem alone are listed
    wrappers.TimeLimit,
    wrappers.OrderEnforcing,
    wrappers.PassiveEnvChecker,
    wrappers.RecordEpisodeStatistics,
    wrappers.RecordVideo,
    wrappers.RenderCollection,
    wrappers.HumanRendering,
)


def changing_wrapper(env: gymnasium.Env) -> gymnasium.Wrapper | None:
    """The outermost wrapper that may change rewards, observations or actions, if there is one."""
    return next((layer for layer in _layers(env) if not isinstance(layer, _ONLY_WATCHES)), None)


def time_limit(env: gymnasium.Env) -> int | None:
    """The number of steps after which the environment truncates an episode, where it says so: the tightest limit."""
    limits = [layer._max_episode_steps for layer in _layers(env) if isinstance(layer, wrappers.TimeLimit)]
    limits += [spec.max_episode_steps for spec in (env.spec, env.unwrapped.spec) if spec is not None]
    return min((each for each in limits if each is not None), default=None)


def _layers(env: gymnasium.Env) -> Iterator[gymnasium.Wrapper]:
    """The wrappers, from the outermost in."""
    while isinstance(env, gymnasium.Wrapper):
        yield env
        env = env.env
