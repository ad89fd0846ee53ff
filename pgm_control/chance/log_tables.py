"""Tables of logits and of log-probabilities, with compiled loops where possible, else in torch."""

from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..kernels.backend import kernels_for


def tilted(
    logits: Float[Tensor, "*batch outcome"], log_weight: Float[Tensor, "*batch outcome"]
) -> Float[Tensor, "*batch outcome"]:
    """Log-probabilities with p ∝ weight · exp(logits): logits of 0 give the weights, and a weight of 0 stays 0."""
    kernels = _kernels(logits)
    if kernels is None:
        return torch.log_softmax(log_weight + logits, -1)
    if torch.is_grad_enabled() and logits.requires_grad:
        return _Tilted.apply(kernels, logits, log_weight.detach())
    return _compiled(kernels, logits, log_weight)[0]


@torch.no_grad()
def untilted(
    log_probability: Float[Tensor, "*batch outcome"], log_weight: Float[Tensor, "*batch outcome"]
) -> tuple[Float[Tensor, "*batch outcome"], bool]:
    """The logits, and whether a row has mass where the weight is 0; the inverse of `tilted`.

    An outcome of probability zero has the logit −inf, or 0 where the weight is zero as well.
    """
    kernels = _kernels(log_probability)
    if kernels is None or log_weight.dtype != torch.float64:
        possible = log_weight > -torch.inf
        outside = bool((~possible & (log_probability > -torch.inf)).any())
        return torch.where(possible, log_probability - log_weight, torch.zeros_like(log_weight)), outside
    out = torch.empty(log_probability.shape, dtype=torch.float64)
    outside = kernels.untilted(*(_rows(each).numpy() for each in (log_probability, _once(log_weight), out)))
    return out, outside


def row_error(log_probability: Float[Tensor, "*batch outcome"]) -> float:
    """The largest difference between 1 and the sum of a row of probabilities; nan if one is nan."""
    once = _once(log_probability.detach())
    kernels = _kernels(log_probability)
    if kernels is None:
        return float((once.exp().sum(-1) - 1).abs().max())
    return kernels.row_error(once.flatten(0, -2).contiguous().numpy())


def _kernels(table: Tensor) -> ModuleType | None:
    """The compiled loops, for tables in float64 whose first axis is time."""
    return kernels_for(table, table.shape[0]) if table.ndim > 2 and table.dtype == torch.float64 else None


def _once(table: Tensor) -> Tensor:
    """The table, reduced to one step if it is expanded over time."""
    return table[:1] if table.ndim > 2 and table.stride(0) == 0 else table


def _rows(table: Tensor) -> Tensor:
    """The table as (time, row, outcome), in one order in memory."""
    return table.detach().flatten(1, -2).contiguous()


def _compiled(kernels: ModuleType, logits: Tensor, log_weight: Tensor) -> tuple[Tensor, Tensor]:
    """`tilted`, and the probabilities as (time, row, outcome)."""
    given, weight = _rows(logits), _rows(_once(log_weight))
    out, probability = torch.empty_like(given), torch.empty_like(given)
    kernels.tilted(*(each.numpy() for each in (given, weight, out, probability)))
    return out.view(logits.shape), probability


class _Tilted(torch.autograd.Function):
    """The compiled version, for tables whose first axis is time."""

    @staticmethod
    def forward(ctx: Any, kernels: Any, logits: Tensor, log_weight: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        found, ctx.probability = _compiled(kernels, logits, log_weight)
        ctx.kernels = kernels
        ctx.save_for_backward(found)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (found,) = ctx.saved_tensors
        if torch.is_grad_enabled():
            return None, gradient - found.exp() * gradient.sum(-1, keepdim=True), None
        given = _rows(gradient)
        out = torch.empty_like(given)
        ctx.kernels.tilted_gradient(given.numpy(), ctx.probability.numpy(), out.numpy())
        return None, out.view(found.shape), None
