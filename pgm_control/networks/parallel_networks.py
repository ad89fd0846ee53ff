"""Several smooth networks of the same shape, each an affine function and a nonlinear part that starts at 0."""

import itertools
from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from .mlp import widths


@final
class ParallelNetworks(torch.nn.Module):
    r"""Functions $f_k(x) = A_k x + b_k + g_k(x)$ for k = 1 … copies, evaluated together, where g starts at 0.

    Attributes:
        copies: their number.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: Sequence[int],
        copies: int,
        generator: torch.Generator | None,
        dtype: torch.dtype,
    ) -> None:
        """Initialise the hidden layers at random, and all else at 0.

        Raises:
            InvalidArgument: if `hidden` is not a sequence of positive whole numbers.
        """
        super().__init__()
        self.copies = copies
        units, new = (inputs, *widths(hidden)), torch.nn.Parameter
        self.slope = new(torch.zeros(copies, outputs, inputs, dtype=dtype))
        self.offset = new(torch.zeros(copies, outputs, dtype=dtype))
        self.weights = torch.nn.ParameterList(
            torch.randn(copies, after, before, generator=generator, dtype=dtype) * (2.0 / before) ** 0.5
            for before, after in itertools.pairwise(units)
        )
        self.biases = torch.nn.ParameterList(
            torch.randn(copies, after, generator=generator, dtype=dtype) for after in units[1:]
        )
        self.last = new(torch.zeros(copies, outputs, units[-1], dtype=dtype)) if hidden else None

    def start_at(self, slope: Float[Tensor, "copies output input"], offset: Float[Tensor, "copies output"]) -> None:
        """Set the affine parts."""
        with torch.no_grad():
            self.slope.copy_(slope)
            self.offset.copy_(offset)

    def forward(self, x: Float[Tensor, "*batch input"]) -> Float[Tensor, "copies *batch output"]:
        """The outputs of all copies for the same inputs."""
        found = self.each(x.reshape(1, -1, x.shape[-1]).expand(self.copies, -1, -1))
        return found.reshape(self.copies, *x.shape[:-1], -1)

    def each(self, x: Float[Tensor, "copies row input"]) -> Float[Tensor, "copies row output"]:
        """The outputs of all copies, each for inputs of its own."""
        found, h = torch.baddbmm(self.offset[:, None], x, self.slope.mT), x
        if self.last is not None:
            for weight, bias in zip(self.weights, self.biases, strict=True):
                h = torch.nn.functional.silu(torch.baddbmm(bias[:, None], h, weight.mT))
            found = found + torch.bmm(h, self.last.mT)
        return found
