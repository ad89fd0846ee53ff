"""The arrays of QuantEcon's `DiscreteDP`: rewards R(s, a), transitions Q(s, a, s'), and a discount."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Int
from torch import Tensor

from ..errors import InvalidProblem
from ..problems.from_blocks import mdp_from_blocks
from ..problems.mdp import TabularMDP
from ..runtime.arguments import one_of, shown
from ..runtime.array_like import ArrayLike
from ..text.one_line import one_line
from .dense import array, in_double, require_held, reward_table, transition_matrix
from .given import normalised, numbers, rewards, slack_of
from .sparse_rows import csr, is_sparse, transitions_of

Form = Literal["product", "pairs", "sparse"]
_LAYOUT = "QuantEcon's R(s, a)"


class QuantEconArrays(NamedTuple):
    """The arguments of QuantEcon's `DiscreteDP`, in its order: `quantecon.markov.DiscreteDP(*to_quantecon(mdp))`.

    Attributes:
        reward: its R, of shape (n, m), or (L,) for L feasible pairs, in reward units.
        transition: its Q, of shape (n, m, n), or (L, n), dense or a scipy.sparse matrix.
        discount: its beta.
        state_indices, action_indices: the state and the action of each pair; None in the product form.
    """

    reward: np.ndarray
    transition: Any
    discount: float
    state_indices: Int[np.ndarray, " pair"] | None = None
    action_indices: Int[np.ndarray, " pair"] | None = None

    __repr__ = one_line


def from_quantecon(
    reward: ArrayLike,
    transition: Any,
    discount: float,
    state_indices: ArrayLike | None = None,
    action_indices: ArrayLike | None = None,
    *,
    horizon: int,
    initial: ArrayLike | None = None,
    state_names: Sequence[str] | None = None,
    action_names: Sequence[str] | None = None,
) -> TabularMDP:
    """Return the problem given by the arrays of QuantEcon's `DiscreteDP`, in either of its forms.

        ddp = quantecon.markov.DiscreteDP(R, Q, beta)
        mdp = from_quantecon(ddp.R, ddp.Q, ddp.beta, ddp.s_indices, ddp.a_indices, horizon=100)

    Infeasible actions, which have a reward of −inf or are not listed, are forbidden by a reward of −inf.
    `feasible_prior(mdp)` is the action prior that excludes them.

    Args:
        reward: R of shape (n, m), or (L,) for a list of L feasible pairs, in reward units; −inf is infeasible.
        transition: Q of shape (n, m, n) or (L, n); the latter may be a scipy.sparse matrix.
        discount: beta, in (0, 1].
        state_indices, action_indices: the state and the action of each pair, in any order; for the second form.
        horizon: T, which the layout does not hold; `value_iteration` does not use it.
        initial: p(s_0), which the layout does not hold; default: uniform.
        state_names, action_names: as in `TabularMDP`.

    Raises:
        InvalidProblem: if the arrays do not fit together, a pair occurs twice, or a state has no feasible action.
    """
    if state_indices is None or action_indices is None:
        if is_sparse(transition) or state_indices is not None or action_indices is not None:
            raise InvalidProblem(
                "`state_indices` and `action_indices` must both be given for a list of pairs, or neither. A sparse "
                "matrix needs them: its rows are pairs."
            )
        r, p = _product(reward, transition)
        start = np.full(len(r), 1.0 / len(r)) if initial is None else initial
        return TabularMDP.from_dense(start, p, r, horizon, discount, None, state_names, action_names)
    found, r = transitions_of("transition", transition), rewards("reward", reward, {1: "pair"})
    s, a = (
        _indices(name, each) for name, each in (("state_indices", state_indices), ("action_indices", action_indices))
    )
    rows, states = transition.shape if is_sparse(transition) else np.shape(transition)
    _check_pairs(s, a, states, len(r), rows, r)
    actions = int(a.max()) + 1
    unlisted = np.ones((states, actions), bool)
    unlisted[s, a] = False
    forbidden = np.nonzero(unlisted)  # their successor is arbitrary
    blocks = [
        (s[found.row], a[found.row], found.probability, found.column, r[found.row]),
        (*forbidden, np.ones(len(forbidden[0])), forbidden[0], np.full(len(forbidden[0]), -np.inf)),
    ]
    return mdp_from_blocks(
        blocks, states, actions, found.width, horizon, discount, initial,
        of_rows=True, state_names=state_names, action_names=action_names,
    )  # fmt: skip


def to_quantecon(mdp: TabularMDP, form: Form = "product", merge: bool = False) -> QuantEconArrays:
    """Return a problem as the arrays of QuantEcon's `DiscreteDP`.

    The layout does not hold the initial distribution, the horizon and the names; give them to its functions separately.
    An action whose outcomes are all forbidden gets the reward −inf, or is not listed.

    Args:
        mdp: the problem, without a final reward.
        form: "product", all states and actions; "pairs", a list of the feasible ones; "sparse", the same with a
            scipy.sparse matrix.
        merge: whether to take the expected reward if it is random, which R(s, a) cannot hold. Answers with clamped
            dynamics stay the same, those of free inference change.

    Raises:
        InvalidArgument: if the layout cannot hold the problem, or the form is unknown.
    """
    require_held(mdp, "QuantEcon's DiscreteDP")
    one_of("form", form, get_args(Form))
    mdp = in_double(mdp)
    reward = reward_table(mdp, "pair", _LAYOUT, merge)
    if form == "product":
        return QuantEconArrays(reward, transition_matrix(mdp), mdp.discount)
    s, a = np.nonzero(reward > -np.inf)
    if form == "pairs":
        return QuantEconArrays(reward[s, a], transition_matrix(mdp)[s, a], mdp.discount, s, a)
    probability, successor = (array(each)[s, a] for each in (mdp.probability, mdp.successor))
    row, k = np.nonzero(probability)
    matrix = csr(probability[row, k], row, successor[row, k], (len(s), mdp.num_states))
    return QuantEconArrays(reward[s, a], matrix, mdp.discount, s, a)


def _product(reward: ArrayLike, transition: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return R and Q; an infeasible pair whose row of Q is not a distribution gets its own state as successor."""
    r = rewards("reward", reward, {1: "pair", 2: "state, action"})
    p = numbers("transition", transition, {2: "pair, next_state", 3: "state, action, next_state"})
    if r.ndim != 2 or p.shape != (*r.shape, len(r)):
        raise InvalidProblem(
            f"`reward` and `transition` must have shapes (n, m) and (n, m, n), but have {r.shape} and {p.shape}. A "
            "list of pairs, (L,) and (L, n), needs state_indices and action_indices."
        )
    _require_feasible(r > -np.inf)
    slack = slack_of(transition, len(r))
    s, a = np.nonzero((r == -np.inf) & (~(np.abs(p.sum(-1) - 1) <= slack) | ~(p >= 0).all(-1)))
    p[s, a] = np.eye(len(r))[s]
    return r, normalised("transition", p, transition)


