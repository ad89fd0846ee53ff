"""The posterior of a share of the quadratic rewards around a Gaussian guide, with its values."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...trajectories.gaussian.blocks import GaussianBlocks
from ...trajectories.gaussian.riccati import prepared
from ..exact.gaussian.solve import optimum
from .around import LocalModel, around
from .expectations import Points
from .own import Form, Own
from .step import in_the_model, mixed_problem, prior_around
from .vector_model import VectorModel

_POINTS, _SEED = 1024, 0
_HALVINGS = 10  # of the share, until there is a posterior

LogValue = Callable[[int, Tensor], Tensor]


def bridge_around(
    model: VectorModel, guide: GaussianBlocks, free_blocks: tuple[str, ...], share: float
) -> tuple[GaussianBlocks, LogValue]:
    r"""The posterior, and $\log E[\exp \sum_{u \ge t} \eta r_u/\tau \mid s_t]$, in nats up to a constant.

    The rewards are averaged at the marginals of the guide. Where the share η has no posterior it is halved; the prior
    is the end of that.

    Args:
        model: the model.
        guide: the guide.
        free_blocks: the blocks of chance that it may change.
        share: η, of the rewards.
    """
    points = Points.quasi_random(_POINTS, 2 * guide.drift.shape[-1] + guide.offset.shape[-1], _SEED)
    free = "initial" in free_blocks, "dynamics" in free_blocks
    now = around(model, guide.detach(), free, points)
    rewards, nothing = now.rewards(points, 1.0), _none(now.joint_mean, guide.drift.shape[-1])
    theta = torch.tensor(1.0 / model.temperature, dtype=torch.float64)
    for _ in range(_HALVINGS):
        problem = mixed_problem(now, (rewards, nothing), share)
        found = optimum(problem, prepared(problem), theta, theta)
        if bool(found.is_finite):
            n, m = guide.drift.shape[-1], guide.offset.shape[-1]
            return in_the_model(found.blocks, n, 2 * n + m), _log_value(problem, found.swept.P, found.swept.p, n)
        share *= 0.5
    return prior_around(model, points, free).blocks, lambda t, state: torch.zeros_like(state[..., 0])


def _none(like: Tensor, n: int) -> Own:
    """No rewards of its own: those of the prior."""
    steps, size = like.shape
    zero = Form(like.new_zeros(steps, size, size), like.new_zeros(steps, size))
    return Own(zero, zero, Form(like.new_zeros(n, n), like.new_zeros(n)))


def _log_value(larger: LocalModel, P: Tensor, p: Tensor, n: int) -> LogValue:
    """The value of s_t in the larger problem, whose cost of (s_t, s_{t−1}, a_{t−1}) has been paid."""
    size, tau = P.shape[-1], larger.temperature
    H = (P[:-1] - larger.problem.C[:, :size, :size])[:, :n, :n] / tau
    h = (p[:-1] - larger.problem.c[:, :size])[:, :n] / tau

    def log_value(t: int, state: Tensor) -> Tensor:
        state = state.detach().to(H)
        return -(0.5 * ((state @ H[t]) * state).sum(-1) + state @ h[t])

    return log_value
