"""Networks: fully connected, several copies at once."""

import itertools
from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor


@final
class Network(torch.nn.Module):
    """A fully connected network with rectifiers, or several of one shape side by side as one batched product.

    Without hidden layers it is linear: on one-hot features, a table.

    Attributes:
        copies: how many networks.
    """

    def __init__(self, inputs: int, outputs: int, hidden: Sequence[int] = (256, 256), copies: int = 1) -> None:
        """Start as torch's `Linear` does, uniformly within ±1/√inputs, by torch's generator; a table at zero."""
        super().__init__()
        self.copies = copies
        sizes = (inputs, *hidden, outputs)
        self.weights, self.biases = torch.nn.ParameterList(), torch.nn.ParameterList()
        many = () if copies == 1 else (copies,)  # a plain product is quicker than a batch of one
        for before, after in itertools.pairwise(sizes):
            bound = before**-0.5 if hidden else 0.0
            weight = torch.empty(*many, before, after).uniform_(-bound, bound)
            bias = torch.empty(*many, 1, after).uniform_(-bound, bound)
            self.weights.append(torch.nn.Parameter(weight))
            self.biases.append(torch.nn.Parameter(bias))

    def forward(
        self, x: Float[Tensor, "*copies batch input"], parameters: Sequence[Tensor] | None = None
    ) -> Float[Tensor, "copies batch output"]:
        """The outputs of all copies, each of the same input.

        Args:
            x: the same for all copies, or an input for each.
            parameters: instead of its own, in the order of `parameters()`: weights, then biases.
        """
        given = list(self.parameters()) if parameters is None else parameters
        depth = len(given) // 2
        product = torch.addmm if self.copies == 1 else torch.baddbmm
        h = x.reshape(-1, x.shape[-1]) if self.copies == 1 else x.expand(self.copies, *x.shape[-2:])
        for i in range(depth):
            h = product(given[depth + i], h, given[i])
            h = torch.relu_(h) if i < depth - 1 else h
        return h[None] if self.copies == 1 else h


@torch.no_grad()
def follow(target: Network, source: Network, rate: float) -> None:
    """Polyak averaging: the target moves by `rate` of the way to the source."""
    torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage]
        list(target.parameters()), list(source.parameters()), rate
    )
