r"""Densities off the mesh: the node values, interpolated linearly between neighbours, as distributions of Pyro.

Interpolation in every axis is a mixture of tent functions around the nodes. It is normalised exactly, is sampled
exactly, and adds a variance of h²/6 along each axis, h the spacing.
"""

import math
from typing import Any, final

import torch
from jaxtyping import Float
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor

from .mesh import Mesh


@final
class PlaneDensity(TorchDistribution):
    r"""The density $\propto N(z; c, \sigma^2) \exp(f(z))$ at the nodes of a plane, as one of the vector s = M z − b.

    A column of nodes is drawn first, with the mass $\log \sum_y N(y; c_y, \sigma_y^2) \exp(f(x, y))$, which was
    computed for $c_y$ on the nodes and is interpolated between them; then a node of the column. A draw and a density
    cost a row and a column of the mesh, not all of it.

    Attributes:
        mesh: the mesh.
        centre: c, in z, (…, 2).
        sigma2: σ² of both axes; infinite for no factor N.
        table: f at the nodes, in nats.
        columns: the log-mass of column x for $c_y$ on node y, up to a constant.
        shift: b, (…, 2).
    """

    arg_constraints: Any = {}  # noqa: RUF012  of Pyro
    support: Any = constraints.real_vector
    has_rsample = False

    def __init__(
        self,
        mesh: Mesh,
        centre: Float[Tensor, "*batch 2"],
        sigma2: Float[Tensor, " 2"],
        table: Float[Tensor, "x y"],
        columns: Float[Tensor, "x y"],
        shift: Float[Tensor, "*batch 2"],
    ) -> None:
        """Store the parts; nothing is computed before a draw or a density."""
        self.mesh, self.centre, self.sigma2, self.shift = mesh, centre, sigma2, shift
        self.table, self.columns = table, columns
        super().__init__(centre.shape[:-1], centre.shape[-1:], validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "PlaneDensity":
        """The same density for a larger batch."""
        shape = (*torch.Size(batch_shape), 2)
        centre, shift = self.centre.expand(shape), self.shift.expand(shape)
        return PlaneDensity(self.mesh, centre, self.sigma2, self.table, self.columns, shift)

    def sample(self, sample_shape: Any = ()) -> Float[Tensor, "*all 2"]:
        """Independent draws, with numbers of torch's global generator."""
        shape = (*torch.Size(sample_shape), *self.batch_shape)
        uniform = torch.rand((*shape, 2, 3), dtype=self.centre.dtype, device=self.centre.device)
        i = _drawn(self._column_masses(), uniform[..., 0, 0])
        j = _drawn(self.table[i] + self._factor(1), uniform[..., 1, 0])
        tent = uniform[..., 1] + uniform[..., 2] - 1.0
        z = self.mesh.low + (torch.stack([i, j], -1) + tent) * self.mesh.spacing
        return z @ self.mesh.axes.T - self.shift

    @property
    def mean(self) -> Float[Tensor, "*batch 2"]:
        """The mean of s. It costs the whole mesh for each member of the batch."""
        column = torch.softmax(self._column_masses(), -1)
        rows = self.table + self._factor(1)[..., None, :]
        empty = torch.isneginf(rows).all(-1, keepdim=True)
        row = torch.softmax(torch.where(empty, 0.0, rows), -1)
        x = (column * self.mesh.nodes(0)).sum(-1)
        y = (column * (row * self.mesh.nodes(1)).sum(-1)).sum(-1)
        return torch.stack([x, y], -1) @ self.mesh.axes.T - self.shift

    def log_prob(self, value: Float[Tensor, "*all 2"]) -> Float[Tensor, "*all"]:
        """The log-density of s, in nats."""
        place = (self.mesh.coordinates(value + self.shift) - self.mesh.low) / self.mesh.spacing
        first = place.floor()
        share, first = place - first, first.long()
        masses, bump = self._column_masses(), self._factor(1)
        masses = (masses - torch.logsumexp(masses, -1, keepdim=True)).expand(*first.shape[:-1], self.mesh.counts[0])
        terms: list[Tensor] = []
        for step in (0, 1):
            i, has_column = _inside(first[..., 0] + step, self.mesh.counts[0])
            column = self.table[i] + bump
            below = masses.gather(-1, i[..., None])[..., 0] - torch.logsumexp(column, -1)
            for step_y in (0, 1):
                j, has_row = _inside(first[..., 1] + step_y, self.mesh.counts[1])
                weight = (share[..., 0] if step else 1 - share[..., 0]).log()
                weight = weight + (share[..., 1] if step_y else 1 - share[..., 1]).log()
                density = column.gather(-1, j[..., None])[..., 0]
                is_possible = has_column & has_row & (density > -torch.inf)
                terms.append(torch.where(is_possible, density + below + weight, -torch.inf))
        return torch.logsumexp(torch.stack(terms, -1), -1) - self.mesh.log_cell - self.mesh.log_determinant

    def _factor(self, axis: int) -> Float[Tensor, "*batch mesh"]:
        """The logarithm of the Gaussian factor of an axis at its nodes, without its constant."""
        return -((self.mesh.nodes(axis) - self.centre[..., axis, None]) ** 2) / (2 * self.sigma2[axis])

    def _column_masses(self) -> Float[Tensor, "*batch x"]:
        """The log-masses of the columns, up to a constant."""
        place = (self.centre[..., 1] - self.mesh.low[1]) / self.mesh.spacing[1]
        node = place.floor().long().clamp(0, self.mesh.counts[1] - 2)
        share = (place - node)[..., None]
        by_centre = self.columns.T
        mass = by_centre[node] * (1 - share) + by_centre[node + 1] * share  # beyond the mesh it is extrapolated
        return self._factor(0) + torch.where(mass.isnan(), -torch.inf, mass)


@final
class LineDensity(TorchDistribution):
    """The density whose logarithms at the nodes of a line are given, up to a constant, as one of a number.

    Attributes:
        mesh: the mesh.
        table: the logarithms, (…, n).
    """

    arg_constraints: Any = {}  # noqa: RUF012  of Pyro
    support: Any = constraints.real
    has_rsample = False

    def __init__(self, mesh: Mesh, table: Float[Tensor, "*batch mesh"]) -> None:
        """Store the parts."""
        self.mesh, self.table = mesh, table
        super().__init__(table.shape[:-1], torch.Size(), validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "LineDensity":
        """The same density for a larger batch."""
        return LineDensity(self.mesh, self.table.expand(*torch.Size(batch_shape), self.table.shape[-1]))

    def sample(self, sample_shape: Any = ()) -> Float[Tensor, "*all"]:
        """Independent draws, with numbers of torch's global generator."""
        shape = (*torch.Size(sample_shape), *self.batch_shape)
        uniform = torch.rand((*shape, 3), dtype=self.table.dtype, device=self.table.device)
        node = _drawn(self.table, uniform[..., 0]) + uniform[..., 1] + uniform[..., 2] - 1.0
        return self.mesh.low[0] + node * self.mesh.spacing[0]

    @property
    def mean(self) -> Float[Tensor, "*batch"]:
        """The mean of the number."""
        return (torch.softmax(self.table, -1) * self.mesh.nodes(0)).sum(-1)

    def log_prob(self, value: Float[Tensor, "*all"]) -> Float[Tensor, "*all"]:
        """The log-density of the number, in nats."""
        place = (value - self.mesh.low[0]) / self.mesh.spacing[0]
        first = place.floor()
        share, first = place - first, first.long()
        last = self.mesh.counts[0] - 1
        table = self.table.expand(*value.shape, last + 1)
        terms: list[Tensor] = []
        for step, weight in ((0, 1 - share), (1, share)):
            node = first + step
            density = table.gather(-1, node.clamp(0, last)[..., None])[..., 0] + weight.log()
            terms.append(torch.where((node >= 0) & (node <= last), density, -torch.inf))
        total = torch.logsumexp(self.table, -1)
        return torch.logsumexp(torch.stack(terms, -1), -1) - total - math.log(float(self.mesh.spacing[0]))


def _inside(node: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The node, moved to the nearest of the mesh, and whether it is one."""
    return node.clamp(0, count - 1), (node >= 0) & (node < count)


def _drawn(logits: Float[Tensor, "*batch n"], uniform: Float[Tensor, "*all"]) -> Tensor:
    """The index whose share of the cumulated mass holds a uniform number."""
    mass = (logits - logits.amax(-1, keepdim=True)).exp().cumsum(-1)
    return (mass[..., :-1] <= uniform[..., None] * mass[..., -1:]).sum(-1)
