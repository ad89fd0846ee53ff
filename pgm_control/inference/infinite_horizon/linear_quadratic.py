r"""The stationary policy of a linear-quadratic model, for any optimism, by a discrete algebraic Riccati equation.

The believed noise is a second player with the cost $1/\theta$: $\gamma P$ solves the equation of $\sqrt\gamma A$,
$[B\ L]$, $\gamma Q$ and $\mathrm{diag}(R, I/\theta)$, for either sign of θ [whittle1981].

Sources:
    [vandooren1981] P. Van Dooren, A generalized eigenvalue approach for solving Riccati equations. SIAM Journal on
        Scientific and Statistical Computing 2(2):121–135, 1981. doi:10.1137/0902010
    [whittle1981] P. Whittle, Risk-sensitive linear/quadratic/Gaussian control. Advances in Applied Probability
        13(4):764–777, 1981. doi:10.2307/1426972
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.gaussian import gaussian_equivalent
from ...chance.optimism import Optimism, OptimismLike
from ...errors import InvalidArgument, OptimismBreakdown
from ...runtime.arguments import shown
from ...text.one_line import one_line
from ...trajectories.gaussian.model import GaussianModel, is_gaussian, one_problem
from ...trajectories.gaussian.riccati import prepared

_RESIDUAL = 1e-8  # of the equation, relative to P; beyond it there is no answer
_LESS = 1e-7  # by how much P with β < 0 may be less than that with β = 0, by rounding, relative to the latter
_EDGE = 1e-9  # how far inside of the unit circle the closed loop must be


@final
@dataclass(frozen=True, eq=False)
class StationaryPolicy:
    r"""The stationary policy $\pi(a \mid s) = N(-Ks - \kappa, \Sigma)$ whose believed closed loop is stable.

    It is the limit of the policy of `infer` as the horizon grows where the cost sees every state that grows.

    Attributes:
        gain, offset, policy_covariance: K, κ and Σ.
        value_hessian, value_gradient: P and p of the value, in reward units.
        transition, drift, noise: the dynamics that it believes in, $N(F z + d, S)$.
        rate: without a discount the growth of the objective with each step, in nats; with one, None.
        true_reward: the expected reward of a step in the long run, under its policy and the true dynamics, in reward
            units; −∞ if the true closed loop is not stable.
        poles: the eigenvalues of the true closed loop A − BK.
        believed_poles: those of the closed loop that it believes in.
        residual: the largest error of the Riccati equation, relative to P.
    """

    gain: Float[Tensor, "action state"]
    offset: Float[Tensor, " action"]
    policy_covariance: Float[Tensor, "action action"]
    value_hessian: Float[Tensor, "state state"]
    value_gradient: Float[Tensor, " state"]
    transition: Float[Tensor, "state state_action"]
    drift: Float[Tensor, " state"]
    noise: Float[Tensor, "state state"]
    rate: float | None
    true_reward: float
    poles: tuple[complex, ...]
    believed_poles: tuple[complex, ...]
    residual: float

    __repr__ = one_line


@torch.no_grad()
def stationary_policy(model: GaussianModel, optimism: OptimismLike) -> StationaryPolicy:
    r"""The stationary policy of a linear-quadratic model whose matrices do not depend on time.

    $$P = Q + A'\tilde PA - (A'\tilde PB + N)(R + B'\tilde PB)^{-1}(B'\tilde PA + N'), \qquad
        \tilde P = \gamma P (I + \theta W \gamma P)^{-1}$$

    It is solved by `scipy.linalg.solve_discrete_are` [vandooren1981], for the solution whose believed closed loop is
    stable. The residual is checked, and so are that loop, that the noise is bounded, and for β < 0 that P is at least
    that of β = 0: beyond the breakdown other solutions exist, which are no values. The horizon, the start and the final
    reward do not count. Where a state that grows costs nothing, `infer` without a final reward may let it grow, and
    has another limit.

    Args:
        model: a linear-quadratic model of one problem, constant in time.
        optimism: β or a `Risk` of the dynamics.

    Raises:
        OptimismBreakdown: if there is no stationary value at this optimism.
        InvalidArgument: if the model is not linear-quadratic, depends on time, or `optimism` does not fit.

    References:
        [whittle1981], [vandooren1981]

    Examples:
        >>> from pgm_control import LinearQuadratic, LinearQuadraticModel, stationary_policy
        >>> problem = LinearQuadratic.from_cost(0.9, 0.5, 1.0, 0.2, 0.3, horizon=1, initial_mean=0.0)
        >>> round(float(stationary_policy(LinearQuadraticModel(problem), 1.0).value_hessian), 9)
        1.353929581
    """
    if not is_gaussian(model):
        raise InvalidArgument(
            f"`model` must be a LinearQuadraticModel, but is {shown(model)}. Other continuous problems are solved with "
            "a horizon: infer, or ilqg."
        )
    problem = one_problem(model, "a stationary policy")
    given = prepared(model)
    for name, each in zip(("F", "d", "W", "C", "c", "k"), given[:6], strict=True):
        if bool((each != each[:1]).any()):
            raise InvalidArgument(
                f"`model` must not depend on time for a stationary policy, but its {name}, or its action prior, does. "
                "infer(model, optimism) solves it with its horizon."
            )
    F, d, L, H, h, constant = (each[0] for each in given[:6])
    tau, gamma = float(given.temperature), given.discount
    beta = Optimism.of(optimism).at(model.temperature).numbers("a stationary policy")[0]
    theta = beta / (tau if tau > 0 else 1.0)
    P = _solution(F.numpy(), L.numpy(), H.numpy(), theta, gamma, Optimism.of(optimism))
    n = problem.num_states
    zero, number = torch.zeros(n, dtype=P.dtype), torch.tensor(theta, dtype=P.dtype)
    ahead = gaussian_equivalent(gamma * P, zero, torch.zeros((), dtype=P.dtype), L, number)
    whole = H + F.mT @ ahead.P @ F
    factor, failed = torch.linalg.cholesky_ex(whole[n:, n:])
    if not bool(ahead.is_finite) or bool(failed):
        raise _none(Optimism.of(optimism), "the solution of the Riccati equation has unbounded noise or actions")
    if theta < 0:
        clamped = _solution(F.numpy(), L.numpy(), H.numpy(), 0.0, gamma, Optimism.of(optimism))
        if float(torch.linalg.eigvalsh(P - clamped)[0]) < -_LESS * float(clamped.abs().max()):
            raise _none(Optimism.of(optimism), "it is beyond the breakdown: the Riccati equation has no such value")
    K = torch.cholesky_solve(whole[n:, :n], factor)
    new = whole[:n, :n] - whole[:n, n:] @ K
    residual = float((new - P).abs().max() / P.abs().max().clamp(min=torch.finfo(P.dtype).tiny))
    if not residual <= _RESIDUAL:
        raise _none(Optimism.of(optimism), f"the Riccati equation is solved to {residual:.1g} only")
    closed = torch.cat((torch.eye(n, dtype=P.dtype), -K), -2)
    believed = torch.eye(n, dtype=P.dtype) - theta * ahead.covariance @ (gamma * P)
    loop = believed @ F @ closed
    if not float(torch.linalg.eigvals(loop).abs().max()) * gamma**0.5 < 1 - _EDGE:
        raise _none(Optimism.of(optimism), "the closed loop that it believes in is not stable")
    # E'(h + F'(P̃d + J'γp)) = p, which is linear in p
    p = torch.linalg.solve(torch.eye(n, dtype=P.dtype) - gamma * loop.mT, closed.mT @ (h + F.mT @ (ahead.P @ d)))
    found = gaussian_equivalent(gamma * P, gamma * p, torch.zeros((), dtype=P.dtype), L, number)
    pulled = h + F.mT @ (found.P @ d + found.p)
    kappa = torch.cholesky_solve(pulled[n:, None], factor)[:, 0]
    half_log_det = factor.diagonal().log().sum()
    still = 0.5 * d @ found.P @ d + found.p @ d + found.v - 0.5 * pulled[n:] @ kappa + tau * half_log_det
    growth = -float(constant + still) / tau if tau > 0 and gamma == 1 else None
    policy = tau * torch.cholesky_inverse(factor)
    drift = believed @ d - theta * found.covariance @ (gamma * p)
    poles = torch.linalg.eigvals(F @ closed)
    return StationaryPolicy(
        gain=K,
        offset=kappa,
        policy_covariance=policy,
        value_hessian=P,
        value_gradient=p,
        transition=believed @ F,
        drift=drift,
        noise=found.covariance if theta else problem.W[0],
        rate=growth,
        true_reward=_long_run(model, K, kappa, policy, poles),
        poles=tuple(poles.tolist()),
        believed_poles=tuple(torch.linalg.eigvals(loop).tolist()),
        residual=residual,
    )


def _solution(F: Any, L: Any, H: Any, theta: float, gamma: float, optimism: Optimism) -> Tensor:
    """P of the stabilising solution of the Riccati equation."""
    from scipy.linalg import LinAlgError, block_diag, solve_discrete_are  # pyright: ignore[reportMissingTypeStubs]

    n = F.shape[0]
    A, B, Q, N, R = F[:, :n], F[:, n:], H[:n, :n], H[:n, n:], H[n:, n:]
    used = [i for i in range(L.shape[1]) if np.any(L[:, i] != 0)] if theta != 0 else []
    both = np.hstack((B, L[:, used]))
    cost = block_diag(R, np.eye(len(used)) / theta) if used else R
    cross = np.hstack((N, np.zeros((n, len(used)))))
    try:
        found = solve_discrete_are(gamma**0.5 * A, both, gamma * Q, cost, s=gamma**0.5 * cross)
    except (LinAlgError, ValueError) as problem:
        raise _none(
            optimism, f"the Riccati equation has no stabilising solution ({str(problem).rstrip('.')})"
        ) from problem
    return torch.from_numpy(0.5 * (found + found.T) / gamma)


def _none(optimism: Optimism, why: str) -> OptimismBreakdown:
    """The error of a model without a stationary policy."""
    beta = optimism.dynamics if isinstance(optimism.dynamics, float) else float("nan")
    return OptimismBreakdown(
        f"`optimism` {optimism} has no stationary policy in this model: {why}. breakdown(model) with a long horizon "
        "gives the limits; at β = 0 the pair (A, B) must be stabilisable.",
        beta, None, -1, None,
    )  # fmt: skip


def _long_run(model: GaussianModel, K: Tensor, kappa: Tensor, policy: Tensor, poles: Tensor) -> float:
    """The expected reward of a step under the stationary distribution of the true closed loop; −∞ if there is none."""
    from scipy.linalg import solve_discrete_lyapunov  # pyright: ignore[reportMissingTypeStubs]

    problem = model.problem
    if not float(poles.abs().max()) < 1 - _EDGE:
        return -float("inf")
    A, B, d, W = (each[0] for each in (problem.A, problem.B, problem.d, problem.W))
    loop, n = A - B @ K, problem.num_states
    noise = W + B @ policy @ B.mT
    spread = torch.from_numpy(solve_discrete_lyapunov(loop.numpy(), noise.numpy()))
    mean = torch.linalg.solve(torch.eye(n, dtype=A.dtype) - loop, d - B @ kappa)
    C, c, k = problem.C[0], problem.c[0], problem.k[0]
    closed = torch.cat((torch.eye(n, dtype=A.dtype), -K), -2)
    covariance = closed @ spread @ closed.mT
    covariance[n:, n:] += policy
    z = closed @ mean
    z[n:] -= kappa
    return -float(0.5 * z @ C @ z + 0.5 * (C * covariance).sum() + c @ z + k)
