"""Distributions over trajectories that may depend on the history, and batched sampling from them."""

import abc
from collections.abc import Iterator
from typing import NamedTuple, Protocol, final, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..errors import InvalidGuide
from ..problems.feasible import ended_states
from ..problems.mdp import TabularMDP
from ..runtime.arguments import shown, whole
from .blocks import Blocks, HasBlocks, MarkovModel
from .samples import Trajectories, require_room_for
from .tabulate import tabulate


class Process(abc.ABC):
    r"""A distribution over trajectories, $q(s_0) \prod_t q(a_t \mid h_t)\, q(k_t \mid h_t, a_t)$, by its conditionals.

    The history $h_t = (s_0, a_0, k_0, \dots, s_t)$ enters through the state and a memory, one row per trajectory, which
    `begin` and `remember` compute. All methods take a batch. States are 0 … S−1, never the S of an ended episode.
    """

    def __repr__(self) -> str:
        """The name of the class."""
        return f"{type(self).__name__}()"

    @abc.abstractmethod
    def log_initial(self) -> Float[Tensor, " state"]:
        """log q(s_0), in nats."""

    @abc.abstractmethod
    def begin(self, state: Int[Tensor, " batch"]) -> Float[Tensor, "batch memory"]:
        """The memory after the first state."""

    @abc.abstractmethod
    def log_policy(
        self, t: int, state: Int[Tensor, " batch"], memory: Float[Tensor, "batch memory"]
    ) -> Float[Tensor, "batch action"]:
        """log q(a_t|h_t), in nats, normalised."""

    @abc.abstractmethod
    def log_dynamics(
        self,
        t: int,
        state: Int[Tensor, " batch"],
        action: Int[Tensor, " batch"],
        memory: Float[Tensor, "batch memory"],
    ) -> Float[Tensor, "batch outcome"]:
        """log q(k_t|h_t, a_t), in nats, normalised; the memory is that of h_t."""

    @abc.abstractmethod
    def survival(
        self,
        t: int,
        state: Int[Tensor, " batch"],
        action: Int[Tensor, " batch"],
        outcome: Int[Tensor, " batch"],
        memory: Float[Tensor, "batch memory"],
    ) -> Float[Tensor, " batch"]:
        """The probability of surviving step t; the memory is that of h_t. Called only if there is a discount."""

    @abc.abstractmethod
    def remember(
        self,
        t: int,
        state: Int[Tensor, " batch"],
        action: Int[Tensor, " batch"],
        outcome: Int[Tensor, " batch"],
        survives: Bool[Tensor, " batch"],
        memory: Float[Tensor, "batch memory"],
    ) -> Float[Tensor, "batch memory"]:
        """The memory after step t. It must be finite even after histories of probability zero."""


