"""The value of the states after the last step of a plan: a function, an exact value, or a table."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Num
from torch import Tensor
from typing_extensions import TypeAliasType

from ..errors import InvalidArgument
from ..inference.sampling.lookahead import HasLookahead
from ..runtime.arguments import shown
from ..runtime.array_like import ArrayLike, numbers
from ..runtime.randomness import seeded
from ..trajectories.blocks import HasBlocks
from .worlds.by_kind import world_of
from .worlds.line import LineWorld
from .worlds.simulated import SimulatorWorld
from .worlds.tabular import TabularWorld
from .worlds.world import World


@runtime_checkable
class HasStateValue(Protocol):
    """A critic that gives the value of a batch of observations, such as a learner `SAC` or `SoftQLearning`."""

    def state_value(self, observation: Num[Tensor, "batch ..."]) -> Float[Tensor, " batch"]:
        """V of observations, one a row, or of indices of states, in reward units."""
        ...


# An alias with a name, so that `help` prints the name instead of the union.
TerminalValue = TypeAliasType(
    "TerminalValue", Callable[[int, Tensor], Tensor] | HasLookahead | HasStateValue | ArrayLike
)


def _table(name: str, given: Any, world: World) -> Callable[[int, Tensor], Tensor]:
    """The values of a table by time and state, or of a function of t and states."""
    if callable(given) and not isinstance(given, type):
        return given  # pyright: ignore[reportReturnType]
    table = numbers(name, given, InvalidArgument).detach().double().cpu()
    shape = world.horizon + 1, world.num_states
    if tuple(table.shape) != shape or bool((table.isnan() | (table == torch.inf)).any()):
        raise InvalidArgument(
            f"`{name}` must have shape {shape}, one row for each time from 0 to {world.horizon}, without nan and +inf, "
            f"or be a function of t and states, or a posterior, but has shape {tuple(table.shape)}."
        )
    return lambda t, state: table[t, state]


def _require_fit(name: str, given: Any, world: World) -> None:
    """Refuse the posterior of a model with states of another size, or that ends before."""
    other = world_of(given.model)
    if other.num_states != world.num_states or other.horizon < world.horizon:
        raise InvalidArgument(
            f"`{name}` must be the posterior of a model with states of {world.num_states} numbers and at least "
            f"{world.horizon} steps, but its model has states of {other.num_states} and {other.horizon} steps."
        )


def terminal_of(name: str, given: Any, model: Any, world: World) -> Callable[[int, Tensor], Tensor] | None:
    """The argument as a function of t and a batch of states, one a row, that returns reward units; None for none.

    A posterior over vectors gives its own value $V_t(s)$, whatever the optimism for which it was solved.

    Raises:
        InvalidArgument: if it is nothing of that kind.
    """
    if given is None:
        return None
    is_object = not isinstance(given, type)
    if is_object and isinstance(given, HasStateValue):
        return _critic(name, given, world)
    if world.state_axes == 0:
        if is_object and isinstance(given, HasLookahead):
            raise InvalidArgument(f"`{name}` must have values of states of a table, but is {shown(given)}.")
        return _table(name, getattr(given, "v", given), world)
    found: Callable[..., Any]
    if is_object and isinstance(given, HasLookahead):
        found = _exact(name, given, world)
    elif not is_object or not callable(given) or isinstance(given, HasBlocks):
        raise InvalidArgument(
            f"`{name}` must be a function of t and a batch of states that returns reward units, or a posterior that "
            f"has one, such as infer(model, 0.0), but is {shown(given)}."
        )
    else:
        found = given
    return SimulatorWorld.going_on(found) if isinstance(world, SimulatorWorld) else found


def _critic(name: str, given: HasStateValue, world: World) -> Callable[[int, Tensor], Tensor]:
    """The value of a critic, whose observations are the states of the model, or what a `Simulator` observes of them.

    For a table it is computed once. States in which an episode has ended are worth 0, as for the critic.
    """
    if isinstance(world, TabularWorld):
        table, goes_on = torch.zeros(world.num_states, dtype=torch.float64), (~world.ended()).nonzero()[:, 0]
        if len(goes_on):
            table[goes_on] = _seen(name, given, goes_on)
        return lambda t, state: table[state]
    if isinstance(world, SimulatorWorld):
        observed = world.simulator.observed
        _seen(name, given, observed(torch.as_tensor(world.simulator.start)[None]))
        return world.going_on(lambda t, state: given.state_value(observed(state)))
    _seen(name, given, torch.zeros(1, world.num_states, dtype=torch.float64))
    return lambda t, state: given.state_value(state)


def _seen(name: str, given: HasStateValue, observation: Tensor) -> Tensor:
    """The values of observations.

    Raises:
        InvalidArgument: if the critic has observations of another kind.
    """
    try:
        with seeded(0), torch.no_grad():  # some draw actions
            return given.state_value(observation)
    except (InvalidArgument, RuntimeError, IndexError) as problem:
        raise InvalidArgument(
            f"`{name}` must be a critic of the observations of this model, of shape {tuple(observation.shape[1:])} and "
            f"dtype {observation.dtype}, but refuses them: {problem}"
        ) from problem


def _exact(name: str, given: Any, world: World) -> Callable[[int, Tensor], Tensor]:
    """The value of a posterior over vectors."""
    _require_fit(name, given, world)
    ahead, tau = given.lookahead(), float(given.model.temperature)
    on_line = isinstance(world, LineWorld)  # whose posteriors take numbers
    return lambda t, state: tau * torch.as_tensor(ahead(t, state[:, 0] if on_line else state))
