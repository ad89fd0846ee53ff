"""Distributions over trajectories that are read a step at a time: their samples and visits."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..chance.log_space import weighted
from ..problems.mdp import TabularMDP, last_reward
from ..problems.timed import at_time
from ..runtime.arguments import whole
from ..runtime.memory import require_room
from ..runtime.randomness import generator_of
from ..text.one_line import one_line
from .samples import Trajectories, require_room_for


class StepBlocks(NamedTuple):
    """The factors of one step of a trajectory.

    Attributes:
        log_policy: log π_t(a|s), in nats.
        log_dynamics: log q_t(k|s, a), in nats.
        survival: the probability of surviving the step, by the state that it leads to.
    """

    log_policy: Float[Tensor, "state action"]
    log_dynamics: Float[Tensor, "state action outcome"]
    survival: Float[Tensor, " next_state"]

    __repr__ = one_line

    @property
    def policy(self) -> Float[Tensor, "state action"]:
        """The policy, π_t(a|s), as probabilities."""
        return self.log_policy.exp()

    @property
    def dynamics(self) -> Float[Tensor, "state action outcome"]:
        """The dynamics, q_t(k|s, a), as probabilities."""
        return self.log_dynamics.exp()


class Visits(NamedTuple):
    """What a distribution over trajectories expects of each step.

    Attributes:
        state: the marginal probabilities q(s_t), t = 0 … T. With a discount each time sums to the probability that the
            episode has not ended.
        reward: the expected reward of each step, and of the last state, in reward units.
    """

    state: Float[Tensor, "time_and_last state"]
    reward: Float[Tensor, " time_and_last"]

    __repr__ = one_line

    @property
    def imagined_return(self) -> float:
        """$E_q[\\sum_t r_t]$ under the distribution's own dynamics, in reward units."""
        return float(self.reward.sum())


def visits_of(mdp: TabularMDP, initial: Float[Tensor, " state"], at: Callable[[int], StepBlocks]) -> Visits:
    """The visits of a distribution with this start whose factors of step t are `at(t)`, by one forward sweep.

    Raises:
        InvalidArgument: if the visits do not fit into memory.
    """
    size = (mdp.horizon + 1) * mdp.num_states
    require_room("model", f"the visits of {mdp.horizon:,} steps", size, initial.element_size(), "Shorten the horizon.")
    visits = initial.new_empty(mdp.horizon + 1, mdp.num_states)
    reward = initial.new_empty(mdp.horizon + 1)
    visits[0], target = initial, mdp.successor.flatten()
    for t in range(mdp.horizon):
        step = at(t)
        joint = (visits[t][:, None] * step.policy)[..., None] * step.dynamics
        reward[t] = weighted(joint, at_time(mdp.reward, t, 3)).sum()
        visits[t + 1] = torch.zeros_like(initial).index_add(0, target, joint.flatten()) * step.survival
    reward[-1] = weighted(visits[-1], last_reward(mdp)).sum()
    return Visits(visits, reward)


@torch.no_grad()
def sampled(
    mdp: TabularMDP,
    log_initial: Float[Tensor, " state"],
    at: Callable[[int], StepBlocks],
    num_samples: int,
    seed: int | torch.Generator | None,
) -> Trajectories:
    """Independent trajectories of a distribution whose factors of step t are `at(t)`; see `Blocks.sample`."""
    num_samples = require_room_for("num_samples", whole("num_samples", num_samples), mdp.horizon)
    generator = generator_of(seed, log_initial.device)

    def draw(log_probability: Float[Tensor, "batch value"]) -> Int[Tensor, " batch"]:
        return torch.multinomial(log_probability.exp(), 1, generator=generator)[:, 0]

    states = [draw(log_initial.expand(num_samples, -1))]
    actions, outcomes = [], []
    alive = torch.ones(num_samples, dtype=torch.bool, device=states[0].device)
    for t in range(mdp.horizon):
        step = at(t)
        here = torch.where(alive, states[t], 0)
        action = draw(step.log_policy[here])
        outcome = draw(step.log_dynamics[here, action])
        actions.append(torch.where(alive, action, 0))
        outcomes.append(torch.where(alive, outcome, 0))
        arrived = mdp.successor[here, action, outcome]
        if mdp.discount < 1:
            survival = step.survival
            draws = torch.rand(num_samples, generator=generator, dtype=survival.dtype, device=survival.device)
            alive = alive & (draws < survival[arrived])
        states.append(torch.where(alive, arrived, mdp.num_states))
    return Trajectories(torch.stack(states, 1), torch.stack(actions, 1), torch.stack(outcomes, 1))
