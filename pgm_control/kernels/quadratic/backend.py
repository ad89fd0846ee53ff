"""The choice between the compiled sweeps of linear-quadratic problems and torch."""

import functools
from types import ModuleType

from ..backend import kernels_for
from ..bundles import Table


def riccati_for(table: Table) -> ModuleType | None:
    """The module `riccati` of compiled sweeps, or None for torch, by the rule of `kernels_for`.

    Its functions take and return arrays in float64, for any number of problems, times and dimensions.
    """
    return None if kernels_for(table, steps=2) is None else _riccati()


@functools.cache
def _riccati() -> ModuleType:
    from . import riccati

    return riccati
