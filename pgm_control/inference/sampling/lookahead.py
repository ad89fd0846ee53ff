"""Lookaheads of Pyro programs: estimates of the value of the remaining steps, by which particles are resampled."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidArgument
from ...runtime.array_like import numbers

Lookahead = Callable[[int, Tensor], Tensor]
_ACTION = re.compile(r"action_(\d+)")


@runtime_checkable
class HasLookahead(Protocol):
    """A guide that knows about what its value of the remaining steps is, such as a `GridPosterior`."""

    def lookahead(self) -> Lookahead:
        """A function of t and a batch of states $s_t$, one a row, that returns log ψ_t(s_t), in nats."""
        ...


@runtime_checkable
class HasBridge(Protocol):
    """A guide that is narrower than the posterior, and knows a wider proposal."""

    def bridge(self) -> Callable[[], Any]:
        """The wider proposal, a guide with a lookahead."""
        ...


def lookahead_of(given: object, guide: object, sites: Sequence[str]) -> Lookahead | None:
    """The lookahead of an argument: a function, or None for that of the guide if it has one.

    Raises:
        InvalidArgument: if it is no function, or the sites are not `state_t` and `action_t`.
    """
    own = given is None and not isinstance(guide, type) and isinstance(guide, HasLookahead)
    if given is None and not own:
        return None
    if not own and not callable(given):
        raise InvalidArgument(
            "`lookahead` of a program must be a function of t and a batch of states that returns nats, such as "
            "lambda t, state: values[t](state); a table is for a tabular model."
        )
    if missing := [name for name in sites if (found := _ACTION.fullmatch(name)) and f"state_{found[1]}" not in sites]:
        raise InvalidArgument(_layout(missing[0]))
    if not any(map(_ACTION.fullmatch, sites)):
        raise InvalidArgument(_layout("action_0"))
    return guide.lookahead() if own and isinstance(guide, HasLookahead) else given  # pyright: ignore[reportReturnType]


def stages_of(sites: Sequence[str]) -> list[list[str]]:
    """The sites in pieces, of which every one but the first begins with an action: each ends before a choice."""
    pieces = [list[str]()]
    for name in sites:
        if (found := _ACTION.fullmatch(name)) and int(found[1]) > 0:
            pieces.append([])
        pieces[-1].append(name)
    return pieces


def log_twist_of(lookahead: Lookahead, t: int, state: Float[Tensor, "particle ..."]) -> Float[Tensor, " particle"]:
    """log ψ_t of the states of the particles.

    Raises:
        InvalidArgument: unless it is a finite number for each.
    """
    own = state.detach().clone()  # a function may write into its argument
    found = numbers("lookahead", lookahead(t, own), InvalidArgument).detach().to(torch.float64)
    if tuple(found.shape) != (len(state),) or not bool(found.isfinite().all()):
        raise InvalidArgument(
            f"`lookahead` must return a finite number of nats for each of the {len(state)} states at step {t}, but "
            f"returns {'other numbers' if len(found.shape) == 1 and len(found) == len(state) else tuple(found.shape)}."
        )
    return found


def _layout(name: str) -> str:
    return (
        f"`lookahead` is for a program with the sites state_t and action_t, but `{name}` has no state before it. Leave "
        "it out, or rename the sites."
    )
