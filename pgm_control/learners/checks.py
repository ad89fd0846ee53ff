"""Checks shared by the learners, with their messages."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..chance.risk import Risk
from ..errors import InvalidArgument, LearningDiverged
from ..runtime.arguments import fraction, number, positive, probability, shown, whole
from .losses.certainty_equivalent_loss import require_one

_SETTINGS: Mapping[str, Callable[[str, Any], Any]] = {
    "discount": probability,
    "learning_rate": fraction,
    "target_rate": fraction,
    "num_updates": whole,
    "num_particles": partial(whole, least=2),
    "num_langevin_steps": whole,
    "batch_size": whole,
    "capacity": whole,
    "learning_starts": partial(whole, least=0),
    "exploration": lambda name, value: None if value is None else probability(name, value),
}
_EXPLORATION = 0.1  # ε at temperature 0 unless it is given


def check_temperature(temperature: Any, remedy: str = "") -> float:
    """Require τ to be a positive number."""
    return positive("temperature", temperature, "number of reward units per nat", remedy=remedy)


def check_temperature_or_zero(temperature: Any, optimism: Any, instead: str = "", remedy: str = "") -> float:
    """Require τ to be a positive number, or 0 for the hard limit, where β must be 0 or a `Risk`.

    Args:
        temperature: τ.
        optimism: β or a `Risk`, as a learner takes it.
        instead: a text with other allowed values, for the message.
        remedy: a sentence for the end of the message.

    Raises:
        InvalidArgument: if one of them does not fit; the message names it.
    """
    found = number(temperature)
    if not 0 <= found < math.inf:
        end = f" {remedy}" if remedy else ""
        raise InvalidArgument(
            "`temperature` must be a positive number of reward units per nat, or 0 for the hard limit"
            f"{instead}, but is {shown(temperature)}.{end}"
        )
    if found == 0 and require_one(optimism) != 0 and not isinstance(optimism, Risk):
        raise InvalidArgument(
            f"`optimism` must be 0 or a Risk at temperature 0, but is {shown(optimism)}: there a number β has no "
            "meaning. Pass Risk(theta), with θ = β/τ in 1/reward; or a positive temperature."
        )
    return found


def exploration_of(exploration: Any, temperature: float) -> float:
    """The probability ε of an exploring action: the given one, or else .1 at temperature 0 and 0 above it."""
    default = _EXPLORATION if temperature == 0 else 0.0
    return default if exploration is None else probability("exploration", exploration)


def require_settings(config: Mapping[str, Any]) -> None:
    """Require each number of a learner's configuration to be one, in its range."""
    for name, check in _SETTINGS.items():
        if name in config:
            check(name, config[name])


def require_finite(parts: Mapping[str, Any], steps: int) -> None:
    """Require the parameters of all modules to be finite; the message contains the number of steps."""
    for name, part in parts.items():
        if isinstance(part, torch.nn.Module) and not all(bool(p.isfinite().all()) for p in part.parameters()):
            raise LearningDiverged(
                f"The {name} has parameters that are not finite after {steps} steps. Lower the learning rate, or scale "
                "the rewards, and continue from the last checkpoint."
            )


def require_finite_actions(actions: Tensor, steps: int) -> None:
    """Require actions to be finite; the message contains the number of steps."""
    if not actions.sum().isfinite():  # takes a tenth of the time that numpy does
        raise LearningDiverged(
            f"An action is not finite after {steps} steps: {actions.tolist()}. Lower the learning rate, or scale the "
            "rewards, and continue from the last checkpoint."
        )
