"""Expectations and ratios of probabilities given as logarithms; impossible outcomes contribute nothing."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..kernels.bundles import MASS_ROUNDING


def logarithm(p: Float[Tensor, "*table"]) -> Float[Tensor, "*table"]:
    """The logarithm of probabilities; its derivative is 0 where they are 0."""
    if not p.requires_grad:
        return p.log()
    return torch.where(p > 0, torch.where(p > 0, p, 1.0).log(), -torch.inf)


def expect(log_q: Float[Tensor, "*batch outcome"], x: Float[Tensor, "*#batch outcome"]) -> Float[Tensor, "*batch"]:
    """Σ q x over the last axis; an outcome of probability zero contributes nothing, even where x is infinite."""
    return weighted(log_q.exp(), x).sum(-1)


def weighted(probability: Float[Tensor, "*table"], x: Float[Tensor, "*#table"]) -> Float[Tensor, "*table"]:
    """The product q x, which is 0 where q is 0, even where x is infinite."""
    return probability * torch.where(probability > 0, x, torch.zeros_like(x))


def relative(log_q: Float[Tensor, "*table"], log_p: Float[Tensor, "*#table"]) -> Float[Tensor, "*table"]:
    """The log ratio log q/p in nats, which is 0 where q is 0."""
    possible = log_q > -torch.inf
    zero = torch.zeros_like(log_q)
    return torch.where(possible, log_q, zero) - torch.where(possible, log_p, zero)


def log_mass(measure: Float[Tensor, "*row outcome"]) -> Float[Tensor, "*row"]:
    """The logarithm of the sum of each row, in nats; 0 where the row holds probabilities, up to rounding."""
    mass = measure.sum(-1)
    return torch.where(((mass - 1).abs() > MASS_ROUNDING) & (mass > 0), mass, 1.0).log()


def split_mass(measure: Float[Tensor, "*row outcome"]) -> tuple[Float[Tensor, "*row outcome"], Float[Tensor, "*row"]]:
    """Each row of a measure as log-probabilities and as the logarithm of its sum, in nats."""
    mass = log_mass(measure)
    return logarithm(measure) - mass[..., None], mass
