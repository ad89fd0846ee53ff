"""The variance of the return of an affine-Gaussian policy, by one backward sweep."""

import torch
from jaxtyping import Float
from torch import Tensor

from ...problems.continuous.linear_quadratic import LinearQuadratic
from ...trajectories.gaussian.blocks import GaussianBlocks


def return_variance(world: LinearQuadratic, blocks: GaussianBlocks) -> Float[Tensor, "*batch"]:
    r"""The variance of $\sum_t \gamma^t r_t$ of the policy in the world, in squared reward units.

    $$D_t(s) = \gamma^2 E\,D_{t+1}(s') + \mathrm{Var}(r_t + \gamma V_{t+1}(s') \mid s)$$

    V is quadratic in s. So is D: the variance of $\tfrac12 x'Hx + h'x$ for $x \sim N(\mu, \Sigma)$ is
    $\tfrac12 \mathrm{tr}(H\Sigma H\Sigma) + (H\mu + h)'\Sigma(H\mu + h)$, and µ is affine in s.
    """
    n, gamma, F, d = world.num_states, world.discount, world.F, world.d
    P, p, D, e = world.final_P, world.final_p, torch.zeros_like(world.final_P), torch.zeros_like(world.final_p)
    rest = torch.zeros_like(world.final_v)
    time = d.dim() - 2
    for t in reversed(range(world.horizon)):
        A, shift, W = F.select(time, t), d.select(time, t), world.W.select(time, t)
        K, own = blocks.gain.select(time, t), blocks.policy_covariance.select(time, t)
        start = torch.cat((torch.eye(n, dtype=K.dtype).expand_as(P), -K), -2)  # z = start s + (0, −κ) + noise
        kappa = blocks.offset.select(time, t)
        offset = torch.cat((kappa.new_zeros(*kappa.shape[:-1], n), -kappa), -1)
        spread = torch.nn.functional.pad(own, (n, 0, n, 0))
        # cost of x = (z, w): ½ z'Cz + c'z + γ(½ s''P s'' + p's''), s'' = A z + d + w
        H = _blocks(world.C.select(time, t) + gamma * A.mT @ P @ A, gamma * A.mT @ P, gamma * P)
        pulled = gamma * (_times(P, shift) + p)
        h = torch.cat((world.c.select(time, t) + _times(A.mT, pulled), pulled), -1)
        noise = _diagonal(spread, W)
        slope = torch.cat((start, torch.zeros_like(P)), -2)
        mean = torch.cat((offset, torch.zeros_like(shift)), -1)
        next_slope, next_mean = A @ start, _times(A, offset) + shift
        next_noise = A @ spread @ A.mT + W
        tilt = H @ slope  # dh/ds
        at = _times(H, mean) + h
        new = 2.0 * (tilt.mT @ noise @ tilt), 2.0 * _times(tilt.mT @ noise, at)
        constant = 0.5 * ((H @ noise) * (H @ noise).mT).sum((-2, -1)) + (at * _times(noise, at)).sum(-1)
        ahead = 0.5 * (D * next_noise).sum((-2, -1)) + ((0.5 * _times(D, next_mean) + e) * next_mean).sum(-1) + rest
        rest = gamma**2 * ahead + constant
        e = gamma**2 * _times(next_slope.mT, _times(D, next_mean) + e) + new[1]
        D = gamma**2 * next_slope.mT @ D @ next_slope + new[0]
        P, p = slope.mT @ tilt, _times(slope.mT, at)
    mean, S = world.initial_mean, world.initial_covariance
    of_start = 0.5 * ((P @ S) * (P @ S).mT).sum((-2, -1))
    pull = _times(P, mean) + p
    of_start = of_start + (pull * _times(S, pull)).sum(-1)
    inner = ((0.5 * _times(D, mean) + e) * mean).sum(-1) + 0.5 * (D * S).sum((-2, -1))
    return (inner + rest + of_start).clamp(min=0.0)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[..., None])[..., 0]


def _blocks(upper: Tensor, corner: Tensor, lower: Tensor) -> Tensor:
    """A symmetric matrix of four blocks."""
    return torch.cat((torch.cat((upper, corner), -1), torch.cat((corner.mT, lower), -1)), -2)


def _diagonal(one: Tensor, other: Tensor) -> Tensor:
    a, b = one.shape[-1], other.shape[-1]
    return torch.nn.functional.pad(one, (0, b, 0, b)) + torch.nn.functional.pad(other, (a, 0, a, 0))
