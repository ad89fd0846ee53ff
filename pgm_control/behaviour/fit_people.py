"""The hierarchical posterior over a population of people and its parameters, given their choices.

Sources:
    [hoffman2014] M. D. Hoffman and A. Gelman, The No-U-Turn sampler: adaptively setting path lengths in Hamiltonian
        Monte Carlo. Journal of Machine Learning Research 15:1593–1623, 2014. arXiv:1111.4246
"""

import time
from collections.abc import Mapping
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoMultivariateNormal, init_to_value
from pyro.ops.stats import effective_sample_size, split_gelman_rubin
from torch import Tensor

from ..errors import InvalidArgument
from ..inverse_rl.bayesian.nuts import draws_by_nuts
from ..inverse_rl.laplace import Laplace, laplace, standard
from ..runtime.alone.thread import alone
from ..runtime.arguments import one_of, whole
from ..runtime.progress import Progress, require_progress, silent
from ..runtime.randomness import seeded
from ..trajectories.blocks import MarkovModel
from .people_coordinates import PeopleCoordinates
from .people_fit import PeopleFit, PeopleStatus
from .people_program import PeopleProgram, program_of

_R_HAT, _ENOUGH = 1.05, 100.0
_STEPS, _PARTICLES, _RATE, _DECAY = 600, 8, 0.02, 0.05  # of SVI


