"""The posterior over a population and its people.

Sources:
    [vehtari2017] Aki Vehtari, Andrew Gelman and Jonah Gabry, Practical Bayesian model evaluation using leave-one-out
        cross-validation and WAIC. Statistics and Computing 27(5):1413–1432, 2017. doi:10.1007/s11222-016-9696-4
"""

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, final

import torch
from jaxtyping import Float
from pyro.ops.stats import effective_sample_size, split_gelman_rubin
from torch import Tensor

from ..errors import InvalidArgument, MissingExtra
from ..runtime.arguments import number, one_of, shown
from ..runtime.status import Status
from ..text.tables import grid, html_grid
from .people_identification import PeopleIdentification, people_identification
from .people_program import PeopleProgram

if TYPE_CHECKING:
    from xarray import DataTree

_HEAD = (
    ("", "population", "90 % interval", "spread", "of people", "least effective", "largest"),
    ("", "median", "of the median", "(of u)", "lowest … highest", "draws", "r̂"),
)
_SIGNS = {"temperature": "τ", "risk": "θ = β/τ", "optimism": "β", "lapse": "λ"}


class PeopleStatus(Status):
    """How a fit of people ended."""

    converged = "The chains agree: r̂ is at most 1.05, with at least 100 effective draws of every parameter."
    out_of_steps = (
        "The draws are too few, or the chains differ: r̂ is above 1.05, or a parameter has fewer than 100 effective "
        "draws. Raise `num_samples` and `num_warmup`."
    )
    complete = 'The Gaussian was fitted; its accuracy is unknown. Compare it with method="nuts".'


