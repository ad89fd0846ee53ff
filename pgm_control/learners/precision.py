"""How exact matrix products are."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Literal, get_args

import torch

from .._errors import InvalidArgument

Precision = Literal["float32", "bfloat16"]


def products_in(precision: Precision, device: torch.device) -> Callable[[], AbstractContextManager[Any]]:
    """A context in which float32 matrices are multiplied in this precision.

    With bfloat16 it is torch's `autocast`: factors and products have three digits, sums in between are of float32. The
    networks here keep weights, and what comes out, in float32.

    Raises:
        InvalidArgument: for another precision.
    """
    if precision not in get_args(Precision):
        raise InvalidArgument(f"`products` must be one of {', '.join(get_args(Precision))}, but is {precision!r}.")
    return nullcontext if precision == "float32" else partial(torch.autocast, device.type, torch.bfloat16)
