"""Checks shared by the learners, with their messages."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import LearningDiverged
from ..runtime.arguments import fraction, positive, probability, whole


def check_temperature(temperature: Any, instead: str = "") -> None:
    """Require τ to be a positive number; `instead` is a text with other allowed values or a remedy."""
    remedy = "Take a small one, such as 0.1, to come near the hard optimum."
    positive("temperature", temperature, f"number of reward units per nat{instead}", remedy=remedy)


def check_updates(discount: Any, num_updates: Any, learning_rate: Any, target_rate: Any) -> None:
    """Require γ to be a probability, `num_updates` a positive integer, and both rates to be fractions."""
    probability("discount", discount)
    whole("num_updates", num_updates)
    fraction("learning_rate", learning_rate)
    fraction("target_rate", target_rate)


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
