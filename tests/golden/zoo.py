"""Exact inference on every problem of the zoo, at three optimisms."""

from collections.abc import Callable
from typing import Any

from pgm_control import TabularModel, infer, zoo

from .entries import attributes

OPTIMISM = (-0.5, 0.0, 1.0)


def model_of(name: str) -> TabularModel:
    """A model of a problem of the zoo, at a temperature at which its rewards matter."""
    return TabularModel(zoo()[name].build(), 0.05 if name.startswith("frozen_lake") else 1.0)


def cases() -> dict[str, Callable[[], Any]]:
    """Exact posteriors by name of the problem."""
    return {name: lambda name=name: _exact(name) for name in zoo()}


def _exact(name: str) -> dict[str, Any]:
    model = model_of(name)
    return {
        f"optimism {beta:g}": attributes(infer(model, beta), "q v initial policy dynamics objective value")
        for beta in OPTIMISM
    }
