"""What every process must know to solve its block: plain values, and the user's functions."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from ....errors import InvalidArgument, InvalidProblem
from ....problems import checks
from ....problems.checks import Kind, normalised, table
from ....problems.feasible import feasible
from ....runtime.arguments import one_of, shown, takes_two, whole, whole_number
from ....runtime.files import folder_of
from ....runtime.moving import is_floating
from ..fixed_point import Stopping
from ..problem import limits, optimism_of_dynamics, prior_rows
from .cut import BlockTables, Cut, Tables

Rows = Callable[[int, int], Any]
_MOST = 2**31 - 1


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

    @classmethod
    def checked(
        cls,
        *,
        num_states: Any,
        num_blocks: Any,
        most_blocks: int | None,
        optimism: Any,
        action_prior: Any,
        policy: Any,
        initial_value: Any,
        folder: Any,
        **given: Any,
    ) -> "BlockJob":
        """The job with these arguments, of which each that is not listed is checked by itself.

        Args:
            num_states: S.
            num_blocks: the number of blocks, or None for as many as there are processes.
            most_blocks: the number of processes; None if there may be any number.
            optimism, action_prior, policy, initial_value, folder: as for `value_iteration_blocks`.
            given: the others.

        Raises:
            InvalidArgument, InvalidProblem: if one is invalid; the message names it and the remedy.
        """
        states = _size("num_states", num_states)
        temperature = checks.temperature("temperature", given.pop("temperature"), torch.float64)
        discount = checks.discount("discount", given.pop("discount"))
        tolerance, max_sweeps = limits(given.pop("tolerance"), given.pop("max_sweeps"))
        actions = _size("num_actions", given.pop("num_actions"))
        dtype, stopping = given.pop("dtype"), given.pop("stopping")
        if not is_floating(dtype):
            raise InvalidProblem(f"`dtype` must be torch.float64 or torch.float32, but is {shown(dtype)}.")
        one_of("stopping", stopping, get_args(Stopping))
        return cls(
            block=_of_states("block", given.pop("block")),
            cut=Cut.even(states, _blocks(num_blocks, states, most_blocks)),
            num_actions=actions,
            num_outcomes=_size("num_outcomes", given.pop("num_outcomes")),
            dtype=dtype,
            temperature=temperature,
            optimism=optimism_of_dynamics(optimism, temperature, discount),
            discount=discount,
            action_prior=_prior(action_prior, actions, dtype),
            policy=None if policy is None else _of_states("policy", policy),
            initial_value=None if initial_value is None else _of_states("initial_value", initial_value),
            tolerance=tolerance,
            max_sweeps=max_sweeps,
            stopping=stopping,
            num_threads=whole("num_threads", given.pop("num_threads")),
            folder=None if folder is None else folder_of(folder, "folder").resolve(),
            save_every=whole("save_every", given.pop("save_every")),
            **given,
        )

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
            return prior_rows(self.action_prior[None])
        return prior_rows(self.rows("action_prior", self.action_prior, rank, self.dtype))

    def rows(
        self, name: str, function: Rows, rank: int, dtype: torch.dtype = torch.float64
    ) -> Float[Tensor, "state action"]:
        """Probabilities of actions in the states of a block, made by a function and checked.

        Raises:
            InvalidArgument: if they are none; the message names the argument, the block and the entry.
        """
        start, stop = self.span(rank)
        given = function(start, stop)
        found = table(name, given, 2, Kind(dtype, torch.device("cpu")), InvalidArgument)
        if tuple(found.shape) != (stop - start, self.num_actions):
            raise InvalidArgument(
                f"`{name}` must return one row a state and one probability an action, but {name}({start}, {stop}) has "
                f"shape {tuple(found.shape)}. Return {(stop - start, self.num_actions)}."
            )
        try:
            return normalised(name, found, (None, None), InvalidArgument, given=given)
        except InvalidArgument as problem:
            raise InvalidArgument(f"{problem} Index 0 of this block is state {start} of the problem.") from None

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


def _of_states(name: str, value: Any) -> Rows:
    if not callable(value) or not takes_two(value):
        raise InvalidArgument(
            f"`{name}` must be a function of the first state and of that after the last, but is {shown(value)}."
        )
    return value


def _size(name: str, value: Any) -> int:
    size = whole_number(value)
    if size is None or not 0 < size <= _MOST:
        raise InvalidProblem(f"`{name}` must be a whole number from 1 to 2^31 − 1, but is {shown(value)}.")
    return size


def _blocks(num_blocks: Any, num_states: int, most: int | None) -> int:
    blocks = min(most or 1, num_states) if num_blocks is None else whole("num_blocks", num_blocks)
    if blocks > num_states:
        raise InvalidArgument(f"`num_blocks` must be at most the {num_states} states, but is {blocks}.")
    if most is not None and blocks > most:
        raise InvalidArgument(f"`num_blocks` must be at most the {most} workers of `client`, but is {blocks}.")
    return blocks


def _prior(
    value: Any, num_actions: int, dtype: torch.dtype
) -> Rows | Float[Tensor, " action"] | Literal["count"] | None:
    if value is None:
        return None
    if callable(value):
        return _of_states("action_prior", value)
    if isinstance(value, str):
        if value == "count":
            return "count"
        raise InvalidArgument(
            f'`action_prior` must be a row of probabilities, a function that returns rows, "count" or None, but is '
            f"{shown(value)}."
        )
    row = table("action_prior", value, {1: "action"}, Kind(dtype, torch.device("cpu")), InvalidArgument)
    checks.shape("action_prior", row, (num_actions,), "one probability an action")
    return normalised("action_prior", row, (None,), InvalidArgument, given=value)
