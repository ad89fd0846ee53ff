"""The distributions of a solution of the plane off its mesh."""

from dataclasses import dataclass
from typing import Any, final

import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from ....problems.continuous.covariance import normal
from ....problems.continuous.planar import Planar
from .density import PlaneDensity
from .mesh import Mesh
from .plane import Densities, Plane, Values

_KEPT = 34.0  # nats below the largest density of the marginals, from which nodes are left out


@final
@dataclass(frozen=True, eq=False)
class PlaneSteps:
    """Start, policy and dynamics as distributions, of the numbers that the sweeps left.

    Attributes:
        problem, plane, values: the problem, its numbers on the mesh, and their solution.
        beta, beta_of_start: the optimism of the dynamics and of the start.
        places, states: the windows of nodes from which places and next states are drawn, by step.
    """

    problem: Planar
    plane: Plane
    values: Values
    beta: float
    beta_of_start: float
    places: tuple[tuple[slice, ...], ...]
    states: tuple[tuple[slice, ...], ...]

    @classmethod
    def of(
        cls,
        problem: Planar,
        plane: Plane,
        values: Values,
        betas: tuple[float, float],
        believed: Densities,
        true: Densities,
    ) -> "PlaneSteps":
        """The distributions, with windows that hold the marginals."""
        horizon = len(values.g)
        places = tuple(_window(plane.mesh, believed.places[t], true.places[t]) for t in range(horizon))
        states = tuple(
            _window(plane.mesh, believed.states[t - horizon], true.states[t - horizon]) for t in range(horizon)
        )
        return cls(problem, plane, values, *betas, places, states)

    def true_initial(self) -> Any:
        """p(s_0)."""
        mean = self.problem.initial_mean
        if self.problem.has_known_start:
            return dist.Delta(mean, event_dim=1)
        return normal(mean, self.problem.initial_covariance)

    def initial(self) -> Any:
        """The believed start."""
        if self.plane.log_start is None or self.beta_of_start == 0:
            return self.true_initial()
        table = self.plane.log_start + self.beta_of_start * self.values.v[0] / self.plane.temperature
        nowhere = torch.full_like(self.plane.wind, torch.inf)
        return PlaneDensity(self.plane.mesh, self.plane.start, nowhere, table, torch.zeros_like(nowhere))

    def true_dynamics(self, state: Float[Tensor, "*batch 2"], action: Float[Tensor, "*batch 2"]) -> Any:
        """p(s' | s, a)."""
        return normal(state + action, self.problem.noise_covariance)

    def policy(self, t: int, state: Float[Tensor, "*batch 2"]) -> Any:
        """π_t(a | s): the place that the hand chooses, less the state."""
        table = self.values.g[t] / self.plane.temperature
        return self._density(self.places[t], state, self.plane.hand, table, state)

    def dynamics(self, t: int, state: Float[Tensor, "*batch 2"], action: Float[Tensor, "*batch 2"]) -> Any:
        """q_t(s' | s, a)."""
        if self.beta == 0:
            return self.true_dynamics(state, action)
        place, table = state + action, self.beta * self.values.worth[t] / self.plane.temperature
        return self._density(self.states[t], place, self.plane.wind, table, torch.zeros_like(place))

    def _density(
        self, window: tuple[slice, ...], place: Tensor, variance: Tensor, table: Tensor, shift: Tensor
    ) -> PlaneDensity:
        mesh = self.plane.mesh
        return PlaneDensity(mesh.within(window), mesh.coordinates(place), variance, table[window], shift)


def _window(mesh: Mesh, *log_densities: Tensor) -> tuple[slice, ...]:
    """The box of nodes where a density is within 34 nats of its maximum."""
    kept = torch.stack([each > each.max() - _KEPT for each in log_densities]).any(0)
    return mesh.window(kept)
