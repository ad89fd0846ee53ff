"""Forward sweeps: how often a distribution over trajectories visits what, and the model's forward messages.

Sources:
    [levine2018] S. Levine, Reinforcement learning and control as probabilistic inference: tutorial and review. 2018.
        arXiv:1805.00909
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..problems.mdp import TabularMDP
from ..text.one_line import one_line
from .blocks import Blocks, MarkovModel


class Occupancy(NamedTuple):
    """Marginal probabilities of a trajectory distribution. With a discount they decay: the missing mass has ended."""

    state: Float[Tensor, "time_and_last state"]
    outcome: Float[Tensor, "time state action outcome"]

    __repr__ = one_line


def occupancy(blocks: Blocks, mdp: TabularMDP) -> Occupancy:
    r"""The marginals of $q(s_0) \prod_t \pi_t\, q_t$, forwards from the start.

    $$q(s_{t+1} = s') = \sum_{s,a,k} q(s_t = s)\, \pi_t(a \mid s)\, q_t(k \mid s,a)\, [s'(s,a,k) = s']$$

    times the probability of surviving where there is a discount.
    """
    survival = survival_probability(blocks, mdp)
    policy, target = blocks.log_policy.exp(), mdp.successor.flatten()
    states, outcomes = [blocks.log_initial.exp()], []
    for t in range(mdp.horizon):
        outcomes.append((states[t][:, None] * policy[t])[..., None] * blocks.log_dynamics[t].exp())
        arrived = torch.zeros_like(states[t]).index_add(0, target, outcomes[t].flatten())
        states.append(arrived * survival[t])
    return Occupancy(torch.stack(states), torch.stack(outcomes))


def survival_probability(blocks: Blocks, mdp: TabularMDP) -> Float[Tensor, "time next_state"]:
    """The probability of surviving each step, by the state it leads to: the discount where survival is clamped."""
    if blocks.log_survival is not None:
        return blocks.log_survival.exp()
    return torch.full_like(blocks.log_initial, mdp.discount).expand(mdp.horizon, -1)


def forward_messages(model: MarkovModel) -> Float[Tensor, "time_and_last state"]:
    r"""The log forward messages of the model, $\log \alpha_t(s) = \log p(s_t = s,\ O_0, \dots, O_{t-1})$, in nats.

    $$\alpha_{t+1}(s') = \sum_{(s,a,k) \to s'} \alpha_t(s)\, \rho(a \mid s)\, p(k \mid s,a)\, \gamma \exp(r/\tau)$$

    Exact per state: every sum is shifted by its own largest term.

    References:
        [levine2018]
    """
    mdp = model.mdp
    lived = mdp.probability.log() + math.log(mdp.discount)
    factor = model.action_prior.log()[..., None] + lived + mdp.reward / model.temperature
    messages = [mdp.initial.log()]
    for _ in range(mdp.horizon):
        terms = (messages[-1][:, None, None] + factor).flatten()
        messages.append(_scatter_logsumexp(terms, mdp.successor.flatten(), mdp.num_states))
    return torch.stack(messages)


def _scatter_logsumexp(terms: Float[Tensor, " term"], target: Tensor, size: int) -> Float[Tensor, " state"]:
    """`log Σ exp` of the terms that share a target."""
    highest = terms.new_full((size,), -torch.inf).scatter_reduce(0, target, terms, "amax")
    shift = torch.where(highest.isfinite(), highest, torch.zeros_like(highest))
    return torch.zeros_like(shift).index_add(0, target, (terms - shift[target]).exp()).log() + shift
