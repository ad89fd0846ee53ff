"""The tables of an exact solution on a mesh."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ....text.one_line import one_line

Table = Float[Tensor, "..."]


@final
@dataclass(frozen=True, eq=False)
class Values:
    """The backward sweep, in reward units.

    Attributes:
        v: V_t at the nodes, t = 0 … T; V_T is the final reward.
        worth: V⁺_{t+1}, the reward of reaching a node at t + 1 and what follows, t = 0 … T − 1.
        g: its certainty equivalent over the noise, t = 0 … T − 1: G_t by place on the plane, Q_t by state and action on
            the line.
        value: the certainty equivalent of V_0 over the start.
    """

    v: Float[Tensor, "time_and_last ..."]
    worth: Float[Tensor, "time ..."]
    g: Float[Tensor, "time ..."]
    value: float


@final
@dataclass(frozen=True, eq=False, repr=False)
class Densities:
    """A forward sweep: log-densities of the coordinates of the mesh.

    Attributes:
        states: of the states, t = 0 … T; from t = 1 if the density of a known start is left out.
        places: of the places m = s + a on the plane, and of pairs of state and action on the line, t = 0 … T − 1.
        has_start: whether `states` begins with the start.
    """

    states: Float[Tensor, "time_from ..."]
    places: Float[Tensor, "time ..."]
    has_start: bool

    __repr__ = one_line


def minus(log_density: Table, value: Table) -> Table:
    """The difference; −inf where the density is 0, also if the value is −inf there."""
    return torch.where(log_density > -torch.inf, log_density - value, -torch.inf)


def expected(log_mass: Table, values: Table) -> Float[Tensor, " time"]:
    """The sums over nodes of mass times values, by time; where there is no mass the values do not count."""
    terms = torch.where(log_mass > -torch.inf, log_mass.exp() * values, 0.0)
    return terms.flatten(1).sum(1)
