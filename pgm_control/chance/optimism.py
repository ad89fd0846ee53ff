"""The optimism β of each block, which sets how much the posterior may change it.

Sources:
    [graumoya2016] J. Grau-Moya et al., Planning with information-processing constraints and model uncertainty in Markov
        decision processes. European Conference on Machine Learning and Principles and Practice of Knowledge Discovery
        in Databases, 2016. arXiv:1604.02080
    [ortega2013] P. A. Ortega and D. A. Braun, Thermodynamics as a theory of decision-making with information-processing
        costs. Proceedings of the Royal Society A 469:20120683, 2013. doi:10.1098/rspa.2012.0683
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import InvalidArgument
from ..runtime.arguments import is_number, number, shown
from ..runtime.array_like import numbers
from .risk import Risk, beta_of

Number = float | Tensor
Table = Float[Tensor, "..."] | Bool[Tensor, "..."] | Float[np.ndarray, "..."] | Bool[np.ndarray, "..."]


@final
@dataclass(frozen=True, eq=False, repr=False)
class Optimism:
    r"""A number β for each random block, or for each part of a block; 1/β is the price of a nat of change.

    β = 1 pays the price at par (free, the ELBO), β → 0 forbids change (clamped), β < 0 is adversarial. The objective
    $J_\beta$ charges a block $1/\beta$ times its KL from the model (see `infer`). A `Risk` in place of a number or
    table stands for β = θτ. At temperature 0 every part must be 0 or a `Risk`.

    A temperature for the choices of the agent and another, of either sign, for the random events around it are
    those of bounded rationality [ortega2013] and of planning under model uncertainty [graumoya2016]: here they are τ
    and τ/β.

    Attributes:
        dynamics: β of the dynamics $p(k \mid s, a)$. A table, or a mask (True is free), sets it separately by time,
            state or action: its shape must broadcast against (time, state, action), such as (S, 1) by state, (S, A) by
            state and action, (T, 1, 1) by time. For factored dynamics (`FactoredMDP`), a mapping from the name of every
            factor to a number or a table.
        initial: β₀ of the start $p(s_0)$. For a factored start (`Ensemble`), a mapping from every factor to a number.
        survival: β of surviving a step, which has probability γ (`discount`). Default: clamped, because a free agent
            that only receives negative rewards infers that it dies early. A table must broadcast against (time,
            next_state).

    References:
        [ortega2013], [graumoya2016]
    """

    dynamics: Number | Table | Risk | Mapping[str, Any] = 1.0
    initial: float | Risk | Mapping[str, float | Risk] = 1.0
    survival: Number | Table | Risk = 0.0

    def __post_init__(self) -> None:
        """Check that every entry is a finite number or a table of finite numbers."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Mapping) and field.name != "survival":
                cleaned: Any = {f: _checked(f"{field.name}, {f!r},", each) for f, each in value.items()}
            else:
                cleaned = _checked(field.name, value)
            of_start = cleaned.values() if isinstance(cleaned, dict) else [cleaned]
            if field.name == "initial" and any(isinstance(beta_of(each, 1.0), Tensor) for each in of_start):
                raise InvalidArgument(
                    "`optimism` of initial must be a number, since the start is one random event, but is a table. For "
                    "a table of the dynamics write Optimism(dynamics=table, initial=…)."
                )
            object.__setattr__(self, field.name, cleaned)

    @classmethod
    def of(cls, optimism: "OptimismLike") -> "Optimism":
        """The `Optimism` of an argument: one number or `Risk` sets start and dynamics; survival stays clamped.

        Raises:
            InvalidArgument: if it is neither a finite number nor a `Risk` nor an `Optimism`.
        """
        if isinstance(optimism, Optimism):
            return optimism
        if is_number(optimism):
            return _of_number(number(optimism) + 0.0)  # −0.0 is 0.0
        beta: Any = optimism
        return cls(dynamics=beta, initial=beta)

    def at(self, temperature: float) -> "Optimism":
        """The same with a number or table β in place of every `Risk`: θτ, or at temperature 0 θ itself (see `unit`).

        Raises:
            InvalidArgument: if the temperature is 0 and a β is neither 0 nor a `Risk`.
        """
        if temperature == 0 and not _all(self, lambda beta: (beta == 0) | (beta != beta)):
            raise InvalidArgument(
                "`optimism` must be 0 or a Risk in every block when the model's temperature is 0, but is "
                f"{self}. With temperature 0 a number β has no meaning: pass Risk(theta), with θ = β/τ in 1/reward; or "
                "0, for hard value iteration; or a model with a positive temperature."
            )
        return self.each(lambda beta: beta_of(beta, temperature))

    def numbers(self, what: str) -> tuple[float, float, float]:
        """β of dynamics, initial and survival, if each is one number.

        Raises:
            InvalidArgument: if a block has a table or factors, which `what` does not support.
        """
        found = self.dynamics, self.initial, self.survival
        if not all(isinstance(each, float) for each in found):
            raise InvalidArgument(
                f"`optimism` must be one number a block for {what}, but has a table or factors. "
                "infer(model, optimism) takes them."
            )
        return found  # pyright: ignore[reportReturnType]

    def number(self, remedy: str) -> float:
        """β, if it is one number for the start and the dynamics, and survival is clamped.

        Raises:
            InvalidArgument: otherwise; the message ends with the remedy.
        """
        if not isinstance(self.dynamics, float) or self.initial != self.dynamics or self.survival != 0:
            raise InvalidArgument(
                "`optimism` must be one finite number here, the same for start and dynamics with survival clamped, "
                f"but is {self}. {remedy}"
            )
        return self.dynamics

    def each(self, change: Callable[[Any], Number]) -> "Optimism":
        """A copy with `change` applied to every number, table and `Risk`."""
        changed: list[Any] = [
            {name: change(each) for name, each in value.items()} if isinstance(value, Mapping) else change(value)
            for value in (self.dynamics, self.initial, self.survival)
        ]
        return Optimism(*changed)

    @property
    def is_clamped(self) -> bool:
        """True if every β is 0. A `Risk` other than 0 has no β without a temperature: neither 0 nor 1."""
        return _all(self, lambda beta: beta == 0)

    @property
    def is_free(self) -> bool:
        """True if every β is 1."""
        return _all(self, lambda beta: beta == 1)

    @property
    def is_elbo(self) -> bool:
        """True if every β is 0 or 1: then $J_β$ is the ELBO."""
        return _all(self, lambda beta: (beta == 0) | (beta == 1))

    def __eq__(self, other: object) -> bool:
        """True for the same numbers and tables."""
        if not isinstance(other, Optimism):
            return NotImplemented
        pairs = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return all(_equal(one, two) for one, two in pairs)

    def __repr__(self) -> str:
        """The numbers, and the shapes of tables."""
        return f"Optimism({', '.join(f'{field.name}={_shown(getattr(self, field.name))}' for field in fields(self))})"

    def __hash__(self) -> int:
        """The hash of the numbers, and of the types of anything else, so that equal objects have equal hashes."""
        values = self.dynamics, self.initial, self.survival
        return hash(tuple([each if isinstance(each, float) else str(type(each)) for each in values]))


