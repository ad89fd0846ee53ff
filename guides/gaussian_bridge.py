"""A wider proposal for sequential Monte Carlo than a fitted Gaussian guide."""

import re
from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from torch import Tensor

from pgm_control.inference.local.vector_model import dtype_of
from pgm_control.programs.changed import run_changed
from pgm_control.trajectories.gaussian.blocks import GaussianBlocks
from pgm_control.trajectories.gaussian.distributions import gaussian

_SITE = re.compile(r"(state|action)_(\d+)")


@final
class GaussianBridge:
    """The proposal of `GaussianGuide.bridge`: a guide without parameters, with a lookahead."""

    def __init__(
        self,
        model: Any,
        blocks: GaussianBlocks,
        free_blocks: tuple[str, ...],
        log_value: Callable[[int, Tensor], Tensor],
    ) -> None:
        """Take the model, the blocks, those of chance that the proposal changes, and the lookahead."""
        self.model, self.free_blocks, self._blocks, self._log_value = model, free_blocks, blocks, log_value

    def blocks(self) -> GaussianBlocks:
        """The blocks; those of chance that the proposal does not change are not drawn from."""
        return self._blocks

    def lookahead(self) -> Callable[[int, Tensor], Tensor]:
        """The value of the remaining steps, in nats up to a constant, as a function of t and states."""
        return self._log_value

    def change(self, site: str, distribution: Any, values: Mapping[str, Tensor]) -> Any:
        """The distribution that the proposal draws a site from, or None for the model's own."""
        match, blocks = _SITE.fullmatch(site), self._blocks
        if match is None:
            return None
        t, dtype = int(match[2]), dtype_of(distribution)
        if match[1] == "action":
            found = _affine(-blocks.gain[t], -blocks.offset[t], values[f"state_{t}"]), blocks.policy_covariance[t]
        elif t == 0 and "initial" in self.free_blocks:
            found = blocks.initial_mean, blocks.initial_covariance
        elif t > 0 and "dynamics" in self.free_blocks:
            z = torch.cat((values[f"state_{t - 1}"], values[f"action_{t - 1}"]), -1)
            found = _affine(blocks.transition[t - 1], blocks.drift[t - 1], z), blocks.noise[t - 1]
        else:
            return None
        return gaussian(*(each.to(dtype) for each in found))

    def __call__(self) -> None:
        """Sample one trajectory at the model's sites, as a Pyro program."""
        run_changed(self.model, self.change)

    def __repr__(self) -> str:
        """The model."""
        return f"GaussianBridge({self.model!r})"


def _affine(matrix: Tensor, vector: Tensor, at: Tensor) -> Tensor:
    return (matrix @ at.to(matrix)[..., None])[..., 0] + vector
