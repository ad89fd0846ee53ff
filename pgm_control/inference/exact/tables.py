"""The tables of a posterior: of all steps, or where they do not fit into memory, of one step at a time."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple, final

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


@final
class WholeTables:
    """Q, in reward units, and the factors of all steps, which are made when they are first asked for."""

    def __init__(self, q: Float[Tensor, "time state action"], make: Callable[[], Blocks]) -> None:
        """Q, and a function that makes the factors."""
        self.q, self._make = q, make

    @classmethod
    def of(cls, mdp: TabularMDP, found: Messages, q: Tensor | None = None) -> "WholeTables":
        """The tables of these messages, with Q as a function of other tables, if it is given."""
        return cls(found.q if q is None else q, lambda: Blocks(mdp, *found.factors()))

    @cached_property
    def distribution(self) -> Blocks:
        """The factors, as log-probabilities."""
        with torch.inference_mode(False):  # or nobody could differentiate later by what is made from them
            return self._make()

    def __reduce__(self) -> tuple[Any, ...]:
        """For copies and other processes: the tables themselves, not how they are made."""
        return _held, (self.q, self.distribution)

    def detached(self) -> "WholeTables":
        """The tables with numbers in place of a differentiable Q."""
        return WholeTables(self.q.detach(), lambda: self.distribution)

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
        return _held(moved(self.q, place), moved(self.distribution.replace(mdp=model.mdp), place))


def _held(q: Tensor, distribution: Blocks) -> WholeTables:
    return WholeTables(q, lambda: distribution)


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
        log_initial, log_policy, log_dynamics, log_survival = found.factors()
        if log_survival is None:
            lives = torch.full_like(log_initial, self.messages.model.mdp.discount)
        else:
            lives = log_survival[0].exp()
        return PosteriorStep(found.q[0], StepBlocks(log_policy[0], log_dynamics[0], lives))

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
