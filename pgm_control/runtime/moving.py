"""The devices and dtypes of tables, and functions that move tables between them."""

import copy
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from ..errors import InvalidArgument
from .arguments import shown

_T = TypeVar("_T")


class Place(NamedTuple):
    """The device of tables, and the dtype of those that are floating."""

    device: torch.device
    dtype: torch.dtype

    @classmethod
    def of(cls, table: Tensor) -> "Place":
        """The place of a floating table."""
        return cls(table.device, table.dtype)


def place_of(like: Tensor, device: torch.device | str | None, dtype: torch.dtype | None) -> Place:
    """The place that the arguments of a method `to` specify.

    Args:
        like: a floating table, whose device and dtype apply where the argument is None.
        device: a torch device.
        dtype: torch.float64 or torch.float32.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
    """
    if dtype is not None and not is_floating(dtype):
        raise InvalidArgument(f"`dtype` must be torch.float64 or torch.float32, but is {shown(dtype)}.")
    if isinstance(device, torch.dtype):
        raise InvalidArgument(f"`device` must be a device of torch, but is a dtype. Pass dtype={device}.")
    return Place(like.device if device is None else device_of(device), dtype or like.dtype)


def is_floating(dtype: object) -> bool:
    """Whether tables may have this dtype."""
    return isinstance(dtype, torch.dtype) and dtype in (torch.float32, torch.float64)


def device_of(device: torch.device | str) -> torch.device:
    """The torch device, if it is available.

    Raises:
        InvalidArgument: if it is not available.
    """
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError, ValueError, OverflowError) as problem:
        raise InvalidArgument(
            f'`device` must be a device of torch, such as "cpu" or "cuda", but is {shown(device)}.'
        ) from problem
    if found.type == "cuda" and not torch.cuda.is_available():
        raise InvalidArgument(f'`device` must be there, but torch sees no CUDA device for {device!r}. Take "cpu".')
    return torch.device("cuda", torch.cuda.current_device()) if found == torch.device("cuda") else found


def moved(value: _T, place: Place) -> _T:
    """The value with all its tensors moved to another place; the value itself where nothing changes.

    A floating tensor gets the device and dtype, any other tensor only the device. Tuples, lists and dictionaries are
    rebuilt from their moved entries. Any other object with a method `to(device, dtype)` is moved by it, except torch
    modules, which would change in place. Everything else stays as it is.
    """
    found: Any = value
    if isinstance(value, Tensor):
        return found.to(device=place.device, dtype=place.dtype if value.is_floating_point() else None)
    if isinstance(value, dict):
        parts = {key: moved(each, place) for key, each in value.items()}
        return found if all(parts[key] is each for key, each in value.items()) else type(found)(parts)
    if isinstance(value, list | tuple):
        parts = [moved(each, place) for each in value]
        if all(one is other for one, other in zip(parts, value, strict=True)):
            return found
        return type(found)(*parts) if hasattr(value, "_fields") else type(found)(parts)
    if not isinstance(value, type | torch.nn.Module) and callable(getattr(value, "to", None)):
        return found.to(device=place.device, dtype=place.dtype)
    return value


def moved_copy(value: _T, place: Place, **given: Any) -> _T:
    """A shallow copy of an object with its attributes moved; the attributes in `given` are set as they are."""
    found = copy.copy(value)
    for name, each in vars(value).items():
        object.__setattr__(found, name, given[name] if name in given else moved(each, place))
    return found


def moved_probability(p: Tensor, place: Place) -> Tensor:
    """Probabilities at another place: rows sum to one in its dtype, and possible outcomes stay possible.

    Rows that count actions keep their whole sums.
    """
    if p.dtype != place.dtype:
        rounded = p.to(place.dtype)
        rounded = torch.where(p > 0, rounded.clamp(min=torch.finfo(place.dtype).tiny), rounded)
        p = rounded / (rounded.sum(-1, keepdim=True) / p.sum(-1, keepdim=True).round().to(place.dtype))
    return p.to(place.device)


def moved_log_probability(log_p: Tensor, place: Place) -> Tensor:
    """`moved_probability` for log-probabilities."""
    if log_p.dtype != place.dtype:
        rounded = log_p.to(place.dtype)
        rounded = torch.where(log_p > -torch.inf, rounded.clamp(min=torch.finfo(place.dtype).min), rounded)
        log_p = torch.log_softmax(rounded, -1)
    return log_p.to(place.device)
