"""The peaks of a posterior over rewards that searches from several of its draws find."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...runtime.randomness import seeded
from ...text.one_line import one_line
from ..search.descent import Vector
from ..search.optima import minima
from .coordinates import Coordinates

_CLIMBS = 6
_TOLERANCE = 1e-6  # nats per coordinate
_DEEP = 0.01  # nats: a shallower valley does not separate two peaks


class Peak(NamedTuple):
    """A local maximum of the posterior density."""

    parameters: Float[Tensor, " parameter"]
    """In the order of the names of the posterior."""
    log_density: float
    """log p(demonstrations, parameters) in unconstrained coordinates, in nats."""
    share: float
    """The share of the draws for which this is the nearest peak, in standard deviations of the posterior."""

    __repr__ = one_line


def peaks(coordinates: Coordinates, draws: Float[Tensor, "draw coordinate"], among_prior: bool) -> tuple[Peak, ...]:
    """Return the peaks above a few draws that are far from each other, the highest first. There may be others.

    Args:
        coordinates: the posterior.
        draws: draws from it.
        among_prior: whether to start from draws of the prior too, for draws that surround one peak only.
    """
    unit = draws.std(0).clamp_min(1e-9)
    places = _spread_out(draws / unit) * unit
    if among_prior:
        with seeded(0):
            places = torch.cat([places, coordinates.drawn_from_prior(_CLIMBS)])

    def function(x: Vector) -> tuple[float, Vector]:
        u = torch.from_numpy(x).to(draws).requires_grad_()
        height = coordinates.log_density(u)
        (slope,) = torch.autograd.grad(height, u)
        return -float(height.detach()), -slope.numpy(force=True).astype(np.float64)

    starts = list(places.numpy(force=True).astype(np.float64))
    found = minima(function, starts, unit.numpy(force=True).astype(np.float64), _TOLERANCE, _DEEP)
    tops = torch.stack([torch.from_numpy(each.x).to(draws) for each in found])
    nearest = torch.cdist(draws / unit, tops / unit).argmin(1)
    values = torch.cat([each.reshape(len(tops), -1) for each in coordinates.values(tops).values()], -1)
    return tuple(Peak(values[i], -each.value, float((nearest == i).to(draws).mean())) for i, each in enumerate(found))


def _spread_out(draws: Float[Tensor, "draw coordinate"]) -> Float[Tensor, "few coordinate"]:
    """Return a few draws, the first near the mean, each next one the farthest from those before."""
    chosen = [int((draws - draws.mean(0)).square().sum(1).argmin())]
    apart = torch.full_like(draws[:, 0], torch.inf)
    while len(chosen) < min(_CLIMBS, len(draws)):
        apart = torch.minimum(apart, (draws - draws[chosen[-1]]).square().sum(1))
        chosen.append(int(apart.argmax()))
    return draws[chosen]
