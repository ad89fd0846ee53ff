"""The prior over a population of people."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, final

from ..errors import InvalidArgument
from ..runtime.arguments import named, number, positive, shown
from ..text.one_line import one_line

DEMONSTRATORS = ("clamped", "free", "dial", "boltzmann")


class Parameter(NamedTuple):
    r"""One parameter of a person in unconstrained form, $u_i \sim \mathcal N(\mu, \sigma^2)$ over the population."""

    name: str
    """"temperature" (u = log τ), "risk" (u = θ), "lapse" (u = logit λ), or the name of a reward weight (u = w)."""
    centre: float
    """The prior mean of μ."""
    width: float
    r"""The prior standard deviation of μ, and the scale of the half-normal prior of σ."""


@final
@dataclass(frozen=True)
class PeoplePrior:
    r"""The prior over a population: normal in log τ, θ = β/τ, logit λ and the reward weights.

    $$u_i \sim \mathcal N(\mu, \sigma^2), \qquad \mu \sim \mathcal N(c, s^2), \qquad
    \sigma \sim \mathcal N^+(0, s^2)$$

    with $u = \log \tau$, c = log `temperature` and s = 1; u = θ, c = 0 and s = `risk`; $u = \operatorname{logit}
    \lambda$, c = logit `lapse` and s = 1; and u = w, c = 0 and s = the entry of `weights`. Individuals are described by
    θ in place of β because attitudes to risk are what choices show: θ hardly depends on τ.

        PeoplePrior(temperature=1.0, risk=0.5, lapse=0.02)

    Attributes:
        temperature: the median of τ over populations, in reward units per nat; a population is within a factor of e of
            it with probability .68.
        risk: the scale of θ, in 1/reward.
        lapse: the median of λ, or None if nobody lapses.
        weights: the scale of each reward weight, by name.
    """

    temperature: float
    risk: float
    lapse: float | None = None
    weights: Mapping[str, float] | None = None

    __repr__ = one_line

    def __post_init__(self) -> None:
        """Check the arguments.

        Raises:
            InvalidArgument: if a scale is not positive, or `lapse` is not between 0 and 1; the message names it.
        """
        put: Any = object.__setattr__  # the dataclass is frozen
        put(self, "temperature", positive("temperature", self.temperature, "median, in reward units per nat"))
        put(self, "risk", positive("risk", self.risk, "scale, in 1/reward"))
        if self.lapse is not None:
            if not 0 < number(self.lapse) < 1:
                raise InvalidArgument(
                    f"`lapse` must be a median between 0 and 1, or None if nobody lapses, but is {shown(self.lapse)}."
                )
            put(self, "lapse", float(self.lapse))
        scales = {} if self.weights is None else named("weights", self.weights, what="scale")
        put(self, "weights", {name: positive(f"weights: {name!r}", each, "scale") for name, each in scales.items()})
        taken = {"temperature", "risk", "optimism", "lapse"} & set(scales)
        if taken:
            raise InvalidArgument(f"`weights` must have names of their own, but has {sorted(taken)[0]!r}. Rename it.")


def parameters_of(prior: PeoplePrior, demonstrator: str) -> tuple[Parameter, ...]:
    """Return the parameters of a person; only the "dial" demonstrator has a risk parameter of its own."""
    found = [Parameter("temperature", math.log(prior.temperature), 1.0)]
    if demonstrator == "dial":
        found.append(Parameter("risk", 0.0, prior.risk))
    if prior.lapse is not None:
        found.append(Parameter("lapse", math.log(prior.lapse / (1 - prior.lapse)), 1.0))
    return (*found, *(Parameter(name, 0.0, width) for name, width in (prior.weights or {}).items()))


def require_prior(prior: object, weights: Mapping[str, Any]) -> PeoplePrior:
    """Return the prior.

    Raises:
        InvalidArgument: if it is anything else, or its weights are not those of the features.
    """
    if not isinstance(prior, PeoplePrior):
        raise InvalidArgument(
            f"`prior` must be a PeoplePrior, but is {shown(prior)}. Pass PeoplePrior(temperature=1.0, risk=0.5), in "
            "the reward units of the problems."
        )
    scales = prior.weights or {}
    if set(scales) != set(weights):
        raise InvalidArgument(
            f"`prior` must have a scale for each weight of `features`, {sorted(weights)}, but has {sorted(scales)}: "
            "PeoplePrior(…, weights={name: scale})."
        )
    return prior
