"""How much of each block the posterior may change."""

import math
from dataclasses import dataclass, fields
from typing import final

from ._errors import InvalidArgument


@final
@dataclass(frozen=True)
class Optimism:
    r"""One number β for each block of chance: 1 is free, 0 is clamped, negative is robust.

    The objective $J_\beta$ charges the block $1/\beta$ times its KL from the model (see `infer`).

    Attributes:
        dynamics: β of the dice $p(k \mid s, a)$.
        initial: β₀ of the start $p(s_0)$.
        survival: β of surviving a step, which has probability γ (`discount`). Clamped unless asked for: freed, an agent
            that only meets negative rewards infers that it dies early.
    """

    dynamics: float = 1.0
    initial: float = 1.0
    survival: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is not a finite number."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise InvalidArgument(
                    f"`optimism` of {field.name} must be a finite number, but is {value!r}. "
                    "1 is free, 0 is clamped, negative is robust."
                )

    @classmethod
    def of(cls, optimism: "float | Optimism") -> "Optimism":
        """A bare number speaks of the start and the dynamics; survival stays clamped."""
        return optimism if isinstance(optimism, Optimism) else cls(dynamics=optimism, initial=optimism)
