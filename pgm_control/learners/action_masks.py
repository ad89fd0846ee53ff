"""Action masks: which discrete actions are allowed now, as part of the observation."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from jaxtyping import Bool, Float, Int8
from torch import Tensor

from ..environments.action_prior import MASK, OBSERVATION, mask_columns
from ..environments.continuous.times import starts_of_episodes
from ..environments.copies import WorldSource, copies_of
from ..environments.spaces import Actions, Observations
from ..errors import EnvironmentFailure, InvalidArgument
from ..problems.gymnasium_envs import name_of
from ..runtime.arguments import shown


@final
class ActionMasks(gymnasium.Wrapper, gymnasium.utils.RecordConstructorArgs):
    """An environment whose observations hold its action masks: {"action_mask": mask, "observation": observation}.

    The mask is `info["action_mask"]` of `reset` and `step`, as Taxi-v4 gives it, or else the answer of a method
    `action_masks()` of the environment or of a wrapper: A truth values or numbers 0 and 1. In this form of
    observations, that of PettingZoo, action priors and learners keep to the mask. Networks also get it as a part of the
    features: so a run whose masks allow everything is not the run without masks, whose networks have fewer inputs.
    """

    def __init__(self, env: gymnasium.Env) -> None:
        """Wrap an environment.

        Raises:
            InvalidArgument: if its actions are not discrete.
        """
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        gymnasium.Wrapper.__init__(self, env)
        if not isinstance(env.action_space, spaces.Discrete):
            raise InvalidArgument(
                f"`action_masks` must be False for actions that are not discrete, but the action space is "
                f"{env.action_space}. Leave it out."
            )
        self._size = int(env.action_space.n)
        self.observation_space = spaces.Dict({MASK: spaces.MultiBinary(self._size), OBSERVATION: env.observation_space})

    def __repr__(self) -> str:
        """The environment in it."""
        return f"ActionMasks({self.env})"

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode.

        Raises:
            EnvironmentFailure: if there is no mask, or it allows no action.
        """
        observation, info = self.env.reset(seed=seed, options=options)
        return self._with_mask(observation, info, False), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take an action. After termination the mask may be empty or missing.

        Raises:
            EnvironmentFailure: if there is no mask, or it allows no action.
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._with_mask(observation, info, bool(terminated)), reward, terminated, truncated, info

    def _with_mask(self, observation: Any, info: Mapping[str, Any], is_over: bool) -> dict[str, Any]:
        found = info.get(MASK)
        if found is None and self.env.has_wrapper_attr("action_masks"):
            found = self.env.get_wrapper_attr("action_masks")()
        if found is None and is_over:
            found = np.zeros(self._size, np.int8)
        mask = None if found is None else mask_in(found, (self._size,))
        if mask is None:
            raise EnvironmentFailure(
                f"info['action_mask'] of {name_of(self.env)} must be {self._size} truth values, for `action_masks`, "
                f"but is {shown(found)}."
            )
        if not is_over and not mask.any():
            raise EnvironmentFailure(
                f"info['action_mask'] of {name_of(self.env)} must allow at least one action, but allows none. If the "
                "episode is over, terminate it."
            )
        return {MASK: mask, OBSERVATION: observation}


def masked_source(source: WorldSource, number: int) -> Any:
    """The source of environments that observe their masks.

    Args:
        source: as `Worlds` takes it.
        number: the number of copies.

    Raises:
        InvalidArgument: if `source` is a vector whose observations hold no masks.
    """
    if isinstance(source, VectorEnv):
        if mask_columns(source.single_observation_space, Actions(source.single_action_space)) is None:
            raise InvalidArgument(
                "`env` must not be a vector of environments with `action_masks`, unless its observations are "
                '{"action_mask": …, "observation": …}. Pass an id, or a function that makes one environment.'
            )
        return source
    made = [each if _holds_mask(each) else ActionMasks(each) for each in copies_of(source, number)]
    copies = iter(made)
    return lambda: next(copies)


