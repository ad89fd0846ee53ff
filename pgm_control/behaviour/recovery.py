"""Parameter recovery: whether a design of problems lets the parameters of simulated people be found again.

Sources:
    [wilson2019] Robert C. Wilson and Anne G. E. Collins, Ten simple rules for the computational modeling of behavioral
        data. eLife 8:e49547, 2019. doi:10.7554/eLife.49547
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidArgument
from ..runtime.arguments import finite, one_of, positive, shown, whole
from ..runtime.progress import Progress, silent
from ..runtime.randomness import seeded
from ..text.tables import grid, html_grid
from ..trajectories.blocks import MarkovModel
from .fit_people import fit_people
from .people_fit import PeopleFit
from .people_prior import DEMONSTRATORS, Parameter, PeoplePrior, parameters_of, require_prior
from .trials.choices import Choices
from .trials.layers import require_features
from .trials.located import require_models
from .trials.simulate import simulate_people

_HEAD = (
    ("", "correlation of", "true values", "mean", "90 % intervals"),
    ("", "true and mean", "lowest … highest", "error", "that hold"),
)


@final
@dataclass(frozen=True, eq=False, repr=False)
class Recovery:
    """Simulated people and what a fit found of them. Printing it prints a table; `plot.recovery` draws it.

    Attributes:
        true: the true quantities of each person, by name.
        fit: the fit to their choices.
    """

    true: Mapping[str, Float[Tensor, " person"]]
    fit: PeopleFit

    @property
    def names(self) -> tuple[str, ...]:
        """The quantities that are identified and whose true values are known."""
        return tuple(name for name in self.fit.names if name in self.true)

    def estimate(self, name: str) -> Float[Tensor, "person mean_low_high"]:
        """Return the posterior mean of a quantity of each person, and its 90 % interval."""
        return torch.cat([self.fit.mean(name)[:, None], self.fit.interval(name)], 1)

    def correlation(self, name: str) -> float:
        """Return the correlation over people of the true value and the posterior mean."""
        return float(torch.corrcoef(torch.stack([self.true[name], self.fit.mean(name)]))[0, 1])

    def coverage(self, name: str, level: float = 0.9) -> float:
        """Return the share of people whose true value lies in its interval."""
        low, high = self.fit.interval(name, level).unbind(1)
        return float(((low <= self.true[name]) & (self.true[name] <= high)).double().mean())

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                name, f"{self.correlation(name):.3f}", f"{self.true[name].min():.3g} … {self.true[name].max():.3g}",
                f"{(self.fit.mean(name) - self.true[name]).abs().mean():.3g}", f"{100 * self.coverage(name):.0f} %",
            )
            for name in self.names
        ]  # fmt: skip

    def __str__(self) -> str:
        """A table for a terminal."""
        return f"{grid(_HEAD, self._rows())}\n{self.fit.status.message}"

    def _repr_html_(self) -> str:
        """A table for a notebook."""
        return html_grid(_HEAD, self._rows())

    def __repr__(self) -> str:
        """The recovery as a table for a terminal."""
        return str(self)


def recovery(
    models: Mapping[str, MarkovModel],
    prior: Any,
    population: Mapping[str, tuple[float, float]] | None = None,
    demonstrator: str = "dial",
    *,
    num_people: int = 40,
    num_repeats: int = 1,
    features: Mapping[str, Mapping[str, Any]] | None = None,
    method: str = "nuts",
    num_samples: int = 1000,
    num_warmup: int = 150,
    seed: int | torch.Generator | None = None,
    progress: Progress = silent,
) -> Recovery:
    """Simulate people, fit them, and return true and recovered parameters: to be done before the experiment.

    Args:
        models: the problems of the design by name; each person plays each.
        prior: the prior of the fit.
        population: the true centre and spread of each parameter: "temperature": the median of τ and the standard
            deviation of log τ; "risk": mean and deviation of θ; "lapse": the median of λ and the deviation of its
            logit; and mean and deviation of each reward weight. Default for those left out: drawn from the prior.
        demonstrator: the model of simulation and fit, as for `fit_people`.
        num_people: the number of people.
        num_repeats: how often each plays each problem.
        features, method, num_samples, num_warmup, progress: as for `fit_people`.
        seed: an integer, a generator, or None for torch's global generator.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.

    References:
        [wilson2019]
    """
    with seeded(seed):
        data, true = simulated(models, prior, population, demonstrator, num_people, num_repeats, features)
        fit = fit_people(
            models,
            data,
            prior,
            demonstrator,
            features=features,
            method=method,
            num_samples=num_samples,
            num_warmup=num_warmup,
            progress=progress,
        )
    return Recovery(true, fit)


def simulated(
    models: Mapping[str, MarkovModel],
    prior: Any,
    population: Mapping[str, tuple[float, float]] | None,
    demonstrator: str,
    num_people: int,
    num_repeats: int,
    features: Mapping[str, Mapping[str, Any]] | None,
) -> tuple[Choices, dict[str, Float[Tensor, " person"]]]:
    """Return the choices of people of a population, and their true quantities, by torch's global generator.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
    """
    one_of("demonstrator", demonstrator, DEMONSTRATORS)
    given = require_features(features, require_models(models))
    scales = require_prior(prior, given)
    num_people = whole("num_people", num_people, 2)
    parameters = parameters_of(scales, demonstrator)
    centre, spread = _population(scales, population, parameters)
    u = centre + spread * torch.randn(num_people, len(parameters), dtype=torch.float64)
    to = {"temperature": torch.exp, "lapse": torch.sigmoid}
    true = {each.name: to.get(each.name, torch.clone)(u[:, i]) for i, each in enumerate(parameters)}
    tau = true["temperature"]
    if "risk" in true:
        true["optimism"] = true["risk"] * tau
    beta = true.get("optimism", torch.ones_like(tau) if demonstrator == "free" else torch.zeros_like(tau))
    weights = torch.stack([true[name] for name in given], -1) if given else None
    data = simulate_people(
        models,
        beta,
        tau,
        true.get("lapse", 0.0),
        num_people=num_people,
        num_repeats=num_repeats,
        features=features,
        weights=weights,
        hard=demonstrator == "boltzmann",
    )
    return data, true


def _population(
    prior: PeoplePrior, population: Mapping[str, tuple[float, float]] | None, parameters: tuple[Parameter, ...]
) -> tuple[Tensor, Tensor]:
    """Centre and spread of each parameter u."""
    given = dict(population or {})
    known = {each.name for each in parameters_of(prior, "dial")}
    if set(given) - known:
        name = sorted(set(given) - known)[0]
        raise InvalidArgument(
            f"`population` must name parameters of the prior, {sorted(known)}, but names {name!r}. Leave it out, or "
            "add it to the prior."
        )
    rows = []
    for each in parameters:
        if each.name not in given:
            mean, spread = torch.randn(2, dtype=torch.float64).tolist()
            rows.append((each.centre + each.width * mean, each.width * abs(spread)))
            continue
        pair = given[each.name]
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise InvalidArgument(
                f"`population[{each.name!r}]` must be a pair of centre and spread, but is {shown(pair)}."
            )
        name = f"population[{each.name!r}]"
        spread = positive(name, pair[1], "spread")
        if each.name == "temperature":
            rows.append((math.log(positive(name, pair[0], "median")), spread))
        elif each.name == "lapse":
            chance = positive(name, pair[0], "median")
            if chance >= 1:
                raise InvalidArgument(f"`{name}` must have a median below 1, but has {chance}.")
            rows.append((math.log(chance / (1 - chance)), spread))
        else:
            rows.append((finite(name, pair[0], "mean"), spread))
    centre, spreads = torch.tensor(rows, dtype=torch.float64).T
    return centre, spreads
