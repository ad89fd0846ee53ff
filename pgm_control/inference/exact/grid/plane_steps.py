"""The distributions of a solution of the plane off its mesh."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from ....problems.continuous.planar import Planar
from ....trajectories.gaussian.distributions import gaussian
from .convolution import log_convolved
from .density import PlaneDensity
from .plane import Plane
from .solution import Values


@final
@dataclass(frozen=True, eq=False)
class PlaneSteps:
    """Start, policy and dynamics as distributions, of the numbers that the sweeps left.

    Attributes:
        problem, plane, values: the problem, its numbers on the mesh, and their solution.
        beta, beta_of_start: the optimism of the dynamics and of the start.
    """

    problem: Planar
    plane: Plane
    values: Values
    beta: float
    beta_of_start: float

    def true_initial(self) -> Any:
        """p(s_0)."""
        mean = self.problem.initial_mean
        if self.problem.has_known_start:
            return dist.Delta(mean, event_dim=1)
        return gaussian(mean, self.problem.initial_covariance)

    def initial(self) -> Any:
        """The believed start."""
        plane = self.plane
        if plane.log_start is None or self.beta_of_start == 0:
            return self.true_initial()
        table = plane.log_start + self.beta_of_start * self.values.v[0] / plane.temperature
        columns = torch.logsumexp(table, 1, keepdim=True).expand_as(table)
        flat = torch.full_like(plane.wind, torch.inf)
        return PlaneDensity(plane.mesh, plane.start, flat, table, columns, torch.zeros_like(flat))

    def true_dynamics(self, state: Float[Tensor, "*batch 2"], action: Float[Tensor, "*batch 2"]) -> Any:
        """p(s' | s, a)."""
        return gaussian(state + action, self.problem.noise_covariance)

    def policy(self, t: int, state: Float[Tensor, "*batch 2"]) -> Any:
        """π_t(a | s): the place that the hand chooses, less the state."""
        plane = self.plane
        return PlaneDensity(plane.mesh, plane.mesh.coordinates(state), plane.hand, *self._hands[t], shift=state)

    def dynamics(self, t: int, state: Float[Tensor, "*batch 2"], action: Float[Tensor, "*batch 2"]) -> Any:
        """q_t(s' | s, a)."""
        if self.beta == 0:
            return self.true_dynamics(state, action)
        plane, place = self.plane, state + action
        return PlaneDensity(
            plane.mesh, plane.mesh.coordinates(place), plane.wind, *self._winds[t], shift=torch.zeros_like(place)
        )

    @cached_property
    def _hands(self) -> list[tuple[Tensor, Tensor]]:
        """What multiplies the action prior, and its columns, by step."""
        return [self._with_columns(g / self.plane.temperature, self.plane.hand) for g in self.values.g]

    @cached_property
    def _winds(self) -> list[tuple[Tensor, Tensor]]:
        """What multiplies the true dynamics, and its columns, by step."""
        scale = self.beta / self.plane.temperature
        return [self._with_columns(scale * worth, self.plane.wind) for worth in self.values.worth]

    def _with_columns(self, table: Tensor, variance: Float[Tensor, " 2"]) -> tuple[Tensor, Tensor]:
        return table, log_convolved(table, float(self.plane.mesh.spacing[1]), float(variance[1]))
