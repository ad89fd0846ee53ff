"""Dense arrays of a problem, and the checks of what a layout can hold, shared by all exporters."""

from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import InvalidArgument
from ..problems.grid import Places
from ..problems.mdp import TabularMDP, require_mdp
from ..runtime.arguments import flag, one_of
from ..text.one_line import one_line
from ..text.wording import action_phrase, amount, state_phrase

RewardForm = Literal["transition", "pair", "state"]
"""The arguments of a reward: (s, a, s'), (s, a) or s alone."""

_MOST = 1 << 28  # entries of a dense table, 2 GiB


class DenseArrays(NamedTuple):
    """The arguments of `TabularMDP.from_dense`, in its order: `TabularMDP.from_dense(*to_dense(mdp))`.

    Attributes:
        initial: p(s_0).
        transition: p(s'|s, a).
        reward: r(s, a, s'), in reward units; 0 for impossible transitions.
        horizon, discount, final_reward, state_names, action_names, layout: as in `TabularMDP`.
    """

    initial: Float[np.ndarray, " state"]
    transition: Float[np.ndarray, "state action next_state"]
    reward: Float[np.ndarray, "state action next_state"]
    horizon: int
    discount: float
    final_reward: Float[np.ndarray, " state"] | None
    state_names: tuple[str, ...] | None
    action_names: tuple[str, ...] | None
    layout: Places | None

    __repr__ = one_line


def to_dense(mdp: TabularMDP, merge: bool = False) -> DenseArrays:
    r"""Return a problem as dense transition and reward matrices.

    $$p(s' \mid s, a) = \sum_{k \to s'} p(k \mid s, a)$$

    Outcomes with the same successor and the same reward become one, which changes no answer. Outcomes with the same
    successor and different rewards cannot be merged without a change: exact inference tilts each by its own reward, and
    a merged one by the average.

    Args:
        mdp: the problem. Its `factors` are not kept, because a matrix cannot hold factored outcomes.
        merge: whether to take the expected reward of outcomes that share a successor and differ in reward. Answers with
            clamped dynamics stay the same, those of free inference change.

    Returns:
        Arrays in float64, the arguments of `TabularMDP.from_dense`, which returns the same problem.

    Raises:
        InvalidArgument: if outcomes that share a successor differ in reward and `merge` is False, or the matrices would
            not fit into 2 GiB each.
    """
    mdp = in_double(require_mdp("mdp", mdp))
    return DenseArrays(
        array(mdp.initial),
        transition_matrix(mdp),
        reward_table(mdp, "transition", "a dense reward matrix", merge),
        mdp.horizon,
        mdp.discount,
        None if mdp.final_reward is None else array(mdp.final_reward),
        mdp.state_names,
        mdp.action_names,
        mdp.layout,
    )


def in_double(mdp: TabularMDP) -> TabularMDP:
    """Return the problem in float64 on the CPU; the same object if it already is."""
    return mdp.to("cpu", torch.float64)


def array(table: Tensor) -> np.ndarray:
    """Return a copy as a numpy array, so that writing to it does not change the problem."""
    return table.detach().cpu().numpy().copy()


def transition_matrix(mdp: TabularMDP) -> Float[np.ndarray, "state action next_state"]:
    """Return p(s'|s, a) as a dense array.

    Raises:
        InvalidArgument: if it would have more than 2²⁸ entries.
    """
    states, actions = mdp.num_states, mdp.num_actions
    _require_room(mdp)
    found = np.zeros((states * actions, states))
    row = np.arange(states * actions)[:, None]
    np.add.at(found, (row, array(mdp.successor).reshape(row.size, -1)), array(mdp.probability).reshape(row.size, -1))
    return found.reshape(states, actions, states)


