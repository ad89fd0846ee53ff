"""The result of value iteration over blocks: a certificate, and values that stay where they were found."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ....errors import InvalidArgument, InvalidCheckpoint, InvalidProblem
from ....problems.checks import indices
from ....runtime.array_like import ArrayLike
from ....runtime.files import folder_of, require_writable
from ....text.html import counted
from ..fixed_point import ValueStatus
from .cut import Cut
from .held import FACTS, Freed, Held, HeldInFolder, save_facts
from .solving import BlockFacts, What


@final
@dataclass(frozen=True, eq=False, repr=False)
class BlockValues:
    """Stationary values over blocks of states. They stay in the processes of the blocks; a few can be asked for.

    Use it in a `with` statement, or call `close()`, to free the memory of these processes.

    Attributes:
        error_bound: a bound on the distance of every entry of V and Q from the fixed point, over all blocks, in reward
            units; inf where nothing can be certified.
        num_sweeps: the number of sweeps, including those before a resume.
        status: how the iteration ended; `status.message` explains it.
        seconds: the time that the sweeps took.
        span_history: the span of the changes in each sweep, in reward units.
        num_states: the number of states, S.
        bounds: the first state of each block, and S.
        num_ghosts: for each block, the number of states of others whose values it reads.
        num_sent: for each block, the number of bytes that it sends to others in a sweep, 8 for each value.
        num_restarts: how often the processes were started again, since one was lost.
        held: where the values lie.
    """

    error_bound: float
    num_sweeps: int
    status: ValueStatus
    seconds: float
    span_history: Float[Tensor, " sweep"]
    num_states: int
    bounds: tuple[int, ...]
    num_ghosts: tuple[int, ...]
    num_sent: tuple[int, ...]
    num_restarts: int
    held: Held

    def value(self, states: ArrayLike) -> Float[Tensor, " some"]:
        """V(s) of these states, in reward units; −inf where a forbidden outcome cannot be avoided.

        Raises:
            InvalidArgument: if they are no vector of states.
            WorkersLost: if the process that holds one of them is gone; `action_value` and `policy` too.
        """
        return self._read("value", states)

    def action_value(self, states: ArrayLike) -> Float[Tensor, "some action"]:
        """Q(s, a) of these states, in reward units."""
        return self._read("action_value", states)

    def policy(self, states: ArrayLike) -> Float[Tensor, "some action"]:
        """π(a|s) of these states."""
        return self._read("policy", states)

    def save(self, folder: str | Path) -> None:
        """Write three files a block, V, Q and π as tables of numpy, each from the process that holds it.

        `BlockValues.load(folder)` reads them. With several machines the folder must be one that all of them reach.

        Raises:
            InvalidArgument: if `folder` cannot be written.
            WorkersLost: if a process that holds values is gone.
        """
        path = folder_of(folder, "folder").absolute()
        require_writable(path, "folder")
        (path / FACTS).unlink(missing_ok=True)  # written last: without it the folder cannot be loaded
        self.held.save(path)
        save_facts(path, self._facts())

    @classmethod
    def load(cls, folder: str | Path) -> "BlockValues":
        """The saved result in a folder. Files are mapped into memory, so that nothing is read before it is asked for.

        Raises:
            InvalidCheckpoint: if a file is missing or broken.
        """
        path = folder_of(folder, "folder")
        try:
            facts = _checked(json.loads((path / FACTS).read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as problem:
            raise InvalidCheckpoint(
                f"{path / FACTS} cannot be read as a saved result: {problem}. Save it again."
            ) from None
        return cls(**facts, held=HeldInFolder(path, Cut(facts["bounds"])))

    def close(self) -> None:
        """Free the memory of the processes that hold the values; they cannot be asked for any more."""
        self.held.close()
        object.__setattr__(self, "held", Freed())

    def __enter__(self) -> "BlockValues":
        """Return the result."""
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, where: TracebackType | None) -> None:
        """Free the memory."""
        self.close()

    def __repr__(self) -> str:
        """A line with the error bound and the message."""
        return (
            f"BlockValues({self.num_states} states in {counted(len(self.bounds) - 1, 'block')}, error at most "
            f"{self.error_bound:.3g} after {self.num_sweeps} sweeps, {self.seconds:.2f} s. {self.status.message})"
        )

    def _read(self, what: What, states: ArrayLike) -> Tensor:
        try:
            given = indices("states", states).long().cpu()
        except InvalidProblem as problem:
            raise InvalidArgument(str(problem)) from None
        if given.ndim != 1 or (len(given) and not bool((given >= 0).all() and (given < self.num_states).all())):
            raise InvalidArgument(
                f"`states` must be a vector of states, 0 to {self.num_states - 1}, but has shape {tuple(given.shape)}"
                + (f" and entries from {int(given.min())} to {int(given.max())}." if given.numel() else ".")
                + (" Put a single state into a list." if given.ndim == 0 else "")
            )
        owners = Cut(self.bounds).owners(given)
        parts, order = [], []
        for rank in owners.unique().tolist():
            here = (owners == rank).nonzero()[:, 0]
            parts.append(self.held.read(what, rank, given[here]))
            order.append(here)
        if not parts:
            return self.held.read(what, 0, given)
        found = torch.cat(parts)
        return found[torch.cat(order).argsort()]

    def _facts(self) -> dict[str, Any]:
        plain = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name != "held"}
        return {**plain, "status": self.status.name, "span_history": self.span_history.tolist()}


def block_values(facts: list[BlockFacts], bounds: tuple[int, ...], held: Held, num_restarts: int) -> BlockValues:
    """The result from what the processes say."""
    first = facts[0]
    return BlockValues(
        error_bound=first.error_bound,
        num_sweeps=first.num_sweeps,
        status=first.status,
        seconds=max(each.seconds for each in facts),
        span_history=first.span_history,
        num_states=bounds[-1],
        bounds=bounds,
        num_ghosts=tuple(each.num_ghosts for each in facts),
        num_sent=tuple(each.num_sent for each in facts),
        num_restarts=num_restarts,
        held=held,
    )


def _checked(facts: Any) -> dict[str, Any]:
    """The facts of a file as the attributes of a result."""
    bounds = tuple(int(each) for each in facts["bounds"])
    if len(bounds) < 2 or bounds[0] != 0 or list(bounds) != sorted(set(bounds)):
        raise ValueError("`bounds` are no blocks of states")
    many = len(bounds) - 1
    found = {
        "error_bound": float(facts["error_bound"]),
        "num_sweeps": int(facts["num_sweeps"]),
        "status": ValueStatus[facts["status"]],
        "seconds": float(facts["seconds"]),
        "span_history": torch.tensor([float(each) for each in facts["span_history"]], dtype=torch.float64),
        "num_states": bounds[-1],
        "bounds": bounds,
        "num_ghosts": tuple(int(each) for each in facts["num_ghosts"]),
        "num_sent": tuple(int(each) for each in facts["num_sent"]),
        "num_restarts": int(facts["num_restarts"]),
    }
    if len(found["num_ghosts"]) != many or len(found["num_sent"]) != many or not found["error_bound"] >= 0:
        raise ValueError("the numbers of blocks differ, or `error_bound` is none")
    return found
