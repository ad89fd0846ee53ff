r"""Policy and believed dynamics of a linear-quadratic agent, with their derivatives by any parameters, in one sweep.

The derivatives of the backward sweep have closed forms, of which none needs the derivative of a factorisation. With
$\tilde P = (P^{-1} + \theta W)^{-1}$, $D = (I + \theta W P)^{-1}$ and a closed loop $\bar C = [I; -K]$,

$$d\tilde P = D'\,dP\,D - d\theta\,\tilde PW\tilde P, \qquad d\tilde p = D'(dp - (d\theta\,P + \theta\,dP) W\tilde p)$$

$$dK = H_{aa}^{-1} (dH_{as} - dH_{aa} K), \qquad dP_t = \bar C'\,dH\,\bar C, \qquad
    dp_t = \bar C'(dh - dH_{\cdot a}\kappa)$$

The last two are the envelope theorem: the action is the best one, so that its change does not count.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Array = np.ndarray


class Numbers(NamedTuple):
    """A linear-quadratic model with its action prior folded into the cost, in numpy."""

    transition: Float[Array, "time state state_action"]
    drift: Float[Array, "time state"]
    noise_root: Float[Array, "time state noise"]
    hessian: Float[Array, "time state_action state_action"]
    gradient: Float[Array, "time state_action"]
    final_hessian: Float[Array, "state state"]
    final_gradient: Float[Array, " state"]
    temperature: float
    discount: float
    theta: float


class Tangents(NamedTuple):
    """Derivatives of `Numbers` by each parameter. An axis of time of size 1 stands for all steps."""

    hessian: Float[Array, "parameter time_or_1 state_action state_action"]
    gradient: Float[Array, "parameter time_or_1 state_action"]
    final_hessian: Float[Array, "parameter state state"]
    final_gradient: Float[Array, "parameter state"]
    theta: Float[Array, " parameter"]
    transition: Float[Array, "parameter state state_action"]


class Regression(NamedTuple):
    """A Gaussian $N(Bx, Λ^{-1})$ of a target by step, x = (…, 1), with derivatives by each parameter."""

    coefficients: Float[Array, "time target regressor"]
    precision: Float[Array, "time target target"]
    by_coefficients: Float[Array, "time parameter target regressor"]
    by_precision: Float[Array, "time parameter target target"]


class Agent(NamedTuple):
    """What an agent does and believes.

    Attributes:
        policy: of the action, given the state.
        belief: of the noise, in units of the root of its covariance, given state and action.
    """

    policy: Regression
    belief: Regression


def agent(given: Numbers, by: Tangents) -> Agent | None:
    """The policy and the believed noise, with their derivatives; None beyond the breakdown.

    Args:
        given: the numbers of the model.
        by: their derivatives by each parameter; with no parameters, only the numbers are computed.
    """
    steps, n, k = given.transition.shape
    r, theta = given.noise_root.shape[-1], given.theta
    P, p, dP, dp = given.final_hessian, given.final_gradient, by.final_hessian, by.final_gradient
    by_theta, by_F = by.theta[:, None, None], by.transition
    moves, unit, eye = bool(by_F.any()), np.eye(r), np.eye(n)
    rows: list[tuple[Array, ...]] = []
    for t in reversed(range(steps)):
        F, d, L = given.transition[t], given.drift[t], given.noise_root[t]
        if given.discount < 1:
            P, p, dP, dp = (given.discount * each for each in (P, p, dP, dp))
        X, W = L.T @ P @ L, L @ L.T
        M = unit + theta * X
        if not _is_definite(M):
            return None
        Y = np.linalg.solve(M, L.T @ P)
        kept = eye - theta * L @ Y  # D
        # the same matrix twice, without cancellation for either sign
        ahead = kept.T @ P @ kept + theta * Y.T @ Y if theta > 0 else P - theta * (P @ L) @ Y
        ahead = 0.5 * (ahead + ahead.T)
        ahead_p = kept.T @ p
        by_ahead = kept.T @ dP @ kept - by_theta * (ahead @ W @ ahead)
        by_ahead_p = (dp - ((by_theta * P + theta * dP) @ (W @ ahead_p))) @ kept
        reach = ahead @ d + ahead_p
        H, h = given.hessian[t] + F.T @ ahead @ F, given.gradient[t] + F.T @ reach
        by_reach = by_ahead @ d + by_ahead_p
        at = t if by.hessian.shape[1] > 1 else 0
        dH, dh = by.hessian[:, at] + F.T @ by_ahead @ F, by.gradient[:, at] + by_reach @ F
        if moves:
            cross = by_F.swapaxes(-1, -2) @ (ahead @ F)
            dH, dh = dH + cross + cross.swapaxes(-1, -2), dh + by_F.swapaxes(-1, -2) @ reach
        Haa = H[n:, n:]
        if not (_is_definite(Haa) and np.isfinite(h).all()):
            return None
        both = np.linalg.solve(Haa, np.concatenate((H[n:, :n], h[n:, None]), 1))
        dHaa = dH[:, n:, n:]
        by_both = np.linalg.solve(Haa, np.concatenate((dH[:, n:, :n], dh[:, n:, None]), 2) - dHaa @ both)
        # the believed noise u = L⁺w, given (s, a): its mean −θ L'(P̃(Fz + d) + p̃), its precision I + θ L'PL
        pull = np.concatenate((ahead @ F, reach[:, None]), 1)
        by_pull = np.concatenate((by_ahead @ F, by_reach[..., None]), 2)
        if moves:
            by_pull[..., :k] += ahead @ by_F
        belief = -theta * L.T @ pull
        by_belief = -by_theta * (L.T @ pull) - theta * (L.T @ by_pull)
        by_M = by_theta * X + theta * (L.T @ dP @ L)
        policy = -both, Haa / given.temperature, -by_both, dHaa / given.temperature
        rows.append((*policy, belief, M, by_belief, by_M))
        K, kappa = both[:, :n], both[:, n]
        closed = np.concatenate((eye, -K))
        moved, still = F @ closed, d - F[:, n:] @ kappa
        mean = given.gradient[t] - given.hessian[t][:, n:] @ kappa
        P = closed.T @ given.hessian[t] @ closed + moved.T @ ahead @ moved
        p = closed.T @ mean + moved.T @ (ahead @ still + ahead_p)
        P = 0.5 * (P + P.T)
        dP = closed.T @ dH @ closed
        dp = (dh - dH[:, :, n:] @ kappa) @ closed
    found = [np.stack(each[::-1]) for each in zip(*rows, strict=True)]
    return Agent(Regression(*found[:4]), Regression(*found[4:]))


def _is_definite(matrix: Array) -> bool:
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return bool(np.isfinite(matrix).all())
