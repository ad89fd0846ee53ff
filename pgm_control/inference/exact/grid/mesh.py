"""A regular mesh on the plane or the line."""

import itertools
import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ....text.one_line import one_line


@final
@dataclass(frozen=True, eq=False, repr=False)
class Mesh:
    """A regular mesh, in coordinates z of which the state is the linear map s = M z.

    On the plane M turns and shears the axes such that the hand and the wind both have independent coordinates; it is
    the identity if both covariances are diagonal. On the line it is 1.

    Attributes:
        low: z of the first node, for each axis.
        spacing: the distance of neighbours, for each axis, in z.
        counts: the number of nodes of each axis.
        axes: M, one column for each axis.
    """

    low: Float[Tensor, " axis"]
    spacing: Float[Tensor, " axis"]
    counts: tuple[int, ...]
    axes: Float[Tensor, "axis axis"]

    __repr__ = one_line

    @classmethod
    def between(
        cls,
        low: Float[Tensor, " axis"],
        high: Float[Tensor, " axis"],
        spacing: Float[Tensor, " axis"],
        axes: Float[Tensor, "axis axis"],
    ) -> "Mesh":
        """The mesh with this spacing that covers a box in z."""
        counts = tuple(int(n) + 1 for n in ((high - low) / spacing - 1e-9).ceil().tolist())
        return cls(low, spacing, counts, axes)

    @property
    def high(self) -> Float[Tensor, " axis"]:
        """Z of the last node, for each axis."""
        return self.low + self.spacing * (torch.tensor(self.counts, dtype=self.low.dtype) - 1)

    @property
    def log_cell(self) -> float:
        """The logarithm of the measure of a cell, in z."""
        return float(self.spacing.log().sum())

    @property
    def log_determinant(self) -> float:
        """log |det M|, by which a log-density in z exceeds that of the state."""
        return math.log(abs(float(torch.linalg.det(self.axes))))

    def nodes(self, axis: int) -> Float[Tensor, " mesh"]:
        """Z of the nodes along an axis."""
        steps = torch.arange(self.counts[axis], dtype=self.low.dtype)
        return self.low[axis] + self.spacing[axis] * steps

    def points(self) -> Float[Tensor, "*mesh axis"]:
        """The states of all nodes, (n, m, 2) on the plane and (n, 1) on the line."""
        each = torch.meshgrid(*(self.nodes(k) for k in range(len(self.counts))), indexing="ij")
        return torch.stack(each, -1) @ self.axes.T

    def coordinates(self, state: Float[Tensor, "*batch axis"]) -> Float[Tensor, "*batch axis"]:
        """Z of states."""
        return state @ torch.linalg.inv(self.axes).T

    def interpolated(self, table: Float[Tensor, "*mesh"], z: Float[Tensor, "*batch axis"]) -> Float[Tensor, "*batch"]:
        """A table between its nodes, linear along each axis, and beyond the edge its value there."""
        finite = torch.where(table.isfinite(), table, torch.inf).amin()
        table = torch.where(table.isfinite(), table, finite)
        place = (z - self.low) / self.spacing
        last = torch.tensor(self.counts) - 2
        node = place.floor().long().clamp(min=torch.zeros_like(last), max=last)
        share = (place - node).clamp(0.0, 1.0)
        found = torch.zeros_like(share[..., 0])
        for corner in itertools.product((0, 1), repeat=len(self.counts)):
            at = node + torch.tensor(corner)
            weight = torch.where(torch.tensor(corner, dtype=torch.bool), share, 1.0 - share).prod(-1)
            found = found + weight * table[tuple(at.unbind(-1))]
        return found

    def window(self, mask: Tensor) -> tuple[slice, ...]:
        """The smallest box of nodes that holds all nodes of a mask, which has at least one."""
        found = mask.nonzero()
        return tuple(slice(int(a), int(b) + 1) for a, b in zip(found.amin(0), found.amax(0), strict=True))

    def within(self, window: tuple[slice, ...]) -> "Mesh":
        """The part of the mesh inside a box of nodes."""
        first = torch.tensor([each.start for each in window], dtype=self.low.dtype)
        counts = tuple(each.stop - each.start for each in window)
        return Mesh(self.low + first * self.spacing, self.spacing, counts, self.axes)

    def edge(self, width: Float[Tensor, " axis"]) -> Tensor:
        """The mask of the nodes that are less than a distance from the edge, given for each axis in z."""
        near = [
            (self.nodes(k) - self.low[k]).minimum(self.high[k] - self.nodes(k)) < width[k] for k in range(len(width))
        ]
        if len(near) == 1:
            return near[0]
        return near[0][:, None] | near[1]


def independent_axes(one: Float[Tensor, "2 2"], other: Float[Tensor, "2 2"]) -> Float[Tensor, "2 2"]:
    """M such that two covariances M D M' have diagonal D: the identity if both are diagonal already."""
    if not bool(torch.stack([one[0, 1], other[0, 1]]).any()):
        return torch.eye(2, dtype=one.dtype)
    root = torch.linalg.cholesky(one)
    half = torch.linalg.solve_triangular(root, other, upper=False)
    _, turn = torch.linalg.eigh(torch.linalg.solve_triangular(root, half.T, upper=False))
    axes = root @ turn
    return axes / axes.norm(dim=0)
