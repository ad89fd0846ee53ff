"""A problem unrolled in time: time is part of the state, so that dynamics and rewards may depend on time."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ..problems.mdp import TabularMDP
from ..text.one_line import one_line
from ..trajectories.blocks import Blocks


def true_dynamics(mdp: TabularMDP) -> Float[Tensor, "*time state action outcome"]:
    """The true dynamics; with a discount first the K outcomes with survival, then the K with termination."""
    p, gamma = mdp.probability, mdp.discount
    return p if gamma == 1 else torch.cat((gamma * p, (1.0 - gamma) * p), -1)


def unroll(
    mdp: TabularMDP,
    start: Float[Tensor, " state"],
    dynamics: Float[Tensor, "time state action outcome"],
    reward: Float[Tensor, "time state action outcome"],
    final_reward: Float[Tensor, " state"] | None,
) -> TabularMDP:
    """The problem with a state (t, s) at t S + s for t = 0 … T, the last ones absorbing, and one terminated state."""
    steps, states, actions, outcomes = dynamics.shape
    acting, count = steps * states, (steps + 1) * states
    total = count + (mdp.discount < 1)
    probability = torch.eye(outcomes, dtype=dynamics.dtype, device=dynamics.device)[0].repeat(total, actions, 1)
    probability[:acting] = dynamics.flatten(0, 1)
    payment = torch.zeros_like(probability)
    payment[:acting] = reward.flatten(0, 1)
    target = torch.arange(total, device=dynamics.device)[:, None, None].repeat(1, actions, outcomes)
    layer = torch.arange(1, steps + 1, device=dynamics.device)[:, None, None, None] * states
    target[:acting] = total - 1  # outcomes that terminate; those that survive, or all without a discount, come first
    target[:acting, :, : mdp.num_outcomes] = (layer + mdp.successor).flatten(0, 1)
    final = None
    if final_reward is not None:
        final = torch.zeros_like(payment[:, 0, 0])
        final[acting:count] = final_reward
    names = [f"t={t}, {mdp.state_name(s)}" for t in range(steps + 1) for s in range(states)]
    return TabularMDP(
        torch.cat((start, start.new_zeros(total - states))),
        probability,
        target,
        payment,
        steps,
        final_reward=final,
        state_names=names + ["ended"] * (total - count),
        action_names=mdp.action_names,
    )


@final
@dataclass(frozen=True, eq=False)
class Folded:
    r"""A distribution over the trajectories of the unrolled model, expressed in the states of the original one.

    Attributes:
        log_initial: $\log q(s_0)$.
        log_policy: $\log \pi_t(a \mid s)$.
        log_dynamics: $\log q_t(k \mid s, a)$; with a discount the K outcomes with survival, then the K with
            termination.
        mdp: the original problem.
    """

    log_initial: Float[Tensor, " state"]
    log_policy: Float[Tensor, "time state action"]
    log_dynamics: Float[Tensor, "time state action outcome"]
    mdp: TabularMDP

    __repr__ = one_line

    @property
    def initial(self) -> Float[Tensor, " state"]:
        """The start distribution q(s_0), probabilities."""
        return self.log_initial.exp()

    @property
    def policy(self) -> Float[Tensor, "time state action"]:
        """The policy π_t(a|s), probabilities."""
        return self.log_policy.exp()

    @property
    def dynamics(self) -> Float[Tensor, "time state action outcome"]:
        """The dynamics q_t(k|s, a), probabilities."""
        return self.log_dynamics.exp()

    def blocks(self) -> Blocks:
        """The factors on the original model. Beliefs about survival are summed out; the true survival is used."""
        joint = self.log_dynamics.unflatten(-1, (-1, self.mdp.num_outcomes))
        return Blocks(self.mdp, self.log_initial, self.log_policy, joint.logsumexp(-2))


def fold(blocks: Blocks, mdp: TabularMDP) -> Folded:
    """The factors of the unrolled problem in the states of the original one: those of state (t, s) at time t."""
    steps, states = mdp.horizon, mdp.num_states
    now = torch.arange(steps)

    def folded(table: Tensor) -> Tensor:
        return table[:, : (steps + 1) * states].unflatten(1, (steps + 1, states))[now, now]

    return Folded(blocks.log_initial[:states], folded(blocks.log_policy), folded(blocks.log_dynamics), mdp)
