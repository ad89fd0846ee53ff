"""A grid of cells over continuous coordinates."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Int

from ..errors import InvalidArgument
from ..runtime.arguments import listed, shown, whole_number
from ..runtime.array_like import real_array

_MOST = 1_000_000  # the largest number of bins along an axis


@final
@dataclass(frozen=True, eq=False, repr=False)
class Cells:
    """A box divided into cells along its axes, numbered with the last axis varying fastest.

    A point outside the box belongs to the nearest cell, so the outermost cells are open. A periodic axis has no
    outside.

    Attributes:
        edges: for each axis, n + 1 increasing numbers for n bins.
        periodic: for each axis, whether its two ends are the same point, such as −π and π of an angle.
        names: the names of the axes.
    """

    edges: tuple[Float[np.ndarray, " _"], ...]
    periodic: tuple[bool, ...]
    names: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of bins along each axis."""
        return tuple(len(each) - 1 for each in self.edges)

    @property
    def count(self) -> int:
        """The number of cells."""
        return int(np.prod(self.shape))

    def index(self, points: Float[np.ndarray, "batch coordinate"]) -> Int[np.ndarray, " batch"]:
        """The index of the cell of each point; a point on the edge between two cells belongs to the upper one."""
        found = np.zeros(len(points), np.int64)
        for axis, (edges, wraps) in enumerate(zip(self.edges, self.periodic, strict=True)):
            x = points[:, axis]
            if wraps:
                x = edges[0] + np.mod(x - edges[0], edges[-1] - edges[0])
            found = found * (len(edges) - 1) + np.searchsorted(edges[1:-1], x, side="right")
        return found

    def bounds(self) -> tuple[Float[np.ndarray, "cell coordinate"], Float[np.ndarray, "cell coordinate"]]:
        """The lower and the upper corners of all cells."""
        low, high = ([each[part] for each in self.edges] for part in (slice(None, -1), slice(1, None)))
        return tuple(np.stack([axis.ravel() for axis in np.meshgrid(*ends, indexing="ij")], -1) for ends in (low, high))  # pyright: ignore[reportReturnType]  two

    def centers(self) -> Float[np.ndarray, "cell coordinate"]:
        """The centres of all cells."""
        low, high = self.bounds()
        return (low + high) / 2

    def cell_names(self) -> tuple[str, ...]:
        """The centre of each cell as text, such as `position -0.5, velocity 0.01`; bins have distinct texts."""
        axes = [
            [f"{name} {text}" for text in _distinct((edges[:-1] + edges[1:]) / 2)]
            for name, edges in zip(self.names, self.edges, strict=True)
        ]
        return tuple(", ".join(parts) for parts in itertools.product(*axes))

    def __repr__(self) -> str:
        """The number of cells, and the bins and range of each axis."""
        axes = (
            f"{n} of {name} from {edges[0]:.4g} to {edges[-1]:.4g}"
            for name, n, edges in zip(self.names, self.shape, self.edges, strict=True)
        )
        return f"Cells({self.count}: {', '.join(axes)})"


def cells_of(
    bins: int | Sequence[int | Sequence[float] | Float[np.ndarray, " _"]],
    low: Sequence[float],
    high: Sequence[float],
    periodic: Sequence[bool],
    names: Sequence[str],
) -> Cells:
    """The cells defined by numbers of bins or by edges.

    Raises:
        InvalidArgument: if an argument does not fit; the message names it.
    """
    axes = len(names)
    one = whole_number(bins)
    each = listed("bins", bins, "numbers of bins, or of edges") if one is None else [one] * axes
    if len(each) != axes:
        raise InvalidArgument(
            f"`bins` must hold one entry for each of {', '.join(names)}, but holds {len(each)}. One number for all "
            "is allowed too."
        )
    edges = []
    for axis, (given, name) in enumerate(zip(each, names, strict=True)):
        count = whole_number(given)
        if count is not None:
            if not 1 <= count <= _MOST:
                raise InvalidArgument(f"`bins` must be from 1 to {_MOST:,}, but is {count} for {name}.")
            edges.append(np.linspace(low[axis], high[axis], count + 1))
            continue
        found = real_array("bins", given, InvalidArgument).astype(np.float64)
        if found.ndim != 1 or len(found) < 2 or not np.isfinite(found).all() or (np.diff(found) <= 0).any():
            raise InvalidArgument(
                f"`bins` must be a number of bins or increasing edges, at least two, but is {shown(given)} for {name}."
            )
        if periodic[axis] and not np.allclose(found[[0, -1]], (low[axis], high[axis])):
            raise InvalidArgument(
                f"`bins` of {name} must begin at {low[axis]:.6g} and end at {high[axis]:.6g}, once around, but are "
                f"{found[0]:.6g} to {found[-1]:.6g}."
            )
        edges.append(found)
    return Cells(tuple(edges), tuple(map(bool, periodic)), tuple(names))


def _distinct(numbers: Float[np.ndarray, " bin"]) -> list[str]:
    """The numbers as texts with the fewest digits, at least three, that make them distinct."""
    clean = np.where(np.abs(numbers) < 1e-12 * np.abs(numbers).max(initial=1e-300), 0.0, numbers)
    digits = 3
    while len({f"{each:.{digits}g}" for each in clean}) < len(clean) and digits < 17:
        digits += 1
    return [f"{each:.{digits}g}" for each in clean]
