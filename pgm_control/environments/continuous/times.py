"""Where episodes that go on side by side begin, and their time steps, as `predict` of a policy is given them."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from ...errors import InvalidArgument
from ...runtime.arguments import shown


def times_of_episodes(count: int, state: Any, episode_start: Any, horizon: int) -> Int[np.ndarray, " batch"]:
    """The time step of each environment.

    Args:
        count: the number of environments.
        state: what the last call of `predict` returned, which begins with the time steps; None where all begin.
        episode_start: where an episode begins, by environment, or None.
        horizon: the number of steps of the policy.

    Raises:
        InvalidArgument: if they do not fit, or an episode outlasts the policy.
    """
    time = np.zeros(count, np.int64)
    if state is not None:
        time = _numbers(state[0] if isinstance(state, (tuple, list)) and state else None)
        if time.shape != (count,) or time.dtype.kind not in "iu" or (time < 0).any():
            raise InvalidArgument(
                f"`state` must be None, or what the last call of `predict` returned for {count} environments, but is "
                f"{shown(state)}."
            )
    time = np.where(starts_of_episodes(count, episode_start), 0, time)
    if (time >= horizon).any():
        raise InvalidArgument(
            f"`state` must be a time step before this policy's horizon, {horizon}, but is {time.max()}: the "
            "environment's episode is longer. Solve the problem with a longer horizon, or cut episodes with "
            "rollout(…, max_episode_steps=…)."
        )
    return time


def starts_of_episodes(count: int, episode_start: Any) -> Bool[np.ndarray, " batch"]:
    """Where an episode begins, by environment; nowhere, if `episode_start` is None.

    Args:
        count: the number of environments.
        episode_start: a truth value for each, or the numbers 0 and 1, or None; a single one need not be in an array.

    Raises:
        InvalidArgument: if it is anything else.
    """
    if episode_start is None:
        return np.zeros(count, bool)
    found = _numbers(episode_start)
    if found.ndim > 1 or found.size != count or found.dtype.kind not in "biuf":
        raise InvalidArgument(f"`episode_start` must be {count} truth values, or None, but is {shown(episode_start)}.")
    return found.astype(bool).reshape(count)


def _numbers(value: Any) -> np.ndarray:
    """The value as an array, which is a single None if it is not one."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        return np.asarray(None)
