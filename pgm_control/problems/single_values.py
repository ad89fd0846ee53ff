"""Single numbers and truth values, in the forms in which environments and tables of others give them."""

from typing import Any

import numpy as np


def single_number(value: Any) -> float | None:
    """The real number that `value` is or holds alone, as an array of shape () or (1,) does; None if it is none."""
    if type(value) is float:
        return value
    found = _alone(value, "biuf")
    return None if found is None else float(found)


def single_truth(value: Any) -> bool | None:
    """The truth value that `value` is or holds alone, where 0 and 1 are truth values too; None if it is none."""
    if type(value) is bool:
        return value
    found = _alone(value, "biu")
    return bool(found) if found in (0, 1) else None


def single_index(value: Any) -> int | None:
    """The whole number that `value` is or holds alone; None if it is none. True and False are none."""
    if type(value) is int:
        return value
    found = _alone(value, "iu")
    return None if found is None else int(found)


def _alone(value: Any, kinds: str) -> Any:
    """The only entry of an array of one of these kinds of dtypes, or None."""
    try:
        found = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):  # a ragged list, or a tensor that numpy cannot read
        return None
    return found.reshape(())[()] if found.dtype.kind in kinds and found.shape in ((), (1,)) else None
