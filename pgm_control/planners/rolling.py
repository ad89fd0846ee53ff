"""Simulating plans: the returns of all plans under all noises, for many episodes at once."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..errors import InvalidArgument, InvalidProblem
from ..runtime.arguments import shown
from .weights import Scores
from .worlds.simulated import SimulatorWorld
from .worlds.world import World

_AT_ONCE = 1 << 17  # states that are simulated together: more do not fit into a cache

Value = Callable[[int, Tensor], Tensor]


def in_chunks(episodes: int, plans: int, noises: int) -> Iterator[slice]:
    """Slices of the episodes that are simulated together."""
    size = max(1, _AT_ONCE // (plans * noises))
    for first in range(0, episodes, size):
        yield slice(first, min(first + size, episodes))


def roll_out(world: World, t: int, state: Tensor, plans: Tensor, noises: int, value: Value | None) -> Scores:
    """The returns and the log-priors of plans, each under noises of its own.

    Args:
        world: the model.
        t: the step of the first action.
        state: the present states (episode, …).
        plans: (episode, plan, step, …).
        noises: M.
        value: the value of the states after the last step, if this is not the last of the model.

    Raises:
        InvalidProblem: if a reward is nan or +inf.
    """
    chunks = in_chunks(plans.shape[0], plans.shape[1], noises)
    parts = [_rolled(world, t, state[rows], plans[rows], noises, value) for rows in chunks]
    found = parts[0] if len(parts) == 1 else Scores(*(torch.cat(each) for each in zip(*parts, strict=True)))
    require_rewards(found.returns, t)
    return found


def require_rewards(returns: Tensor, t: int) -> None:
    """Require rewards, or sums of them, that are numbers or −inf.

    Raises:
        InvalidProblem: if one is nan or +inf.
    """
    if not bool((returns < torch.inf).all()):
        found = "nan" if bool(returns.isnan().any()) else "+inf"
        raise InvalidProblem(
            f"`model` must have rewards that are numbers, or −inf for what is forbidden, but a plan from step {t} "
            f"has a return of {found}. Look at its reward and dynamics for large states and actions."
        )


def _rolled(world: World, t: int, state: Tensor, plans: Tensor, noises: int, value: Value | None) -> Scores:
    episodes, count, steps = plans.shape[:3]
    if t + steps >= world.horizon:
        value = None  # nothing follows
    at_once = world.rolled(t, state, plans, noises, value is not None) if isinstance(world, SimulatorWorld) else None
    total, prior, at = at_once or _step_by_step(world, t, state, plans, noises)
    if value is not None:
        assert at is not None
        total = total + valued(value, t + steps, at, at.shape[:3])
    return Scores(total, prior.expand(episodes, count, prior.shape[-1]))


def _step_by_step(world: World, t: int, state: Tensor, plans: Tensor, noises: int) -> tuple[Tensor, Tensor, Tensor]:
    """The returns, the log-priors, and the states after the last step."""
    episodes, count, steps = plans.shape[:3]
    at = state[:, None, None].expand(episodes, count, noises, *state.shape[1:])
    total: Tensor | float = 0.0
    prior: Tensor | float = 0.0
    for k in range(steps):
        action = plans[:, :, k, None]
        prior = prior + world.log_prior(t + k, at, action)
        at, reward = world.move(t + k, at, action)
        total = total + reward
    assert isinstance(total, Tensor)
    assert isinstance(prior, Tensor)
    return total, prior, at


def valued(value: Value, t: int, state: Tensor, front: torch.Size) -> Tensor:
    """The value of states with these axes in front, in reward units.

    Raises:
        InvalidArgument: unless it is a number for each.
    """
    found, size = value(t, state.reshape(-1, *state.shape[len(front) :])), front.numel()
    if (
        not isinstance(found, Tensor)
        or tuple(found.shape) != (size,)
        or bool((found.isnan() | (found == torch.inf)).any())
    ):
        raise InvalidArgument(
            f"`terminal_value` must return a tensor with one number for each of the {size} states (row, coordinate), "
            f"in reward units, but returns {tuple(found.shape) if isinstance(found, Tensor) else shown(found)}"
            f"{' with nan or +inf' if isinstance(found, Tensor) and found.shape == (size,) else ''}."
        )
    return found.detach().double().reshape(front)
