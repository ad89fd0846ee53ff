"""What is drawn of a posterior over rewards, as a point of the real space."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import biject_to

from ...errors import InvalidArgument
from .reward_program import RewardProgram


@final
class Coordinates:
    """The posterior over the whole real space: ψ as it is, β as its prior's support asks for, τ by its logarithm."""

    def __init__(self, program: RewardProgram) -> None:
        """Look at what is drawn."""
        self.program, self._priors = program, program.priors
        self._sizes = [each.event_shape.numel() for each in self._priors.values()]
        self._maps = [biject_to(each.support) for each in self._priors.values()]

    @property
    def start(self) -> Float[Tensor, " coordinate"]:
        """The coordinates of where the program begins."""
        return self.row(self.program.start)

    def values(self, u: Float[Tensor, "*draw coordinate"]) -> dict[str, Tensor]:
        """What is drawn, by site."""
        parts = zip(self._priors.items(), self._maps, u.split(self._sizes, -1), strict=True)
        return {name: there(part.reshape((*u.shape[:-1], *prior.event_shape))) for (name, prior), there, part in parts}

    def row(self, values: dict[str, Tensor]) -> Float[Tensor, "*draw coordinate"]:
        """The coordinates of these values."""
        parts = []
        for (name, prior), there, size in zip(self._priors.items(), self._maps, self._sizes, strict=True):
            draws = values[name].shape[: values[name].ndim - len(prior.event_shape)]
            parts.append(there.inv(values[name]).reshape(*draws, size))
        return torch.cat(parts, -1)

    def drawn_from_prior(self, number: int) -> Float[Tensor, "draw coordinate"]:
        """Draws of torch's own generator."""
        return self.row({name: each.expand(torch.Size((number,))).sample() for name, each in self._priors.items()})

    def log_prior(self, u: Float[Tensor, "*draw coordinate"]) -> Float[Tensor, "*draw"]:
        """Of these coordinates, in nats."""
        total, values = u.new_zeros(u.shape[:-1]), self.values(u)
        for (name, prior), there, part in zip(self._priors.items(), self._maps, u.split(self._sizes, -1), strict=True):
            stretch = there.log_abs_det_jacobian(part.reshape(values[name].shape), values[name])
            total = total + prior.log_prob(values[name]) + stretch.reshape(*u.shape[:-1], -1).sum(-1)
        return total

    def log_likelihood(self, u: Float[Tensor, "*draw coordinate"]) -> Float[Tensor, "*draw"]:
        """log p(demonstrations | u), in nats."""
        found = self.program.log_likelihood(self.values(u))
        if found.shape != u.shape[:-1]:
            raise InvalidArgument(
                "`demonstrator` must judge many rewards side by side, each by itself: of rewards of shape (N, S, A, K) "
                f"its log-likelihood must have the shape (N,), but for N = {len(u)} has {tuple(found.shape)}."
            )
        return found

    def log_density(self, u: Float[Tensor, "*draw coordinate"]) -> Float[Tensor, "*draw"]:
        """log p(demonstrations, u), in nats."""
        return self.log_prior(u) + self.log_likelihood(u)
