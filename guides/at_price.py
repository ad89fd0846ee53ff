"""Parameters of a block at a price: multiplied by β, with reversed gradient where the block is adversarial."""

from typing import Any

import torch
from torch import Tensor

from pgm_control.chance.optimism import Number


class _SignedGradient(torch.autograd.Function):
    """The identity function, whose gradient is multiplied by a sign."""

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor, sign: Number) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return logits.view_as(logits)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Number], output: Tensor) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.sign = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return ctx.sign * gradient, None


def scaled(logits: Tensor, beta: Number) -> Tensor:
    """β times the logits, with reversed gradient where β is negative, so that ascent minimises there."""
    if isinstance(beta, Tensor):
        beta = beta.reshape(*beta.shape, *[1] * (logits.ndim - beta.ndim))
        return torch.where(
            beta == 0, 0.0, beta * _SignedGradient.apply(logits, torch.where(beta < 0, -1.0, 1.0).to(beta))
        )
    return beta * (logits if beta > 0 else _SignedGradient.apply(logits, -1.0))


def worth(logits: Tensor, beta: Number) -> Tensor:
    """The logits divided by β, the inverse of `scaled`; 0 where β is 0."""
    if isinstance(beta, Tensor):
        beta = beta.reshape(*beta.shape, *[1] * (logits.ndim - beta.ndim))
        return torch.where(beta == 0, 0.0, logits / torch.where(beta == 0, 1.0, beta))
    return logits / beta
