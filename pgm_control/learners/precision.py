"""How exact matrix products are."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal, get_args

import torch

from .._errors import InvalidArgument

Precision = Literal["float32", "bfloat16"]


def products_in(precision: Precision) -> Callable[[], AbstractContextManager[None]]:
    """A context in which float32 matrices are multiplied in this precision; the setting of others is put back.

    With bfloat16 the products have a relative error of about 4e-3 and are summed in float32.
    """
    if precision not in get_args(Precision):
        raise InvalidArgument(f"`products` must be one of {', '.join(get_args(Precision))}, but is {precision!r}.")
    return nullcontext if precision == "float32" else _short


@contextmanager
def _short() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
