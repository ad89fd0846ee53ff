"""The factors of a Markov distribution over trajectories with a discrete latent variable at each step."""

from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.log_tables import row_error
from ...errors import InvalidGuide
from ...problems.mdp import TabularMDP
from ...runtime.arguments import shown
from ...text.one_line import one_line


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

    __repr__ = one_line

    @property
    def num_latents(self) -> int:
        """The number of values of the latent variable."""
        return self.log_first.shape[-1]

    def marginals(self) -> Float[Tensor, "time state latent"]:
        """The probabilities of the pairs, q(s_t, z_t); with a discount they sum to that of being alive."""
        found = [self.log_initial.exp()[:, None] * self.log_first.exp()]
        for t in range(self.mdp.horizon - 1):
            found.append(self.arrived(self.joined(t, self.joint(t, found[t]))))
        return torch.stack(found)

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


def latent_blocks_of(guide: object, mdp: TabularMDP | None = None) -> LatentBlocks:
    """The factors of a guide, checked; with a problem, that they are over its outcomes too.

    Raises:
        InvalidGuide: if the guide has none, or they are not normalised or do not fit; the message names the factor.
    """
    if isinstance(guide, type) or not isinstance(guide, HasLatentBlocks):
        raise InvalidGuide(f"`guide` must have latent_blocks(), as an OptionGuide has, but is {shown(guide)}.")
    blocks = guide.latent_blocks()
    own, count = blocks.mdp, blocks.num_latents
    if mdp is not None and not (own is mdp or torch.equal(own.successor, mdp.successor)):
        raise InvalidGuide("`guide` must belong to the problem of the model, but was built for another. Build it anew.")
    steps, (states, actions, outcomes) = own.horizon, own.successor.shape
    due = {
        "log_initial": (states,),
        "log_first": (states, count),
        "log_policy": (steps, states, count, actions),
        "log_dynamics": (steps, states, count, actions, outcomes),
        "log_next": (steps - 1, states, count, count),
    }
    for name, shape in due.items():
        table = getattr(blocks, name)
        if table.shape != shape:
            raise InvalidGuide(f"`{name}` of the guide must have shape {shape}, but has {tuple(table.shape)}.")
        off = row_error(table) if table.numel() else 0.0
        if not off <= (1e-6 if table.dtype == torch.float64 else 1e-4):
            raise InvalidGuide(
                f"`{name}` of the guide must hold normalised log-probabilities, but a row sums to 1 ± {off:.3g} after "
                "exp. Pass it through torch.log_softmax(…, -1)."
            )
    return blocks