@final
@dataclass(frozen=True, eq=False, repr=False)
class PeopleFit:
    """Draws from the posterior over a population and its people. Printing it prints a table of the population.

    Quantities by name: "temperature" (τ), "risk" (θ = β/τ), "optimism" (β), "lapse" (λ) and the reward weights. One
    that the choices do not determine is refused, as `identification` says.

    Attributes:
        program: prior and likelihood, as a Pyro program.
        samples: the draws of each site by chain.
        method: "nuts" or "svi".
        status: whether the chains agree.
        num_divergences: for NUTS, the number of diverging paths; more than a few mean that a region was missed.
        seconds: the time that it took.
    """

    program: PeopleProgram
    samples: Mapping[str, Float[Tensor, "chain draw *site"]]
    method: str
    status: PeopleStatus
    num_divergences: int | None
    seconds: float

    @property
    def people(self) -> tuple[str, ...]:
        """The names of the people, in the order of every result by person."""
        return self.program.people

    @cached_property
    def identification(self) -> PeopleIdentification:
        """What the choices determine, at the posterior mean of the population."""
        return people_identification(self.program, self.samples["mean"].mean((0, 1)))

    @property
    def names(self) -> tuple[str, ...]:
        """The quantities that the choices determine."""
        return tuple(name for name, known in self.identification.quantities.items() if known)

    def draws(self, name: str) -> Float[Tensor, "chain draw person"]:
        """Return the posterior draws of a quantity of each person.

        Raises:
            InvalidArgument: if there is no such quantity, or the choices do not determine it.
        """
        one_of("name", name, tuple(self.identification.quantities))
        self.identification.require(name)
        return self._quantities[name]

    def mean(self, name: str) -> Float[Tensor, " person"]:
        """Return the posterior mean of a quantity of each person.

        Raises:
            InvalidArgument: as `draws`.
        """
        return self.draws(name).mean((0, 1))

    def interval(self, name: str, level: float = 0.9) -> Float[Tensor, "person low_high"]:
        """Return the central interval that contains a quantity of each person with this probability.

        Raises:
            InvalidArgument: as `draws`, or if `level` is not between 0 and 1.
        """
        if not 0 < number(level) < 1:
            raise InvalidArgument(f"`level` must be a probability between 0 and 1, but is {shown(level)}.")
        draws = self.draws(name).flatten(0, 1)
        return draws.quantile(draws.new_tensor([(1 - level) / 2, (1 + level) / 2]), 0).T

    @property
    def log_likelihood(self) -> Float[Tensor, "chain draw choice"]:
        """The log-probability of each choice under each draw, in nats."""
        u = self.program.individuals(self.samples)
        with torch.no_grad():
            return torch.stack([self.program.by_choice(each) for each in u.flatten(0, 1)]).unflatten(0, u.shape[:2])

    @cached_property
    def _quantities(self) -> dict[str, Tensor]:
        return self._named(self.program.individuals(self.samples))

    def _named(self, u: Tensor) -> dict[str, Tensor]:
        found = self.program.named(u)
        ratios = {name: found[name] / found["temperature"] for name in self.program.prior.weights or {}}
        return found | {f"{name} / temperature": each for name, each in ratios.items()}

    @cached_property
    def _of_population(self) -> dict[str, Tensor]:
        return {name: each[..., 0] for name, each in self._named(self.samples["mean"][..., None, :]).items()}

    def to_arviz(self) -> "DataTree":
        """Return the draws for ArviZ, whose LOO and WAIC [vehtari2017] are by choice.

        | group | contents |
        |---|---|
        | `posterior` | the identified quantities by person; `population_mean` and `population_spread` of u |
        | `log_likelihood` | `choice`: the log-probability of each choice |
        | `observed_data` | `choice`: the index of the action |
        | `constant_data` | the person, problem, state and time of each choice, as indices |

            arviz_stats.loo(fit.to_arviz())

        Raises:
            MissingExtra: without arviz-base, with the command that installs it.
        """
        try:
            import arviz_base  # an extra, and slow to import
        except ImportError as problem:
            raise MissingExtra(
                "Draws for ArviZ need arviz-base, which is missing: pip install arviz-base xarray"
            ) from problem
        seen, columns = self.program.tables.seen, ("person", "problem", "state", "time")
        of_people = {_identifier(name): self.draws(name).numpy() for name in self.names}
        of_population = {f"population_{name}": self.samples[name].numpy() for name in ("mean", "spread")}
        groups = {
            "posterior": {**of_population, **of_people},
            "log_likelihood": {"choice": self.log_likelihood.numpy()},
            "observed_data": {"choice": seen.action.numpy()},
            "constant_data": {name: getattr(seen, name).numpy() for name in columns},
        }
        return arviz_base.from_dict(
            groups,
            dims={
                **{name: ["person_name"] for name in of_people},
                **{name: ["parameter"] for name in of_population},
                **{name: ["choice_index"] for name in ("choice", *columns)},
            },
            coords={
                "person_name": list(self.people),
                "parameter": [each.name for each in self.program.parameters],
                "choice_index": range(len(seen.person)),
            },
            check_conventions=False,
            attrs={"/": {"made_by": "pgm_control", "method": self.method, "demonstrator": self.program.demonstrator}},
        )

    @cached_property
    def effective_draws(self) -> dict[str, Float[Tensor, " person"]]:
        """The effective number of independent draws of each quantity of each person."""
        return {name: effective_sample_size(each, chain_dim=0, sample_dim=1) for name, each in self._quantities.items()}

    @cached_property
    def r_hat(self) -> dict[str, Float[Tensor, " person"]]:
        """How much the chains differ in each quantity of each person: 1 if not at all."""
        return {name: split_gelman_rubin(each, chain_dim=0, sample_dim=1) for name, each in self._quantities.items()}

    def _rows(self) -> list[tuple[str, ...]]:
        rows, parameters = [], [each.name for each in self.program.parameters]
        spread = self.samples["spread"].mean((0, 1))
        for name in self.names:
            middle = self._of_population[name].flatten()
            low, high = middle.quantile(middle.new_tensor([0.05, 0.95])).tolist()
            means = self.mean(name)
            rows.append(
                (
                    _SIGNS.get(name, name), f"{middle.median():.3g}", f"{low:.3g} … {high:.3g}",
                    f"{spread[parameters.index(name)]:.3g}" if name in parameters else "",
                    f"{means.min():.3g} … {means.max():.3g}",
                    f"{self.effective_draws[name].min():.0f}", f"{self.r_hat[name].max():.3f}",
                )
            )  # fmt: skip
        return rows

    def _notes(self) -> list[str]:
        count = len(self.program.tables.seen.person)
        draws = math.prod(self.samples["mean"].shape[:2])
        notes = [
            f"{len(self.people)} people, {count} choices, demonstrator {self.program.demonstrator!r}, {draws} draws by "
            f"{self.method} in {self.seconds:.0f} s.",
            self.status.message,
        ]
        if self.num_divergences:
            notes.append(f"{self.num_divergences} paths diverged: raise `num_warmup`.")
        return [*notes, str(self.identification)]

    def __str__(self) -> str:
        """A table for a terminal, with notes on precision and identifiability."""
        return "\n".join([grid(_HEAD, self._rows()), *self._notes()])

    def _repr_html_(self) -> str:
        """A table for a notebook."""
        return f"{html_grid(_HEAD, self._rows())}<p>{'<br>'.join(map(html.escape, self._notes()))}</p>"

    def __repr__(self) -> str:
        """The posterior as a table for a terminal."""
        return str(self)


def _identifier(name: str) -> str:
    return name.replace(" / ", "_over_")
