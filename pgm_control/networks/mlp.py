"""Fully connected networks, several copies at once."""

import itertools
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidArgument
from ..runtime.arguments import whole
from .precision import short_products

_THIN = 32  # matrices thinner than this are not faster in bfloat16
_Views = tuple[list[Tensor], list[Tensor]]


@final
class Network(torch.nn.Module):
    """A fully connected network with rectifiers, or several of the same shape, which are evaluated together.

    Without hidden layers it is linear, which on one-hot features is a table. All weights are one row of memory, which
    an optimiser and a target network update in one operation.

    Attributes:
        copies: the number of networks.
        flat: all parameters, in one row.
    """

    def __init__(self, inputs: int, outputs: int, hidden: Sequence[int] = (256, 256), copies: int = 1) -> None:
        """Initialise as torch's `Linear`: uniformly within ±1/√inputs, from torch's generator; a table starts at 0.

        Raises:
            InvalidArgument: if `hidden` is not a sequence of positive whole numbers.
        """
        super().__init__()
        hidden = widths(hidden)
        self.copies = copies
        self._shape = _Shape(copies, (inputs, *hidden, outputs))
        self.flat = torch.nn.Parameter(torch.empty(self._shape.numel()))
        self._seen: tuple[int, _Views] | None = None
        for weight, bias in zip(self.weights, self.biases, strict=True):
            bound = weight.shape[-1] ** -0.5 if hidden else 0.0
            weight.uniform_(-bound, bound)
            bias.uniform_(-bound, bound)

    @property
    def weights(self) -> list[Float[Tensor, "copies output input"]]:
        """The weights of each layer, as views of `flat` without gradients; writing into them changes the parameters."""
        return self._views()[0]

    @property
    def biases(self) -> list[Float[Tensor, "copies output 1"]]:
        """The biases of each layer, as views of `flat` without gradients."""
        return self._views()[1]

    def __getstate__(self) -> dict[str, Any]:
        """All but the views, which a copy makes anew of its own memory."""
        return {**self.__dict__, "_seen": None}

    def forward(
        self, x: Float[Tensor, "*copies batch input"], frozen: bool = False
    ) -> Float[Tensor, "copies batch output"]:
        """The outputs of all copies.

        Within `products_in("bfloat16")` the wide products are in bfloat16, here and in the backward pass. Biases,
        rectifiers, thin layers and outputs keep their precision. Torch's `autocast` has no effect, except on a backward
        pass within it.

        Args:
            x: one input for all copies, or one for each.
            frozen: whether gradients flow to `x` alone, and not to the parameters.
        """
        learns = self.flat.requires_grad and torch.is_grad_enabled() and not frozen
        weights, biases = self._shape.split(self.flat) if learns else self._views()
        short = short_products()
        with _as_written(self.flat.device.type):
            # An input is a column, so that the gradients of weights are laid out as the weights.
            h = x.to(self.flat.dtype).expand(self.copies, *x.shape[-2:]).mT
            for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
                h = _affine(weight, h if i == 0 else h.relu_(), bias, short)
            return h.mT

    def _views(self) -> "_Views":
        """The weights and biases as views, renewed if the memory has moved."""
        where = self.flat.data_ptr()
        if self._seen is None or self._seen[0] != where:
            self._seen = where, self._shape.split(self.flat.detach())
        return self._seen[1]


def widths(hidden: Any) -> tuple[int, ...]:
    """The numbers of units of the hidden layers, checked.

    Raises:
        InvalidArgument: if `hidden` is not a sequence of positive whole numbers.
    """
    if isinstance(hidden, str | bytes) or not isinstance(hidden, Sequence | np.ndarray | Tensor):
        raise InvalidArgument(
            f"`hidden` must be a sequence of numbers of units, such as (64, 64), or () for a linear network, but is "
            f"{hidden!r}."
        )
    found = hidden if isinstance(hidden, Sequence) else hidden.tolist()
    return tuple(whole(f"hidden[{i}]", each) for i, each in enumerate(found))


class _Shape(NamedTuple):
    """The sizes of the layers, and their positions in the row."""

    copies: int
    sizes: tuple[int, ...]

    def numel(self) -> int:
        return self.copies * sum((before + 1) * after for before, after in itertools.pairwise(self.sizes))

    def split(self, flat: Tensor) -> _Views:
        """The weights (copies, output, input) and the biases (copies, output, 1) of all layers, as views of `flat`."""
        shapes = [(self.copies, after, n) for before, after in itertools.pairwise(self.sizes) for n in (before, 1)]
        parts = flat.split([math.prod(each) for each in shapes])
        views = [part.view(each) for part, each in zip(parts, shapes, strict=True)]
        return views[::2], views[1::2]


def _affine(weight: Tensor, h: Tensor, bias: Tensor, short: torch.dtype | None) -> Tensor:
    """$W h + b$. The product is in the dtype `short`, unless the weight is so thin that it costs almost nothing."""
    if short is None or min(weight.shape[1:]) < _THIN:
        return torch.baddbmm(bias, weight, h)
    return torch.bmm(weight.to(short), h.to(short)).to(bias.dtype).add_(bias)


def _as_written(device: str) -> AbstractContextManager[Any]:
    """A context that disables torch's `autocast`, if it is enabled."""
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


@torch.no_grad()
def follow(target: Network, source: Network, rate: float) -> None:
    """Polyak averaging: move the target by a fraction `rate` of the way to the source."""
    target.flat.lerp_(source.flat, rate)
