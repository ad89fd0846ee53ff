"""Read the transition tables of toy-text environments, `env.unwrapped.P`, and check that wrappers leave them valid."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import wrappers
from jaxtyping import Float, Int

from ..errors import UnsupportedEnvironment
from .grid import Places

_ACTION_NAMES = {
    "FrozenLakeEnv": ("left", "down", "right", "up"),
    "CliffWalkingEnv": ("up", "right", "down", "left"),
    "TaxiEnv": ("south", "north", "east", "west", "pick up", "drop off"),
}
_ONLY_WATCHES = (  # a wrapper's step may do anything, so those that do not change the problem are listed
    wrappers.TimeLimit,
    wrappers.OrderEnforcing,
    wrappers.PassiveEnvChecker,
    wrappers.RecordEpisodeStatistics,
    wrappers.RecordVideo,
    wrappers.RenderCollection,
    wrappers.HumanRendering,
)


class OutcomeTable(NamedTuple):
    """The arrays of a `TabularMDP`, with one absorbing state added last."""

    initial: Float[np.ndarray, " state"]
    probability: Float[np.ndarray, "state action outcome"]
    successor: Int[np.ndarray, "state action outcome"]
    reward: Float[np.ndarray, "state action outcome"]
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    layout: Places | None


def outcome_table(env: gymnasium.Env) -> OutcomeTable:
    """The outcomes of every (state, action) as the environment lists them; terminated ones lead to the added state.

    Raises:
        UnsupportedEnvironment: if there is no table, or the environment or a wrapper deviates from the table.
    """
    bare = env.unwrapped
    listed, initial = getattr(bare, "P", None), getattr(bare, "initial_state_distrib", None)
    if listed is None or initial is None:
        raise UnsupportedEnvironment(
            f"{_name(env)} has no transition table (`P` and `initial_state_distrib`): its dynamics are only simulated. "
            "FrozenLake-v1, CliffWalking-v1, CliffWalkingSlippery-v1 and Taxi-v4 have one; for your own problem build "
            "a TabularMDP from arrays."
        )
    if getattr(bare, "fickle_passenger", False):
        raise UnsupportedEnvironment(
            f"{_name(env)} was made with fickle_passenger=True, which changes the state outside its transition table. "
            "Make it with fickle_passenger=False."
        )
    wrapper = changing_wrapper(env)
    if wrapper is not None:
        raise UnsupportedEnvironment(
            f"{type(wrapper).__name__} around {_name(env)} may change rewards, observations or actions, which the "
            "transition table cannot know. Pass env.unwrapped and horizon=…, then mdp.replace(reward=…) if need be."
        )
    absorbing, actions = len(listed), len(listed[0])
    outcomes = max(len(listed[s][a]) for s in range(absorbing) for a in range(actions))
    probability = np.zeros((absorbing + 1, actions, outcomes))
    successor = np.full(probability.shape, absorbing)
    reward = np.zeros_like(probability)
    for s in range(absorbing):
        for a in range(actions):
            for k, (p, next_state, r, terminated) in enumerate(listed[s][a]):
                probability[s, a, k], reward[s, a, k] = p, r
                successor[s, a, k] = absorbing if terminated else next_state
    probability[absorbing, :, 0] = 1.0
    cells = _row_by_row(bare, absorbing)
    names = map(str, range(absorbing)) if cells is None else (f"({row}, {column})" for row, column in cells)
    layout = _LAYOUTS.get(type(bare).__name__, lambda _: cells)(bare)
    return OutcomeTable(
        np.append(np.asarray(initial, dtype=np.float64), 0.0),
        probability,
        successor,
        reward,
        (*names, "ended"),
        _ACTION_NAMES.get(type(bare).__name__, tuple(map(str, range(actions)))),
        None if layout is None else (*layout, None),
    )


def changing_wrapper(env: gymnasium.Env) -> gymnasium.Wrapper | None:
    """The outermost wrapper that may change rewards, observations or actions, or None if there is none."""
    return next((layer for layer in _layers(env) if not isinstance(layer, _ONLY_WATCHES)), None)


def time_limit(env: gymnasium.Env) -> int | None:
    """The number of steps after which the environment truncates an episode (its tightest limit), or None."""
    limits = [layer._max_episode_steps for layer in _layers(env) if isinstance(layer, wrappers.TimeLimit)]
    limits += [spec.max_episode_steps for spec in (env.spec, env.unwrapped.spec) if spec is not None]
    return min((each for each in limits if each is not None), default=None)


def _layers(env: gymnasium.Env) -> Iterator[gymnasium.Wrapper]:
    """The wrappers, from the outermost in."""
    while isinstance(env, gymnasium.Wrapper):
        yield env
        env = env.env


def _row_by_row(bare: gymnasium.Env, states: int) -> tuple[tuple[int, int], ...] | None:
    """The cells of a grid with one state in each, row by row; None if the states are not such a grid."""
    grid = getattr(bare, "shape", None) or (getattr(bare, "nrow", 0), getattr(bare, "ncol", 0))
    rows, columns = grid if len(grid) == 2 else (0, 0)
    return tuple(divmod(s, columns) for s in range(states)) if rows * columns == states else None


def _taxi(_: Any) -> Places:
    """One 5-by-5 map for each place of the passenger (top to bottom) and each destination (left to right)."""
    return tuple((6 * at + row, 6 * to + column) for row, column, at, to in np.ndindex(5, 5, 5, 4))


def _own(bare: Any) -> Places | None:
    """The layout of the problem of a `TabularEnv`; None if its states are pairs with time."""
    return None if bare.observe_time else bare.mdp.layout


_LAYOUTS: dict[str, Callable[[Any], Places | None]] = {"TaxiEnv": _taxi, "TabularEnv": _own}


def _name(env: gymnasium.Env) -> str:
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__
