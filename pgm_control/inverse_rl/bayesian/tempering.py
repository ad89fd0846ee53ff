"""Draws from a posterior over rewards by tempering: a population moves from the prior to the posterior in steps.

Sources:
    [delmoral2006] P. Del Moral, A. Doucet and A. Jasra, Sequential Monte Carlo samplers. Journal of the Royal
        Statistical Society B 68(3):411–436, 2006. doi:10.1111/j.1467-9868.2006.00553.x
    [lee2018] A. Lee and N. Whiteley, Variance estimation in the particle filter. Biometrika 105(3):609–625, 2018.
        doi:10.1093/biomet/asy028
    [neal2011] R. M. Neal, MCMC using Hamiltonian dynamics. Handbook of Markov Chain Monte Carlo, 2011. arXiv:1206.1901
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...errors import InvalidArgument
from ...inference.sampling.particles import systematic
from ...runtime.progress import Progress, silent
from .coordinates import Coordinates

_KEPT = 0.5  # fraction of the population that each step leaves effective
_PATHS = 3  # Hamiltonian paths after each step
_QUARTER = math.pi / 2  # a quarter period of the standard Gaussian, after which a path is independent of its start
_LEAPS = 10  # leapfrog steps in a path, at most: shorter paths explore nearly as well for half the price
_ACCEPTED = 0.8  # target acceptance rate of paths
_AT_ONCE = 4_000_000  # values in memory at a time


class State(NamedTuple):
    """Log-likelihood and log-prior of all draws with their gradients; both are −inf if a number is not finite."""

    log_likelihood: Float[Tensor, " draw"]
    by_likelihood: Float[Tensor, "draw coordinate"]
    log_prior: Float[Tensor, " draw"]
    by_prior: Float[Tensor, "draw coordinate"]

    def height(self, power: float) -> Float[Tensor, " draw"]:
        """Return the log-density at λ."""
        return torch.where(self.log_prior > -torch.inf, self.log_prior + power * self.log_likelihood, -torch.inf)

    def slope(self, power: float) -> Float[Tensor, "draw coordinate"]:
        """Return the gradient of the log-density at λ."""
        return self.by_prior + power * self.by_likelihood


class Population(NamedTuple):
    """Draws from the posterior at one power λ of the likelihood, with everything that the next step depends on."""

    u: Float[Tensor, "draw coordinate"]
    family: Int[Tensor, " draw"]
    """The index of the draw of the prior from which each draw descends."""
    state: State
    power: float
    """λ: 0 for the prior, 1 for the posterior."""
    log_evidence: float
    """log p(demonstrations) at λ, in nats."""
    reach: float
    """Length of a leapfrog step."""
    steps: int


def drawn_from_prior(coordinates: Coordinates, number: int) -> Population:
    """Return the population at λ = 0."""
    u = coordinates.drawn_from_prior(number)
    return Population(u, torch.arange(number, device=u.device), evaluated(coordinates, u), 0.0, 0.0, 0.5, 0)


def tempered(
    coordinates: Coordinates,
    population: Population,
    progress: Progress = silent,
    save: Callable[[Population], object] = lambda population: None,
) -> Population:
    r"""Return draws of $p(u)\, p(\text{demonstrations} | u)^\lambda$ at λ = 1, reached in steps.

    Each step raises λ until the effective size is half of the population. It then resamples by weight and moves all
    draws by Hamiltonian dynamics at this λ, in coordinates whitened by the covariance of the population. The population
    starts from the whole prior, and therefore finds peaks that a search from one start misses. The product of the mean
    weights is the evidence.

    Args:
        coordinates: the posterior.
        population: draws at a smaller λ; those of the prior to begin with.
        progress: called after every step.
        save: called with the population after every step.

    Raises:
        InvalidArgument: if the demonstrations are impossible under all draws of the prior.

    References:
        [delmoral2006], [neal2011]
    """
    while population.power < 1:
        population, accepted = _next(coordinates, population)
        save(population)
        power, log_evidence = population.power, population.log_evidence
        progress(population.steps, {"power": power, "acceptance": accepted, "log_evidence": log_evidence})
    return population


def _next(coordinates: Coordinates, population: Population) -> tuple[Population, float]:
    """Return the population after one step, and the acceptance probability of its last path."""
    u, family, state, before, log_evidence, reach, steps = population
    step = _step(state.log_likelihood, 1 - before)
    log_weight = step * state.log_likelihood
    log_evidence += float(log_weight.logsumexp(0)) - math.log(len(u))
    if not math.isfinite(log_evidence):
        raise InvalidArgument(
            "`demonstrations` must be possible for some reward of the prior, but are impossible for all that were "
            "drawn. Give a smaller `prior`."
        )
    chosen = systematic(log_weight[None], None)[0]
    power = 1.0 if step == 1 - before else before + step
    u, family, state = u[chosen], family[chosen], State(*(each[chosen] for each in state))
    root, accepted = _root(u), 1.0
    for _ in range(_PATHS):
        u, state, accepted = moved(coordinates, u, state, root, reach, power)
        reach = min(reach * math.exp(accepted - _ACCEPTED), _QUARTER)
    return Population(u, family, state, power, log_evidence, reach, steps + 1), accepted


def effective_draws(rows: Float[Tensor, "draw parameter"], family: Int[Tensor, " draw"]) -> Float[Tensor, " parameter"]:
    r"""Return the number of independent draws that estimate a mean equally precisely.

    Draws of one family, that is, with the same ancestor, are summed first:

    $$n^2 \operatorname{Var} x \Big/ \sum_\text{families} \Bigl(\sum_{i \in \text{family}} (x_i - \bar x)\Bigr)^2$$

    References:
        [lee2018]
    """
    _, place = family.unique(return_inverse=True)
    families, number = int(place.max()) + 1, len(rows)
    if families == 1:
        return torch.ones_like(rows[0])
    apart = rows - rows.mean(0)
    sums = rows.new_zeros(families, rows.shape[1]).index_add_(0, place, apart)
    variance = sums.square().sum(0) * families / (families - 1)
    return (number * apart.square().sum(0) / variance).clamp(1, number)


def evaluated(coordinates: Coordinates, u: Float[Tensor, "draw coordinate"]) -> State:
    """Return the state of draws."""
    mdp = coordinates.program.model.mdp
    states, actions, outcomes = mdp.probability.shape
    parts = []
    for part in u.split(max(1, _AT_ONCE // (states * actions * (mdp.horizon + outcomes)))):
        at = part.detach().requires_grad_()
        likelihood, prior = coordinates.log_likelihood(at), coordinates.log_prior(at)
        slopes = [torch.autograd.grad(each.sum(), at)[0] for each in (likelihood, prior)]
        fine = torch.stack([likelihood, prior, *(each.sum(-1) for each in slopes)]).isfinite().all(0)
        heights = [torch.where(fine, each.detach(), -torch.inf) for each in (likelihood, prior)]
        parts.append((heights[0], slopes[0], heights[1], slopes[1]))
    return State(*map(torch.cat, zip(*parts, strict=True)))


def _step(log_likelihood: Float[Tensor, " draw"], rest: float) -> float:
    """Return the largest step of λ that leaves enough of the population effective."""

    def kept(step: float) -> float:
        share = (step * log_likelihood).softmax(0)
        return 1 / float(share.square().sum()) / len(share)

    if kept(rest) >= _KEPT:
        return rest
    low, high = 0.0, rest
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if kept(middle) >= _KEPT else (low, middle)
    return high


def _root(u: Float[Tensor, "draw coordinate"]) -> Float[Tensor, "coordinate coordinate"]:
    """Return the Cholesky factor of the covariance, shrunk to its diagonal if there are few draws."""
    number, size = u.shape
    covariance = torch.cov(u.T).reshape(size, size)
    covariance = (number * covariance + size * covariance.diagonal().diag()) / (number + size)
    floor = torch.finfo(u.dtype).eps * u.square().mean(0).clamp(min=1e-12)
    return torch.linalg.cholesky(covariance + floor.diag())


def moved(
    coordinates: Coordinates,
    u: Tensor,
    state: State,
    root: Tensor,
    reach: float,
    power: float,
) -> tuple[Tensor, State, float]:
    """Return the draws after one path of leapfrog steps from each, their state and the mean acceptance probability."""
    momentum = torch.randn_like(u)
    step = reach * (0.5 + torch.rand_like(u[:, :1]))
    before = state.height(power) - 0.5 * momentum.square().sum(-1)
    there, new = u, state
    for _ in range(min(math.ceil(_QUARTER / reach), _LEAPS)):
        momentum = momentum + 0.5 * step * (new.slope(power) @ root)
        there = there + (step * momentum) @ root.T
        new = evaluated(coordinates, there)
        momentum = momentum + 0.5 * step * (new.slope(power) @ root)
    gain = (new.height(power) - 0.5 * momentum.square().sum(-1) - before).nan_to_num(nan=-torch.inf)
    accepted = gain.exp() > torch.rand_like(gain)
    u = torch.where(accepted[:, None], there, u)
    mixed = (torch.where(accepted.reshape(-1, *[1] * (x.ndim - 1)), x, y) for x, y in zip(new, state, strict=True))
    return u, State(*mixed), float(gain.clamp(max=0).exp().mean())
