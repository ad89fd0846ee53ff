"""Resampling of particles by their weights, for a batch of independent runs, and the error of their evidence.

Sources:
    [lee2018] A. Lee and N. Whiteley, Variance estimation in the particle filter. Biometrika 105(3):609–625, 2018.
        doi:10.1093/biomet/asy028
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

_LARGEST = 0.1  # relative variance that ten families suffice to estimate


def log_mean(log_weight: Float[Tensor, "*batch particle"]) -> Float[Tensor, "*batch"]:
    """The logarithm of the mean weight of each run."""
    return torch.logsumexp(log_weight, -1) - math.log(log_weight.shape[-1])


def effective_sample_size(log_weight: Float[Tensor, "batch particle"]) -> Float[Tensor, " batch"]:
    """1/Σ w² of the normalised weights; 0 if every weight is 0."""
    return torch.where(torch.isneginf(log_weight).all(-1), 0.0, 1.0 / _shares(log_weight).square().sum(-1))


def _shares(log_weight: Float[Tensor, "batch particle"]) -> Float[Tensor, "batch particle"]:
    """The normalised weights; equal in a run whose weights are all 0, where they do not matter."""
    dead = torch.isneginf(log_weight).all(-1, keepdim=True)
    return torch.softmax(torch.where(dead, 0.0, log_weight), -1)


def systematic(
    log_weight: Float[Tensor, "batch particle"], generator: torch.Generator | None
) -> Int[Tensor, "batch particle"]:
    """Systematic resampling: ancestor i is the particle into whose share (i + u)/N falls, with one u for all."""
    share, size = _shares(log_weight), log_weight.shape[-1]
    uniform = torch.rand(len(share), 1, generator=generator, dtype=share.dtype, device=share.device)
    cumulated = share.cumsum(-1)
    where = (torch.arange(size, device=share.device) + uniform) / size * cumulated[:, -1:]
    last = size - 1 - (share.flip(-1) > 0).to(torch.int8).argmax(-1, keepdim=True)  # never a particle of weight 0
    return torch.minimum(torch.searchsorted(cumulated, where, right=True), last)


def multinomial(
    log_weight: Float[Tensor, "batch particle"], generator: torch.Generator | None
) -> Int[Tensor, "batch particle"]:
    """Multinomial resampling of all particles except particle 0, which is kept."""
    chosen = torch.multinomial(_shares(log_weight), log_weight.shape[-1], replacement=True, generator=generator)
    chosen[:, 0] = 0
    return chosen


def standard_error(
    log_weight: Float[Tensor, "batch particle"],
    first: Int[Tensor, "batch particle"],
) -> Float[Tensor, " batch"]:
    r"""The standard error of log Ẑ of each run, in nats, estimated from its genealogy [lee2018].

    $$v = 1 - \Bigl(\frac{N}{N-1}\Bigr)^{n+1} \Bigl(1 - \sum_e W_e^2\Bigr)$$

    estimates the relative variance of Ẑ, with $W_e$ the share of the descendants of the first particle e and n the
    number of multinomial resamplings, each of which adds about 1/N to the sum by chance alone. Systematic resampling
    adds next to nothing, so that n counts as 0: with it v would be too small, and often negative. With multinomial
    resampling it is too large by about n/N. Without resampling it is the variance of the mean of the weights. The error
    of the logarithm is √v to first order. The estimate is about one over the effective number of families, and never
    above 1: of few families it shows nothing.

    Args:
        log_weight: the last weights.
        first: the ancestor of each particle among the first ones.

    Returns:
        √v; infinite where v > 0.1, which is fewer than ten families, or all weights are 0.

    References:
        [lee2018]
    """
    share, size = _shares(log_weight), log_weight.shape[-1]
    families = torch.zeros_like(share).scatter_add(-1, first, share).square().sum(-1)
    if size == 1:
        return torch.full_like(families, torch.inf)
    found = ((size * families - 1.0) / (size - 1.0)).clamp(min=0.0)
    unknown = (found > _LARGEST) | torch.isneginf(log_weight).all(-1)
    return torch.where(unknown, torch.inf, found.sqrt())
