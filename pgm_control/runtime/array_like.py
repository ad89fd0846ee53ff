"""Arguments that are converted to arrays: their type, and the check that nothing is lost in the conversion."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from typing_extensions import TypeAliasType

from ..errors import InvalidArgument, InvalidProblem
from .arguments import shown

# An alias with a name, so that `help` prints the name instead of the union. Numbers are listed because a checker at run
# time does not count them among numpy's, which are complex.
ArrayLike = TypeAliasType("ArrayLike", npt.ArrayLike | Tensor | float | int)

Refusal = type[InvalidProblem] | type[InvalidArgument]


def numbers(name: str, value: Any, error: Refusal = InvalidProblem, keeps_graph: bool = False) -> Tensor:
    """The value as a tensor of real numbers; anything but a tensor as float64 on the CPU.

    Raises:
        InvalidProblem: or `error`, if it is not a rectangular array of real numbers, is sparse or masked, or needs a
            gradient, which would be lost unless `keeps_graph`.
    """
    if not isinstance(value, Tensor):
        return torch.from_numpy(np.array(real_array(name, value, error), dtype=np.float64))
    if value.layout is not torch.strided or value.is_meta:
        raise error(f"`{name}` must be a dense tensor, but is {shown(value)}. Pass it as `.to_dense()`.")
    if value.is_complex():
        raise error(f"`{name}` must hold real numbers, but has dtype {value.dtype}. Pass its real part.")
    found = value.detach()
    if is_transformed(found):
        raise error(
            f"`{name}` must hold numbers, but is a tensor inside a transform of torch.func. Make the problem outside; "
            "soft_values(model, optimism, …) takes tables inside."
        )
    if keeps_graph:
        return value
    if value.requires_grad and torch.is_grad_enabled():
        raise error(
            f"`{name}` must not require a gradient, which would be lost here. Pass it as `.detach()` for the numbers; "
            "soft_values(model, optimism, reward=…, final_reward=…, temperature=…, action_prior=…) is differentiable."
        )
    return found


def is_transformed(value: Any) -> bool:
    """Whether it is a tensor inside a transform of torch.func, such as vmap, which has no numbers of its own."""
    if not isinstance(value, Tensor) or value.layout is not torch.strided:
        return False
    try:
        value.data_ptr()
    except RuntimeError:
        return True
    return False


def real_array(name: str, value: Any, error: Refusal) -> np.ndarray:
    """The value as an array of real numbers, in its own dtype unless that is one of objects."""
    if isinstance(value, Tensor):
        value = numbers(name, value, error).numpy(force=True)
    if hasattr(value, "tocsr"):
        raise error(f"`{name}` must be a dense array, but is a sparse {type(value).__name__}. Pass it as `.toarray()`.")
    if np.ma.is_masked(value):
        raise error(f"`{name}` must not have masked entries, which have no value. Fill them: `.filled(…)`.")
    try:
        given = np.asarray(value)
        given = given.astype(np.float64) if given.dtype.kind in "OV" else given  # V: bfloat16, which numpy lacks
    except (TypeError, ValueError, OverflowError, RuntimeError) as problem:
        raise error(
            f"`{name}` must be a rectangular array of numbers: {str(problem).rstrip('.')}. Pad short rows."
        ) from problem
    if given.dtype.kind == "c":
        raise error(f"`{name}` must hold real numbers, but has dtype {given.dtype}. Pass its real part.")
    if given.dtype.kind not in "biuf":
        raise error(f"`{name}` must be an array of numbers, but is {shown(value)}.")
    return given


def rounding(value: Any) -> float:
    """The distance from 1 to the next number of the dtype of an argument, before any conversion.

    Numbers of float64 that float32 holds exactly were numbers of float32 before, as in `torch.tensor([0.1]).double()`.
    """
    dtype = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
    name = str(dtype).rpartition(".")[2]
    if name in ("float16", "bfloat16", "float32"):
        return torch.finfo(getattr(torch, name)).eps
    if hasattr(value, "tocsr"):
        value = value.data
    table = value.numpy(force=True) if isinstance(value, Tensor) else np.asarray(value, dtype=np.float64)
    with np.errstate(over="ignore"):
        single = bool((table == table.astype(np.float32)).all())
    return torch.finfo(torch.float32 if single else torch.float64).eps
