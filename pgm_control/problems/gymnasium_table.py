"""Read the transition tables of toy-text environments, `env.unwrapped.P`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete
from jaxtyping import Float, Int

from ..errors import UnsupportedEnvironment
from .grid import Places
from .gymnasium_envs import changing_wrapper, name_of
from .single_values import single_index, single_number, single_truth

_ACTION_NAMES = {
    "FrozenLakeEnv": ("left", "down", "right", "up"),
    "CliffWalkingEnv": ("up", "right", "down", "left"),
    "TaxiEnv": ("south", "north", "east", "west", "pick up", "drop off"),
}
_FORM = "`P[state][action]` must list (probability, next state, reward, terminated) of each outcome"
_ELSE = "Build a TabularMDP from arrays, or from matrices of shape (S, A, S) by TabularMDP.from_dense."


class OutcomeTable(NamedTuple):
    """The arrays of a `TabularMDP`, with one absorbing state added last."""

    initial: Float[np.ndarray, " state"]
    probability: Float[np.ndarray, "state action outcome"]
    successor: Int[np.ndarray, "state action outcome"]
    reward: Float[np.ndarray, "state action outcome"]
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    layout: Places | None


class _Outcome(NamedTuple):
    probability: float
    successor: int
    reward: float
    terminated: bool


def outcome_table(env: gymnasium.Env) -> OutcomeTable:
    """The outcomes of every (state, action) as the environment lists them; terminated ones lead to the added state.

    An action that a state does not list is impossible there: it stays with reward −inf. A state without any action is
    an ended one, which no outcome may enter without termination.

    Raises:
        UnsupportedEnvironment: if there is no table, it has another form, or the environment or a wrapper deviates from
            the table.
    """
    bare = env.unwrapped
    listed, initial = getattr(bare, "P", None), getattr(bare, "initial_state_distrib", None)
    if listed is None or initial is None:
        raise UnsupportedEnvironment(
            f"{name_of(env)} has no transition table (`P` and `initial_state_distrib` of `env`): its dynamics are only "
            "simulated. FrozenLake-v1, CliffWalking-v1, CliffWalkingSlippery-v1 and Taxi-v4 have one. To learn from "
            "samples of a simulation use `pgm-control train` or pgm_control.learners; for your own problem build a "
            "TabularMDP from arrays."
        )
    if getattr(bare, "fickle_passenger", False):
        raise UnsupportedEnvironment(
            f"{name_of(env)} was made with fickle_passenger=True, which changes the state outside its transition "
            "table. Make it with fickle_passenger=False."
        )
    wrapper = changing_wrapper(env)
    if wrapper is not None:
        raise UnsupportedEnvironment(
            f"{type(wrapper).__name__} around {name_of(env)} may change rewards, observations or actions, which the "
            "transition table cannot know. Pass env.unwrapped and horizon=…, then mdp.replace(reward=…) if need be."
        )
    absorbing, actions = (_size(env, name) for name in ("observation_space", "action_space"))
    rows = {(s, a): row for s, each in _numbered(env, "P", listed, absorbing, "states") if each is not None
            for a, row in _numbered(env, f"P[{s}]", each, actions, "actions") if row is not None}  # fmt: skip
    outcomes = {(s, a): list(_outcomes(env, f"P[{s}][{a}]", row, absorbing)) for (s, a), row in rows.items()}
    first = _first_states(env, initial, absorbing)
    acting = {s for (s, _), row in outcomes.items() if row}
    _require_rows(env, outcomes, first, acting)
    shape = (absorbing + 1, actions, max((len(row) for row in outcomes.values()), default=1) or 1)
    probability, successor, reward = np.zeros(shape), np.full(shape, absorbing), np.zeros(shape)
    for s in range(absorbing + 1):
        for a in range(actions):
            row = outcomes.get((s, a)) or [_Outcome(1.0, absorbing, -np.inf if s in acting else 0.0, True)]
            for k, outcome in enumerate(row):
                probability[s, a, k], reward[s, a, k] = outcome.probability, outcome.reward
                successor[s, a, k] = absorbing if outcome.terminated else outcome.successor
    cells = _row_by_row(bare, absorbing)
    names = map(str, range(absorbing)) if cells is None else (f"({row}, {column})" for row, column in cells)
    layout = _LAYOUTS.get(type(bare).__name__, lambda _: cells)(bare)
    return OutcomeTable(
        np.append(first, 0.0),
        probability,
        successor,
        reward,
        (*names, "ended"),
        _ACTION_NAMES.get(type(bare).__name__, tuple(map(str, range(actions)))),
        None if layout is None else (*layout, None),
    )


def _size(env: gymnasium.Env, name: str) -> int:
    """The number of elements of a space."""
    space = getattr(env.unwrapped, name, None)
    if not isinstance(space, Discrete) or space.start != 0:
        raise UnsupportedEnvironment(
            f"{name_of(env)} must have a Discrete `{name}` that starts at 0, but has {space}: `P` numbers states and "
            f"actions from 0. {_ELSE}"
        )
    return int(space.n)


def _numbered(env: gymnasium.Env, name: str, table: Any, size: int, what: str) -> Iterator[tuple[int, Any]]:
    """The entries of a mapping or a sequence for the numbers 0, 1, …; None for one that is missing."""
    if isinstance(table, Mapping):
        strange = next((key for key in table if isinstance(key, bool | str) or key not in range(size)), None)
        if strange is not None:
            raise UnsupportedEnvironment(
                f"`{name}` of {name_of(env)} must be numbered from 0 to {size - 1}, its {what}, but has the key "
                f"{strange!r}. {_ELSE}"
            )
        yield from ((i, table.get(i)) for i in range(size))
    elif isinstance(table, Sequence) and not isinstance(table, str) and len(table) == size:
        yield from enumerate(table)
    else:
        found = f"a {type(table).__name__}" + (f" of {len(table)} entries" if isinstance(table, Sequence) else "")
        raise UnsupportedEnvironment(
            f"`{name}` of {name_of(env)} must be a dictionary or a list of its {size} {what}, but is {found}: {_FORM}. "
            f"{_ELSE}"
        )


def _outcomes(env: gymnasium.Env, name: str, row: Any, states: int) -> Iterator[_Outcome]:
    """The outcomes of one state and action."""
    if not isinstance(row, Sequence) or isinstance(row, str):
        raise UnsupportedEnvironment(f"`{name}` of {name_of(env)} is a {type(row).__name__}, but {_FORM}. {_ELSE}")
    for k, entry in enumerate(row):
        parts = tuple(entry) if isinstance(entry, Sequence) and not isinstance(entry, str) else (entry,)
        p, there, r, over = parts if len(parts) == 4 else (None,) * 4
        found = single_number(p), single_index(there), single_number(r), single_truth(over)
        if None in found:
            raise UnsupportedEnvironment(f"`{name}[{k}]` of {name_of(env)} is {entry!r}, but {_FORM}. {_ELSE}")
        outcome = _Outcome(*found)  # pyright: ignore[reportArgumentType]  none is None
        if not 0 <= outcome.successor < states:
            raise UnsupportedEnvironment(
                f"The next state of `{name}[{k}]` of {name_of(env)} must be from 0 to {states - 1}, as its "
                f"observation_space says, but is {outcome.successor}. Correct the table or the space."
            )
        yield outcome


def _first_states(env: gymnasium.Env, initial: Any, states: int) -> Float[np.ndarray, " state"]:
    """The probabilities of the first states."""
    try:
        found = np.asarray(initial, dtype=np.float64)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.shape != (states,):
        raise UnsupportedEnvironment(
            f"`initial_state_distrib` of {name_of(env)}, which goes with its table `P`, must hold {states} "
            f"probabilities, one for each state, but is {initial!r}. Correct it."
        )
    return found


def _require_rows(
    env: gymnasium.Env,
    outcomes: Mapping[tuple[int, int], list[_Outcome]],
    first: Float[np.ndarray, " state"],
    acting: set[int],
) -> None:
    """Require at least one action in every state in which an episode can begin or continue."""
    entered = {
        each.successor: f"P[{s}][{a}][{k}] leads there without termination"
        for (s, a), row in outcomes.items()
        for k, each in enumerate(row)
        if each.probability > 0 and not each.terminated
    }
    entered |= {int(s): "episodes begin there" for s in np.flatnonzero(first)}
    for s, why in entered.items():
        if s not in acting:
            raise UnsupportedEnvironment(
                f"`P` of {name_of(env)} must list an action of state {s}, because {why}, but lists none. Add its row, "
                "or mark the outcomes that lead there as terminated."
            )


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
