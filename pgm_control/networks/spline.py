r"""Increasing rational-quadratic splines as a change of variables for vectors, one coordinate after the other.

Sources:
    [durkan2019] C. Durkan et al., Neural spline flows. Advances in Neural Information Processing Systems 32, 2019.
        arXiv:1906.04032
"""

import math
from collections.abc import Callable
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.transforms import Transform

BINS = 8  # of a spline
REACH = 4.0  # it is the identity beyond ±4
_LEAST = 1e-3  # the least width and height of a bin, as a part of all, and the least slope at an edge
_UNIT = math.log(math.expm1(1.0 - _LEAST))  # where softplus gives a slope of 1
NUM_PARAMETERS = 3 * BINS - 1  # widths, heights, and slopes at the inner edges

Parameters = Callable[[int, Tensor], Tensor]


@final
class SplineMap(Transform):
    r"""x ↦ y with $y_i = f(x_i; \theta_i(x_{<i}))$, in which f is an increasing rational-quadratic spline [durkan2019].

    With parameters 0 it is the identity. It runs under `torch.vmap`.

    References:
        [durkan2019]
    """

    bijective = True
    domain = constraints.real_vector
    codomain = constraints.real_vector

    def __init__(self, parameters: Parameters) -> None:
        """Take θ: a function of i and the coordinates before i that returns (…, `NUM_PARAMETERS`) numbers."""
        super().__init__(cache_size=1)
        self._parameters = parameters
        self._log_slope: tuple[Tensor, Tensor] | None = None

    def _call(self, x: Tensor) -> Tensor:
        found, slope = list[Tensor](), torch.zeros_like(x[..., 0])
        for i in range(x.shape[-1]):
            y, log_slope = spline(x[..., i], self._parameters(i, x[..., :i]))
            found.append(y)
            slope = slope + log_slope
        self._log_slope = x, slope
        return torch.stack(found, -1)

    def _inverse(self, y: Tensor) -> Tensor:
        found, slope = list[Tensor](), torch.zeros_like(y[..., 0])
        for i in range(y.shape[-1]):
            before = torch.stack(found, -1) if found else y[..., :0]
            x, log_slope = spline(y[..., i], self._parameters(i, before), inverse=True)
            found.append(x)
            slope = slope - log_slope
        x = torch.stack(found, -1)
        self._log_slope = x, slope
        return x

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Float[Tensor, "*batch"]:
        """The sum of the logarithms of the slopes."""
        if self._log_slope is None or self._log_slope[0] is not x:
            self._call(x)
        assert self._log_slope is not None
        return self._log_slope[1]


class _Bin(NamedTuple):
    """The bin of each number: its edges, their images, and the slopes there."""

    left: Tensor
    width: Tensor
    below: Tensor
    height: Tensor
    slope: Tensor
    next_slope: Tensor


def spline(
    x: Float[Tensor, "*batch"], parameters: Float[Tensor, "*batch parameter"], inverse: bool = False
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """The image of each number under a spline, or its inverse, and the logarithm of the slope of that map there."""
    parameters = parameters.expand(*x.shape, NUM_PARAMETERS)
    inside = x.clamp(-REACH, REACH)
    here = _bin_of(inside, parameters, inverse)
    chord = here.height / here.width
    curve = here.slope + here.next_slope - 2 * chord
    if inverse:
        rise = inside - here.below
        a = here.height * (chord - here.slope) + rise * curve
        b = here.height * here.slope - rise * curve
        root = (b.square() + 4 * a * chord * rise).clamp_min(0.0).sqrt()
        part = 2 * chord * rise / (b + root)
    else:
        part = (inside - here.left) / here.width
    mixed = part * (1 - part)
    below = chord + curve * mixed
    log_slope = (
        2 * chord.log()
        + (here.next_slope * part.square() + 2 * chord * mixed + here.slope * (1 - part).square()).log()
        - 2 * below.log()
    )
    if inverse:
        image, log_slope = here.left + part * here.width, -log_slope
    else:
        image = here.below + here.height * (chord * part.square() + here.slope * mixed) / below
    is_inside = x.abs() < REACH
    return torch.where(is_inside, image, x), torch.where(is_inside, log_slope, 0.0)


def _bin_of(x: Tensor, parameters: Tensor, inverse: bool) -> _Bin:
    """The bin in which each number lies: along the images if `inverse`."""
    widths, heights, slopes = parameters.split((BINS, BINS, BINS - 1), -1)
    width, height = (2 * REACH * (_LEAST + (1 - BINS * _LEAST) * each.softmax(-1)) for each in (widths, heights))
    inner = _LEAST + torch.nn.functional.softplus(slopes + _UNIT)
    slope = torch.nn.functional.pad(inner, (1, 1), value=1.0)
    left, below = (each.cumsum(-1) - each - REACH for each in (width, height))
    edges = below if inverse else left
    index = ((x[..., None] >= edges).sum(-1, keepdim=True) - 1).clamp_min(0)

    def here(table: Tensor, shift: int = 0) -> Tensor:
        return table.gather(-1, index + shift).squeeze(-1)

    return _Bin(here(left), here(width), here(below), here(height), here(slope), here(slope, 1))
