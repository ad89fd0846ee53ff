r"""A step of a Gaussian guide towards the optimum of the linear-quadratic approximation of its model.

A guide q is the exact optimum of the model whose rewards are

$$\hat r_t = \tau \log\frac{\pi_t(a \mid s)}{\rho_t(a \mid s)}
    + \frac\tau\beta \log\frac{q_t(s' \mid s,a)}{p_t(s' \mid s,a)}$$

because all its values are 0. A step of size η is the exact optimum for $(1-\eta)\,\hat r + \eta\, \bar r$, with r̄ the
expected quadratic form of the rewards at the marginals of q, as for tables in
`inference.variational.natural_gradient`: a natural-gradient step on the objective of conjugate-computation variational
inference [khan2017].

Sources:
    [khan2017] M. E. Khan and W. Lin, Conjugate-computation variational inference: converting variational inference in
        non-conjugate models to inferences in conjugate models. International Conference on Artificial Intelligence and
        Statistics, Proceedings of Machine Learning Research 54, pages 878–887, 2017. arXiv:1703.04265
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...errors import InvalidArgument
from ...problems.continuous.linear_quadratic import LinearQuadratic
from ...trajectories.gaussian.blocks import GaussianBlocks
from ...trajectories.gaussian.model import GaussianPrior
from ...trajectories.gaussian.riccati import prepared
from ..exact.gaussian.open_loop import open_loop_optimum
from ..exact.gaussian.solve import optimum
from .around import Around, LocalModel, around
from .expectations import Points, Quadratic
from .vector_model import VectorModel

_HALVINGS = 30
_ROUNDING = 1e-12  # relative difference of objectives that are the same


class Step(NamedTuple):
    """The result of a step.

    Attributes:
        found: the guide after the step, with the approximation around it.
        before, objective: J_β before and after the step, in nats.
        size: η of the step; 0 if no step was accepted.
        is_fixed: whether the first step that was tried has the same objective but for rounding.
    """

    found: Around
    before: float
    objective: float
    size: float
    is_fixed: bool


def improved_around(
    now: Around, beta: tuple[float, float], step_size: float, points: Points, sees_state: bool = True
) -> Step:
    r"""The guide after one step, accepted only if J_β rises; otherwise η is halved.

    With a negative β the optimum is a saddle, at which no step raises or lowers J_β; the largest step is taken that has
    a solution.

    Args:
        now: the guide and the approximation around it.
        beta: β of the dynamics and of the start; a block with β = 0 stays the model's.
        step_size: the largest η.
        points: how rewards are averaged.
        sees_state: whether actions may depend on the state; a plan keeps the start and the dynamics of the model.

    References:
        [khan2017]
    """
    rewards, own = now.rewards(points, beta[0]), _own(now, beta)
    before = now.objective(points, *beta, rewards)
    size, is_fixed, rounding = step_size, False, _ROUNDING * (1.0 + abs(before))
    for _ in range(_HALVINGS):
        better = _solved(now, (rewards, own), beta, size, sees_state)
        if better is not None:
            found = around(now.model, better, (beta[1] != 0, beta[0] != 0), points, now)
            after = found.objective(points, *beta)
            is_fixed |= size == step_size and abs(after - before) <= rounding
            is_kept = (
                points.normals is None and abs(after - before) <= rounding
            )  # gains may change though the path rests
            if after > before or is_kept or (min(beta) < 0 and math.isfinite(after)):
                return Step(found, before, after, size, is_fixed)
            if is_fixed:
                break
        size = 0.5 * size
    return Step(now, before, before, 0.0, is_fixed)


class _Own(NamedTuple):
    """The rewards for which a guide is the optimum, as Hessians and gradients in y, in nats; and those of the start."""

    hessian: Tensor
    gradient: Tensor
    start_hessian: Tensor
    start_gradient: Tensor


def _own(now: Around, beta: tuple[float, float]) -> _Own:
    """log π/ρ + (1/β) log q/p in y = (s', s, a), and (1/β₀) log q(s_0)/p(s_0)."""
    blocks, problem, prior = now.blocks, now.local.problem, now.local.action_prior
    assert prior is not None
    steps, n, m = blocks.horizon, problem.num_states, problem.num_actions
    eye = torch.eye(m, dtype=torch.float64).expand(steps, m, m)
    none = torch.zeros(steps, m, n, dtype=torch.float64)
    pi = _log_normal(torch.cat((none, blocks.gain, eye), -1), -blocks.offset, blocks.policy_covariance, now.joint_mean)
    rho = _log_normal(torch.cat((none, -prior.gain, eye), -1), prior.offset, prior.covariance, now.joint_mean)
    hessian, gradient = pi[0] - rho[0], pi[1] - rho[1]
    if beta[0] != 0:
        eye = torch.eye(n, dtype=torch.float64).expand(steps, n, n)
        q = _log_normal(torch.cat((eye, -blocks.transition), -1), blocks.drift, blocks.noise, now.joint_mean)
        p = _log_normal(torch.cat((eye, -problem.F), -1), problem.d, problem.W, now.joint_mean)
        hessian, gradient = hessian + (q[0] - p[0]) / beta[0], gradient + (q[1] - p[1]) / beta[0]
    start_hessian, start_gradient = torch.zeros(n, n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    if beta[1] != 0:
        eye, at = torch.eye(n, dtype=torch.float64), blocks.initial_mean
        q = _log_normal(eye, blocks.initial_mean, blocks.initial_covariance, at)
        p = _log_normal(eye, problem.initial_mean, problem.initial_covariance, at)
        start_hessian, start_gradient = (q[0] - p[0]) / beta[1], (q[1] - p[1]) / beta[1]
    return _Own(hessian, gradient, start_hessian, start_gradient)


def _log_normal(E: Tensor, mean: Tensor, covariance: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """Hessian and gradient at a point of log N(Ey; mean, covariance); within its range where it is singular."""
    weighted = torch.linalg.pinv(covariance, rtol=1e-12, hermitian=True) @ E
    hessian = -E.mT @ weighted
    return hessian, -(weighted.mT @ ((E @ at[..., None])[..., 0] - mean)[..., None])[..., 0]


def _solved(
    now: Around, both: tuple[Sequence[Quadratic], _Own], beta: tuple[float, float], size: float, sees_state: bool
) -> GaussianBlocks | None:
    """The optimum for the mixed rewards; None if there is none.

    A reward of (s, a, s') is a cost of the state of a larger problem, $x_{t+1} = (s_{t+1}, s_t, a_t)$.
    """
    rewards, own = both
    problem, prior, tau = now.local.problem, now.local.action_prior, now.local.temperature
    assert prior is not None
    n, m, steps = problem.num_states, problem.num_actions, problem.horizon
    hessian = (1 - size) * own.hessian + size * torch.stack([each.hessian for each in rewards])
    gradient = (1 - size) * own.gradient + size * torch.stack([each.gradient for each in rewards])
    P = -tau * hessian
    p = -tau * gradient - (P @ now.joint_mean[..., None])[..., 0]
    zeros, N = (lambda *shape: torch.zeros(*shape, dtype=torch.float64)), 2 * n + m
    C, c, A, B = zeros(steps, N + m, N + m), zeros(steps, N + m), zeros(steps, N, N), zeros(steps, N, m)
    d, W, G = zeros(steps, N), zeros(steps, N, N), zeros(steps, m, N)
    C[1:, :N, :N], c[1:, :N] = P[:-1], p[:-1]
    C[0, :n, :n] = -tau * (1 - size) * own.start_hessian
    c[0, :n] = -tau * (1 - size) * own.start_gradient - C[0, :n, :n] @ now.blocks.initial_mean
    A[:, :n, :n], A[:, n : 2 * n, :n] = problem.A, torch.eye(n, dtype=torch.float64)
    B[:, :n], B[:, 2 * n :] = problem.B, torch.eye(m, dtype=torch.float64)
    d[:, :n], W[:, :n, :n], G[..., :n] = problem.d, problem.W, prior.gain
    m0, S0 = zeros(N), zeros(N, N)
    m0[:n], S0[:n, :n] = problem.initial_mean, problem.initial_covariance
    larger = LinearQuadratic(
        A, B, W, C, horizon=steps, initial_mean=m0, initial_covariance=S0, c=c, d=d,
        final_cost=(P[-1], p[-1], 0.0),
    )  # fmt: skip
    model = LocalModel(larger, tau, GaussianPrior(G, prior.offset, prior.covariance))
    if not sees_state:
        try:
            return _smaller(open_loop_optimum(model), n, N)
        except InvalidArgument:
            return None
    theta = (torch.tensor(each / tau, dtype=torch.float64) for each in beta)
    found = optimum(model, prepared(model), *theta)
    return _smaller(found.blocks, n, N) if bool(found.is_finite) else None


def _smaller(found: GaussianBlocks, n: int, size: int) -> GaussianBlocks:
    """The blocks of the larger problem in the coordinates of the smaller one."""
    rows = found.transition[:, :n]
    return GaussianBlocks(
        found.initial_mean[:n],
        found.initial_covariance[:n, :n],
        found.gain[..., :n],
        found.offset,
        found.policy_covariance,
        torch.cat((rows[..., :n], rows[..., size:]), -1),
        found.drift[:, :n],
        found.noise[:, :n, :n],
    )


def prior_around(model: VectorModel, points: Points, free: tuple[bool, bool] = (False, False)) -> Around:
    """The model without its rewards, and the approximation around it; for a guide that may change these blocks."""
    return around(model, None, free, points)
