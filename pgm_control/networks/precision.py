"""The precision of matrix products."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import cache, partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ..runtime.arguments import one_of

Precision = Literal["float32", "bfloat16"]
_SIZE = 256  # rows and columns of the matrices that are timed
_REPEATS = 5  # the fastest counts, because other processes may interrupt some
_SLOW = 2.0  # with instructions for bfloat16 a product takes 0.2 to 0.5 of the time in float32, without them 10 to 60
_short: ContextVar[torch.dtype | None] = ContextVar("short", default=None)


def products_in(precision: Precision) -> Callable[[], AbstractContextManager[Any]]:
    """A function that makes a context in which a `Network` multiplies wide matrices in this precision.

    With bfloat16 factors and products have three digits, and sums are accumulated in float32. It does not use torch's
    `autocast`, because entering and leaving that costs more than the small operations of an update.

    Raises:
        InvalidArgument: if there is no such precision.
    """
    one_of("products", precision, get_args(Precision))
    return partial(_products_in, None if precision == "float32" else torch.bfloat16)


def usable(precision: Precision, device: torch.device) -> Precision:
    """The precision; "float32", with a warning, in place of "bfloat16" where products are slower in it.

    Without instructions of the processor for bfloat16, a product takes tens of times longer than in float32.

    Raises:
        InvalidArgument: if there is no such precision.
    """
    one_of("products", precision, get_args(Precision))
    if precision == "float32" or not bfloat16_is_slow(device.type):
        return precision
    warnings.warn(
        f'`products="bfloat16"` is not used: a product in bfloat16 takes {time_of_bfloat16(device.type):.0f} times '
        'as long as in float32 on this processor, which has no instructions for it. Products are in "float32".',
        stacklevel=4,  # the caller of a learner's constructor
    )
    return "float32"


def bfloat16_is_slow(device: str) -> bool:
    """Whether products in bfloat16 take more than twice as long as in float32 on a kind of device, such as "cpu"."""
    return time_of_bfloat16(device) > _SLOW


@cache
def time_of_bfloat16(device: str) -> float:
    """The time of a product in bfloat16, in units of that in float32; measured once in a process."""
    factors = [torch.ones(_SIZE, _SIZE, dtype=dtype, device=device) for dtype in (torch.bfloat16, torch.float32)]
    times = [[_time_of_product(each) for each in factors] for _ in range(1 + _REPEATS)]
    short, full = (min(each) for each in zip(*times[1:], strict=True))  # the first calls prepare the operations
    return short / full


def _time_of_product(factor: Tensor) -> float:
    start = time.perf_counter()
    torch.mm(factor, factor)[0, 0].item()  # a number can be read only when the device has finished
    return time.perf_counter() - start


def short_products() -> torch.dtype | None:
    """The dtype to which wide matrices are rounded in the current context, or None."""
    return _short.get()


@contextmanager
def _products_in(dtype: torch.dtype | None) -> Iterator[None]:
    before = _short.set(dtype)
    try:
        yield
    finally:
        _short.reset(before)
