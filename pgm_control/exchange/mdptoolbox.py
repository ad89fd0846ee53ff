"""The arrays of pymdptoolbox: transitions P(a, s, s') and rewards of three shapes."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..errors import InvalidProblem
from ..problems.from_blocks import mdp_from_blocks
from ..problems.mdp import TabularMDP
from ..runtime.arguments import listed
from ..runtime.array_like import ArrayLike
from ..text.one_line import one_line
from .dense import RewardForm, in_double, require_held, reward_table, transition_matrix
from .given import rewards
from .sparse_rows import entries_of, is_sparse, transitions_of


class MDPToolboxArrays(NamedTuple):
    """The first arguments of pymdptoolbox's algorithms: `mdptoolbox.mdp.PolicyIteration(*to_mdptoolbox(mdp))`.

    Attributes:
        transitions: its P.
        reward: its R, of shape (A, S, S), (S, A) or (S,), in reward units.
        discount: its gamma.
    """

    transitions: Float[np.ndarray, "action state next_state"]
    reward: Float[np.ndarray, "..."]
    discount: float

    __repr__ = one_line


def from_mdptoolbox(
    transitions: Any,
    reward: Any,
    discount: float = 1.0,
    *,
    horizon: int,
    initial: ArrayLike | None = None,
    state_names: Sequence[str] | None = None,
    action_names: Sequence[str] | None = None,
) -> TabularMDP:
    """Return the problem given by arrays of pymdptoolbox (and of mdptoolbox-hiive).

    Args:
        transitions: P(a, s, s'), of shape (A, S, S), or a list with a matrix for each action, dense or scipy.sparse.
        reward: in reward units, of shape (S,), for the state in which the action is taken; (S, A); or (A, S, S), also
            as a list with a matrix for each action. An array with two axes is always (S, A), as in the toolbox.
        discount: gamma, in (0, 1].
        horizon: T, which the layout does not hold; the toolbox's `FiniteHorizon` takes it as `N`.
        initial: p(s_0), which the layout does not hold; default: uniform.
        state_names, action_names: as in `TabularMDP`.

    Raises:
        InvalidProblem: if the arrays do not fit together.
    """
    matrices = listed("transitions", transitions, "matrices, one for each action", InvalidProblem)
    actions = len(matrices)
    shapes = [tuple(each.shape) if is_sparse(each) else np.shape(each) for each in matrices]
    states = shapes[0][0] if shapes[0] else 0
    if not states or any(shape != (states, states) for shape in shapes):
        raise InvalidProblem(
            f"`transitions` must hold one (S, S) matrix for each action, but has the shapes {shapes}. Transitions by "
            "state first are for TabularMDP.from_dense or from_quantecon."
        )
    found = [transitions_of(f"transitions[{a}]", each) for a, each in enumerate(matrices)]
    pay = _rewards(reward, states, actions)
    return mdp_from_blocks(
        ((each.row, np.full(len(each.row), a), each.probability, each.column, pay(a, each.row, each.column))
         for a, each in enumerate(found)),
        states, actions, max(each.width for each in found), horizon, discount, initial,
        of_rows=True, state_names=state_names, action_names=action_names,
    )  # fmt: skip


def to_mdptoolbox(mdp: TabularMDP, rewards: RewardForm = "transition", merge: bool = False) -> MDPToolboxArrays:
    """Return a problem as arrays of pymdptoolbox (and of mdptoolbox-hiive).

    The layout does not hold the initial distribution, the horizon and the names; give them to its algorithms
    separately.

    Args:
        mdp: the problem, without a final reward. Rewards of −inf are kept.
        rewards: "transition" for (A, S, S), "pair" for (S, A), "state" for (S,).
        merge: whether to take the expected reward if it is random and the shape cannot hold it. Answers with clamped
            dynamics stay the same, those of free inference change.

    Raises:
        InvalidArgument: if the layout cannot hold the problem.
    """
    require_held(mdp, "pymdptoolbox")
    mdp = in_double(mdp)
    reward = reward_table(mdp, rewards, "pymdptoolbox's reward", merge)
    if rewards == "transition":
        reward = reward.transpose(1, 0, 2).copy()
    return MDPToolboxArrays(transition_matrix(mdp).transpose(1, 0, 2).copy(), reward, mdp.discount)


def _rewards(reward: Any, states: int, actions: int) -> Callable[[int, np.ndarray, np.ndarray], np.ndarray]:
    """Return the function (action, states, next states) → rewards that an array of any of the shapes defines."""
    axes = {1: "state", 2: "state, action", 3: "action, state, next_state"}
    if isinstance(reward, list | tuple) and any(map(is_sparse, reward)):
        shapes = [tuple(each.shape) if is_sparse(each) else np.shape(each) for each in reward]
        if shapes != [(states, states)] * actions:
            raise InvalidProblem(
                f"`reward` must hold one ({states}, {states}) matrix for each of the {actions} actions, but has the "
                f"shapes {shapes}."
            )
        return lambda a, s, n: _paid(f"reward[{a}]", reward[a], s, n)
    dense: Any = reward.toarray() if is_sparse(reward) else reward  # pyright: ignore[reportAttributeAccessIssue]
    table = rewards("reward", dense, axes)
    if table.shape == (states,):
        return lambda a, s, n: table[s]
    if table.shape == (states, actions):
        return lambda a, s, n: table[s, a]
    if table.shape == (actions, states, states):
        return lambda a, s, n: table[a, s, n]
    raise InvalidProblem(
        f"`reward` must have shape ({states},), ({states}, {actions}) or ({actions}, {states}, {states}), but has "
        f"shape {table.shape}. With two axes they are state and action."
    )


def _paid(name: str, matrix: Any, s: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return the rewards of transitions from a matrix, checked."""
    found = entries_of(matrix, s, n)
    wrong = np.flatnonzero(~(found < np.inf))
    if len(wrong):
        i = wrong[0]
        rewards(f"{name}[{s[i]}, {n[i]}]", found[i], {0: ""})
    return found
