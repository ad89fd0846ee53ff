"""The zoo of continuous problems: named problems whose states and actions are real numbers or vectors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, final

import pyro.distributions as dist
import torch

from pgm_control.problems.continuous.line import Line
from pgm_control.problems.continuous.linear_quadratic import LinearQuadratic
from pgm_control.problems.continuous.planar import Planar
from pgm_control.problems.continuous.problem import ContinuousProblem
from pgm_control.problems.named import CONTINUOUS
from pgm_control.runtime.arguments import called, function, positive
from pgm_control.text.one_line import one_line

from .continuous import ContinuousModel
from .double_integrator import HAND as PUSH
from .double_integrator import double_integrator
from .gusty_ledge import HAND, gusty_ledge
from .hurry import hurry
from .line import LineModel
from .linear_quadratic import LinearQuadraticModel
from .planar import PlanarModel
from .windy_pendulum import torque, windy_pendulum


@final
@dataclass(frozen=True)
class ContinuousEntry:
    """A named continuous problem.

    Attributes:
        name: the name in the zoo.
        build: the function that makes the problem, a `LinearQuadratic`, a `Planar`, a `Line` or a `ContinuousProblem`;
            all arguments have defaults, and `horizon` is one of them.
        summary: a description in one sentence.
        temperature: the temperature at which the returns of free and clamped guides differ, in reward units per nat.
        action_prior: the variance of the prior over actions, which is normal with mean 0, along each axis; for a
            `ContinuousProblem` also a distribution over vectors.
    """

    name: str
    build: Callable[..., LinearQuadratic | Planar | Line | ContinuousProblem]
    summary: str
    temperature: float = 1.0
    action_prior: float | torch.distributions.Distribution = 1.0

    __repr__ = one_line

    def __post_init__(self) -> None:
        """Check the entry.

        Raises:
            InvalidArgument: if an argument does not fit; the message names it.
        """
        for name in ("name", "summary"):
            called(name, getattr(self, name))
        function("build", self.build)
        object.__setattr__(self, "temperature", positive("temperature", self.temperature))
        if not isinstance(self.action_prior, torch.distributions.Distribution):
            object.__setattr__(self, "action_prior", positive("action_prior", self.action_prior, "variance"))

    def model(
        self, horizon: int | None = None, temperature: float | None = None
    ) -> LinearQuadraticModel | PlanarModel | LineModel | ContinuousModel:
        """The problem as a model; default: at its own horizon and temperature."""
        problem = self.build() if horizon is None else self.build(horizon=horizon)
        tau = self.temperature if temperature is None else temperature
        if isinstance(problem, ContinuousProblem):
            return ContinuousModel(
                problem.start, problem.dynamics, problem.reward, problem.horizon, tau, self._prior_over(problem),
                problem.final_reward,
            )  # fmt: skip
        variance = positive("action_prior", self.action_prior, "variance")
        if isinstance(problem, Planar):
            return PlanarModel(problem, tau, variance)
        if isinstance(problem, Line):
            return LineModel(problem, tau, variance)
        return LinearQuadraticModel(problem, tau, variance)

    def _prior_over(self, problem: ContinuousProblem) -> Any:
        """The action prior, a distribution over vectors."""
        prior = self.action_prior
        if isinstance(prior, torch.distributions.Distribution):
            return prior
        mean = torch.zeros(problem.num_action_coordinates, dtype=torch.float64)
        return dist.Normal(mean, prior**0.5).to_event(1)


_BUILDERS: Mapping[str, tuple[Callable[..., Any], Any]] = {
    "double_integrator": (double_integrator, PUSH),
    "gusty_ledge": (gusty_ledge, HAND),
    "hurry": (hurry, 1.0),
    "windy_pendulum": (windy_pendulum, torque()),
}


def continuous_zoo() -> Mapping[str, ContinuousEntry]:
    """A mapping from names to entries of continuous problems. This builds no problem."""
    entries = {}
    for each in CONTINUOUS:
        build, prior = _BUILDERS[each.name]
        entries[each.name] = ContinuousEntry(each.name, build, each.summary, each.settings.temperature, prior)
    return MappingProxyType(entries)
