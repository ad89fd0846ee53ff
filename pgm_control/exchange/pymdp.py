"""The arrays of pymdp: likelihoods A, transitions B, log-preferences C and an initial distribution D."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..errors import InvalidArgument, InvalidProblem
from ..problems import checks
from ..problems.mdp import TabularMDP, require_mdp
from ..problems.partially_observed import PartiallyObservedMDP
from ..runtime.arguments import flag, listed, positive
from ..runtime.array_like import numbers
from ..text.one_line import one_line
from ..text.wording import state_phrase
from .dense import array, in_double, require_held, reward_table, transition_matrix
from .given import distributions, rewards

_LAYOUT = "pymdp"
_first = functools.partial(distributions, last=0)  # pymdp has the random variable first


class PymdpArrays(NamedTuple):
    """The first arguments of pymdp's `Agent`, one array per modality or factor: `Agent(*to_pymdp(problem))`.

    Version 1 takes the lists as they are; for 0.x wrap each with `pymdp.utils.obj_array_from_list`.

    Attributes:
        A: p(o|s), of shape (observation, state).
        B: p(s'|s, a), of shape (next_state, state, action).
        C: log-preferences of observations, in nats.
        D: p(s_0).
    """

    A: list[np.ndarray]
    B: list[np.ndarray]
    C: list[np.ndarray]
    D: list[np.ndarray]

    __repr__ = one_line


def from_pymdp(
    A: Sequence[Any],
    B: Sequence[Any],
    C: Sequence[Any] | None = None,
    D: Sequence[Any] | None = None,
    *,
    horizon: int,
    temperature: float = 1.0,
    merge: bool = False,
    state_names: Sequence[str] | None = None,
    action_names: Sequence[str] | None = None,
    observation_names: Sequence[str] | None = None,
) -> PartiallyObservedMDP:
    r"""Return the problem given by the generative model of a pymdp agent.

    Its conventions: `A[m][o, s_1, …, s_F]` $= p(o \mid s)$ and `B[f][s', s, a]` $= p(s' \mid s, a)$ have the random
    variable first; `C[m][o]` is a log-preference in nats, up to a constant; `D[f]` is the initial distribution. The
    reward of a step is that of the observation on arrival, summed over modalities, $r = \tau \sum_m C_m(o_m)$, so that
    $r / \tau$ is pymdp's utility. The observation before the first action pays nothing, as in pymdp. The information
    gain, the other term of expected free energy, is not part of a problem.

    States, actions and observations of several factors and modalities become one index each, the last factor running
    fastest. If a state has several possible observations with different preferences, it is split into one state for
    each preference, so that the state determines the reward. If the state is observed, the fully observed problem is
    `from_pymdp(…).mdp`.

    Args:
        A: one array per modality; its axes after the first are all factors, as in pymdp without `A_dependencies`.
        B: one array per factor, which depends only on this factor and its own control.
        C: one vector per modality; default: no preferences. Preferences that change with time are refused.
        D: one vector per factor; default: uniform.
        horizon: T, pymdp's `policy_len`.
        temperature: τ of the model that will use the problem, in reward units per nat.
        merge: whether to take the expected preference of the observations of a state instead of splitting the state.
            This is how pymdp plans, and what it calls utility. It changes the answers of free inference.
        state_names: one name for each combination of factors.
        action_names: one name for each combination of controls.
        observation_names: one name for each combination of modalities.

    Raises:
        InvalidProblem: if the arrays do not fit together, or are batched.
        InvalidArgument: if the temperature is not a positive number.
    """
    seen, move, like, start = _joint(A, B, C, D)
    temperature, merge = positive("temperature", temperature), flag("merge", merge)
    states = seen.shape[1]
    called = checks.names("state_names", state_names, states)
    possible = np.where(seen > 0, like[:, None], 0.0)
    if merge:
        value = (np.where(seen > 0, seen, 0.0) * possible).sum(0)
        classes = [(s, value[s], np.ones(len(seen), bool)) for s in range(states)]
    else:
        classes = [
            (s, value, like == value)
            for s in range(states)
            for value in np.unique(like[seen[:, s] > 0])  # the possible preferences in a state
        ]
    of = np.array([s for s, _, _ in classes])
    alone = np.bincount(of, minlength=states)[of] == 1
    chance = np.array([1.0 if alone[i] else seen[members, s].sum() for i, (s, _, members) in enumerate(classes)])
    observation = np.stack([np.where(members, seen[:, s], 0.0) for s, _, members in classes]) / chance[:, None]
    reward = np.array([temperature * value for _, value, _ in classes])
    transition = move.transpose(1, 2, 0)[np.ix_(of, np.arange(move.shape[2]), of)] * chance
    names = called and [
        called[s] + ("" if alone[i] else f", preference {value:.6g}") for i, (s, value, _) in enumerate(classes)
    ]
    mdp = TabularMDP.from_dense(
        start[of] * chance,
        transition,
        np.broadcast_to(reward, transition.shape),
        horizon,
        state_names=names,
        action_names=action_names,
    )
    return PartiallyObservedMDP(mdp, observation, observation_names=observation_names)


def to_pymdp(problem: PartiallyObservedMDP | TabularMDP, temperature: float = 1.0) -> PymdpArrays:
    r"""Return a problem as the generative model of a pymdp agent, with one factor and one modality.

    $$C(o) = r / \tau$$

    If the state of the problem is observed, the observations are the states. The layout does not hold the horizon,
    which is pymdp's `policy_len`, and the names.

    Args:
        problem: a problem without a discount and a final reward. The observation on arrival must determine the reward,
            because pymdp has preferences only for observations.
        temperature: τ, in reward units per nat.

    Raises:
        InvalidArgument: if the layout cannot hold the problem.
    """
    mdp = problem.mdp if isinstance(problem, PartiallyObservedMDP) else require_mdp("problem", problem)
    require_held(mdp, _LAYOUT, discount=False)
    temperature = positive("temperature", temperature)
    seen = _sensor(problem)
    mdp = in_double(mdp)
    transition, reward = (
        transition_matrix(mdp),
        reward_table(mdp, "transition", f"{_LAYOUT}'s C", merge=False, name="problem"),
    )
    preference = np.full(seen.shape[1], np.nan)
    for s in range(mdp.num_states):
        paid = np.unique(reward[..., s][transition[..., s] > 0])
        observed = seen[s] > 0
        known = preference[observed & ~np.isnan(preference)]
        if len(paid) > 1 or (len(paid) and (known != paid[0]).any()):
            raise InvalidArgument(
                f"`problem` must pay for the observation on arrival and nothing else, but arriving in "
                f"{state_phrase(mdp, s)} has several rewards with the same observation: pymdp's C(o) cannot hold them. "
                "Make the reward a part of the state, and let it be observed."
            )
        if len(paid):
            preference[observed] = paid[0]
    if np.isneginf(preference).any():
        raise InvalidArgument(
            "`problem` must have finite rewards, but forbids an outcome by -inf, which pymdp multiplies by 0. Use a "
            "large negative reward."
        )
    return PymdpArrays(
        A=[seen.T.copy()],
        B=[transition.transpose(2, 0, 1).copy()],
        C=[np.nan_to_num(preference) / temperature],
        D=[array(mdp.initial)],
    )


def _joint(
    likelihoods: Sequence[Any],
    transitions: Sequence[Any],
    preferences: Sequence[Any] | None,
    start: Sequence[Any] | None,
) -> tuple[
    Float[np.ndarray, "observation state"],
    Float[np.ndarray, "next_state state action"],
    Float[np.ndarray, " observation"],
    Float[np.ndarray, " state"],
]:
    """Return the arrays of the joint factor and the joint modality, after checks of each."""
    moves = [
        _array(f"B[{f}]", each, {3: "next state, state, action"}, _first)
        for f, each in enumerate(listed("B", transitions, "arrays, one for each factor", InvalidProblem))
    ]
    sizes = tuple(each.shape[1] for each in moves)
    for f, each in enumerate(moves):
        if each.shape[0] != each.shape[1]:
            raise InvalidProblem(
                f"`B[{f}]` must have shape (next state, state, action), but has {each.shape}. Its first two axes "
                "must have the same length."
            )
    starts = [np.full(n, 1 / n) for n in sizes]
    if start is not None:
        given = listed("D", start, "vectors, one for each factor", InvalidProblem)
        starts = [_array(f"D[{f}]", each, {1: "state"}, distributions) for f, each in enumerate(given)]
    if tuple(map(len, starts)) != sizes:
        raise InvalidProblem(f"`D` must hold vectors of lengths {sizes}, but has {tuple(map(len, starts))}.")
    axes = {1 + len(sizes): f"observation, {'state' if len(sizes) == 1 else 'states of all factors'}"}
    sensors = [
        _array(f"A[{m}]", each, axes, _first)
        for m, each in enumerate(listed("A", likelihoods, "arrays, one for each modality", InvalidProblem))
    ]
    for m, each in enumerate(sensors):
        if each.shape[1:] != sizes:
            raise InvalidProblem(
                f"`A[{m}]` must have shape (observation, {', '.join(map(str, sizes))}), but has {each.shape}. Give "
                "every modality an axis for every factor, even if it does not depend on it."
            )
    likes = [np.zeros(len(each)) for each in sensors]
    if preferences is not None:
        given = listed("C", preferences, "vectors, one for each modality", InvalidProblem)
        likes = [_array(f"C[{m}]", each, {1: "observation"}, rewards) for m, each in enumerate(given)]
    if [len(each) for each in likes] != [len(each) for each in sensors]:
        raise InvalidProblem("`C` must hold one preference for each observation of each modality in `A`.")
    flat = [each.reshape(len(each), -1) for each in sensors]
    return (
        functools.reduce(lambda one, other: (one[:, None] * other[None]).reshape(-1, one.shape[-1]), flat),
        functools.reduce(np.kron, moves),
        functools.reduce(lambda one, other: np.add.outer(one, other).ravel(), likes),
        functools.reduce(np.kron, starts),
    )


def _array(name: str, value: Any, axes: Mapping[int, str], check: Callable[..., np.ndarray]) -> np.ndarray:
    """Return an array after its check, with a message of its own for arrays of pymdp that have other axes."""
    shape = tuple(numbers(name, value).shape)
    if len(shape) not in axes:
        wanted = " or ".join(f"{count} axes ({called})" for count, called in axes.items())
        raise InvalidProblem(
            f"`{name}` must have {wanted}, but has shape {shape}. Take one element of a batch. Expand by hand an array "
            "that depends on some factors only, or that changes with time."
        )
    return check(name, value, axes)


def _sensor(problem: PartiallyObservedMDP | TabularMDP) -> Float[np.ndarray, "state observation"]:
    """Return p(o|s), if observations depend on nothing else."""
    if isinstance(problem, TabularMDP):
        return np.eye(problem.num_states)
    seen = array(problem.observation.double())
    same = (seen == seen[:1]).all()
    first = problem.initial_observation
    if not same or first is None or not np.array_equal(array(first.double()), seen[0]):
        raise InvalidArgument(
            "`problem.observation` must depend on the state alone, also at the start, because pymdp's A "
            "does not depend on the action. Make the action a part of the state."
        )
    return seen[0] / seen[0].sum(-1, keepdims=True)
