"""The variables of an xarray dataset, with units."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

REWARD, NATS, PROBABILITY = "reward units", "nats", "probability"
Variables = dict[str, tuple[tuple[str, ...], Any, dict[str, str]]]
Built = tuple[Variables, dict[str, Any], Mapping[str, tuple[str, ...] | tuple[float, ...] | None]]
"""Variables, attributes, and by dimension the names or the numbers of its coordinates."""


def variable(dims: str, values: Tensor | np.ndarray, units: str, long_name: str) -> Any:
    """Return one variable of a dataset."""
    plain = values.detach().cpu().numpy().copy() if isinstance(values, Tensor) else np.asarray(values)
    return tuple(dims.split()), plain, {"units": units, "long_name": long_name}
