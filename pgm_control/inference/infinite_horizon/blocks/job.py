"""What every process must know to solve its block: plain values, and the user's functions."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from ....errors import InvalidArgument
from ....problems.checks import Kind, normalised, table
from ....problems.feasible import feasible
from ..fixed_point import Stopping
from .cut import BlockTables, Cut, Tables

Rows = Callable[[int, int], Any]


@final
@dataclass(frozen=True, eq=False)
class BlockJob:
    """A problem in blocks, and how to solve it. The attributes are the arguments of `value_iteration_blocks`.

    Attributes:
        block: makes the tables of states start … stop − 1.
        cut: the blocks.
        num_actions, num_outcomes, dtype: of the tables.
        temperature: τ, in reward units per nat.
        optimism: β of the dynamics.
        discount: γ.
        action_prior: ρ(a|s) by rows of states, one row, "count", or None for uniform.
        policy: π(a|s) by rows of states, if it is to be evaluated.
        initial_value: V by states, or None for zeros.
        tolerance, max_sweeps, stopping, num_threads, folder, save_every: how to solve it.
    """

    block: Tables
    cut: Cut
    num_actions: int
    num_outcomes: int
    dtype: torch.dtype
    temperature: float
    optimism: float
    discount: float
    action_prior: Rows | Float[Tensor, " action"] | Literal["count"] | None
    policy: Rows | None
    initial_value: Rows | None
    tolerance: float
    max_sweeps: int
    stopping: Stopping
    num_threads: int
    folder: Path | None
    save_every: int

    def span(self, rank: int) -> tuple[int, int]:
        """The first state of a block, and the first of the next."""
        return self.cut.bounds[rank], self.cut.bounds[rank + 1]

    def prior(self, rank: int, tables: BlockTables) -> Float[Tensor, "state_or_one action"]:
        """ρ(a|s) of the states of a block, or one row for all.

        Raises:
            InvalidArgument: if it is no table of probabilities; the message names the entry.
        """
        if self.action_prior is None:
            return torch.full((1, self.num_actions), 1.0 / self.num_actions, dtype=torch.float64)
        if isinstance(self.action_prior, str):
            return feasible(tables.probability, tables.reward).double()
        if isinstance(self.action_prior, Tensor):
            return self.action_prior[None]
        return self.rows("action_prior", self.action_prior, rank)

    def rows(self, name: str, function: Rows, rank: int) -> Float[Tensor, "state action"]:
        """Probabilities of actions in the states of a block, made by a function and checked.

        Raises:
            InvalidArgument: if they are none; the message names the argument, the block and the entry.
        """
        start, stop = self.span(rank)
        given = function(start, stop)
        found = table(name, given, 2, Kind(torch.float64, torch.device("cpu")), InvalidArgument)
        if tuple(found.shape) != (stop - start, self.num_actions):
            raise InvalidArgument(
                f"`{name}` must return one row a state and one probability an action, but {name}({start}, {stop}) has "
                f"shape {tuple(found.shape)}. Return {(stop - start, self.num_actions)}."
            )
        try:
            return normalised(name, found, (None, None), InvalidArgument, given=given)
        except InvalidArgument as problem:
            raise InvalidArgument(f"{problem} Its state 0 is state {start} of the problem.") from None

    def begin(self, rank: int) -> Float[Tensor, " state"]:
        """The initial values of a block; −inf is read as 0.

        Raises:
            InvalidArgument: if they are not numbers, one per state.
        """
        start, stop = self.span(rank)
        if self.initial_value is None:
            return torch.zeros(stop - start, dtype=torch.float64)
        kind = Kind(torch.float64, torch.device("cpu"))
        found = table("initial_value", self.initial_value(start, stop), 1, kind, InvalidArgument)
        if len(found) != stop - start or not bool((found < torch.inf).all()):
            raise InvalidArgument(
                f"`initial_value` must return one number per state, none of them nan or +inf, but initial_value"
                f"({start}, {stop}) has shape {tuple(found.shape)} and largest entry {float(found.max()):g}."
            )
        return torch.where(found > -torch.inf, found, 0.0)
