"""What a method of `fit` consists of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from pyro.optim import PyroOptim


@final
@dataclass(frozen=True, eq=False)
class Method:
    """A method of fitting.

    Attributes:
        update: makes one step and returns the ELBO before it, in nats; nan or an infinity means that the fit broke.
        has_converged: whether the fit has converged, given the ELBOs so far and a tolerance in nats.
        description: what a resumed fit must have in common with this one.
        optim: the optimiser whose state the next step depends on; None if it depends only on the guide.
        objective_name: what `update` returns.
        remeasured: the objective of the guide now, measured otherwise than by `update`; None if there is no other way.
    """

    update: Callable[[], float]
    has_converged: Callable[[Sequence[float], float], bool]
    description: dict[str, str]
    optim: PyroOptim | None = None
    objective_name: str = "ELBO"
    remeasured: Callable[[], float] | None = None


def rests(history: Sequence[float], tolerance: float) -> bool:
    """True if the last step changed the ELBO by less than the tolerance."""
    return len(history) > 1 and abs(history[-1] - history[-2]) < tolerance
