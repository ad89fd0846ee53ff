"""The checks that learners share, with their messages."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import LearningDiverged
from ..runtime.arguments import fraction, positive, probability, whole


def check_temperature(temperature: Any, instead: str = "") -> None:
    """Require τ to be a positive number; `instead` says what else it may be, or what to do."""
    remedy = "Take a small one, such as 0.1, to come near the hard optimum."
    positive("temperature", temperature, f"number of reward units per nat{instead}", remedy=remedy)


def check_updates(discount: Any, num_updates: Any, learning_rate: Any, target_rate: Any) -> None:
    """Require γ to be a probability, the number of updates to be one, and both rates to be shares."""
    probability("discount", discount)
    whole("num_updates", num_updates)
    fraction("learning_rate", learning_rate)
    fraction("target_rate", target_rate)


def require_finite(parts: Mapping[str, Any], steps: int) -> None:
    """Require the parameters of all modules to be finite, after so many steps."""
    for name, part in parts.items():
        if isinstance(part, torch.nn.Module) and not all(bool(p.isfinite().all()) for p in part.parameters()):
            raise LearningDiverged(
                f"The {name} has parameters that are not finite after {steps} steps. Lower the learning rate, or scale "
                "the rewards, and go on from the last checkpoint."
            )


def require_finite_actions(actions: Tensor, steps: int) -> None:
    """Require actions to be finite, after so many steps."""
    if not actions.sum().isfinite():  # a tenth of the time that numpy takes for an action
        raise LearningDiverged(
            f"An action is not finite after {steps} steps: {actions.tolist()}. Lower the learning rate, or scale the "
            "rewards, and go on from the last checkpoint."
        )
