"""Whole trajectories of a Markov distribution: samples, and the most probable one."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..problems.mdp import TabularMDP
from ..runtime.arguments import whole
from ..runtime.randomness import generator_of
from ..text.one_line import one_line
from .blocks import Blocks
from .occupancy import survival_probability


class Trajectories(NamedTuple):
    """A batch of trajectories. Once ended (discount < 1), the state is S and the action and outcome are 0."""

    states: Int[Tensor, "batch time_and_last"]
    actions: Int[Tensor, "batch time"]
    outcomes: Int[Tensor, "batch time"]

    __repr__ = one_line


class Trajectory(NamedTuple):
    """One trajectory and its log-probability, in nats."""

    states: Int[Tensor, " time_and_last"]
    actions: Int[Tensor, " time"]
    outcomes: Int[Tensor, " time"]
    log_probability: float

    __repr__ = one_line


def sample_trajectories(
    blocks: Blocks, mdp: TabularMDP, num_samples: int, seed: int | torch.Generator | None = None
) -> Trajectories:
    """Draw independent trajectories.

    Args:
        blocks: the distribution.
        mdp: where outcomes lead.
        num_samples: how many, at least 1.
        seed: an integer, a generator, or None for torch's global generator.

    Raises:
        InvalidArgument: naming the argument.
    """
    n = whole("num_samples", num_samples)
    generator = generator_of(seed, blocks.log_initial.device)

    def draw(log_probability: Float[Tensor, "batch face"]) -> Int[Tensor, " batch"]:
        return torch.multinomial(log_probability.exp(), 1, generator=generator)[:, 0]

    survival = survival_probability(blocks, mdp)
    states = [draw(blocks.log_initial.expand(n, -1))]
    actions, outcomes = [], []
    alive = torch.ones(n, dtype=torch.bool, device=states[0].device)
    for t in range(mdp.horizon):
        here = torch.where(alive, states[t], 0)
        action = draw(blocks.log_policy[t, here])
        outcome = draw(blocks.log_dynamics[t, here, action])
        actions.append(torch.where(alive, action, 0))
        outcomes.append(torch.where(alive, outcome, 0))
        arrived = mdp.successor[here, action, outcome]
        if mdp.discount < 1:
            luck = torch.rand(n, generator=generator, dtype=survival.dtype, device=survival.device)
            alive = alive & (luck < survival[t, arrived])
        states.append(torch.where(alive, arrived, mdp.num_states))
    return Trajectories(torch.stack(states, 1), torch.stack(actions, 1), torch.stack(outcomes, 1))


def most_probable_trajectory(blocks: Blocks, mdp: TabularMDP) -> Trajectory:
    r"""The trajectory of highest probability, by max-product messages (Viterbi).

    $$M_t(s) = \max_{a,k} \log \pi_t(a \mid s) + \log q_t(k \mid s,a)
        + \max(\log\gamma_t + M_{t+1}(s'), \log(1-\gamma_t))$$

    Of equally probable ones it is the first, by action, then outcome.
    """
    survival = survival_probability(blocks, mdp)
    ahead = blocks.log_initial.new_zeros(mdp.num_states)
    best, lives = [], []
    for t in reversed(range(mdp.horizon)):
        live, end = survival[t].log() + ahead, (1.0 - survival[t]).log()
        scores = blocks.log_policy[t][..., None] + blocks.log_dynamics[t] + torch.maximum(live, end)[mdp.successor]
        ahead, index = scores.flatten(1).max(-1)
        best.append(index)
        lives.append(live >= end)
    state = int((blocks.log_initial + ahead).argmax())
    total = float((blocks.log_initial + ahead)[state])
    states, actions, outcomes = [state], [], []
    for index, live in zip(reversed(best), reversed(lives), strict=True):
        if state == mdp.num_states:
            action, outcome = 0, 0
        else:
            action, outcome = divmod(int(index[state]), mdp.num_outcomes)
            state = int(mdp.successor[state, action, outcome])
            state = state if bool(live[state]) else mdp.num_states
        states.append(state)
        actions.append(action)
        outcomes.append(outcome)
    return Trajectory(torch.tensor(states), torch.tensor(actions), torch.tensor(outcomes), total)
