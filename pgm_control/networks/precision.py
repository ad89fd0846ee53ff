"""The precision of matrix products."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Literal, get_args

import torch

from ..runtime.arguments import one_of

Precision = Literal["float32", "bfloat16"]
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
