"""Unconstrained coordinates of the unknowns of a posterior over rewards."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import biject_to

from ...errors import InvalidArgument
from .reward_program import RewardProgram


@final
class Coordinates:
    """The posterior in unconstrained coordinates: ψ itself, β mapped from the support of its prior, and log τ."""

    def __init__(self, program: RewardProgram) -> None:
        """Read the sites of the program and their priors."""
        self.program, self._priors = program, program.priors
        self._sizes = [each.event_shape.numel() for each in self._priors.values()]
        self._maps = [biject_to(each.support) for each in self._priors.values()]

    @property
    def start(self) -> Float[Tensor, " coordinate"]:
        """The coordinates of the start of the program."""
        return self.row(self.program.start)

    def values(self, u: Float[Tensor, "*draw coordinate"]) -> dict[str, Tensor]:
        """Return the values of the sites at these coordinates."""
        parts = zip(self._priors.items(), self._maps, u.split(self._sizes, -1), strict=True)
        return {name: there(part.reshape((*u.shape[:-1], *prior.event_shape))) for (name, prior), there, part in parts}

    def row(self, values: dict[str, Tensor]) -> Float[Tensor, "*draw coordinate"]:
        """Return the coordinates of these values."""
        parts = []
        for (name, prior), there, size in zip(self._priors.items(), self._maps, self._sizes, strict=True):
            draws = values[name].shape[: values[name].ndim - len(prior.event_shape)]
            parts.append(there.inv(values[name]).reshape(*draws, size))
        return torch.cat(parts, -1)

    def drawn_from_prior(self, number: int) -> Float[Tensor, "draw coordinate"]:
        """Return draws from the prior, by torch's global generator."""
        return self.row({name: each.expand(torch.Size((number,))).sample() for name, each in self._priors.items()})

    def log_prior(self, u: Float[Tensor, "*draw coordinate"]) -> Float[Tensor, "*draw"]:
        """Return the log-density of the prior in these coordinates, in nats."""
        total, values = u.new_zeros(u.shape[:-1]), self.values(u)
        for (name, prior), there, part in zip(self._priors.items(), self._maps, u.split(self._sizes, -1), strict=True):
            stretch = there.log_abs_det_jacobian(part.reshape(values[name].shape), values[name])
            total = total + prior.log_prob(values[name]) + stretch.reshape(*u.shape[:-1], -1).sum(-1)
        return total

    def log_likelihood(self, u: Float[Tensor, "*draw coordinate"]) -> Float[Tensor, "*draw"]:
        """Return log p(demonstrations | u), in nats."""
        found = self.program.log_likelihood(self.values(u))
        if found.shape != u.shape[:-1]:
            raise InvalidArgument(
                "`demonstrator` must evaluate a batch of rewards, each independently: for rewards of shape "
                f"(N, S, A, K) its log-likelihood must have the shape (N,), but for N = {len(u)} has "
                f"{tuple(found.shape)}."
            )
        return found

    def log_density(self, u: Float[Tensor, "*draw coordinate"]) -> Float[Tensor, "*draw"]:
        """Return log p(demonstrations, u), in nats."""
        return self.log_prior(u) + self.log_likelihood(u)
