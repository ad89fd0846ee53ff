"""Recorded transitions: vectors of states, actions, next states and rewards, or whole episodes."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ...errors import InvalidArgument
from ...runtime.arguments import shown
from ...runtime.array_like import real_array

_FORM = (
    "(state, action, next_state, reward) or (state, action, next_state, reward, terminated), vectors of one length, or "
    "a list of episodes, as `inverse_rl.record` returns them"
)


class Transitions(NamedTuple):
    """Transitions in any order.

    Attributes:
        state, action, next_state, reward: of each transition.
        terminated: whether the environment ended the episode with this transition.
        starts: the first state of each episode; None if only transitions are known.
        longest: the number of steps of the longest episode; None if only transitions are known.
    """

    state: Int[np.ndarray, " transition"]
    action: Int[np.ndarray, " transition"]
    next_state: Int[np.ndarray, " transition"]
    reward: Float[np.ndarray, " transition"]
    terminated: Bool[np.ndarray, " transition"]
    starts: Int[np.ndarray, " episode"] | None
    longest: int | None


def transitions_of(data: Any) -> Transitions:
    """The transitions in vectors or in episodes, with numbers from 0.

    Raises:
        InvalidArgument: if `data` are neither, or an entry is not what it must be; the message names it.
    """
    if isinstance(data, Mapping | str | bytes) or not isinstance(data, Sequence) or not len(data):
        raise InvalidArgument(f"`data` must be {_FORM}, but is {shown(data)}.")
    found = _of_episodes(data) if _is_episode(data[0]) else _of_vectors(data)
    if not len(found.state):
        raise InvalidArgument("`data` must hold at least one transition, but holds none.")
    for name in ("state", "action", "next_state"):
        _refuse(name, found, getattr(found, name) < 0, "a number from 0")
    _refuse("reward", found, ~np.isfinite(found.reward), "a finite number")
    return found


def part_of_episode(name: str, episode: Any, part: str) -> Any:
    """A part of an episode: an entry of a mapping, or an attribute of another object.

    Raises:
        InvalidArgument: if it is missing; the message calls the episode `name`.
    """
    found = episode.get(part) if isinstance(episode, Mapping) else getattr(episode, part, None)
    if found is None:
        raise InvalidArgument(f"`{name}` must have {part}, but is a {type(episode).__name__} without it.")
    return found


def is_terminated(name: str, episode: Any) -> bool:
    """Whether the environment ended an episode, instead of a time limit.

    It is its `terminated`; or, as in imitation's layout, `terminal` without `infos[-1]["TimeLimit.truncated"]`.
    """
    has = episode.get if isinstance(episode, Mapping) else lambda part: getattr(episode, part, None)
    if has("terminated") is not None:
        return bool(has("terminated"))
    infos = has("infos")
    cut = infos is not None and len(infos) > 0 and bool((infos[-1] or {}).get("TimeLimit.truncated", False))
    return bool(part_of_episode(name, episode, "terminal")) and not cut


def whole_numbers(name: str, given: Any) -> Int[np.ndarray, " each"]:
    """A row of whole numbers; those that were kept as floats, or one in a row, are taken for what they are.

    Raises:
        InvalidArgument: if it is anything else; the message calls it `name`.
    """
    array = real_array(name, given, InvalidArgument)
    array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if (
        array.ndim != 1
        or array.dtype.kind not in "iuf"
        or not ((np.abs(array) < 2**62) & (array == np.floor(array))).all()
    ):
        raise InvalidArgument(
            f"`{name}` must be a row of whole numbers, but has the shape {array.shape} and is of {array.dtype}. Number "
            "the states, for example by `discretise`."
        )
    return array.astype(np.int64)


def _is_episode(value: Any) -> bool:
    return isinstance(value, Mapping) or hasattr(value, "obs")


def _of_vectors(data: Sequence[Any]) -> Transitions:
    if len(data) not in (4, 5):
        raise InvalidArgument(f"`data` must be {_FORM}, but is a {type(data).__name__} of {len(data)}.")
    state, action, next_state = (whole_numbers(f"data[{i}]", data[i]) for i in range(3))
    reward = real_array("data[3]", data[3], InvalidArgument).astype(np.float64)
    over = real_array("data[4]", data[4], InvalidArgument) if len(data) == 5 else np.zeros(len(state), bool)
    if not np.isin(over, (0, 1)).all():
        raise InvalidArgument("`data[4]` must hold True or False, or 1 or 0, for each transition, but holds others.")
    lengths = [each.shape for each in (state, action, next_state, reward, over)]
    if len(set(lengths)) != 1:
        raise InvalidArgument(f"`data` must hold vectors of one length, but their shapes are {lengths[: len(data)]}.")
    return Transitions(state, action, next_state, reward, over.astype(bool), None, None)


def _of_episodes(data: Sequence[Any]) -> Transitions:
    parts: list[list[np.ndarray]] = [[], [], [], [], []]
    starts = []
    for i, each in enumerate(data):
        name = f"data[{i}]"
        obs, acts = (whole_numbers(f"{name}.{part}", part_of_episode(name, each, part)) for part in ("obs", "acts"))
        rews = real_array(f"{name}.rews", part_of_episode(name, each, "rews"), InvalidArgument).astype(np.float64)
        if len(obs) != len(acts) + 1 or rews.shape != acts.shape:
            raise InvalidArgument(
                f"`{name}` must have a reward for each action and one observation more, but has {len(obs)} "
                f"observations, {len(acts)} actions and rewards of shape {rews.shape}."
            )
        over = np.zeros(len(acts), bool)
        over[-1:] = is_terminated(name, each)
        for column, values in zip(parts, (obs[:-1], acts, obs[1:], rews, over), strict=True):
            column.append(values)
        starts.append(int(obs[0]))
    state, action, next_state, reward, terminated = map(np.concatenate, parts)
    return Transitions(state, action, next_state, reward, terminated, np.array(starts), max(map(len, parts[0])))


def _refuse(name: str, found: Transitions, wrong: Bool[np.ndarray, " transition"], wanted: str) -> None:
    for i in np.flatnonzero(wrong):
        raise InvalidArgument(
            f"The {name} of each transition in `data` must be {wanted}, but that of number {i} is "
            f"{getattr(found, name)[i]}. Correct the recording."
        )
