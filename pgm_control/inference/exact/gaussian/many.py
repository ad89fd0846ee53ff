"""The optima of one linear-quadratic model for many values of the optimism, by one batched sweep."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ....chance.gaussian import gaussian_equivalent
from ....chance.optimism import Optimism
from ....problems.continuous.arrays import root
from ....problems.continuous.linear_quadratic import LinearQuadratic
from ....trajectories.gaussian.blocks import GaussianBlocks
from ....trajectories.gaussian.model import GaussianModel, one_problem
from ....trajectories.gaussian.riccati import FINE, Prepared, backward_sweep, prepared
from .solve import Thetas


class ManyOptima(NamedTuple):
    """The optima for those values of the optimism at which the objective is bounded.

    Attributes:
        is_bounded: for each value that was given, whether there is an optimum.
        blocks: the factors of the optima, with one batch axis of the bounded ones, in their order.
        value: their values in reward units, τ times the objective.
    """

    is_bounded: Bool[Tensor, " given"]
    blocks: GaussianBlocks
    value: Float[Tensor, " bounded"]


@torch.no_grad()
def infer_many(model: GaussianModel, optimism: Sequence[Optimism]) -> ManyOptima:
    """The optima of a model of one problem for several values of the optimism.

    Raises:
        InvalidProblem: for a batch of problems.
        InvalidArgument: if an optimism does not fit the model.
    """
    problem, count = one_problem(model, "several values of the optimism"), len(optimism)
    thetas = [Thetas.of(model, each) for each in optimism]
    of_dynamics = torch.tensor([each.dynamics for each in thetas], dtype=torch.float64)
    of_start = torch.tensor([each.initial for each in thetas], dtype=torch.float64)
    swept = backward_sweep(_repeated(prepared(model), count), of_dynamics)
    fine = swept.reason == FINE
    L = root(problem.initial_covariance).expand(count, -1, -1)
    hessian = torch.where(fine[:, None, None], swept.P[:, 0], 0.0)
    start = gaussian_equivalent(hessian, swept.p[:, 0], swept.v[:, 0], L, of_start)
    fine = fine & start.is_finite
    mean = problem.initial_mean.expand(count, -1)
    pull = _times(swept.P[:, 0], mean) + swept.p[:, 0]
    value = -((0.5 * _times(start.P, mean) + start.p) * mean).sum(-1) - start.v
    F, d, theta, gamma = problem.F, problem.d, of_dynamics[:, None, None, None], problem.discount
    pulled = theta * gamma * swept.noise @ swept.P[:, 1:]  # θ S P
    moved = theta[..., 0] * gamma * _times(swept.noise, swept.p[:, 1:])
    blocks = GaussianBlocks(
        mean - of_start[:, None] * _times(start.covariance, pull),
        start.covariance,
        swept.gain,
        swept.offset,
        swept.policy_covariance,
        torch.where(theta == 0, F, F - pulled @ F),
        torch.where(theta[..., 0] == 0, d, d - _times(pulled, d.expand(count, -1, -1)) - moved),
        swept.noise,
    )
    return ManyOptima(fine, GaussianBlocks(*(getattr(blocks, name)[fine] for name in _BLOCKS)), value[fine])


_BLOCKS = (
    "initial_mean", "initial_covariance", "gain", "offset", "policy_covariance", "transition", "drift", "noise",
)  # fmt: skip


def repeated(problem: LinearQuadratic, count: int) -> LinearQuadratic:
    """A batch of copies of one problem, as views."""
    return problem.replace(initial_mean=problem.initial_mean.expand(count, -1))


def _repeated(given: Prepared, count: int) -> Prepared:
    tensors = (each.expand(count, *each.shape) if isinstance(each, Tensor) else each for each in given)
    return Prepared(*tensors)  # pyright: ignore[reportArgumentType]  in their order


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[..., None])[..., 0]
