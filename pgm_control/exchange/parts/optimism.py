"""Optimism in files."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...chance.optimism import Optimism
from ...chance.risk import Risk
from ...runtime.checkpoint_checks import Problem, either, fields, mapping, number, tensor

_BETAS = "dynamics", "initial", "survival"


def parts_of_optimism(optimism: Optimism) -> dict[str, Any]:
    """What a file holds of it."""
    return {name: _part_of_beta(getattr(optimism, name)) for name in _BETAS}


def optimism_of(parts: dict[str, Any]) -> Optimism:
    """The optimism of these parts."""
    return Optimism(**{name: _beta(parts[name]) for name in _BETAS})


def _part_of_beta(value: Any) -> Any:
    """A number or a table as it is, and a `Risk` or the factors of a block as a dictionary."""
    if isinstance(value, Risk):
        return {"theta": value.theta}
    if isinstance(value, Mapping):
        return {"factors": {name: _part_of_beta(each) for name, each in value.items()}}
    return value


def _beta(part: Any) -> Any:
    """The inverse of `_part_of_beta`."""
    if not isinstance(part, dict):
        return part
    return Risk(part["theta"]) if "theta" in part else {name: _beta(each) for name, each in part["factors"].items()}


def _number_or_table(found: Any) -> Problem | None:
    """The check for a number, or a table of any shape."""
    return tensor(found.shape, None)(found) if isinstance(found, Tensor) else number()(found)


_ONE_BETA = either(fields({"theta": _number_or_table}), _number_or_table)
_BETA = either(fields({"factors": mapping(_ONE_BETA)}), _ONE_BETA)
OF_OPTIMISM = fields(dict.fromkeys(_BETAS, _BETA))
