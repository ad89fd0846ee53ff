"""Convert tables of logits to tables of log-probabilities, with compiled loops where possible, else in torch."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..kernels.backend import kernels_for


def tilted(
    logits: Float[Tensor, "*batch outcome"], log_weight: Float[Tensor, "*batch outcome"]
) -> Float[Tensor, "*batch outcome"]:
    """Log-probabilities with p ∝ weight · exp(logits): logits of 0 give the weights, and a weight of 0 stays 0."""
    kernels = kernels_for(logits, logits.shape[0]) if logits.ndim > 2 and logits.dtype == torch.float64 else None
    if kernels is None:
        return torch.log_softmax(log_weight + logits, -1)
    return _Tilted.apply(kernels, logits, log_weight.detach())


class _Tilted(torch.autograd.Function):
    """The compiled version, for tables whose first axis is time."""

    @staticmethod
    def forward(ctx: Any, kernels: Any, logits: Tensor, log_weight: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        once = log_weight[:1] if log_weight.stride(0) == 0 else log_weight
        given, weight = (each.flatten(1, -2).contiguous() for each in (logits.detach(), once))
        out, probability = torch.empty_like(given), torch.empty_like(given)
        kernels.tilted(*(each.numpy() for each in (given, weight, out, probability)))
        found = out.view(logits.shape)
        ctx.kernels, ctx.probability = kernels, probability
        ctx.save_for_backward(found)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (found,) = ctx.saved_tensors
        if torch.is_grad_enabled():
            return None, gradient - found.exp() * gradient.sum(-1, keepdim=True), None
        given = gradient.flatten(1, -2).contiguous()
        out = torch.empty_like(given)
        ctx.kernels.tilted_gradient(given.numpy(), ctx.probability.numpy(), out.numpy())
        return None, out.view(found.shape), None
