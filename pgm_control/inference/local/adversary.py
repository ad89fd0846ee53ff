r"""The least objective of a policy over the blocks of chance with a negative optimism: a merit of policies.

With β < 0 the dynamics minimise $J_\beta$ while the policy maximises it, so that the objective of a guide says nothing
about its policy. The merit of a policy is the value of the inner optimum,

$$M(\pi) = \min_q J_\beta(\pi, q),$$

over affine-Gaussian q: an adversary that pays KL/|β| [whittle1981]. Others may do worse to a policy where the model is
not linear-quadratic, so that M is an upper bound of its worst case there. Its gradient is that of $J_\beta$ at the
optimal q, so that a small step of the natural gradient of the policy raises it. The minimum is found by
natural-gradient steps on q alone, each the exact answer to a linear-quadratic problem in which the policy is fixed,
accepted only if $J_\beta$ falls.

Sources:
    [whittle1981] P. Whittle, Risk-sensitive linear/quadratic/Gaussian control. Advances in Applied Probability
        13(4):764–777, 1981. doi:10.2307/1426972
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...chance.gaussian import gaussian_equivalent
from ...problems.continuous.arrays import root
from ...trajectories.gaussian.blocks import GaussianBlocks
from .around import Around, around
from .expectations import Points, Quadratic
from .own import Own, own_rewards

_STEPS = 100
_LEAST_SIZE = 2.0**-12  # of a step that still has a solution, unless the minimum is unbounded
_REST = 1e-7  # the relative fall of the objective, per unit of the step, of a minimum
_ROUNDING = 1e-13  # relative difference of objectives that are the same


class Worst(NamedTuple):
    """The search for the minimum.

    Attributes:
        found: the guide with the blocks of negative β at the best ones that were found.
        value: J_β of it, in nats, an upper bound of the minimum.
        is_bounded: whether the search came to rest there.
    """

    found: Around
    value: float
    is_bounded: bool


def worst_case(now: Around, beta: tuple[float, float], points: Points, enough: float = -torch.inf) -> Worst:
    r"""The blocks of chance with a negative β at the minimum of J_β, while all other blocks stay.

    Args:
        now: the guide and the approximation around it.
        beta: β of the dynamics and of the start, at least one of them negative.
        points: how rewards are averaged.
        enough: the search ends where J_β has fallen to this number of nats, without being at rest.
    """
    now = _better_start(now, beta, points)
    rewards = now.rewards(points, beta[0])
    value, size = now.objective(points, *beta, rewards), 1.0
    for _ in range(_STEPS):
        if value <= enough:
            return Worst(now, value, False)
        own, scale = own_rewards(now, beta), 1.0 + abs(value)
        while size >= _LEAST_SIZE:
            blocks = _answer(now, rewards, own, beta, size)
            if blocks is not None:
                found = around(now.model, blocks, (beta[1] != 0, beta[0] != 0), points, now)
                fall = value - found.objective(points, *beta)
                if abs(fall) <= (_REST * size + _ROUNDING) * scale:
                    return Worst(now, value, True)
                if fall > 0:
                    break
            size *= 0.5
        else:
            return Worst(now, value, False)
        now, value, size = found, value - fall, min(1.0, 2.0 * size)
        rewards = now.rewards(points, beta[0])
    return Worst(now, value, False)


def _better_start(now: Around, beta: tuple[float, float], points: Points) -> Around:
    """The guide, or that without an adversary if its objective is less: one that pays for nothing is never best."""
    problem, model = now.local.problem, now.blocks
    if beta[0] < 0:
        model = model.replace(transition=problem.F, drift=problem.d, noise=problem.W)
    if beta[1] < 0:
        model = model.replace(initial_mean=problem.initial_mean, initial_covariance=problem.initial_covariance)
    plain = around(now.model, model, (beta[1] != 0, beta[0] != 0), points, now)
    return plain if plain.objective(points, *beta) < now.objective(points, *beta) else now


def _answer(
    now: Around, rewards: Sequence[Quadratic], own: Own, beta: tuple[float, float], size: float
) -> GaussianBlocks | None:
    """The exact minimum for rewards mixed with those for which the guide is the minimum; None if there is none.

    Values are in nats, and those of a state are $-(½ s'Ps + p's)$ but for a constant.
    """
    problem, blocks, n = now.local.problem, now.blocks, now.local.problem.num_states
    eye = torch.eye(blocks.transition.shape[-1], dtype=torch.float64)
    theta = torch.tensor(beta, dtype=torch.float64)
    P, p = torch.zeros(n, n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    noise_root = root(problem.W)
    rows = list[tuple[Tensor, Tensor, Tensor]]()
    for t in reversed(range(blocks.horizon)):
        paid = rewards[t].hessian - own.policy.hessian[t], rewards[t].gradient - own.policy.gradient[t]
        kept = own.dynamics.hessian[t], own.dynamics.gradient[t]
        share = (1.0 - size) if beta[0] < 0 else -size
        H, h = (-(size * mine + share * rest) for mine, rest in zip(paid, kept, strict=True))
        h = h - H @ now.joint_mean[t]
        H = H + torch.nn.functional.pad(P, (0, H.shape[-1] - n, 0, H.shape[-1] - n))
        h = h + torch.nn.functional.pad(p, (0, len(h) - n))
        is_moved = beta[0] < 0
        F, d = (problem.F[t], problem.d[t]) if is_moved else (blocks.transition[t], blocks.drift[t])
        M, m = torch.cat((F, eye)), torch.nn.functional.pad(d, (0, len(eye)))
        if is_moved:
            L = torch.nn.functional.pad(noise_root[t], (0, 0, 0, len(eye)))
            ahead = gaussian_equivalent(H, h, h.new_zeros(()), L, theta[0])
            if not bool(ahead.is_finite):
                return None
            S = ahead.covariance[:n]
            rows.append((F - beta[0] * S @ H @ M, d - beta[0] * S @ (H @ m + h), S[:, :n]))
            H, h = ahead.P, ahead.p
        H, h = M.mT @ H @ M, M.mT @ (H @ m + h)
        closed = torch.cat((torch.eye(n, dtype=torch.float64), -blocks.gain[t]))
        still = torch.nn.functional.pad(-blocks.offset[t], (n, 0))
        P, p = closed.mT @ H @ closed, closed.mT @ (H @ still + h)
        P = 0.5 * (P + P.mT)
    found = blocks
    if beta[0] < 0:
        F, d, W = (torch.stack(each[::-1]) for each in zip(*rows, strict=True))
        found = found.replace(transition=F, drift=d, noise=W)
    if beta[1] < 0:
        rest = 1.0 - size
        p = p - rest * (own.start.gradient - own.start.hessian @ blocks.initial_mean)
        P = P - rest * own.start.hessian
        start = gaussian_equivalent(P, p, p.new_zeros(()), root(problem.initial_covariance), theta[1])
        if not bool(start.is_finite):
            return None
        mean, S = problem.initial_mean, start.covariance
        found = found.replace(initial_mean=mean - beta[1] * S @ (P @ mean + p), initial_covariance=S)
    is_finite = all(bool(each.isfinite().all()) for each in (found.drift, found.noise, found.initial_mean))
    return found if is_finite else None