@final
class MarkovProcess(Process):
    """The process of `Blocks`, which has no memory."""

    def __init__(self, blocks: Blocks) -> None:
        """Store the factors of the process."""
        self.blocks = blocks
        self.successor = blocks.mdp.successor.long()
        self._survival = blocks.survival
        self._ends = blocks.mdp.discount < 1

    def log_initial(self) -> Float[Tensor, " state"]:
        """log q(s_0), in nats."""
        return self.blocks.log_initial

    def begin(self, state: Int[Tensor, " batch"]) -> Float[Tensor, "batch memory"]:
        """An empty memory, since a Markov process has none."""
        return self.blocks.log_initial.new_zeros(len(state), 0)

    def log_policy(
        self, t: int, state: Int[Tensor, " batch"], memory: Float[Tensor, "batch memory"]
    ) -> Float[Tensor, "batch action"]:
        """The rows of the policy, log π_t(a|s), in nats."""
        return self.blocks.log_policy[t, state]

    def log_dynamics(
        self,
        t: int,
        state: Int[Tensor, " batch"],
        action: Int[Tensor, " batch"],
        memory: Float[Tensor, "batch memory"],
    ) -> Float[Tensor, "batch outcome"]:
        """The rows of the dynamics, log q_t(k|s, a), in nats."""
        return self.blocks.log_dynamics[t, state, action]

    def survival(
        self,
        t: int,
        state: Int[Tensor, " batch"],
        action: Int[Tensor, " batch"],
        outcome: Int[Tensor, " batch"],
        memory: Float[Tensor, "batch memory"],
    ) -> Float[Tensor, " batch"]:
        """γ, or the survival probability that the blocks give to the state that the outcome leads to."""
        return self._survival[t, self.successor[state, action, outcome]]

    def remember(
        self,
        t: int,
        state: Int[Tensor, " batch"],
        action: Int[Tensor, " batch"],
        outcome: Int[Tensor, " batch"],
        survives: Bool[Tensor, " batch"],
        memory: Float[Tensor, "batch memory"],
    ) -> Float[Tensor, "batch memory"]:
        """The empty memory, unchanged."""
        return memory

    def log_probability(self, trajectories: Trajectories) -> Float[Tensor, " batch"]:
        """log q of whole trajectories, in nats, computed for all times at once; differentiable in the blocks."""
        blocks, (states, action, outcome), ended = self.blocks, trajectories, len(self.blocks.log_initial)
        alive = states[:, :-1] < ended
        time, here = torch.arange(action.shape[1], device=action.device), torch.where(alive, states[:, :-1], 0)
        steps = blocks.log_policy[time, here, action] + blocks.log_dynamics[time, here, action, outcome]
        if self._ends:
            survival = self._survival[time, self.successor[here, action, outcome]]
            probability = torch.where(states[:, 1:] < ended, survival, 1.0 - survival)
            steps = steps + torch.where(alive, probability, 1.0).log()
        return blocks.log_initial[states[:, 0]] + torch.where(alive, steps, 0.0).sum(-1)


@runtime_checkable
class HasProcess(Protocol):
    """A guide with a memory, which has a `process()` instead of `blocks()`."""

    def process(self) -> Process:
        """The distribution over trajectories, freshly computed; differentiable where it has parameters."""
        ...


def process_of(model: MarkovModel, guide: object) -> Process | None:
    """The process of a guide with blocks or a memory; a process is returned as it is, and None for any other guide.

    Raises:
        InvalidGuide: if its blocks do not fit the model, or it is no guide at all.
    """
    if isinstance(guide, Process):
        return guide
    if isinstance(guide, type) or not callable(guide):
        raise InvalidGuide(
            f"`guide` must be a guide, or a Pyro program, which is called without arguments, but is {shown(guide)}."
        )
    if isinstance(guide, HasProcess):
        return guide.process()
    return MarkovProcess(tabulate(model, guide)) if isinstance(guide, HasBlocks) else None


class Transition(NamedTuple):
    """Step t of a batch of trajectories. Where `alive` is false, all other entries are placeholders."""

    t: int
    alive: Bool[Tensor, " batch"]
    state: Int[Tensor, " batch"]
    action: Int[Tensor, " batch"]
    outcome: Int[Tensor, " batch"]
    survives: Bool[Tensor, " batch"]


def transitions(mdp: TabularMDP, trajectories: Trajectories) -> Iterator[Transition]:
    """Yield the steps of the trajectories, in order."""
    for t in range(mdp.horizon):
        state = trajectories.states[:, t]
        alive, survives = state < mdp.num_states, trajectories.states[:, t + 1] < mdp.num_states
        here = torch.where(alive, state, 0)
        yield Transition(t, alive, here, trajectories.actions[:, t], trajectories.outcomes[:, t], survives)


def log_transition(
    process: Process, mdp: TabularMDP, transition: Transition, memory: Tensor
) -> Float[Tensor, " batch"]:
    """log q of a step given its history, in nats; 0 where the episode has ended."""
    t, alive, state, action, outcome, survives = transition
    found = process.log_policy(t, state, memory).gather(-1, action[:, None])[:, 0]
    found = found + process.log_dynamics(t, state, action, memory).gather(-1, outcome[:, None])[:, 0]
    if mdp.discount < 1:
        survival = process.survival(t, state, action, outcome, memory)
        probability = torch.where(survives, survival, 1.0 - survival)
        found = found + torch.where(alive, probability, 1.0).log()
    return torch.where(alive, found, 0.0)