@contextmanager
def with_masks(source: WorldSource, keeps_to_masks: bool) -> Iterator[Any]:
    """An environment that observes its masks, from any source but a vector; it is closed, unless it was passed in.

    Args:
        source: as `Worlds` takes it.
        keeps_to_masks: whether the learner does; otherwise, or for a vector, it is the source itself.
    """
    if not keeps_to_masks or isinstance(source, VectorEnv):
        yield source
        return
    env = masked_source(source, 1)()
    try:
        yield env
    finally:
        if not isinstance(source, gymnasium.Env) or env.unwrapped is not source.unwrapped:
            env.close()


def features_of(
    observations: Observations,
    columns: slice | None,
    observation: Any,
    action_masks: Any,
    episode_start: Bool[np.ndarray, " batch"] | None,
) -> tuple[Float[Tensor, "batch feature"], bool]:
    """The features of an observation or a batch, with its masks, and whether it is a single one.

    Args:
        observations: the space of the learner.
        columns: the features that are masks, or None if there are none.
        observation: an observation or a batch; with `action_masks` without masks.
        action_masks: masks (A,) or (batch, A), or None.
        episode_start: where an episode begins, or a vector of environments only resets, so that a mask may be empty.

    Raises:
        InvalidArgument: if an argument does not fit, or a mask allows no action.
    """
    if action_masks is not None:
        if columns is None:
            raise InvalidArgument(
                "`action_masks` must be None for a learner without masks, but is given. Make it with action_masks=True."
            )
        count = columns.stop - columns.start
        mask = mask_in(action_masks, (count,), (None, count))
        if mask is None:
            raise InvalidArgument(
                f"`action_masks` must be truth values of shape ({count},) or (batch, {count}), but is "
                f"{shown(action_masks)}."
            )
        observation = {MASK: mask, OBSERVATION: observation}
    elif columns is not None and not isinstance(observation, Mapping):
        raise InvalidArgument(
            "`action_masks` must be given to a learner with masks: pass those of info['action_mask'], or an "
            'observation {"action_mask": …, "observation": …}.'
        )
    is_single = observations.is_single(observation)
    features = observations([observation]) if is_single else observations.of_batch(observation)
    if (
        columns is not None
        and (_allows_none(features, columns) & ~starts_of_episodes(len(features), episode_start)).any()
    ):
        raise InvalidArgument("`action_masks` must allow at least one action in each row, but allows none.")
    return features, is_single


def require_allowed(
    features: Float[Tensor, "batch feature"], columns: slice | None, is_over: Bool[np.ndarray, " batch"]
) -> None:
    """Require an allowed action in each row of features, except where the episode is over and the next step resets.

    Raises:
        EnvironmentFailure: otherwise.
    """
    if columns is not None and (_allows_none(features, columns) & ~is_over).any():
        raise EnvironmentFailure(
            "The action mask in an observation of the environment must allow at least one action, but allows none."
        )


def _allows_none(features: Float[Tensor, "batch feature"], columns: slice) -> Bool[np.ndarray, " batch"]:
    return ~(features[:, columns] > 0).any(-1).cpu().numpy()


def mask_in(found: Any, *shapes: tuple[int | None, ...]) -> Int8[np.ndarray, "*batch action"] | None:
    """The mask as 0 and 1, or None if it is no array of truth values with one of these shapes; None is any length."""
    try:
        array = np.asarray(found)
    except (TypeError, ValueError, RuntimeError):
        return None
    fits = any(
        array.ndim == len(shape) and all(there in (None, here) for here, there in zip(array.shape, shape, strict=True))
        for shape in shapes
    )
    if not fits or array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        return None
    return array.astype(np.int8)


def _holds_mask(env: gymnasium.Env) -> bool:
    return isinstance(env.action_space, spaces.Discrete) and (
        mask_columns(env.observation_space, Actions(env.action_space)) is not None
    )
