"""Quadratic costs of the distance from a reference, which the state and the action track."""

from typing import Any

import torch
from torch import Tensor

from ...errors import InvalidProblem
from .arrays import array, blocked, symmetric


def cost_of(Q: Any, R: Any, N: Any, n: int, m: int) -> Tensor:
    """C = [[Q, N], [N', R]] of the arguments, by time.

    Raises:
        InvalidProblem: if one does not fit; the message names it.
    """
    Q = symmetric("Q", array("Q", Q, (n, n), timed=True))
    R = symmetric("R", array("R", R, (m, m), timed=True))
    N = Q.new_zeros(1, n, m) if N is None else array("N", N, (n, m), timed=True)
    return blocked(Q, N, R)


def references(reference: Any, action_reference: Any, n: int, m: int, horizon: int) -> tuple[Tensor, Tensor]:
    """The reference of (s, a) by time, and that of the last state.

    Args:
        reference: of the state, (n), or (T + 1, n) by time and last; None for zeros.
        action_reference: of the action, (m), or by time; None for zeros.
        n, m: the sizes of the state and the action.
        horizon: T.

    Raises:
        InvalidProblem: if one does not fit; the message names it.
    """
    zero = torch.zeros(1, n + m, dtype=torch.float64)
    states = zero[:, :n] if reference is None else array("reference", reference, (n,), timed=True)
    if states.shape[-2] not in (1, horizon + 1):
        raise InvalidProblem(
            f"`reference` must have one entry, or {horizon + 1} for T = {horizon} steps and the last state, but "
            f"has {states.shape[-2]}."
        )
    actions = zero[:, n:]
    if action_reference is not None:
        actions = array("action_reference", action_reference, (m,), timed=True)
    if actions.shape[-2] not in (1, horizon):
        raise InvalidProblem(
            f"`action_reference` must have one entry, or {horizon} for T = {horizon} steps, but has "
            f"{actions.shape[-2]}."
        )
    now, last = (states[..., :-1, :] if states.shape[-2] > 1 else states), states[..., -1, :]
    try:
        batch = torch.broadcast_shapes(now.shape[:-1], actions.shape[:-1])
    except RuntimeError:
        raise InvalidProblem(
            f"`action_reference` must have batch axes that broadcast with those of `reference`, "
            f"{tuple(now.shape[:-2])}, but has {tuple(actions.shape[:-2])}."
        ) from None
    return torch.cat((now.expand(*batch, n), actions.expand(*batch, m)), -1), last


def final_tracking(final_cost: Any, last: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """P_T, p_T and v_T of the cost of the distance of the last state from its reference; None without a cost."""
    if final_cost is None:
        return None
    n = last.shape[-1]
    P = symmetric("final_cost", array("final_cost", final_cost, (n, n), timed=False))
    p = -(P @ last[..., None])[..., 0]
    return P, p, -0.5 * (p * last).sum(-1)


def regulator(
    B: Any, Q: Any, R: Any, N: Any, final_cost: Any, reference: Any, action_reference: Any, horizon: int
) -> dict[str, Any]:
    """C, c, k and the final cost of a problem in discrete time; arguments as of `LinearQuadratic.from_cost`."""
    n, m = array("B", B, (None, None), timed=True).shape[-2:]
    C = cost_of(Q, R, N, n, m)
    target, last = references(reference, action_reference, n, m, horizon)
    c = -(C @ target[..., None])[..., 0]
    return {"C": C, "c": c, "k": -0.5 * (c * target).sum(-1), "final_cost": final_tracking(final_cost, last)}