def log_probability(process: Process, mdp: TabularMDP, trajectories: Trajectories) -> Float[Tensor, " batch"]:
    """log q of trajectories, in nats; differentiable in what the process depends on."""
    if isinstance(process, MarkovProcess):
        return process.log_probability(trajectories)
    first = trajectories.states[:, 0]
    total, memory = process.log_initial()[first], process.begin(first)
    for transition in transitions(mdp, trajectories):
        total = total + log_transition(process, mdp, transition, memory)
        memory = process.remember(transition.t, *transition[2:], memory)
    return total


def policy_entropy(process: Process, mdp: TabularMDP, trajectories: Trajectories) -> Float[Tensor, " batch"]:
    """The entropy of the policy summed over the steps of each trajectory until the episode ends, in nats."""
    memory, ended = process.begin(trajectories.states[:, 0]), ended_states(mdp)
    total = trajectories.states.new_zeros(len(trajectories.states), dtype=process.log_initial().dtype)
    for transition in transitions(mdp, trajectories):
        log_policy = process.log_policy(transition.t, transition.state, memory)
        information = torch.where(log_policy > -torch.inf, log_policy, 0.0)
        decides = transition.alive & ~ended[transition.state]
        total = total - torch.where(decides, (log_policy.exp() * information).sum(-1), 0.0)
        memory = process.remember(transition.t, *transition[2:], memory)
    return total


def simulate(
    process: Process,
    mdp: TabularMDP,
    num_samples: int,
    generator: torch.Generator | None = None,
    world: MarkovProcess | None = None,
) -> Trajectories:
    """Draw independent trajectories from the process, or from its policy in another world.

    Args:
        process: the source of the actions and, if `world` is None, of everything else.
        mdp: the problem, which says where outcomes lead.
        num_samples: at least 1.
        generator: torch's; None is the global one.
        world: the source of start, outcomes and survival; its policy is ignored.
    """
    num_samples = require_room_for("num_samples", whole("num_samples", num_samples), mdp.horizon)
    chance = world or process
    states = [draw(chance.log_initial().expand(num_samples, -1), generator)]
    memory, actions, outcomes = process.begin(states[0]), [], []
    for t in range(mdp.horizon):
        alive = states[t] < mdp.num_states
        transition = draw_transition(process, mdp, t, torch.where(alive, states[t], 0), alive, memory, generator, world)
        memory = process.remember(t, *transition[2:], memory)
        actions.append(torch.where(alive, transition.action, 0))
        outcomes.append(torch.where(alive, transition.outcome, 0))
        states.append(arrival(mdp, transition))
    return Trajectories(torch.stack(states, 1), torch.stack(actions, 1), torch.stack(outcomes, 1))


def draw_transition(
    process: Process,
    mdp: TabularMDP,
    t: int,
    state: Int[Tensor, " batch"],
    alive: Bool[Tensor, " batch"],
    memory: Float[Tensor, "batch memory"],
    generator: torch.Generator | None,
    world: MarkovProcess | None = None,
) -> Transition:
    """Draw the action, the outcome and whether the step is survived; see `simulate`."""
    chance = world or process
    action = draw(process.log_policy(t, state, memory), generator)
    outcome = draw(chance.log_dynamics(t, state, action, memory), generator)
    survives = alive
    if mdp.discount < 1:
        survival = chance.survival(t, state, action, outcome, memory)
        survives = alive & (draw(torch.stack((survival, 1.0 - survival), -1).log(), generator) == 0)
    return Transition(t, alive, state, action, outcome, survives)


def arrival(mdp: TabularMDP, transition: Transition) -> Int[Tensor, " batch"]:
    """The next state; S, the end, where the step was not survived."""
    arrived = mdp.successor[transition.state, transition.action, transition.outcome].long()
    return torch.where(transition.survives, arrived, mdp.num_states)


def draw(log_probability: Float[Tensor, "batch outcome"], generator: torch.Generator | None) -> Int[Tensor, " batch"]:
    """Draw one outcome per row."""
    return torch.multinomial(log_probability.exp(), 1, generator=generator)[:, 0]
