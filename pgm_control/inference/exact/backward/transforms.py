"""Functions of plain tensors inside the transforms of torch.func: vmap, grad, jacrev, jacfwd, hessian and vjp."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

Function = Callable[..., tuple[Tensor, ...]]


def transformed(function: Function, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors `function(*tensors)`, where tensors may be those of a transform, which have no numbers of their own.

    The function is called with plain tensors only, so that it may look at their numbers. It is differentiated by
    autograd. An axis that `vmap` maps over becomes the first axis of all its tensors, arguments and results.
    """
    return _Lifted.apply(function, *tensors)


@final
class _Lifted(torch.autograd.Function):
    @staticmethod
    def forward(function: Function, *tensors: Tensor) -> tuple[Tensor, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return function(*tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.function, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        wanted = ctx.needs_input_grad[1:]
        found = iter(_Lifted.apply(_Pullback(ctx.function, wanted), *ctx.saved_tensors, *cotangents))
        return None, *(next(found) if want else None for want in wanted)

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Tensor | None) -> tuple[Tensor, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        tensors = ctx.saved_tensors
        along = [torch.zeros_like(x) if t is None else t for x, t in zip(tensors, tangents, strict=True)]
        return _Lifted.apply(_Push(ctx.function), *tensors, *along)

    @staticmethod
    def vmap(info: Any, in_dims: Any, function: Function, *tensors: Tensor) -> tuple[tuple[Tensor, ...], Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        size, dims = info.batch_size, in_dims[1:]
        rows = [
            each.expand(size, *each.shape) if dim is None else each.movedim(dim, 0)
            for each, dim in zip(tensors, dims, strict=True)
        ]
        found = _Lifted.apply(function, *rows)
        return found, (0,) * len(found)


class _Pullback(NamedTuple):
    """The wanted derivatives of Σ cotangent · result, as a function of the arguments and the cotangents."""

    function: Function
    wanted: Sequence[bool]

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        count, is_differentiated = len(self.wanted), torch.is_grad_enabled()
        with torch.enable_grad():
            inputs = [_view(each) for each in tensors[:count]]
            results = self.function(*inputs)
            asked = [each for each, want in zip(inputs, self.wanted, strict=True) if want]
            return _slopes(results, asked, tensors[count:], is_differentiated)


class _Push(NamedTuple):
    """The derivatives of the results along tangents, as a function of the arguments and the tangents."""

    function: Function

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        count, is_differentiated = len(tensors) // 2, torch.is_grad_enabled()
        with torch.enable_grad():
            inputs = [_view(each) for each in tensors[:count]]
            results = self.function(*inputs)
            weights = [torch.zeros_like(each).requires_grad_() for each in results]
            slopes = _slopes(results, inputs, weights, True)  # linear in the weights, whose derivative is wanted
            return _slopes(slopes, weights, tensors[count:], is_differentiated)


def _view(tensor: Tensor) -> Tensor:
    """The tensor as one that requires gradients, and only those through this argument."""
    return tensor.view_as(tensor) if tensor.requires_grad else tensor.detach().requires_grad_()


def _slopes(
    results: Sequence[Tensor], inputs: Sequence[Tensor], weights: Sequence[Tensor], is_differentiated: bool
) -> tuple[Tensor, ...]:
    pairs = [(each, weight) for each, weight in zip(results, weights, strict=True) if each.requires_grad]
    if not pairs:
        return tuple(torch.zeros_like(each) for each in inputs)
    results, weights = zip(*pairs, strict=True)
    found = torch.autograd.grad(results, inputs, weights, create_graph=is_differentiated, allow_unused=True)
    return tuple(torch.zeros_like(x) if each is None else each for x, each in zip(inputs, found, strict=True))
