"""The abstract guide with a memory: turns a process into a Pyro program."""

import abc

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pgm_control.errors import InvalidGuide
from pgm_control.inference.variational.parameters import announce_parameters
from pgm_control.problems.mdp import TabularMDP
from pgm_control.trajectories.process import Process

from .markov import TabularGuide


class MemoryGuide(TabularGuide):
    r"""A distribution over trajectories whose actions may depend on the past, $q(a_t \mid s_0, a_0, k_0, \dots, s_t)$.

    To write a guide, inherit from this class, keep parameters as `torch.nn.Parameter`, call `super().__init__(model)`
    first, and return a `Process` from `process()`: its memory and the log-probabilities given the memory. Read
    `MixtureGuide` as an example. The density is exact, but does not fit into a table: the guide is fitted by sampling
    and scored by `estimate`. It cannot be enumerated in parallel, because its memory cannot.
    """

    @abc.abstractmethod
    def process(self) -> Process:
        """The distribution over trajectories, computed from the current parameters, differentiable."""

    def forward(self) -> None:
        """Sample one trajectory at the model's sites, or one for each draw of a plate around it.

        Raises:
            InvalidGuide: if a site is enumerated in parallel.
        """
        announce_parameters(self)
        with pyro.settings.context(module_local_params=True):
            process = self.process()
        mdp, first = self.model.mdp, process.log_initial()
        if mdp.discount < 1:
            first = torch.cat((first, first.new_full((1,), -torch.inf)))
        state = pyro.sample("state_0", dist.Categorical(logits=first))
        memory = process.begin(state.flatten().clamp(max=mdp.num_states - 1))  # enumeration also passes the end
        for t in range(mdp.horizon):
            alive = state.flatten() < mdp.num_states
            here = torch.where(alive, state.flatten(), 0)
            action = _sample_site(f"action_{t}", process.log_policy(t, here, memory), alive, state)
            outcome = _sample_site(f"outcome_{t}", process.log_dynamics(t, here, action, memory), alive, state)
            survival = process.survival(t, here, action, outcome, memory) if mdp.discount < 1 else None
            logits = _arrival(mdp, torch.where(alive, mdp.successor[here, action, outcome].long(), -1), survival)
            state = pyro.sample(f"state_{t + 1}", dist.Categorical(logits=logits.view(*state.shape, -1)))
            survives = state.flatten() < mdp.num_states
            memory = process.remember(t, here, action, outcome, survives, memory)


def _sample_site(
    site: str, log_probability: Float[Tensor, "batch outcome"], alive: Bool[Tensor, " batch"], state: Int[Tensor, "..."]
) -> Int[Tensor, " batch"]:
    """Sample an action or an outcome; trajectories that have ended get index 0."""
    certain = torch.full_like(log_probability, -torch.inf)
    certain[:, 0] = 0.0
    logits = torch.where(alive[:, None], log_probability, certain)
    drawn = pyro.sample(site, dist.Categorical(logits=logits.view(*state.shape, -1)))
    if drawn.shape != state.shape:
        raise InvalidGuide(
            f"`{site}` of a guide with a memory cannot be enumerated in parallel: its later choices depend on all "
            "earlier ones. Fit it with Trace_ELBO, or a MixtureGuide with MixtureELBO."
        )
    return drawn.flatten()


def _arrival(
    mdp: TabularMDP, arrived: Int[Tensor, " batch"], survival: Float[Tensor, " batch"] | None
) -> Float[Tensor, "batch next_state"]:
    """Log-probability of each next state: the state reached (−1: none) or, with a discount, the end."""
    there = torch.arange(mdp.num_states, device=arrived.device) == arrived[:, None]
    if survival is None:
        return torch.where(there, 0.0, -torch.inf).to(mdp.initial)
    end = torch.where(arrived < 0, 0.0, (1.0 - torch.where(arrived < 0, 0.0, survival)).log())
    return torch.cat((torch.where(there, survival.log()[:, None], -torch.inf), end[:, None]), -1)
