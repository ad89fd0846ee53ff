"""The critical optimism: the β at which the preferred action changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch

from ..chance.risk import Risk
from ..errors import InvalidArgument
from ..inference.exact.infer import infer
from ..runtime.arguments import finite, index, positive, shown
from ..text.wording import action_phrase, state_phrase
from ..trajectories.blocks import MarkovModel, require_model
from ..trajectories.steps import temperature_at, temperature_words

_ROUNDINGS = 1000  # the rounding errors that a difference of two log-probabilities may accumulate


@final
@dataclass(frozen=True)
class CriticalOptimism:
    """The β at which the preferred action changes; `float(…)` returns β.

    Attributes:
        optimism: the critical β.
        before, after: the preferred action on either side of β; `before` holds on the side of `between[0]`.
    """

    optimism: float
    before: int
    after: int

    def __float__(self) -> float:
        """The critical β as a Python number."""
        return self.optimism


def critical_optimism(
    model: MarkovModel,
    state: int | str,
    t: int = 0,
    *,
    between: tuple[float, float] = (0.0, 1.0),
    tolerance: float = 1e-9,
) -> CriticalOptimism:
    """The β at which the most probable action in a state changes, by bisection.

    Actions whose log-probabilities differ by no more than rounding count as equal, and the first of equal actions is
    preferred. So two equal actions do not change places.

    Args:
        model: the tabular model.
        state: the index or the name of the state.
        t: the step, 0 … T−1.
        between: two β with different preferred actions. If the action changes several times between them, one of the
            changes is found.
        tolerance: the tolerance of β.

    Returns:
        A `CriticalOptimism`.

    Raises:
        InvalidArgument: if the state or the step does not exist, `between` is not a pair of numbers, or both ends
            prefer the same action.
    """
    require_model(model, in_nats=True, timed=True)
    mdp = model.mdp
    if isinstance(state, str):
        if mdp.state_names is None or state not in mdp.state_names:
            known = "has no names of states" if mdp.state_names is None else f"has {', '.join(mdp.state_names[:8])}, …"
            raise InvalidArgument(
                f"`state` must be the name of a state, or its index, but is {state!r}; the MDP {known}."
            )
        state = mdp.state_names.index(state)
    state = index("state", state, mdp.num_states, "the name or the index of a state")
    t = index("t", t, mdp.horizon, "a step")
    tolerance = positive("tolerance", tolerance)
    if not isinstance(between, Sequence) or len(between) != 2:
        raise InvalidArgument(f"`between` must be a pair of two β, such as (0.0, 1.0), but is {shown(between)}.")

    def preferred(beta: float) -> int:
        exact = infer(model, beta)
        log_policy, q = exact.distribution.log_policy[t, state], exact.q[t, state]
        size = max(1.0, float(q[q.isfinite()].abs().sum()) / temperature_at(model, t))
        best = log_policy >= log_policy.max() - _ROUNDINGS * torch.finfo(q.dtype).eps * size
        return int(best.int().argmax())

    if any(isinstance(each, Risk) for each in between):
        raise InvalidArgument(
            f"`between` must be a pair of numbers β, but is {shown(between)}. Pass θτ for a Risk(θ), with τ = "
            f"{temperature_words(model)} here; the critical risk parameter is float(found) / τ."
        )
    low, high = (finite("between", each, "β") for each in between)
    before, after = preferred(low), preferred(high)
    if before == after:
        raise InvalidArgument(
            f"`between` must hold two β that prefer different actions in {state_phrase(mdp, state)}, but at {low:g} "
            f"and at {high:g} it is {action_phrase(mdp, before)}. Widen it."
        )
    while abs(high - low) > tolerance:
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        found = preferred(middle)
        low, high, after = (middle, high, after) if found == before else (low, middle, found)
    return CriticalOptimism(0.5 * (low + high), before, after)
