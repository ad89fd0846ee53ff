"""The tables of a posterior: of all steps, or where they do not fit into memory, of one step at a time."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ...problems.mdp import TabularMDP
from ...runtime.moving import Place, moved
from ...text.one_line import one_line
from ...trajectories.blocks import Blocks, MarkovModel
from ...trajectories.by_step import StepBlocks
from .backward.by_step import MessagesByStep
from .backward.messages import Messages, backward_messages


class PosteriorStep(NamedTuple):
    """The tables of one step of a posterior.

    Attributes:
        q: soft action values, in reward units.
        blocks: the factors, with `policy` and `dynamics`.
    """

    q: Float[Tensor, "state action"]
    blocks: StepBlocks

    __repr__ = one_line


class WholeTables(NamedTuple):
    """Q, in reward units, and the factors of all steps."""

    q: Float[Tensor, "time state action"]
    distribution: Blocks

    @classmethod
    def of(cls, mdp: TabularMDP, found: Messages, q: Tensor | None = None) -> "WholeTables":
        """The tables of these messages, with Q as a function of other tables, if it is given."""
        factors = found.log_initial, found.log_policy, found.log_dynamics, found.log_survival
        return cls(found.q if q is None else q, Blocks(mdp, *factors))

    @property
    def log_initial(self) -> Float[Tensor, " state"]:
        """The log-probabilities of the start."""
        return self.distribution.log_initial

    def at(self, t: int) -> PosteriorStep:
        """A slice."""
        return PosteriorStep(self.q[t], self.distribution.at(t))

    def whole(self) -> "WholeTables":
        """These tables."""
        return self

    def moved(self, model: MarkovModel, place: Place) -> "WholeTables":
        """A copy for the model at another place."""
        return WholeTables(moved(self.q, place), moved(self.distribution.replace(mdp=model.mdp), place))


class TablesByStep(NamedTuple):
    """The messages from which the tables of a step are made."""

    messages: MessagesByStep

    @property
    def log_initial(self) -> Float[Tensor, " state"]:
        """The log-probabilities of the start."""
        return self.messages.log_initial

    def at(self, t: int) -> PosteriorStep:
        """The tables of step t, from V of the next step."""
        found = self.messages.at(t)
        if found.log_survival is None:
            lives = torch.full_like(found.log_initial, self.messages.model.mdp.discount)
        else:
            lives = found.log_survival[0].exp()
        return PosteriorStep(found.q[0], StepBlocks(found.log_policy[0], found.log_dynamics[0], lives))

    def whole(self) -> WholeTables:
        """The tables of all steps.

        Raises:
            InvalidArgument: if they still do not fit into memory.
        """
        model = self.messages.model
        return WholeTables.of(model.mdp, backward_messages(model, self.messages.beta))

    def moved(self, model: MarkovModel, place: Place) -> "TablesByStep":
        """A copy for the model at another place."""
        return TablesByStep(self.messages.moved(model, place))
