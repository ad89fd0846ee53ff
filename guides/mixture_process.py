"""The process of a mixture: predictions from several Markov processes, one of which generates the trajectory."""

from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pgm_control.chance.log_space import expect, relative
from pgm_control.problems.mdp import TabularMDP
from pgm_control.text.one_line import one_line
from pgm_control.trajectories.process import MarkovProcess, simulate
from pgm_control.trajectories.samples import Trajectories

from .belief_process import BeliefProcess, log_sum, updated


class Information(NamedTuple):
    """The information KL(b ‖ w) of trajectories sampled from each component, and log q of that component, in nats."""

    gain: Float[Tensor, "component batch"]
    log_own: Float[Tensor, "component batch"]

    __repr__ = one_line


@final
class MixtureProcess(BeliefProcess):
    r"""The prediction $\sum_z b(z)\, q_z(\cdot)$; its memory is log b, the belief about the component.

    A history that no component allows leaves the belief unchanged; this may occur in the true world if the components
    are free.
    """

    def __init__(self, log_weight: Float[Tensor, " component"], components: Sequence[MarkovProcess]) -> None:
        """Store the components and their log-weights, in nats."""
        self.log_weight = log_weight
        self.components = components

    def log_initial(self) -> Float[Tensor, " state"]:
        """The log-probabilities of the start states, log Σ w q(s_0), in nats."""
        return log_sum(self.log_weight + torch.stack([each.log_initial() for each in self.components], -1))

    def begin(self, state: Int[Tensor, " batch"]) -> Float[Tensor, "batch component"]:
        """The belief after the first state."""
        likelihood = torch.stack([each.log_initial()[state] for each in self.components], -1)
        return updated(self.log_weight.expand_as(likelihood), likelihood)

    def survival(
        self,
        t: int,
        state: Int[Tensor, " batch"],
        action: Int[Tensor, " batch"],
        outcome: Int[Tensor, " batch"],
        memory: Float[Tensor, "batch component"],
    ) -> Float[Tensor, " batch"]:
        """The predictive probability of survival, under the belief after the outcome."""
        belief = self.after(t, state, action, outcome, memory)
        return (belief.exp() * self._survivals(t, state, action, outcome)).sum(-1)

    def remember(
        self,
        t: int,
        state: Int[Tensor, " batch"],
        action: Int[Tensor, " batch"],
        outcome: Int[Tensor, " batch"],
        survives: Bool[Tensor, " batch"],
        memory: Float[Tensor, "batch component"],
    ) -> Float[Tensor, "batch component"]:
        """The belief about the component after the step."""
        survival = self._survivals(t, state, action, outcome)
        log_survives = torch.where(survives[:, None], survival, 1.0 - survival).log()
        return updated(self.after(t, state, action, outcome, memory), log_survives)

    def information(self, mdp: TabularMDP, samples: int, generator: torch.Generator | None = None) -> Information:
        """Draw trajectories from each component; the result is differentiable with the draws held fixed."""
        with torch.no_grad():
            drawn = [simulate(each, mdp, samples, generator) for each in self.components]
        together = Trajectories(*(torch.cat(parts) for parts in zip(*drawn, strict=True)))
        log_q = torch.stack([each.log_probability(together) for each in self.components], -1)
        belief = updated(self.log_weight.expand_as(log_q), log_q)
        gain = expect(belief, relative(belief, self.log_weight.expand_as(belief)))
        count = len(self.components)
        return Information(gain.view(count, samples), log_q.view(count, samples, count).diagonal(0, 0, 2).T)

    def policies(self, t: int, state: Tensor) -> Float[Tensor, "batch action component"]:
        """log q_z(a|s) of each component, in nats."""
        return torch.stack([each.blocks.log_policy[t, state] for each in self.components], -1)

    def dynamics(self, t: int, state: Tensor, action: Tensor) -> Float[Tensor, "batch outcome component"]:
        """log q_z(k|s, a) of each component, in nats."""
        return torch.stack([each.blocks.log_dynamics[t, state, action] for each in self.components], -1)

    def _survivals(self, t: int, state: Tensor, action: Tensor, outcome: Tensor) -> Float[Tensor, "batch component"]:
        nothing = self.log_weight.new_zeros(len(state), 0)
        return torch.stack([each.survival(t, state, action, outcome, nothing) for each in self.components], -1)
