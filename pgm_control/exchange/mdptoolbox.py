"""The arrays of pymdptoolbox: transitions P(a, s, s') and rewards of three shapes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..errors import InvalidProblem
from ..problems.mdp import TabularMDP
from ..runtime.array_like import ArrayLike
from ..text.one_line import one_line
from .dense import RewardForm, in_double, require_held, reward_table, transition_matrix
from .sparse_rows import Rows, entries_of, is_sparse, rows_of


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
    matrices = list(transitions)
    actions = len(matrices)
    shapes = [tuple(np.shape(each) if not is_sparse(each) else each.shape) for each in matrices]
    states = shapes[0][0] if shapes and shapes[0] else 0
    if not shapes or any(shape != (states, states) for shape in shapes):
        raise InvalidProblem(
            f"`transitions` must hold one (S, S) matrix for each action, but has the shapes {shapes}. Transitions by "
            "state first are for TabularMDP.from_dense or from_quantecon."
        )
    parts = [rows_of(f"transitions[{a}]", each) for a, each in enumerate(matrices)]
    rows = _side_by_side(parts)
    shape = (states, actions, rows.probability.shape[-1])
    s = np.broadcast_to(np.arange(states)[:, None, None], shape)
    start = np.full(states, 1.0 / states) if initial is None else initial
    return TabularMDP(
        start,
        rows.probability,
        rows.successor,
        _rewards(reward, s, rows.successor, actions),
        horizon,
        discount,
        None,
        state_names,
        action_names,
    )


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


def _side_by_side(parts: list[Rows]) -> Rows:
    """Return the rows of all actions, padded to the same width, as (state, action, outcome)."""
    width = max(each.probability.shape[1] for each in parts)

    def stacked(tables: list[np.ndarray]) -> np.ndarray:
        return np.stack([np.pad(each, ((0, 0), (0, width - each.shape[1]))) for each in tables], 1)

    return Rows(stacked([each.probability for each in parts]), stacked([each.successor for each in parts]))


def _rewards(reward: Any, s: np.ndarray, successor: np.ndarray, actions: int) -> Float[np.ndarray, "..."]:
    """Return r(s, a, k) from a reward of any of the shapes."""
    states = len(s)
    if isinstance(reward, list | tuple) and len(reward) == actions and all(_axes(each) == 2 for each in reward):
        shapes = {tuple(each.shape) if is_sparse(each) else np.shape(each) for each in reward}
        if shapes == {(states, states)}:
            return np.stack([entries_of(each, s[:, a], successor[:, a]) for a, each in enumerate(reward)], 1)
    dense: Any = reward.todense() if is_sparse(reward) else reward  # pyright: ignore[reportAttributeAccessIssue]
    table = np.asarray(dense, dtype=np.float64) if not _is_ragged(dense) else np.empty(0)
    a = np.arange(actions)[None, :, None]
    if table.shape == (states,):
        return np.broadcast_to(table[:, None, None], s.shape)
    if table.shape == (states, actions):
        return np.broadcast_to(table[..., None], s.shape)
    if table.shape == (actions, states, states):
        return table[a, s, successor]
    raise InvalidProblem(
        f"`reward` must have shape ({states},), ({states}, {actions}) or ({actions}, {states}, {states}), but has "
        f"shape {np.shape(dense) if not _is_ragged(dense) else 'of unequal rows'}. "
        "With two axes they are state and action."
    )


def _axes(value: Any) -> int:
    return len(value.shape) if is_sparse(value) else np.ndim(value)


def _is_ragged(value: Any) -> bool:
    try:
        np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return True
    return False
