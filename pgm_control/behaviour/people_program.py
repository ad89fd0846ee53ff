"""A population of people and its choices, as a Pyro program."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from ..runtime.arguments import one_of
from ..text.one_line import one_line
from ..trajectories.blocks import MarkovModel
from .people_prior import DEMONSTRATORS, Parameter, PeoplePrior, parameters_of, require_prior
from .trials.layers import require_features
from .trials.likelihood import ChoiceTables
from .trials.located import located, require_models
from .trials.person_parameters import PersonParameters


@final
@dataclass(frozen=True, eq=False)
class PeopleProgram:
    r"""A Pyro program that draws a population and its people, with the likelihood of their choices as a factor.

    $$\mu \sim \mathcal N(c, s^2), \quad \sigma \sim \mathcal N^+(0, s^2), \quad z_i \sim \mathcal N(0, 1), \qquad
    u_i = \mu + \sigma z_i, \qquad \text{factor } \log p(\text{choices}_i \mid u_i)$$

    Sites: `mean`, μ, and `spread`, σ, of each parameter; `z` in the plate `people`; and the factor `choice` in the
    plate `choices`, with one entry for each choice. See `PeoplePrior` for the parameters.

    Attributes:
        tables: the choices in their problems.
        prior: c and s.
        demonstrator: "dial"; or "clamped", β = 0; "free", β = 1; or "boltzmann", β = 0 and hard values.
    """

    tables: ChoiceTables
    prior: PeoplePrior
    demonstrator: str = "dial"

    __repr__ = one_line

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters of a person."""
        return parameters_of(self.prior, self.demonstrator)

    @property
    def people(self) -> tuple[str, ...]:
        """The names of the people."""
        return self.tables.seen.people

    @cached_property
    def priors(self) -> dict[str, Any]:
        """The distribution of each site."""
        centre, width = torch.tensor([each[1:] for each in self.parameters], dtype=torch.float64).T
        nothing = torch.zeros(len(self.people), len(centre), dtype=torch.float64)
        return {
            "mean": dist.Normal(centre, width).to_event(1),
            "spread": dist.HalfNormal(width).to_event(1),
            "z": dist.Normal(nothing, torch.ones_like(nothing)).to_event(2),
        }

    @property
    def start(self) -> dict[str, Tensor]:
        """The start of a search: everybody at the centre of the prior, which is half as wide."""
        priors = self.priors
        return {"mean": priors["mean"].mean, "spread": 0.5 * priors["spread"].mean, "z": priors["z"].mean}

    def __call__(self) -> None:
        """Draw the population and its people, and add the factor of the choices."""
        priors = self.priors
        drawn = {name: pyro.sample(name, priors[name]) for name in ("mean", "spread")}
        with pyro.plate("people", len(self.people), dim=-1):
            drawn["z"] = pyro.sample("z", dist.Normal(*self._standard).to_event(1))
        with pyro.plate("choices", len(self.tables.seen.person), dim=-1):
            pyro.factor("choice", self.by_choice(self.individuals(drawn)))

    @cached_property
    def _standard(self) -> tuple[Tensor, Tensor]:
        nothing = torch.zeros(len(self.parameters), dtype=torch.float64)
        return nothing, torch.ones_like(nothing)

    def individuals(self, drawn: Mapping[str, Tensor]) -> Float[Tensor, "*draw person parameter"]:
        """Return the unconstrained parameters u of each person."""
        return drawn["mean"][..., None, :] + drawn["spread"][..., None, :] * drawn["z"]

    def log_likelihood(self, drawn: Mapping[str, Tensor]) -> Float[Tensor, "*draw"]:
        """Return the log-probability of all choices, in nats."""
        return self.by_choice(self.individuals(drawn)).sum(-1)

    def by_choice(self, u: Float[Tensor, "*draw person parameter"]) -> Float[Tensor, "*draw choice"]:
        """Return the log-probability of each choice, in nats, given the parameters of the people."""
        return self.tables.log_likelihood(self._constrained(u))

    def log_probabilities(self, u: Float[Tensor, "*draw person parameter"]) -> Float[Tensor, "*draw choice action"]:
        """Return the log-probabilities of all actions at each choice, in nats."""
        return self.tables.log_probabilities(self._constrained(u))

    def _constrained(self, u: Float[Tensor, "*draw person parameter"]) -> PersonParameters:
        """Return β, τ, λ and the reward weights of each person."""
        names = [each.name for each in self.parameters]
        tau = u[..., names.index("temperature")].exp()
        if self.demonstrator == "dial":
            beta = u[..., names.index("risk")] * tau
        else:
            beta = torch.ones_like(tau) if self.demonstrator == "free" else torch.zeros_like(tau)
        lapses = None
        if "lapse" in names:
            logit = u[..., names.index("lapse")]
            lapses = torch.nn.functional.logsigmoid(logit), torch.nn.functional.logsigmoid(-logit)
        count = self.tables.layers.num_weights
        return PersonParameters(beta, tau, lapses, u[..., -count:] if count else None, self.demonstrator == "boltzmann")

    def named(self, u: Float[Tensor, "*draw person parameter"]) -> dict[str, Float[Tensor, "*draw person"]]:
        """Return τ, θ, β, λ and the reward weights by name: those that are parameters, and β if θ is one."""
        to = {"temperature": torch.exp, "lapse": torch.sigmoid}
        found = {each.name: to.get(each.name, torch.clone)(u[..., i]) for i, each in enumerate(self.parameters)}
        if "risk" in found:
            found["optimism"] = found["risk"] * found["temperature"]
        return found


def program_of(
    models: Mapping[str, MarkovModel],
    data: Any,
    prior: Any,
    demonstrator: str,
    features: Mapping[str, Mapping[str, Any]] | None,
) -> PeopleProgram:
    """Return the program for the arguments of `fit_people`.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
    """
    found = require_models(models)
    one_of("demonstrator", demonstrator, DEMONSTRATORS)
    given = require_features(features, found)
    scales = require_prior(prior, given)
    ordered = {name: given[name] for name in scales.weights or {}}
    return PeopleProgram(ChoiceTables(found, ordered, located(found, data)), scales, demonstrator)
