"""The process of a guide with a discrete latent variable: predictions from a filtered belief about it."""

from typing import final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pgm_control.inference.variational.latent_blocks import LatentBlocks

from .belief_process import BeliefProcess, log_sum


@final
class LatentProcess(BeliefProcess):
    r"""The prediction $\sum_z b(z)\, q(\cdot \mid z)$; its memory is log b, the belief about z_t given the past.

    Each step updates the belief by the action and the outcome, and moves it by $q_t(z_{t+1} \mid s_{t+1}, z_t)$: the
    forward filter of a hidden Markov model.
    """

    def __init__(self, blocks: LatentBlocks) -> None:
        """Store the factors."""
        self.blocks = blocks
        self.successor = blocks.mdp.successor.long()

    def log_initial(self) -> Float[Tensor, " state"]:
        """log q(s_0), in nats."""
        return self.blocks.log_initial

    def begin(self, state: Int[Tensor, " batch"]) -> Float[Tensor, "batch latent"]:
        """The belief about z_0."""
        return self.blocks.log_first[state]

    def survival(
        self,
        t: int,
        state: Int[Tensor, " batch"],
        action: Int[Tensor, " batch"],
        outcome: Int[Tensor, " batch"],
        memory: Float[Tensor, "batch latent"],
    ) -> Float[Tensor, " batch"]:
        """γ."""
        return torch.full_like(memory[:, 0], self.blocks.mdp.discount)

    def remember(
        self,
        t: int,
        state: Int[Tensor, " batch"],
        action: Int[Tensor, " batch"],
        outcome: Int[Tensor, " batch"],
        survives: Bool[Tensor, " batch"],
        memory: Float[Tensor, "batch latent"],
    ) -> Float[Tensor, "batch latent"]:
        """The belief about z_{t+1}; after the last step, about z_t."""
        belief = self.after(t, state, action, outcome, memory)
        if t + 1 == self.blocks.mdp.horizon:
            return belief
        follows = self.blocks.log_next[t, self.successor[state, action, outcome]]
        return log_sum(belief[:, None] + follows.transpose(-1, -2))

    def policies(self, t: int, state: Int[Tensor, " batch"]) -> Float[Tensor, "batch action latent"]:
        """log π_t(a|s, z), in nats."""
        return self.blocks.log_policy[t, state].transpose(-1, -2)

    def dynamics(
        self, t: int, state: Int[Tensor, " batch"], action: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch outcome latent"]:
        """log q_t(k|s, a, z), in nats."""
        return self.blocks.log_dynamics[t, state, :, action].transpose(-1, -2)
