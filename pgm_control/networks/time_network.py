"""A network for all times of a horizon: an affine function of its own at each time, and a shared nonlinear part."""

import itertools
from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ..runtime.randomness import seeded
from .mlp import widths


@final
class TimeNetwork(torch.nn.Module):
    r"""A function of time and a vector, which starts at 0.

    $$f_t(x) = A_t x + b_t + W_L\, \sigma(\dots \sigma(W_1 x + c_t))$$

    The weights W are shared by all times; A, b and c are those of each time. With $W_L = 0$ it is any affine function
    at each time, so that a family which is linear and Gaussian at each time is contained in one with this network.
    σ is the sigmoid linear unit.
    """

    def __init__(
        self,
        times: int,
        inputs: int,
        outputs: int,
        hidden: Sequence[int] = (64, 64),
        seed: int | torch.Generator | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        """Initialise all that is nonlinear at random, and the outputs at 0.

        Args:
            times: the number of times.
            inputs, outputs: the numbers of coordinates; without inputs it is a function of time alone.
            hidden: the number of units of each hidden layer; none for an affine function.
            seed: an integer, a generator, or None for torch's global generator.
            dtype: of the parameters.

        Raises:
            InvalidArgument: if `hidden` is not a sequence of positive whole numbers.
        """
        super().__init__()
        units = (inputs, *(widths(hidden) if inputs else ()))
        new, clock = torch.nn.Parameter, torch.linspace(0.0, 1.0, times, dtype=dtype)
        self.slope = new(torch.zeros(times, outputs, inputs, dtype=dtype)) if inputs else None
        self.offset = new(torch.zeros(times, outputs, dtype=dtype))
        with seeded(seed):
            self.weights = torch.nn.ParameterList(
                torch.randn(after, before, dtype=dtype) * (2.0 / before) ** 0.5
                for before, after in itertools.pairwise(units)
            )
            self.biases = torch.nn.ParameterList(torch.zeros(after, dtype=dtype) for after in units[2:])
            first = torch.randn(2, units[min(1, len(units) - 1)], dtype=dtype)
        self.clock = new(first[0] + clock[:, None] * first[1]) if len(units) > 1 else None
        self.last = new(torch.zeros(outputs, units[-1], dtype=dtype)) if len(units) > 1 else None

    def forward(self, t: int, x: Float[Tensor, "*batch input"]) -> Float[Tensor, "*batch output"]:
        """f_t(x)."""
        linear = torch.nn.functional.linear
        if self.slope is None:
            return self.offset[t].expand(*x.shape[:-1], -1)
        found = linear(x, self.slope[t], self.offset[t])
        if self.clock is None or self.last is None:
            return found
        h = x
        for weight, bias in zip(self.weights, (self.clock[t], *self.biases), strict=True):
            h = torch.nn.functional.silu(linear(h, weight, bias))
        return found + linear(h, self.last)
