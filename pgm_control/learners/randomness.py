"""Saving and restoring the states of torch's global generators."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..runtime.checkpoint_checks import Check, either, generator_state, row, tensor


def forked(device: torch.device) -> Any:
    """A context after which torch's generators have their former states."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def generator_states(device: torch.device) -> list[Tensor]:
    """The states of torch's generators, on the CPU and on the device."""
    return [torch.get_rng_state()] + ([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])


def check_generators(device: torch.device) -> Check:
    """The check of `generator_states` on this device: after another device only the state of the CPU is used."""
    other = generator_state(device) if device.type == "cuda" else tensor((None,), torch.uint8)
    return either(row([generator_state()]), row([generator_state(), other]))


def set_generators(states: Sequence[Tensor], device: torch.device) -> None:
    """Restore the states of the generators."""
    torch.set_rng_state(states[0])
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)
