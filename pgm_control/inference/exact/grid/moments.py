"""Means and covariances of the states of a solution on a mesh."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ....text.one_line import one_line
from .mesh import Mesh
from .solution import Densities


class StateMoments(NamedTuple):
    """The mean and the covariance of the state, t = 0 … T, in the coordinates of the problem."""

    state_mean: Float[Tensor, "time_and_last axis"]
    state_covariance: Float[Tensor, "time_and_last axis axis"]

    __repr__ = one_line


def state_moments(mesh: Mesh, found: Densities, known_start: Any) -> StateMoments:
    r"""The moments of the states, by sums over the nodes: $\sum_i q_t(z_i)\, h\, (s_i, s_i s_i^\top)$.

    Args:
        mesh: the nodes.
        found: the log-densities, believed or true.
        known_start: the start, which has no density, if the densities begin at t = 1.
    """
    points = mesh.points().reshape(-1, len(mesh.counts))
    mass = (found.states + mesh.log_cell).exp().flatten(1)
    mass = mass / mass.sum(1, keepdim=True)
    mean = mass @ points
    apart = points - mean[:, None]
    covariance = (mass[..., None] * apart).mT @ apart
    if not found.has_start:
        start = torch.as_tensor(known_start, dtype=mean.dtype).reshape(1, -1)
        mean = torch.cat([start, mean])
        covariance = torch.cat([torch.zeros_like(covariance[:1]), covariance])
    return StateMoments(mean, covariance)
