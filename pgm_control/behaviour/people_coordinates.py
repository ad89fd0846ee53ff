"""Coordinates in which the posterior over a population and its people is nearly a Gaussian without correlations."""

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Normal

from .information import expansion
from .people_program import PeopleProgram

_ROUNDS = 50
_TOLERANCE = 1e-4
_NARROWEST = 0.02  # spread of a population, as a share of the scale of its prior, in the search


class Population(NamedTuple):
    """A population, its people, and a quadratic approximation of their log-likelihoods around them."""

    mean: Float[Tensor, " parameter"]
    spread: Float[Tensor, " parameter"]
    u: Float[Tensor, "person parameter"]
    linear: Float[Tensor, "person parameter"]
    information: Float[Tensor, "person parameter parameter"]


@final
class PeopleCoordinates:
    r"""The posterior in coordinates (μ, log σ, e), where e is what is left of the people given their population.

    With the quadratic approximation $\log p(\text{choices}_i | u) \approx b_i^\top u - \tfrac12 u^\top \Lambda_i u$,
    the posterior of a person given μ and σ is Gaussian, and e is standard normal whatever μ and σ:

    $$u_i = P_i^{-1}(b_i + \sigma^{-2} \mu) + L_i^{-\top} e_i, \qquad
    P_i = \Lambda_i + \operatorname{diag} \sigma^{-2} = L_i L_i^\top$$

    The density is exact; the approximation only chooses the coordinates.
    """

    def __init__(self, program: PeopleProgram) -> None:
        """Search for the population, and expand the log-likelihoods there."""
        self.program, self._priors = program, program.priors
        self.population = population_of(program)
        self._size = len(program.parameters)

    @property
    def start(self) -> Float[Tensor, " coordinate"]:
        """The coordinates of the population that was found."""
        found = self.population
        return torch.cat([found.mean, found.spread.log(), found.u.new_zeros(found.u.numel())])

    def people(self, coordinates: Float[Tensor, "*draw coordinate"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return μ, log σ, the parameters u of the people, and log |du/de| of each."""
        size, found = self._size, self.population
        mean, log_spread, rest = coordinates.split([size, size, found.u.numel()], -1)
        e = rest.reshape(*rest.shape[:-1], *found.u.shape)
        pull, root = self.given(mean, log_spread)
        u = torch.linalg.solve_triangular(root.mT, (pull + e)[..., None], upper=True)[..., 0]
        return mean, log_spread, u, -root.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def given(
        self, mean: Float[Tensor, "*draw parameter"], log_spread: Float[Tensor, "*draw parameter"]
    ) -> tuple[Float[Tensor, "*draw person parameter"], Float[Tensor, "*draw person parameter parameter"]]:
        r"""Return $L_i^{-1}(b_i + \sigma^{-2} \mu)$ and $L_i$: e is $L_i^\top u_i$ minus the former."""
        precision = (-2 * log_spread).exp()
        root = torch.linalg.cholesky(self.population.information + torch.diag_embed(precision)[..., None, :, :])
        pull = self.population.linear + (precision * mean)[..., None, :]
        return torch.linalg.solve_triangular(root, pull[..., None], upper=False)[..., 0], root

    def values(self, coordinates: Float[Tensor, "*draw coordinate"]) -> dict[str, Tensor]:
        """Return the values of the sites of the program."""
        mean, log_spread, u, _ = self.people(coordinates)
        spread = log_spread.exp()
        return {"mean": mean, "spread": spread, "z": (u - mean[..., None, :]) / spread[..., None, :]}

    def drawn_from_prior(self, number: int) -> Float[Tensor, "draw coordinate"]:
        """Return populations drawn from the prior with people near their posterior, by torch's global generator."""
        mean, spread = (self._priors[name].expand((number,)).sample() for name in ("mean", "spread"))
        return torch.cat([mean, spread.log(), torch.randn(number, self.population.u.numel()).to(mean)], -1)

    def log_density(self, coordinates: Float[Tensor, "*draw coordinate"]) -> Float[Tensor, "*draw"]:
        """Return log p(choices, population, people) in these coordinates, in nats."""
        of_population, of_people = self.log_densities(coordinates)
        return of_population + of_people.sum(-1)

    def log_densities(
        self, coordinates: Float[Tensor, "*draw coordinate"]
    ) -> tuple[Float[Tensor, "*draw"], Float[Tensor, "*draw person"]]:
        """Return the log-density of the population, and of each person and its choices given the population."""
        mean, log_spread, u, stretch = self.people(coordinates)
        spread, of_population = log_spread.exp(), self.log_density_of_population(mean, log_spread)
        of_people = Normal(mean[..., None, :], spread[..., None, :]).log_prob(u).sum(-1) + stretch
        of_choices = self.program.by_choice(u)
        return of_population, of_people.index_add(-1, self.program.tables.seen.person, of_choices)

    def log_density_of_population(
        self, mean: Float[Tensor, "*draw parameter"], log_spread: Float[Tensor, "*draw parameter"]
    ) -> Float[Tensor, "*draw"]:
        """Return the prior log-density of μ and log σ, in nats."""
        priors = self._priors
        return priors["mean"].log_prob(mean) + priors["spread"].log_prob(log_spread.exp()) + log_spread.sum(-1)

    def second_derivatives(self, at: Float[Tensor, " coordinate"]) -> Float[Tensor, "coordinate coordinate"]:
        """Return the Hessian of the log-density. Given the population, people do not depend on each other."""
        size = self._size
        points = at.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(self.log_density(points), points, create_graph=True)
        people = torch.eye(size).to(at).repeat(1, len(self.program.people))
        ways = torch.zeros(3 * size, len(at), dtype=at.dtype)
        ways[: 2 * size, : 2 * size], ways[2 * size :, 2 * size :] = torch.eye(2 * size).to(at), people
        rows = torch.stack([torch.autograd.grad(slope @ way, points, retain_graph=True)[0] for way in ways])
        found = torch.zeros(len(at), len(at), dtype=at.dtype)
        found[: 2 * size], found[:, : 2 * size] = rows[: 2 * size], rows[: 2 * size].T
        blocks = rows[2 * size :, 2 * size :].T.reshape(-1, size, size)
        found[2 * size :, 2 * size :] = torch.block_diag(*blocks)
        return (found + found.T) / 2


def population_of(program: PeopleProgram) -> Population:
    r"""Return a population near the mode of its marginal posterior, by expectation maximisation with Gaussians.

    People are moved by Fisher scoring; μ and σ then maximise the expected log-density under Gaussian posteriors of the
    people. The result only serves as a start and for coordinates.
    """
    centre, width = (torch.tensor(each).double() for each in list(zip(*program.parameters, strict=True))[1:])
    count = len(program.people)
    mean, spread = centre, 0.5 * width
    u = mean.expand(count, -1)
    for _ in range(_ROUNDS):
        gradient, information = expansion(program, u)
        precision = information + torch.diag(spread**-2)
        step = torch.linalg.solve(precision, gradient - (u - mean) / spread**2)
        u = u + step * (width / step.abs().clamp_min(1e-300)).amin(-1, keepdim=True).clamp_max(1.0)
        variance = torch.linalg.inv(precision).diagonal(dim1=-2, dim2=-1)
        weight = count / spread**2
        new_mean = (u.mean(0) * weight + centre / width**2) / (weight + width**-2)
        square = ((u - new_mean) ** 2 + variance).sum(0)
        new = (0.5 * width**2 * ((count**2 + 4 * square / width**2).sqrt() - count)).sqrt()
        new = torch.maximum(new, _NARROWEST * width)
        moved = torch.maximum(((new_mean - mean) / width).abs().amax(), (new / spread).log().abs().amax())
        mean, spread = new_mean, new
        if float(moved) < _TOLERANCE:
            break
    gradient, information = expansion(program, u)
    linear = gradient + (information @ u[..., None])[..., 0]
    return Population(mean, spread, u, linear, information)