def fit_people(
    models: Mapping[str, MarkovModel],
    data: Any,
    prior: Any,
    demonstrator: str = "dial",
    *,
    features: Mapping[str, Mapping[str, Any]] | None = None,
    method: str = "nuts",
    num_samples: int = 1000,
    num_warmup: int = 150,
    num_chains: int = 4,
    seed: int | torch.Generator | None = None,
    progress: Progress = silent,
) -> PeopleFit:
    r"""Return the posterior over a population and over τ, θ = β/τ, lapse and reward weights of each person.

    $$u_i \sim \mathcal N(\mu, \sigma^2), \qquad
    p(\mu, \sigma, u \mid \text{choices}) \propto p(\mu)\, p(\sigma) \prod_i \mathcal N(u_i; \mu, \sigma^2)
    \prod_{c \in i} p(a_c \mid s_c, u_i)$$

    The likelihood is that of `behaviour_log_likelihood`, and the prior that of `PeoplePrior`. What the choices do not
    determine is not reported: see `PeopleFit.identification`.

        data = Choices.from_csv("choices.csv")
        fit = fit_people(models, data, PeoplePrior(temperature=1.0, risk=0.5), seed=0)
        fit.mean("risk"), fit.interval("risk")

    Args:
        models: the problem of each name in the column "problem", in the reward units of the prior.
        data: the choices, of at least two people, one of whom makes at least two choices.
        prior: the prior over the population.
        demonstrator: "dial", whose β is learned for each person; or a known one: "clamped", the max-ent policy, β = 0;
            "free", β = 1; or "boltzmann", which does not expect to err later. Only the actions count: outcomes are
            taken to follow the true dynamics.
        features: by reward weight and problem, φ(s, a, k), or what broadcasts to it.
        method: "nuts", exact for many draws; or "svi", a Gaussian fitted by Pyro in the coordinates of NUTS, which is
            faster.
        num_samples: the total number of draws.
        num_warmup: the number of warmup steps of NUTS in each chain.
        num_chains: the number of chains, run one after the other, each from a population drawn from the prior.
        seed: an integer, a generator, or None for torch's global generator.
        progress: called with the step, and its acceptance probability or the ELBO in nats.

    Raises:
        InvalidArgument: if an argument is invalid, which the message names, with the row and the remedy for the data.

    References:
        [hoffman2014]
    """
    program = program_of(models, data, prior, demonstrator, features)
    require_hierarchy(program)
    one_of("method", method, ("nuts", "svi"))
    num_samples = whole("num_samples", num_samples, 8)
    num_warmup, num_chains = whole("num_warmup", num_warmup), whole("num_chains", num_chains, 2)
    require_progress(progress)
    since = time.perf_counter()
    with alone("fit_people"), seeded(seed):
        coordinates, gaussian = approximated(program)
        each = max(4, -(-num_samples // num_chains))
        if method == "nuts":
            drawn, divergences = draws_by_nuts(coordinates, each, num_warmup, num_chains, progress, gaussian)
            status = status_of(program, drawn)
        else:
            drawn, divergences = _by_svi(coordinates, gaussian, each * num_chains, progress), None
            drawn = {name: x.unflatten(0, (num_chains, each)) for name, x in drawn.items()}
            status = PeopleStatus.complete
    return PeopleFit(program, drawn, method, status, divergences, time.perf_counter() - since)


def approximated(program: PeopleProgram) -> tuple[PeopleCoordinates, Laplace]:
    """Return the coordinates of the posterior and a Gaussian there: Laplace's if it exists."""
    coordinates = PeopleCoordinates(program)
    try:
        found = laplace(coordinates.log_density, coordinates.start, coordinates.second_derivatives)
    except InvalidArgument:
        found = standard(coordinates.log_density, coordinates.start)
    return coordinates, found


def require_hierarchy(program: PeopleProgram) -> None:
    """Refuse data of one person, or of one choice for each.

    Raises:
        InvalidArgument: if so.
    """
    counts = torch.bincount(program.tables.seen.person, minlength=len(program.people))
    if len(counts) < 2:
        raise InvalidArgument(
            "`data` must hold at least two people, since the spread of a population is fitted, but column 'person' has "
            f"only {program.people[0]!r}. For one person use inverse_rl.reward_posterior, or behaviour_log_likelihood."
        )
    if int(counts.max()) < 2:
        raise InvalidArgument(
            "`data` must hold at least two choices of some person, since the noise of choices and the spread of people "
            "are distinguished by them, but every person in column 'person' has one. Add trials."
        )


def status_of(program: PeopleProgram, drawn: Mapping[str, Tensor]) -> PeopleStatus:
    """Return whether the chains agree in the population and in every person."""
    rows = torch.cat([drawn["mean"], drawn["spread"].log(), program.individuals(drawn).flatten(2)], -1)
    worst = split_gelman_rubin(rows, chain_dim=0, sample_dim=1).max()
    fewest = effective_sample_size(rows, chain_dim=0, sample_dim=1).min()
    fine = bool((worst <= _R_HAT) & (fewest >= _ENOUGH))
    return PeopleStatus.converged if fine else PeopleStatus.out_of_steps


def _by_svi(coordinates: PeopleCoordinates, gaussian: Laplace, number: int, progress: Progress) -> dict[str, Tensor]:
    """Draws from a Gaussian that Pyro's SVI fits, starting from Laplace's."""
    size = len(gaussian.peak)
    standard_normal = dist.Normal(gaussian.peak.new_zeros(size), gaussian.peak.new_ones(size)).to_event(1)

    def model() -> None:
        z = pyro.sample("z", standard_normal.mask(False))
        pyro.factor("density", coordinates.log_density(gaussian.at(z)))

    start = init_to_value(values={"z": gaussian.peak.new_zeros(size)})
    guide = AutoMultivariateNormal(model, init_loc_fn=start, init_scale=1.0)
    optimiser = pyro.optim.ClippedAdam({"lr": _RATE, "lrd": _DECAY ** (1 / _STEPS)})  # pyright: ignore[reportAttributeAccessIssue]
    svi = SVI(model, guide, optimiser, Trace_ELBO(_PARTICLES, max_plate_nesting=0, vectorize_particles=True))
    with pyro.get_param_store().scope():
        for step in range(1, _STEPS + 1):
            progress(step, {"elbo": -float(svi.step())})  # pyright: ignore[reportArgumentType]  a number
        with torch.no_grad():
            z = guide.get_posterior().sample((number,))
    return coordinates.values(gaussian.at(z))