OptimismLike = float | np.number | np.ndarray | Tensor | Risk | Optimism  # arrays and tensors without axes


def in_parts(value: Any, names: Sequence[str] | None, block: str) -> list[Any]:
    """β of each factor of a block, as a list; a block without factors has one entry.

    Raises:
        InvalidArgument: if the names are not those of the factors.
    """
    if not isinstance(value, Mapping):
        return [value] * (len(names) if names else 1)
    if names is None or set(value) != set(names):
        have = f"are {', '.join(names)}" if names else "do not exist: this block is not factored"
        raise InvalidArgument(
            f"`optimism` of {block} must be a number, or name every factor, but names {', '.join(value) or 'none'}; "
            f"its factors {have}."
        )
    return [value[name] for name in names]


def broadcast(value: Number, shape: Sequence[int], block: str) -> Number:
    """A table expanded to `shape`; a number unchanged.

    Raises:
        InvalidArgument: if it does not broadcast.
    """
    if not isinstance(value, Tensor):
        return value
    try:
        return value.expand(*shape)
    except RuntimeError:
        raise InvalidArgument(
            f"`optimism` of {block} must broadcast against {tuple(shape)}, but has shape {tuple(value.shape)}. Use "
            "axes of size 1 for what it does not depend on."
        ) from None


@functools.lru_cache(maxsize=64)
def _of_number(beta: float) -> Optimism:
    """One number for start and dynamics: made once, since it takes an eighth of the time of a small `infer`."""
    return Optimism(dynamics=beta, initial=beta)


def _checked(name: str, value: Any) -> Number | Risk:
    """A float, or a table of floats that are not all equal, or a `Risk` of one; a mask becomes a table of 1 and 0."""
    if isinstance(value, Risk):
        return Risk(_checked(name, value.theta))  # pyright: ignore[reportArgumentType]
    if isinstance(value, Tensor | np.ndarray) and value.ndim > 0:
        table = numbers(f"optimism` of `{name}", value, InvalidArgument)
        table = table if table.dtype in (torch.float32, torch.float64) else table.double()
        if table.numel() and bool(table.isfinite().all()):
            first = table.flatten()[0]
            return float(first) if bool((table == first).all()) else table
        found = "a table that is empty, or has nan or infinite entries"
    elif math.isfinite(number(value)):
        return number(value)
    else:
        found = shown(value)
    raise InvalidArgument(
        f"`optimism` of {name} must be a finite number{'' if name.startswith('initial') else ', or a table of them'}, "
        f"but is {found}. For free pass 1.0, for clamped 0.0, for adversarial a negative number; Risk(theta) has a "
        "unit, 1/reward."
    )


def _all(optimism: Optimism, holds: Callable[[Any], Any]) -> bool:
    """Whether every β has a property; that of a `Risk` other than 0, which depends on the temperature, is nan."""
    for field in fields(optimism):
        value = getattr(optimism, field.name)
        for each in value.values() if isinstance(value, Mapping) else [value]:
            beta = (0.0 if each == Risk(0.0) else math.nan) if isinstance(each, Risk) else each
            if not bool(torch.as_tensor(holds(beta)).all()):
                return False
    return True


def _equal(one: Any, two: Any) -> bool:
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        return set(one) == set(two) and all(_equal(one[name], two[name]) for name in one)
    if isinstance(one, Tensor) and isinstance(two, Tensor):
        return torch.equal(one, two)
    return type(one) is type(two) and not isinstance(one, Mapping | Tensor) and one == two


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name!r}: {_shown(each)}" for name, each in value.items()) + "}"
    return f"table {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
