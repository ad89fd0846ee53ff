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
    r"""The density $\propto N(z; c, \sigma^2) \exp(f(z))$ on the nodes of a plane, in z, as one of a vector s = M z − b.

    Attributes:
        mesh: the mesh.
        centre: c, in z, (…, 2).
        variance: σ² of both axes; infinite for no factor N.
        table: f at the nodes, in nats.
        shift: b, (…, 2).
    """

    arg_constraints: Any = {}  # noqa: RUF012  of Pyro
    support: Any = constraints.real_vector
    has_rsample = False

    def __init__(
        self,
        mesh: Mesh,
        centre: Float[Tensor, "*batch 2"],
        variance: Float[Tensor, " 2"],
        table: Float[Tensor, "x y"],
        shift: Float[Tensor, "*batch 2"],
    ) -> None:
        """Store the parts; nothing is computed before a draw or a density."""
        self.mesh, self.centre, self.variance, self.table, self.shift = mesh, centre, variance, table, shift
        super().__init__(centre.shape[:-1], centre.shape[-1:], validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "PlaneDensity":
        """The same density for a larger batch."""
        shape = (*torch.Size(batch_shape), 2)
        return PlaneDensity(self.mesh, self.centre.expand(shape), self.variance, self.table, self.shift.expand(shape))

    def sample(self, sample_shape: Any = torch.Size()) -> Float[Tensor, "*all 2"]:
        """Independent draws, with numbers of torch's global generator."""
        shape = (*torch.Size(sample_shape), *self.batch_shape)
        uniform = torch.rand((*shape, 2, 3), dtype=self.centre.dtype, device=self.centre.device)
        log_x, log_y = self._factor(0), self._factor(1)
        i = _drawn(self._marginal(log_x, log_y), uniform[..., 0, 0])
        j = _drawn(self.table[i] + log_y, uniform[..., 1, 0])
        tent = uniform[..., 1] + uniform[..., 2] - 1.0
        z = self.mesh.low + (torch.stack([i, j], -1) + tent) * self.mesh.spacing
        return z @ self.mesh.axes.T - self.shift

    def log_prob(self, value: Float[Tensor, "*all 2"]) -> Float[Tensor, "*all"]:
        """The log-density of s, in nats."""
        z = self.mesh.coordinates(value + self.shift)
        total = torch.logsumexp(self._marginal(self._factor(0), self._factor(1)), -1)
        place = (z - self.mesh.low) / self.mesh.spacing
        first = place.floor()
        share, first = place - first, first.long()
        terms: list[Tensor] = []
        for dx, dy in ((0, 0), (0, 1), (1, 0), (1, 1)):
            step = torch.tensor([dx, dy])
            node = first + step
            last = torch.tensor(self.mesh.counts) - 1
            known = ((node >= 0) & (node <= last)).all(-1)
            node = node.clamp(torch.zeros_like(last), last)
            at = self.mesh.low + node * self.mesh.spacing
            bump = -((at - self.centre) ** 2 / (2 * self.variance)).sum(-1)
            weight = torch.where(step == 1, share, 1 - share).log().sum(-1)
            density = self.table[node[..., 0], node[..., 1]] + bump + weight
            terms.append(torch.where(known, density, -torch.inf))
        return torch.logsumexp(torch.stack(terms, -1), -1) - total - self.mesh.log_cell - self.mesh.log_determinant

    def _factor(self, axis: int) -> Float[Tensor, "*batch mesh"]:
        """The logarithm of the Gaussian factor of an axis at its nodes, without its constant."""
        return -((self.mesh.nodes(axis) - self.centre[..., axis, None]) ** 2) / (2 * self.variance[axis])

    def _marginal(self, log_x: Float[Tensor, "*batch x"], log_y: Float[Tensor, "*batch y"]) -> Float[Tensor, "*batch x"]:
        """The log-mass of the columns of the table, up to a constant; every column is scaled by its own maximum."""
        top = self.table.amax(1)
        scaled = (self.table - top[:, None]).exp()
        largest = log_y.amax(-1, keepdim=True)
        return log_x + top + largest + ((log_y - largest).exp() @ scaled.T).log()


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

    def sample(self, sample_shape: Any = torch.Size()) -> Float[Tensor, "*all"]:
        """Independent draws, with numbers of torch's global generator."""
        shape = (*torch.Size(sample_shape), *self.batch_shape)
        uniform = torch.rand((*shape, 3), dtype=self.table.dtype, device=self.table.device)
        node = _drawn(self.table, uniform[..., 0]) + uniform[..., 1] + uniform[..., 2] - 1.0
        return self.mesh.low[0] + node * self.mesh.spacing[0]

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


def _drawn(logits: Float[Tensor, "*batch n"], uniform: Float[Tensor, "*all"]) -> Tensor:
    """The index whose share of the cumulated mass holds a uniform number."""
    mass = (logits - logits.amax(-1, keepdim=True)).exp().cumsum(-1)
    return (mass[..., :-1] <= uniform[..., None] * mass[..., -1:]).sum(-1)

