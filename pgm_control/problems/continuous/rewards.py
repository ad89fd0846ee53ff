"""Rewards as functions of a state, and of the time at which it is reached if they take two arguments."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...errors import InvalidProblem
from ...runtime.arguments import shown


def takes_time(reward: Callable[..., Any]) -> bool:
    """Whether a reward is a function of time and state, by the number of its arguments without a default."""
    try:
        parameters = inspect.signature(reward).parameters.values()
    except (TypeError, ValueError):  # some builtins
        return False
    positional = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return sum(each.kind in positional and each.default is inspect.Parameter.empty for each in parameters) >= 2


def checked_reward(name: str, reward: Any, event: tuple[int, ...], horizon: int) -> Callable[[int, Tensor], Tensor]:
    """The reward as a function of time and a batch of states; it is called once on three states.

    Args:
        name: the name of the argument, for messages.
        reward: a function of a batch of states, or of time and a batch of states.
        event: the shape of one state.
        horizon: T; the function is tried at this time.

    Raises:
        InvalidProblem: if it is no function, raises an error, or does not return one number for each state.
    """
    if isinstance(reward, type) or not callable(reward):
        raise InvalidProblem(f"`{name}` must be a function of states, but is {shown(reward)}.")
    timed = takes_time(reward)

    def at(t: int, state: Tensor) -> Tensor:
        found = torch.as_tensor(reward(t, state) if timed else reward(state))
        return found.to(state.dtype).expand(state.shape[: state.ndim - len(event)])

    trial = torch.zeros((3, *event), dtype=torch.float64)
    where = f"states of shape (3,{''.join(f' {n}' for n in event)})"
    try:
        found = torch.as_tensor(reward(horizon, trial) if timed else reward(trial))
    except Exception as problem:  # of the user's code
        raise InvalidProblem(
            f"`{name}` must be a function of a batch of states, or of time and a batch of states, but with {where} it "
            f"raises {type(problem).__name__}: {problem}."
        ) from problem
    if tuple(found.shape) not in ((3,), ()) or found.is_complex() or bool(found.isnan().any()):
        raise InvalidProblem(
            f"`{name}` must return one number for each state, shape (3,) for {where}, but returns {shown(found)}."
        )
    return at
