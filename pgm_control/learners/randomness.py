"""Saving and restoring the states of torch's global generators, and random numbers of one's own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor

from ..runtime.alone.thread import alone
from ..runtime.checkpoint_checks import Check, either, generator_state, row, tensor
from ..runtime.randomness import seeded


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


@final
class OwnRandomness:
    """A state of torch's generators that is not the global one."""

    def __init__(self, seed: int, device: torch.device) -> None:
        """Start from a seed."""
        self._device = device
        with seeded(seed, device):
            self._states, self._is_drawing = generator_states(device), False

    @contextmanager
    def drawing(self, what: str | None = None) -> Iterator[None]:
        """A context in which torch's generators have this state; afterwards their former state returns.

        Args:
            what: the name of a long computation, which other threads are refused to run beside.
        """
        with alone(what), forked(self._device):
            set_generators(self._states, self._device)
            self._is_drawing = True
            try:
                yield
            finally:
                self._is_drawing = False
                self._states = generator_states(self._device)

    def state(self) -> list[Tensor]:
        """The present state, also within `drawing`."""
        if self._is_drawing:
            self._states = generator_states(self._device)
        return self._states

    def restore(self, states: list[Tensor]) -> None:
        """Restore a state that `state` returned."""
        self._states = states
