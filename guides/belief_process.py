"""Processes whose memory is a belief about a discrete latent variable, updated by what is drawn."""

import abc

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pgm_control.trajectories.process import Process


class BeliefProcess(Process):
    r"""The prediction $\sum_z b(z)\, q(\cdot \mid z)$; its memory is log b, the belief about z given the past."""

    @abc.abstractmethod
    def policies(self, t: int, state: Int[Tensor, " batch"]) -> Float[Tensor, "batch action latent"]:
        """log q(a|s, z), in nats."""

    @abc.abstractmethod
    def dynamics(
        self, t: int, state: Int[Tensor, " batch"], action: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch outcome latent"]:
        """log q(k|s, a, z), in nats."""

    def log_policy(
        self, t: int, state: Int[Tensor, " batch"], memory: Float[Tensor, "batch latent"]
    ) -> Float[Tensor, "batch action"]:
        """The predictive log-probabilities of the actions."""
        return log_sum(memory[:, None] + self.policies(t, state))

    def log_dynamics(
        self,
        t: int,
        state: Int[Tensor, " batch"],
        action: Int[Tensor, " batch"],
        memory: Float[Tensor, "batch latent"],
    ) -> Float[Tensor, "batch outcome"]:
        """The predictive log-probabilities of the outcomes, under the belief after the action."""
        belief = updated(memory, chosen(self.policies(t, state), action))
        return log_sum(belief[:, None] + self.dynamics(t, state, action))

    def after(
        self,
        t: int,
        state: Int[Tensor, " batch"],
        action: Int[Tensor, " batch"],
        outcome: Int[Tensor, " batch"],
        memory: Float[Tensor, "batch latent"],
    ) -> Float[Tensor, "batch latent"]:
        """The belief after the action and the outcome."""
        acted = updated(memory, chosen(self.policies(t, state), action))
        return updated(acted, chosen(self.dynamics(t, state, action), outcome))


def chosen(
    rows: Float[Tensor, "batch outcome component"], index: Int[Tensor, " batch"]
) -> Float[Tensor, "batch component"]:
    """The entries of each row at its index."""
    return rows[torch.arange(len(index), device=index.device), index]


def updated(
    belief: Float[Tensor, "batch component"], log_likelihood: Float[Tensor, "batch component"]
) -> Float[Tensor, "batch component"]:
    """The log belief after an observation; unchanged if no component allows the observation."""
    joint = belief + log_likelihood
    total = log_sum(joint)[:, None]
    known = total > -torch.inf
    return torch.where(known, joint - torch.where(known, total, 0.0), belief)


def log_sum(x: Float[Tensor, "*batch component"]) -> Float[Tensor, "*batch"]:
    """log Σ exp over the last axis; its gradient is 0, not nan, where every term is −inf."""
    possible = (x > -torch.inf).any(-1)
    total = torch.logsumexp(torch.where(possible[..., None], x, 0.0), -1)
    return torch.where(possible, total, -torch.inf)
