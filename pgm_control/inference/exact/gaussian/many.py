"""The optima of one linear-quadratic model for many values of the optimism, by one batched sweep."""

from collections.abc import Sequence
from dataclasses import fields
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ....chance.optimism import Optimism
from ....problems.continuous.linear_quadratic import LinearQuadratic
from ....trajectories.gaussian.blocks import GaussianBlocks
from ....trajectories.gaussian.model import GaussianModel, one_problem
from ....trajectories.gaussian.riccati import prepared
from .solve import Thetas, optimum


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
    one_problem(model, "several values of the optimism")
    thetas = torch.tensor([Thetas.of(model, each) for each in optimism], dtype=torch.float64)
    found = optimum(model, prepared(model).expanded(len(optimism)), thetas[:, 0], thetas[:, 1])
    kept = {each.name: getattr(found.blocks, each.name)[found.is_finite] for each in fields(found.blocks)}
    return ManyOptima(found.is_finite, GaussianBlocks(**kept), found.value[found.is_finite])


def repeated(problem: LinearQuadratic, count: int) -> LinearQuadratic:
    """A batch of copies of one problem, as views."""
    return problem.replace(initial_mean=problem.initial_mean.expand(count, -1))
