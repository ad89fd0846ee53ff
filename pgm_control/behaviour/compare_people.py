"""Comparison of models of people: the probability of each, with the population and all people integrated out.

Sources:
    [kass1995] R. E. Kass and A. E. Raftery, Bayes factors. Journal of the American Statistical Association
        90(430):773–795, 1995. doi:10.1080/01621459.1995.10476572
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidArgument
from ..inverse_rl.bayesian.compare_demonstrators import Comparison
from ..inverse_rl.laplace import Laplace
from ..runtime.arguments import listed, whole
from ..runtime.progress import Progress, require_progress, silent
from ..runtime.randomness import seeded
from ..trajectories.blocks import MarkovModel
from .fit_people import approximated, require_hierarchy
from .people_coordinates import PeopleCoordinates
from .people_prior import DEMONSTRATORS
from .people_program import program_of

_EACH = 100  # draws of every person for each drawn population
_TAILS = 4.0  # degrees of freedom of the drawn populations, whose posterior is skew for few people
_WIDER = 1.3  # than the Gaussian


@final
@dataclass(frozen=True, eq=False, repr=False)
class PeopleComparison(Comparison):
    """The result of `compare_people_models`. Printing it prints a table, the most probable model first.

    Attributes:
        names: the demonstrators.
        log_evidence: log p(choices | demonstrator), in nats, with the population and its people integrated out.
        standard_error: that of each log-evidence, by sampling, in nats.
    """

    standard_error: Float[Tensor, " demonstrator"]

    def _written(self, i: int) -> tuple[str, str]:
        behind = self.log_evidence[i] - self.log_evidence.max()
        return f"{self.log_evidence[i]:.2f} ± {self.standard_error[i]:.2f}", f"{behind:.2f}"


def compare_people_models(
    models: Mapping[str, MarkovModel],
    data: Any,
    prior: Any,
    demonstrators: Sequence[str] = DEMONSTRATORS,
    *,
    features: Mapping[str, Mapping[str, Any]] | None = None,
    num_populations: int = 200,
    seed: int | torch.Generator | None = None,
    progress: Progress = silent,
) -> PeopleComparison:
    r"""Return the evidence and the posterior probability of each model of the demonstrator.

    $$p(\text{choices} | \text{demonstrator}) = \int p(\mu, \sigma) \prod_i \int \mathcal N(u_i; \mu, \sigma^2)\,
    p(\text{choices}_i | u_i)\, du_i \, d\mu\, d\sigma$$

    Both integrals are by importance sampling: populations around the Laplace approximation, and 100 draws of each
    person, half of them from a Gaussian at its posterior for that population and half from the population. The evidence
    counts what a more flexible model could have predicted instead: "dial" contains "clamped", and loses to it where it
    holds. In problems with a single decision "clamped" and "boltzmann" are the same model: they differ in how they
    expect to act later.

    Args:
        models, data, prior, features: as for `fit_people`. The evidence depends on the prior, so choose it
            deliberately.
        demonstrators: the models; default: all four of `fit_people`.
        num_populations: the number of populations that are drawn.
        seed: an integer, the same for each; a generator; or None for torch's global generator.
        progress: called after each demonstrator with its log-evidence.

    Raises:
        InvalidArgument: as `fit_people`.

    References:
        [kass1995]
    """
    names = tuple(listed("demonstrators", demonstrators, "names of demonstrators"))
    if len(set(names)) < len(names):
        raise InvalidArgument(f"`demonstrators` must be different models, but are {', '.join(map(str, names))}.")
    num_populations = whole("num_populations", num_populations, 4)
    require_progress(progress)
    found = []
    for i, name in enumerate(names, 1):
        program = program_of(models, data, prior, name, features)
        require_hierarchy(program)
        with seeded(seed):
            found.append(log_evidence(*approximated(program), num_populations))
        progress(i, {"log_evidence": found[-1][0]})
    return PeopleComparison(names, *torch.tensor(found, dtype=torch.float64).T.unbind())


@torch.no_grad()
def log_evidence(coordinates: PeopleCoordinates, gaussian: Laplace, number: int) -> tuple[float, float]:
    """Return log p(choices) and its standard error, by importance sampling, drawn from torch's global generator."""
    size = len(gaussian.peak) - coordinates.population.u.numel()
    covariance = torch.cholesky_inverse(gaussian.root)[:size, :size]
    tails, root = gaussian.peak.new_tensor(_TAILS), _WIDER * torch.linalg.cholesky(covariance)
    proposal = dist.MultivariateStudentT(tails, gaussian.peak[:size], root)
    found = []
    for population in proposal.sample(torch.Size((number,))):
        mean, log_spread = population.split(size // 2)
        total = _log_evidence_of_people(coordinates, mean, log_spread)
        found.append(coordinates.log_density_of_population(mean, log_spread) + total - proposal.log_prob(population))
    rows = torch.stack(found)
    rows = torch.where(rows.isnan(), -torch.inf, rows)  # a population so wide that its people overflow
    share = rows.softmax(0)
    error = float((number * share.square().sum() - 1).clamp_min(0.0) / number) ** 0.5
    return float(rows.logsumexp(0)) - math.log(number), error


def _log_evidence_of_people(
    coordinates: PeopleCoordinates, mean: Float[Tensor, " parameter"], log_spread: Float[Tensor, " parameter"]
) -> Float[Tensor, ""]:
    """An estimate of the log-evidence of all people given their population, each integrated out.

    Half of the draws of a person are from the Gaussian near its posterior, and half from the population, which has the
    tails of the posterior of one-sided choices: their mixture keeps the weights bounded.
    """
    program, spread = coordinates.program, log_spread.exp()
    pull, root = coordinates.given(mean, log_spread)
    e = torch.randn(_EACH // 2, *pull.shape).to(pull)
    near = torch.linalg.solve_triangular(root.mT, (pull + e)[..., None], upper=True)[..., 0]
    u = torch.cat((near, mean + spread * torch.randn_like(e)))
    off = (root.mT @ u[..., None])[..., 0] - pull
    stretch = root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    log_near = stretch - 0.5 * (off.square() + math.log(2 * math.pi)).sum(-1)
    log_prior = torch.distributions.Normal(mean, spread).log_prob(u).sum(-1)
    log_mixture = torch.logaddexp(log_near, log_prior) - math.log(2)
    of_choices = torch.zeros_like(log_prior).index_add(-1, program.tables.seen.person, program.by_choice(u))
    log_weight = log_prior + of_choices - log_mixture
    log_weight = torch.where(log_weight.isnan(), -torch.inf, log_weight)
    return (log_weight.logsumexp(0) - math.log(len(u))).sum()