def _indices(name: str, value: Any) -> np.ndarray:
    found = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
    if found.ndim != 1 or not np.issubdtype(found.dtype, np.integer):
        raise InvalidProblem(f"`{name}` must be a vector of whole numbers, but is {shown(value)}.")
    return found


def _check_pairs(s: np.ndarray, a: np.ndarray, states: int, pairs: int, rows: int, r: np.ndarray) -> None:
    if r.ndim != 1 or rows != pairs or s.shape != (pairs,) or a.shape != (pairs,):
        raise InvalidProblem(
            "`reward`, `transition`, `state_indices` and `action_indices` must have one entry per pair, but have "
            f"shapes {r.shape}, ({rows}, …), {s.shape} and {a.shape}."
        )
    for name, index, most in (("state_indices", s, states), ("action_indices", a, np.inf)):
        if index.min() < 0 or index.max() >= most:
            raise InvalidProblem(
                f"`{name}` must hold whole numbers, at least 0" + (f" and below {states}" if most == states else "")
                + f", but holds {index.min()} to {index.max()}."
            )  # fmt: skip
    feasible = np.zeros((states, int(a.max()) + 1), np.int64)
    np.add.at(feasible, (s, a), 1)
    if feasible.max() > 1:
        at = tuple(map(int, np.argwhere(feasible > 1)[0]))
        raise InvalidProblem(
            f"`state_indices` and `action_indices` must be distinct pairs, but {at} occurs {feasible[at]} times."
        )
    feasible[s[r == -np.inf], a[r == -np.inf]] = 0
    _require_feasible(feasible > 0)


def _require_feasible(feasible: np.ndarray) -> None:
    stuck = np.flatnonzero(~feasible.any(-1))
    if len(stuck):
        raise InvalidProblem(
            f"`reward[{int(stuck[0])}]` must have a feasible action, but all of its rewards are -inf or missing. Give "
            "a state without feasible actions one action that stays there, with a reward of 0."
        )
