"""The arrays of tabular environments in seals and imitation: matrices with the state first, and a horizon."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ..errors import InvalidProblem
from ..problems.mdp import TabularMDP
from ..runtime.array_like import ArrayLike
from ..text.one_line import one_line
from .dense import RewardForm, array, in_double, require_held, reward_table, transition_matrix
from .given import distributions, rewards


class SealsArrays(NamedTuple):
    """The arguments of seals' `TabularModelMDP`, by name: `TabularModelMDP(**to_seals(mdp)._asdict())`.

    Attributes:
        transition_matrix: p(s'|s, a).
        reward_matrix: r(s), r(s, a) or r(s, a, s'), in reward units.
        horizon: T.
        initial_state_dist: p(s_0).
    """

    transition_matrix: Float[np.ndarray, "state action next_state"]
    reward_matrix: Float[np.ndarray, "..."]
    horizon: int
    initial_state_dist: Float[np.ndarray, " state"]

    __repr__ = one_line


def from_seals(
    transition_matrix: ArrayLike,
    reward_matrix: ArrayLike,
    horizon: int | None,
    initial_state_dist: ArrayLike | None = None,
    *,
    discount: float = 1.0,
    state_names: Sequence[str] | None = None,
    action_names: Sequence[str] | None = None,
) -> TabularMDP:
    """Return the problem given by the arrays of a tabular environment of seals.

    A reward by state, r(s), belongs to the state in which the action is taken, as in `reward(state, action, new_state)`
    of seals; the last state pays nothing.

        env, steps = gymnasium.make("seals/RiskyPath-v0"), 5
        bare = env.unwrapped
        mdp = from_seals(bare.transition_matrix, bare.reward_matrix, steps, bare.initial_state_dist)

    Args:
        transition_matrix: p(s'|s, a).
        reward_matrix: of shape (S,), (S, A) or (S, A, S), in reward units.
        horizon: T. None, which means an endless episode in seals, is refused; the limit is then often that of a
            wrapper, `env.spec.max_episode_steps`.
        initial_state_dist: p(s_0); default: state 0, as in seals.
        discount: γ, which the layout does not hold.
        state_names, action_names: as in `TabularMDP`.

    Raises:
        InvalidProblem: if the arrays do not fit together, or there is no horizon.
    """
    p = distributions("transition_matrix", transition_matrix, {3: "state, action, next_state"})
    r = rewards("reward_matrix", reward_matrix, {1: "state", 2: "state, action", 3: "state, action, next_state"})
    if p.shape[2] != len(p) or r.shape != p.shape[: r.ndim]:
        raise InvalidProblem(
            "`transition_matrix` and `reward_matrix` must have shapes (S, A, S) and (S,), (S, A) or (S, A, S), but "
            f"have {p.shape} and {r.shape}."
        )
    if horizon is None:
        raise InvalidProblem(
            "`horizon` must be given, but is None, which is an endless episode in seals. Pass a number of actions, "
            "such as env.spec.max_episode_steps; `value_iteration` does not use it."
        )
    start = np.eye(len(p))[0]
    if initial_state_dist is not None:
        start = distributions("initial_state_dist", initial_state_dist, {1: "state"})
    if start.shape != (len(p),):
        raise InvalidProblem(f"`initial_state_dist` must have shape ({len(p)},), but has shape {start.shape}.")
    by_pair = np.repeat(r[:, None], p.shape[1], 1) if r.ndim == 1 else r
    return TabularMDP.from_dense(start, p, by_pair, horizon, discount, None, state_names, action_names)


def to_seals(mdp: TabularMDP, rewards: RewardForm = "transition", merge: bool = False) -> SealsArrays:
    """Return a problem as the arrays of a tabular environment of seals, which imitation's tabular algorithms also read.

    Imitation's maximum causal entropy algorithm needs rewards by state: `rewards="state"`.

    Args:
        mdp: the problem, without a final reward and a discount. The layout does not hold names.
        rewards: "transition" for (S, A, S), "pair" for (S, A), "state" for (S,).
        merge: whether to take the expected reward if it is random and the shape cannot hold it. Answers with clamped
            dynamics stay the same, those of free inference change.

    Raises:
        InvalidArgument: if the layout cannot hold the problem.
    """
    require_held(mdp, "a tabular environment of seals", discount=False)
    mdp = in_double(mdp)
    reward = reward_table(mdp, rewards, "seals' reward matrix", merge)
    return SealsArrays(transition_matrix(mdp), reward, mdp.horizon, array(mdp.initial))
