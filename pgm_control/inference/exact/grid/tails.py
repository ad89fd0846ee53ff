r"""Breakdown of a problem in the plane, decided by the growth of its rewards far away.

A mesh does not break down: with an adversary (β < 0) that is unbounded it gives a number that depends on its edge. Far
from its centre a reward that grows quadratically, $-\tfrac12 u'P_t u\, |s|^2$ in direction u, makes the problem
linear-quadratic [jacobson1973]; whether the integrals converge is decided by the recursion of P alone, with θ =
β/τ and $W = LL'$:

$$I + \theta L'PL \succ 0, \qquad \tilde P = P - \theta P L (I + \theta L'PL)^{-1} L' P, \qquad
    \tilde P + \tau U^{-1} \succ 0, \qquad P \leftarrow \tilde P - \tilde P (\tilde P + \tau U^{-1})^{-1} \tilde P$$

Sources:
    [jacobson1973] D. H. Jacobson, Optimal stochastic linear systems with exponential performance criteria and their
        relation to deterministic differential games. IEEE Transactions on Automatic Control 18(2):124–131, 1973.
        doi:10.1109/TAC.1973.1100265
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

_DIRECTIONS = 24
_FAR = (1e4, 1e5, 1e6)  # in units of the problem, at which growth is measured
_LARGE = 1e9  # curvature that stands for growth faster than quadratic
_SAME = 1e-2  # up to which two curvatures are equal, relative


class Tail(NamedTuple):
    """The growth of a reward far away.

    Attributes:
        hessian: P of −½ s'P s; where the growth is not a quadratic form, the isotropic bound of it.
        is_quadratic: whether it is a quadratic form, or slower.
    """

    hessian: Float[Tensor, "2 2"]
    is_quadratic: bool


class Breakdown(NamedTuple):
    """Where integrals diverge: the time of the state, 0 … T, the direction, and the cause."""

    time: int
    direction: tuple[float, ...]
    cause: str


def tail(reward: Callable[[Tensor], Tensor], centre: Float[Tensor, " 2"], scale: float, theta: float) -> Tail:
    """The growth of a reward, from its values far away in 24 directions.

    Args:
        reward: a function of a batch of states.
        centre: where distances are measured from.
        scale: the unit of length.
        theta: θ; its sign selects the side on which a growth that is no quadratic form is bounded.
    """
    angle = 2 * math.pi * torch.arange(_DIRECTIONS, dtype=centre.dtype) / _DIRECTIONS
    unit = torch.stack([angle.cos(), angle.sin()], -1)
    near, middle, far = (-2 * reward(centre + scale * each * unit) / (scale * each) ** 2 for each in _FAR)
    worst = torch.stack([near.abs(), middle.abs(), far.abs()]).amax()
    slower = far.abs() <= 0.5 * middle.abs()
    faster = (far.abs() >= 2 * middle.abs()) & (far.abs() > 0) | ~far.isfinite()
    curvature = torch.where(slower, 0.0, torch.where(faster, _LARGE * far.sign(), far)).nan_to_num(0.0, _LARGE, -_LARGE)
    design = torch.stack([unit[:, 0] ** 2, 2 * unit[:, 0] * unit[:, 1], unit[:, 1] ** 2], -1)
    fitted = torch.linalg.lstsq(design, curvature[:, None]).solution[:, 0]
    hessian = torch.stack([fitted[0], fitted[1], fitted[1], fitted[2]]).reshape(2, 2)
    size = curvature.abs().max()
    hessian = torch.where(hessian.abs() > 1e-9 * size, hessian, 0.0)
    if bool(((design @ fitted) - curvature).abs().max() <= _SAME * size) or not bool(worst > 0):
        return Tail(hessian, True)
    bound = curvature.max() if theta < 0 else curvature.min()
    return Tail(bound * torch.eye(2, dtype=centre.dtype), bool(bound >= _LARGE))


def breakdown(
    tails: list[Tail],
    noise: Float[Tensor, "2 2"],
    action_prior: Float[Tensor, "2 2"],
    start: Float[Tensor, "2 2"],
    temperature: float,
    theta: float,
    theta_of_start: float,
) -> Breakdown | None:
    """The first time, going back, at which an integral diverges; None if all converge or a tail leaves it open.

    Args:
        tails: the growth of the rewards of the states at times 1 … T, the final reward included in the last.
        noise, action_prior, start: W, U and the covariance of the start.
        temperature: τ.
        theta, theta_of_start: β/τ of the dynamics and of the start.
    """
    p, price = torch.zeros_like(noise), temperature * torch.linalg.inv(action_prior)
    is_certain = True
    for t in range(len(tails), 0, -1):
        p = p + tails[t - 1].hessian
        is_certain = is_certain and tails[t - 1].is_quadratic
        equivalent, direction = _equivalent(p, noise, theta)
        if equivalent is None:
            return Breakdown(t, direction, "adversary" if theta < 0 else "luck") if is_certain else None
        values, vectors = torch.linalg.eigh(equivalent + price)
        if not bool(values[0] > 1e-12 * values.abs().max()):
            return Breakdown(t - 1, tuple(vectors[:, 0].tolist()), "action") if is_certain else None
        p = equivalent - equivalent @ torch.linalg.solve(equivalent + price, equivalent)
    equivalent, direction = _equivalent(p, start, theta_of_start)
    if equivalent is None and is_certain:
        return Breakdown(0, direction, "adversary" if theta_of_start < 0 else "luck")
    return None


def _equivalent(
    p: Float[Tensor, "2 2"], covariance: Float[Tensor, "2 2"], theta: float
) -> tuple[Float[Tensor, "2 2"] | None, tuple[float, ...]]:
    """P after the certainty equivalent over a noise, or None and the direction in which it diverges."""
    if not bool(covariance.any()) or theta == 0:
        return p, ()
    root = torch.linalg.cholesky(covariance)
    inner = torch.eye(2, dtype=p.dtype) + theta * root.T @ p @ root
    values, vectors = torch.linalg.eigh(inner)
    if not bool(values[0] > 1e-12):
        direction = root @ vectors[:, 0]
        return None, tuple((direction / direction.norm()).tolist())
    return p - theta * p @ root @ torch.linalg.solve(inner, root.T @ p), ()
