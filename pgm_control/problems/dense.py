"""Dense transition matrices: as outcomes, of which each has positive probability, and from outcomes."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..runtime.array_like import ArrayLike
from . import checks


def dense_of_outcomes(
    probability: Float[Tensor, "*row outcome"], successor: Int[Tensor, "*row outcome"], num_states: int
) -> Float[Tensor, "*row state"]:
    """The probability of each next state, the sum over the outcomes that lead to it."""
    dense = probability.new_zeros(*probability.shape[:-1], num_states)
    return dense.scatter_add_(-1, successor.long().expand(probability.shape), probability)


def outcomes_of_dense(
    transition: ArrayLike, reward: ArrayLike, state_names: Sequence[str] | None, action_names: Sequence[str] | None
) -> tuple[
    Float[Tensor, "state action outcome"], Int[Tensor, "state action outcome"], Float[Tensor, "state action outcome"]
]:
    """Probability, successor and reward of the outcomes of p(s'|s, a), with the possible ones first, in order.

    Raises:
        InvalidProblem: if a matrix is invalid; the message names `transition` or `reward`.
    """
    kind = checks.kind(transition)
    p = checks.table("transition", transition, {3: "state, action, next_state"}, kind, keeps_graph=True)
    states, actions, _ = p.shape
    checks.shape("transition", p, (states, actions, states), "state, action, next_state")
    names = checks.names("state_names", state_names, states), checks.names("action_names", action_names, actions)
    p = checks.normalised("transition", p, names, given=transition)
    shapes = {2: "state, action", 3: "state, action, next_state"}
    r = checks.table("reward", reward, shapes, kind, keeps_graph=True)
    expected = (states, actions) if r.ndim == 2 else (states, actions, states)
    checks.shape("reward", r, expected, "state, action" if r.ndim == 2 else "state, action, next_state")
    checks.rewards("reward", r, names)
    if r.ndim == 2:
        r = r[..., None].expand(states, actions, states)
    width = int((p > 0).sum(-1).max())
    successor = (p == 0).to(torch.int8).argsort(dim=-1, stable=True)[..., :width]  # possible ones first, in order
    return p.gather(-1, successor), successor, r.gather(-1, successor)
