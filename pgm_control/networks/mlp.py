"""Fully connected networks, several copies at once."""

import itertools
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import handle_torch_function, has_torch_function_unary

from ..errors import InvalidArgument
from ..runtime.arguments import whole
from .precision import short_products

_THIN = 32  # matrices thinner than this are not faster in bfloat16
_Views = tuple[list[Tensor], list[Tensor]]


@final
class Network(torch.nn.Module):
    """A fully connected network with rectifiers, or several of the same shape, which are evaluated together.

    Without hidden layers it is linear, which on one-hot features is a table. All weights are one row of memory, which
    an optimiser and a target network update in one operation, and the backward pass is explicit. This makes a step of
    soft actor-critic a sixth faster.

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
    def biases(self) -> list[Float[Tensor, "copies 1 output"]]:
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
        rectifiers, thin layers and outputs keep their precision. Torch's `autocast` has no effect.

        Args:
            x: one input for all copies, or one for each.
            frozen: whether gradients flow to `x` alone, and not to the parameters.
        """
        flat = self.flat.detach() if frozen else self.flat
        with _as_written(flat.device.type):
            return _applied(x.expand(self.copies, *x.shape[-2:]), flat, self._views(), self._shape, short_products())

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
        """The weights (copies, output, input) and the biases (copies, 1, output) of all layers, as views of `flat`."""
        copies, weights, biases, at = self.copies, [], [], flat.storage_offset()
        for before, after in itertools.pairwise(self.sizes):
            weights.append(flat.as_strided((copies, after, before), (after * before, before, 1), at))
            at += copies * after * before
            biases.append(flat.as_strided((copies, 1, after), (after, after, 1), at))
            at += copies * after
        return weights, biases


def _applied(x: Tensor, flat: Tensor, views: _Views, shape: _Shape, short: torch.dtype | None) -> Tensor:
    """The outputs of the layers. Tensors that override torch functions, as Pyro's do, are handled first."""
    if has_torch_function_unary(x):
        return handle_torch_function(_applied, (x,), x, flat, views, shape, short)
    if not torch.is_grad_enabled():
        return _outputs(x, views, short)
    return _Layers.apply(x, flat, views, shape, short)  # pyright: ignore[reportReturnType]


def _outputs(x: Tensor, views: _Views, short: torch.dtype | None, kept: _Views | None = None) -> Tensor:
    """The outputs; the weights and inputs of each layer, as multiplied, are appended to `kept`."""
    h, last = x, len(views[0]) - 1
    for i, (weight, bias) in enumerate(zip(*views, strict=True)):
        weight = weight if short is None else _shortened(weight, short)
        h = _as(weight, h)
        if kept is not None:
            kept[0].append(weight)
            kept[1].append(h)
        if weight.dtype != bias.dtype:
            h = torch.bmm(h, weight.mT).to(bias.dtype).add_(bias)  # elementwise operations are slow in bfloat16
        elif len(h) == 1:
            h = torch.addmm(bias[0], h[0], weight[0].mT)[None]
        else:
            h = torch.baddbmm(bias, h, weight.mT)
        h = h.relu_() if i < last else h
    return h


class _Layers(torch.autograd.Function):
    r"""$h_{i + 1} = \max(h_i W_i^\top + b_i, 0)$, without the maximum in the last layer; an explicit backward pass.

    A product with a thin factor is computed as its transpose where that is an order of magnitude faster.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, flat: Tensor, views: _Views, shape: _Shape, short: torch.dtype | None) -> Tensor:
        kept: _Views = [], []
        y = _outputs(x, views, short, kept)
        ctx.save_for_backward(flat, *kept[0], *kept[1])
        ctx.shape = shape
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        flat, *saved = ctx.saved_tensors
        weights, hidden = saved[: len(saved) // 2], saved[len(saved) // 2 :]
        to_input, to_flat = ctx.needs_input_grad[:2]
        with _as_written(flat.device.type):
            if to_input and not to_flat and flat.is_cpu and all(each.dtype == flat.dtype for each in weights):
                return _sparsely(outer[0], weights, hidden), None, None, None, None
            gradient = torch.zeros_like(flat) if to_flat else None
            found = ctx.shape.split(gradient) if gradient is not None else None
            to_x = _densely(outer[0], weights, hidden, found, to_input)
        return to_x, gradient, None, None, None


def _densely(
    slope: Tensor, weights: Sequence[Tensor], hidden: Sequence[Tensor], found: _Views | None, to_input: bool
) -> Tensor | None:
    """The gradient of x, or None; the gradients of weights and biases are written into `found`.

    `found` is zeroed beforehand, so that its memory is in the cache: writing a product to untouched memory takes a
    third longer.
    """
    exact = slope.dtype
    for i in reversed(range(len(weights))):
        h, weight = hidden[i], weights[i]
        if found is not None:
            torch.sum(slope, -2, keepdim=True, dtype=exact, out=found[1][i])
        slope = _as(weight, slope)
        if found is not None:
            if h.shape[-1] < slope.shape[-1]:
                found[0][i].copy_(torch.bmm(h.mT, slope).mT)
            elif slope.dtype == exact:
                torch.bmm(slope.mT, h, out=found[0][i])
            else:
                found[0][i].copy_(torch.bmm(slope.mT, h))
        if i > 0:
            slope = slope * weight if slope.shape[-1] == 1 else torch.bmm(slope, weight)
            _pass_through(slope, h)
    return torch.bmm(slope, weights[0].mT.contiguous().mT).to(exact) if to_input else None


def _sparsely(slope: Tensor, weights: Sequence[Tensor], hidden: Sequence[Tensor]) -> Tensor:
    """The gradient of x, without the rows whose output gradient is 0, such as those of the larger of two critics.

    In bfloat16 products are so cheap that this does not pay.
    """
    asked = slope.any(-1)
    rows, numbers = asked.flatten().nonzero()[:, 0], asked.sum(-1).tolist()
    s = slope.flatten(0, 1).index_select(0, rows)
    for i in reversed(range(len(weights))):
        weight = weights[i] if i > 0 else weights[0].mT.contiguous().mT
        parts = zip(s.split(numbers), weight, strict=True)
        s = torch.cat([part * w if part.shape[-1] == 1 else part @ w for part, w in parts])
        if i > 0:
            _pass_through(s, hidden[i].flatten(0, 1).index_select(0, rows))
    found = slope.new_zeros(asked.numel(), s.shape[-1])
    return found.index_copy_(0, rows, s).view(hidden[0].shape)


def _pass_through(slope: Tensor, h: Tensor) -> None:
    """Set the gradient to 0, in place, where the rectifier's output is 0."""
    torch.ops.aten.threshold_backward.grad_input(slope, h, 0, grad_input=slope)


def _as_written(device: str) -> AbstractContextManager[Any]:
    """A context that disables torch's `autocast`, if it is enabled."""
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def _as(like: Tensor, x: Tensor) -> Tensor:
    """The tensor in the dtype of `like`. The comparison is cheaper than `to`, which is rarely needed."""
    return x if x.dtype == like.dtype else x.to(like.dtype)


def _shortened(weight: Tensor, short: torch.dtype) -> Tensor:
    """The weight in the lower precision, unless it is so thin that its products cost almost nothing."""
    return weight if min(weight.shape[1:]) < _THIN else weight.to(short)


@torch.no_grad()
def follow(target: Network, source: Network, rate: float) -> None:
    """Polyak averaging: move the target by a fraction `rate` of the way to the source."""
    target.flat.lerp_(source.flat, rate)
