"""How exact matrix products are."""

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
    """A context in which a `Network` multiplies wide matrices in this precision.

    With bfloat16 factors and products have three digits, sums in between are of float32. It is not torch's `autocast`,
    which costs more to enter and to leave than the small operations of an update.

    Raises:
        InvalidArgument: for another precision.
    """
    one_of("products", precision, get_args(Precision))
    return partial(_products_in, None if precision == "float32" else torch.bfloat16)


def short_products() -> torch.dtype | None:
    """The dtype that wide matrices are rounded to here; None for none."""
    return _short.get()


@contextmanager
def _products_in(dtype: torch.dtype | None) -> Iterator[None]:
    before = _short.set(dtype)
    try:
        yield
    finally:
        _short.reset(before)
