"""The zoo of continuous problems: named problems whose states and actions are real numbers or vectors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

from pgm_control.problems.continuous.line import Line
from pgm_control.problems.continuous.linear_quadratic import LinearQuadratic
from pgm_control.problems.continuous.planar import Planar
from pgm_control.problems.named import CONTINUOUS
from pgm_control.runtime.arguments import called, function, positive
from pgm_control.text.one_line import one_line

from .double_integrator import HAND as PUSH
from .double_integrator import double_integrator
from .gusty_ledge import HAND, gusty_ledge
from .hurry import hurry
from .line import LineModel
from .linear_quadratic import LinearQuadraticModel
from .planar import PlanarModel


@final
@dataclass(frozen=True)
class ContinuousEntry:
    """A named continuous problem.

    Attributes:
        name: the name in the zoo.
        build: the function that makes the problem, a `Planar`, a `Line` or a `LinearQuadratic`; all arguments have
            defaults, and `horizon` is one of them.
        summary: a description in one sentence.
        temperature: the temperature at which the returns of free and clamped guides differ, in reward units per nat.
        action_prior: the variance of the prior over actions, along each axis.
    """

    name: str
    build: Callable[..., Planar | Line | LinearQuadratic]
    summary: str
    temperature: float = 1.0
    action_prior: float = 1.0

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
        object.__setattr__(self, "action_prior", positive("action_prior", self.action_prior, "variance"))

    def model(
        self, horizon: int | None = None, temperature: float | None = None
    ) -> PlanarModel | LineModel | LinearQuadraticModel:
        """The problem as a model; default: at its own horizon and temperature."""
        problem = self.build() if horizon is None else self.build(horizon=horizon)
        tau = self.temperature if temperature is None else temperature
        if isinstance(problem, Planar):
            return PlanarModel(problem, tau, self.action_prior)
        if isinstance(problem, Line):
            return LineModel(problem, tau, self.action_prior)
        return LinearQuadraticModel(problem, tau, self.action_prior)


_BUILDERS = {
    "double_integrator": (double_integrator, PUSH),
    "gusty_ledge": (gusty_ledge, HAND),
    "hurry": (hurry, 1.0),
}


def continuous_zoo() -> Mapping[str, ContinuousEntry]:
    """A mapping from names to entries of continuous problems. This builds no problem."""
    entries = {}
    for each in CONTINUOUS:
        build, prior = _BUILDERS[each.name]
        entries[each.name] = ContinuousEntry(each.name, build, each.summary, each.settings.temperature, prior)
    return MappingProxyType(entries)
