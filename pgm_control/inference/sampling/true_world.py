"""Trajectories of a tabular problem in which a guide draws the actions and the model everything else."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from pyro.distributions import Categorical
from pyro.poutine.messenger import Messenger
from torch import Tensor

from ...trajectories.blocks import MarkovModel
from ...trajectories.process import MarkovProcess, Process, policy_entropy, process_of, simulate
from ...trajectories.samples import Trajectories
from .log_weights import traced


class TrueRuns(NamedTuple):
    """True trajectories, and the entropy of the choices of actions in each, in nats."""

    trajectories: Trajectories
    policy_entropy: Float[Tensor, " batch"]


@torch.no_grad()
def in_the_true_world(
    model: MarkovModel, guide: Callable[[], Any] | Process, n: int, generator: torch.Generator | None
) -> TrueRuns:
    """Trajectories in which the guide draws the actions and the model everything else."""
    process, mdp = process_of(model, guide), model.mdp
    if process is None:
        assert not isinstance(guide, Process)
        found = traced(model, functools.wraps(guide)(lambda: _TrueWorld(model)(guide)()), n, generator)
        return TrueRuns(found.trajectories, -found.log_policy)
    trajectories = simulate(process, mdp, n, generator, MarkovProcess(model.blocks()))
    return TrueRuns(trajectories, policy_entropy(process, mdp, trajectories))


class _TrueWorld(Messenger):
    """A handler that replaces the states and outcomes of a guide by draws from the model, given the guide's actions.

    It never branches on a value, so that runs can be made side by side.
    """

    def __init__(self, model: MarkovModel) -> None:
        super().__init__()
        self.mdp, self.truth = model.mdp, model.blocks()
        self.survival, self.end = self.truth.survival, torch.tensor(model.mdp.num_states)
        self.state = self.action = self.arrived = self.end

    def _pyro_sample(self, msg: Any) -> None:
        kind, _, t = str(msg["name"]).partition("_")
        if kind == "state":
            self.state = self._next_state(int(t)) if t != "0" else _draw(self.truth.log_initial)
            msg["value"], msg["done"] = self.state, True
        elif kind == "outcome":
            ended = self.state == self.end
            here = torch.where(ended, 0, self.state)
            outcome = torch.where(ended, 0, _draw(self.truth.log_dynamics[int(t)][here, self.action]))
            self.arrived = torch.where(ended, self.end, self.mdp.successor[here, self.action, outcome])
            msg["value"], msg["done"] = outcome, True

    def _pyro_post_sample(self, msg: Any) -> None:
        if str(msg["name"]).startswith("action_"):
            self.action = msg["value"]

    def _next_state(self, t: int) -> Tensor:
        """The successor of the last outcome, or the end."""
        if self.mdp.discount == 1:
            return self.arrived
        ended = self.arrived == self.end
        survival = self.survival[t - 1][torch.where(ended, 0, self.arrived)]
        return torch.where(ended | (torch.rand_like(survival) >= survival), self.end, self.arrived)


def _draw(log_probability: Float[Tensor, " value"]) -> Int[Tensor, ""]:
    return Categorical(logits=log_probability).sample()
