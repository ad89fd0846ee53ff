"""Checks shared by the learners, with their messages."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..errors import LearningDiverged
from ..runtime.arguments import fraction, positive, probability, whole

_SETTINGS: Mapping[str, Callable[[str, Any], Any]] = {
    "discount": probability,
    "learning_rate": fraction,
    "target_rate": fraction,
    "num_updates": whole,
    "num_particles": partial(whole, least=2),
    "batch_size": whole,
    "capacity": whole,
    "learning_starts": partial(whole, least=0),
}


_COLD = "Take a small one, such as 0.1, to come near the hard optimum."


def check_temperature(temperature: Any, instead: str = "", remedy: str = _COLD) -> float:
    """Require τ to be a positive number; `instead` is a text with other allowed values."""
    return positive("temperature", temperature, f"number of reward units per nat{instead}", remedy=remedy)


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