def reward_table(
    mdp: TabularMDP, form: RewardForm, layout: str, merge: bool, name: str = "mdp"
) -> Float[np.ndarray, "..."]:
    """Return r(s, a, s'), r(s, a) or r(s) of a problem in float64; 0 for impossible transitions.

    Args:
        mdp: the problem.
        form: the arguments of the reward.
        layout: the name of the layout, for the message.
        merge: whether to take the expected reward of outcomes that share an entry and differ in reward. A reward that
            depends on the action is never averaged over actions.
        name: the argument that is the problem, for the message; it may be merged if it is "mdp".

    Raises:
        InvalidArgument: if the form is unknown, or the rewards depend on more and may not be merged.
    """
    one_of("rewards", form, get_args(RewardForm))
    merge = flag("merge", merge)
    states, actions = mdp.num_states, mdp.num_actions
    probability, reward = array(mdp.probability), array(mdp.reward)
    s, a, k = np.nonzero(probability)
    p, r, target = probability[s, a, k], reward[s, a, k], array(mdp.successor)[s, a, k]
    pair = s * actions + a
    if form == "transition":
        _require_room(mdp)
        found = _agreed(mdp, pair * states + target, p, r, states * actions * states, layout, merge, name)
        return found.reshape(states, actions, states)
    found = _agreed(mdp, pair, p, r, states * actions, layout, merge, name).reshape(states, actions)
    if form == "pair":
        return found
    differs = np.argwhere(found != found[:, :1])
    if len(differs):
        at, other = map(int, differs[0])
        raise InvalidArgument(
            f"`mdp` pays {amount(found[at, 0])} for {action_phrase(mdp, 0)} and {amount(found[at, other])} for "
            f"{action_phrase(mdp, other)} in {state_phrase(mdp, at)}, which {layout} by state alone cannot hold. Ask "
            'for rewards="pair" or rewards="transition".'
        )
    return found[:, 0].copy()


def _agreed(
    mdp: TabularMDP,
    key: Int[np.ndarray, " outcome"],
    p: Float[np.ndarray, " outcome"],
    r: Float[np.ndarray, " outcome"],
    size: int,
    layout: str,
    merge: bool,
    name: str,
) -> Float[np.ndarray, " key"]:
    """Return the common reward of all outcomes with the same key, or, if merged, their expected reward."""
    low, high = np.full(size, np.inf), np.full(size, -np.inf)
    np.minimum.at(low, key, r)
    np.maximum.at(high, key, r)
    present = np.zeros(size, bool)
    present[key] = True
    at_odds = present & (low != high)
    if at_odds.any() and not merge:
        first = int(np.flatnonzero(at_odds)[0])
        pair = first if size == mdp.num_states * mdp.num_actions else first // mdp.num_states
        s, a = divmod(pair, mdp.num_actions)
        to = "" if pair == first and size == mdp.num_states * mdp.num_actions else (
            f" to {state_phrase(mdp, first % mdp.num_states)}"
        )  # fmt: skip
        remedy = (
            "Pass merge=True for the expected reward: answers with clamped dynamics stay the same, but those of free "
            "inference change."
            if name == "mdp"
            else "Give them one reward."
        )
        raise InvalidArgument(
            f"`{name}` pays {amount(low[first])} or {amount(high[first])} by chance for {action_phrase(mdp, a)} in "
            f"{state_phrase(mdp, s)}{to}, which {layout} cannot hold. {remedy}"
        )
    total, weight = np.zeros(size), np.zeros(size)
    np.add.at(total, key, p * r)
    np.add.at(weight, key, p)
    return np.where(at_odds, total / np.where(present, weight, 1.0), np.where(present, low, 0.0))


def require_held(mdp: TabularMDP, layout: str, discount: bool = True) -> None:
    """Refuse a final reward and, for some layouts, a discount, which the arrays cannot hold.

    Raises:
        InvalidArgument: if the layout cannot hold a part of the problem; the message names the part and the remedy.
    """
    require_mdp("mdp", mdp)
    if mdp.final_reward is not None:
        raise InvalidArgument(
            f"`mdp.final_reward` must be None, because {layout} has no place for it. Pass "
            "mdp.replace(final_reward=None), and give it to the solver as the value after the last step."
        )
    if not discount and mdp.discount != 1:
        raise InvalidArgument(
            f"`mdp.discount` must be 1, because {layout} has no place for it, but is {mdp.discount:g}. Pass "
            "mdp.replace(discount=1.0), and give the discount to the learner."
        )


def _require_room(mdp: TabularMDP) -> None:
    entries = mdp.num_states**2 * mdp.num_actions
    if entries > _MOST:
        raise InvalidArgument(
            f"`mdp` must be small enough for a dense matrix of 2 GiB, but {mdp.num_states} states and "
            f"{mdp.num_actions} actions need {entries * 8 / 2**30:.0f} GiB. Use to_quantecon(mdp, form='sparse')."
        )
