"""The arrays of other libraries, checked under the names that those libraries give them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from ..problems import checks
from ..runtime.array_like import rounding

_DOUBLE = checks.Kind(torch.float64, torch.device("cpu"))


def numbers(name: str, value: Any, axes: Mapping[int, str]) -> Float[np.ndarray, "..."]:
    """Return an array of real numbers in float64, with one of the allowed numbers of axes.

    Raises:
        InvalidProblem: if it is anything else; the message names the argument.
    """
    return checks.table(name, value, axes, _DOUBLE).numpy()


def rewards(name: str, value: Any, axes: Mapping[int, str]) -> Float[np.ndarray, "..."]:
    """Return an array of rewards in float64: numbers, or −inf.

    Raises:
        InvalidProblem: if it is anything else; the message names the argument and the entry.
    """
    found = checks.table(name, value, axes, _DOUBLE)
    checks.rewards(name, found, ())
    return found.numpy()


def distributions(name: str, value: Any, axes: Mapping[int, str], last: int = -1) -> Float[np.ndarray, "..."]:
    """Return an array of distributions over one of its axes in float64, normalised.

    Args:
        name: the name of the argument.
        value: the argument.
        axes: the allowed number of axes, and their names.
        last: the axis of the random variable; in messages it comes last.

    Raises:
        InvalidProblem: if it is anything else; the message names the argument and the entry.
    """
    return np.moveaxis(normalised(name, np.moveaxis(numbers(name, value, axes), last, -1), value), -1, last)


def normalised(name: str, table: Float[np.ndarray, "..."], given: Any) -> Float[np.ndarray, "..."]:
    """Return the table with rows that sum to one, up to the rounding of the argument `given` from which it was made.

    Raises:
        InvalidProblem: if a row is not a distribution; the message names the argument and the entry.
    """
    return checks.normalised(name, torch.from_numpy(table), (), given=given).numpy()


def slack_of(given: Any, many: int) -> float:
    """Return how far the sum of that many probabilities of an argument may be from one."""
    return float(checks.slack(rounding(given), many))
