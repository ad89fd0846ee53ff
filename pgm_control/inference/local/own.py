"""The rewards for which a Gaussian guide is the optimum: the logarithms of its ratios to its model."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .around import Around


class Form(NamedTuple):
    """The Hessian and the gradient of a quadratic function of y = (s', s, a) at its mean, by step, in nats."""

    hessian: Float[Tensor, "*time vector vector"]
    gradient: Float[Tensor, "*time vector"]


class Own(NamedTuple):
    """log π/ρ, (1/β) log q/p of the dynamics, and (1/β₀) log q/p of the start as a function of s_0."""

    policy: Form
    dynamics: Form
    start: Form


def own_rewards(now: Around, beta: tuple[float, float]) -> Own:
    """The rewards for which a guide is the optimum at β of the dynamics and of the start; 0 for a block with β = 0."""
    blocks, problem, prior = now.blocks, now.local.problem, now.local.action_prior
    assert prior is not None
    steps, n, m = blocks.horizon, problem.num_states, problem.num_actions
    eye = torch.eye(m, dtype=torch.float64).expand(steps, m, m)
    none = torch.zeros(steps, m, n, dtype=torch.float64)
    pi = _log_normal(torch.cat((none, blocks.gain, eye), -1), -blocks.offset, blocks.policy_covariance, now.joint_mean)
    rho = _log_normal(torch.cat((none, -prior.gain, eye), -1), prior.offset, prior.covariance, now.joint_mean)
    policy = Form(pi[0] - rho[0], pi[1] - rho[1])
    dynamics = Form(torch.zeros_like(policy.hessian), torch.zeros_like(policy.gradient))
    if beta[0] != 0:
        eye = torch.eye(n, dtype=torch.float64).expand(steps, n, n)
        q = _log_normal(torch.cat((eye, -blocks.transition), -1), blocks.drift, blocks.noise, now.joint_mean)
        p = _log_normal(torch.cat((eye, -problem.F), -1), problem.d, problem.W, now.joint_mean)
        dynamics = Form((q[0] - p[0]) / beta[0], (q[1] - p[1]) / beta[0])
    start = Form(torch.zeros(n, n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64))
    if beta[1] != 0:
        eye, at = torch.eye(n, dtype=torch.float64), blocks.initial_mean
        q = _log_normal(eye, blocks.initial_mean, blocks.initial_covariance, at)
        p = _log_normal(eye, problem.initial_mean, problem.initial_covariance, at)
        start = Form((q[0] - p[0]) / beta[1], (q[1] - p[1]) / beta[1])
    return Own(policy, dynamics, start)


def _log_normal(E: Tensor, mean: Tensor, covariance: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """Hessian and gradient at a point of log N(Ey; mean, covariance); within its range where it is singular."""
    weighted = torch.linalg.pinv(covariance, rtol=1e-12, hermitian=True) @ E
    hessian = -E.mT @ weighted
    return hessian, -(weighted.mT @ ((E @ at[..., None])[..., 0] - mean)[..., None])[..., 0]
