"""The checks that learners share, with their messages."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InvalidArgument, InvalidCheckpoint, LearningDiverged


def check_temperature(temperature: Any, instead: str = "") -> None:
    """Require τ to be a positive number; `instead` says what else it may be, or what to do."""
    if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not 0 < temperature < math.inf:
        raise InvalidArgument(
            f"`temperature` must be a positive number of reward units per nat{instead}, but is {temperature!r}. "
            "Take a small one, such as 0.1, to come near the hard optimum."
        )


def check_updates(discount: Any, updates: Any, learning_rate: Any, target_rate: Any) -> None:
    """Require γ to be a probability, the number of updates to be one, and both rates to be shares."""
    if not isinstance(discount, int | float) or not 0 <= discount <= 1:
        raise InvalidArgument(f"`discount` must be a probability, but is {discount!r}.")
    if isinstance(updates, bool) or not isinstance(updates, int) or updates < 1:
        raise InvalidArgument(f"`updates` must be a whole number, at least 1, but is {updates!r}.")
    for name, value in (("learning_rate", learning_rate), ("target_rate", target_rate)):
        if not isinstance(value, int | float) or not 0 < value <= 1:
            raise InvalidArgument(f"`{name}` must be a number above 0 and at most 1, but is {value!r}.")


def check_counts(least: int = 1, **counts: Any) -> None:
    """Require whole numbers, by the names of the arguments."""
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise InvalidArgument(f"`{name}` must be a whole number, at least {least}, but is {value!r}.")


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


def require_spaces(path: str | Path, had: Sequence[int | bool], has: Sequence[int | bool]) -> None:
    """Require of a checkpoint the features, the size of an action, and whether it is a choice, that are here."""
    if had != has:
        there, here = (
            f"{features} features and {'a choice of' if is_discrete else 'a box of'} {size}"
            for features, size, is_discrete in (had, has)
        )
        raise InvalidCheckpoint(
            f"{path} was made in another environment: there it is {there}, here {here}. Pass the environment that it "
            "was made in."
        )
