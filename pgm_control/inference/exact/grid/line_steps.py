"""The distributions of a solution of the line off its mesh."""

from dataclasses import dataclass
from typing import Any, final

import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from .density import LineDensity
from .line import LineTables
from .solution import Values


@final
@dataclass(frozen=True, eq=False)
class LineSteps:
    """Start, policy and dynamics as distributions, of the numbers that the sweeps left.

    Attributes:
        tables, values: the numbers of the problem and their solution.
        beta, beta_of_start: the optimism of the dynamics and of the start.
    """

    tables: LineTables
    values: Values
    beta: float
    beta_of_start: float

    def true_initial(self) -> Any:
        """p(s_0)."""
        mean = torch.tensor(self.tables.problem.initial_mean, dtype=self.tables.mesh.low.dtype)
        if self.tables.problem.has_known_start:
            return dist.Delta(mean)
        return dist.Normal(mean, self.tables.problem.initial_deviation)

    def initial(self) -> Any:
        """The believed start."""
        if self.tables.problem.has_known_start or self.beta_of_start == 0:
            return self.true_initial()
        tilt = self.beta_of_start * self.values.v[0] / self.tables.temperature
        return LineDensity(self.tables.mesh, self.tables.log_start + tilt)

    def true_dynamics(self, state: Float[Tensor, "*batch"], action: Float[Tensor, "*batch"]) -> Any:
        """p(s' | s, a)."""
        return self.tables.problem.next_state(state, action)

    def policy(self, t: int, state: Float[Tensor, "*batch"]) -> Any:
        """π_t(a | s), with Q interpolated between the nodes of the states."""
        mesh, q = self.tables.mesh, self.values.g[t] / self.tables.temperature
        place = (state - mesh.low[0]) / mesh.spacing[0]
        node = place.floor().long().clamp(0, mesh.counts[0] - 2)
        share = (place - node).clamp(0, 1)[..., None]
        table = q[node] * (1 - share) + q[node + 1] * share
        table = torch.where(table.isnan(), -torch.inf, table)
        return LineDensity(self.tables.actions, self.tables.log_prior + table)

    def dynamics(self, t: int, state: Float[Tensor, "*batch"], action: Float[Tensor, "*batch"]) -> Any:
        """q_t(s' | s, a)."""
        if self.beta == 0:
            return self.true_dynamics(state, action)
        nodes = self.tables.mesh.nodes(0)
        before = (state[..., None] + torch.zeros_like(nodes)), (action[..., None] + torch.zeros_like(nodes))
        law = self.tables.problem.noise_at(*before).log_prob(nodes - before[0] - before[1])
        return LineDensity(self.tables.mesh, law + self.beta * self.values.worth[t] / self.tables.temperature)
