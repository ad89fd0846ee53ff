"""Reading the transition table that Gymnasium's toy-text environments carry, `env.unwrapped.P`."""

from collections.abc import Iterator
from typing import NamedTuple

import gymnasium
import numpy as np
from gymnasium import wrappers
from jaxtyping import Float, Int

from ._errors import UnsupportedEnvironment

_ACTION_NAMES = {
    "FrozenLakeEnv": ("left", "down", "right", "up"),
    "CliffWalkingEnv": ("up", "right", "down", "left"),
    "TaxiEnv": ("south", "north", "east", "west", "pick up", "drop off"),
}
_ONLY_WATCHES = (  # a wrapper's step may do anything, so those that leave the problem alone are listed
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


def outcome_table(env: gymnasium.Env) -> OutcomeTable:
    """The outcomes of every (state, action), as listed by the environment, with terminated ones sent to the new state.

    Raises:
        UnsupportedEnvironment: if there is no table, or the environment or a wrapper around it does not obey it.
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
    for layer in _layers(env):
        if not isinstance(layer, _ONLY_WATCHES):
            raise UnsupportedEnvironment(
                f"{type(layer).__name__} around {_name(env)} may change rewards, observations or actions, which the "
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
    return OutcomeTable(
        np.append(np.asarray(initial, dtype=np.float64), 0.0),
        probability,
        successor,
        reward,
        (*_state_names(bare, absorbing), "ended"),
        _ACTION_NAMES.get(type(bare).__name__, tuple(map(str, range(actions)))),
    )


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


def _state_names(bare: gymnasium.Env, states: int) -> tuple[str, ...]:
    """`(row, column)` on a grid, else the index."""
    grid = getattr(bare, "shape", None) or (getattr(bare, "nrow", 0), getattr(bare, "ncol", 0))
    rows, columns = grid if len(grid) == 2 else (0, 0)
    if rows * columns != states:
        return tuple(map(str, range(states)))
    return tuple(f"({s // columns}, {s % columns})" for s in range(states))


def _name(env: gymnasium.Env) -> str:
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__
