"""The factors of a Markov distribution over trajectories with a discrete latent variable at each step."""

from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ...problems.mdp import TabularMDP


@final
@dataclass(frozen=True, eq=False, repr=False)
class LatentBlocks:
    r"""The factors of $q(s_0)\, q(z_0 \mid s_0) \prod_t \pi_t(a_t \mid s_t, z_t)\, q_t(k_t \mid s_t, a_t, z_t)\,
    q_t(z_{t+1} \mid s_{t+1}, z_t)$, a Markov chain over pairs of state and latent variable.

    Every table holds normalised log-probabilities, in nats; −inf means impossible. Survival is that of the problem.
    There is a latent variable at each step t = 0 … T − 1, and none in the last state.

    Attributes:
        mdp: the problem, which says where outcomes lead.
        log_initial: $\log q(s_0)$.
        log_first: $\log q(z_0 \mid s_0)$.
        log_policy: $\log \pi_t(a \mid s, z)$.
        log_dynamics: $\log q_t(k \mid s, a, z)$; clamped dynamics are expanded over z.
        log_next: $\log q_t(z_{t+1} \mid s_{t+1}, z_t)$, t = 0 … T − 2.
    """

    mdp: TabularMDP
    log_initial: Float[Tensor, " state"]
    log_first: Float[Tensor, "state latent"]
    log_policy: Float[Tensor, "time state latent action"]
    log_dynamics: Float[Tensor, "time state latent action outcome"]
    log_next: Float[Tensor, "time_but_last state latent next_latent"]

    @property
    def num_latents(self) -> int:
        """The number of values of the latent variable."""
        return self.log_first.shape[-1]

    def joint(self, t: int, here: Float[Tensor, "state latent"]) -> Float[Tensor, "state action outcome latent"]:
        """The probabilities of the pairs at time t, times those of the action and of the outcome."""
        acts = (here[..., None] * self.log_policy[t].exp())[..., None] * self.log_dynamics[t].exp()
        return acts.movedim(1, -1)

    def joined(
        self, t: int, joint: Float[Tensor, "state action outcome latent"]
    ) -> Float[Tensor, "state action outcome latent later"]:
        """These probabilities times those of the next latent variable; the last entry is that there is none.

        There is none after the last action, and none where the episode has ended.
        """
        survival = self.mdp.discount
        if t + 1 == self.mdp.horizon:
            return torch.cat((joint.new_zeros(*joint.shape, self.num_latents), joint[..., None]), -1)
        follows = self.log_next[t].exp()[self.mdp.successor.long()]
        return torch.cat((survival * joint[..., None] * follows, (1.0 - survival) * joint[..., None]), -1)

    def arrived(self, joined: Float[Tensor, "state action outcome latent later"]) -> Float[Tensor, "state latent"]:
        """The probabilities of the pairs at the next time."""
        mass = joined[..., :-1].sum(-2).flatten(0, 2)
        nothing = mass.new_zeros(self.mdp.num_states, self.num_latents)
        return nothing.index_add(0, self.mdp.successor.long().flatten(), mass)


@runtime_checkable
class HasLatentBlocks(Protocol):
    """A guide with a discrete latent variable at each step."""

    def latent_blocks(self) -> LatentBlocks:
        """The factors, freshly computed; differentiable where the guide has parameters."""
        ...
