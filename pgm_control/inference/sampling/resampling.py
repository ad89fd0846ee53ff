"""Resampling of particles by their weights, for a batch of independent runs."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor


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
