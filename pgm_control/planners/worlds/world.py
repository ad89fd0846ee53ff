"""What planners need of a model: states that can be set, and one step of many states side by side."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from ...errors import InvalidArgument


def require_cpu(table: Tensor) -> None:
    """Require that a model's tables, or the states that it draws, are on the CPU, where planners compute.

    Raises:
        InvalidArgument: if they are not.
    """
    if table.device.type != "cpu":
        raise InvalidArgument(
            f"`model` must lie on the CPU for a planner, which computes there, but lies on {table.device}. Pass "
            'model.to("cpu"), or a model whose functions return tensors on the CPU.'
        )


class Moved(NamedTuple):
    """The states after a step, and its rewards, with the final reward in the last step, in reward units."""

    state: Tensor
    reward: Float[Tensor, "episode plan noise"]


@runtime_checkable
class Proposal(Protocol):
    """A distribution of plans for each episode, under which the actions of different steps are independent."""

    def draw(self, count: int) -> Tensor:
        """Plans (episode, plan, step, …), drawn from torch's global generator."""
        ...

    def log_density(self, plans: Tensor) -> Float[Tensor, "episode plan step"]:
        """The log-density of each action of plans, in nats."""
        ...

    def refitted(self, plans: Tensor, weight: Float[Tensor, "episode plan"], spread: bool) -> "Proposal":
        """The proposal with the weighted mean of plans, and if `spread` their weighted deviation, as its own."""
        ...

    def continued(self, centre: Tensor) -> "Proposal":
        """This proposal, with the steps of a plan that was found before in the place of its own first ones."""
        ...

    def centre(self) -> Tensor:
        """The plan (episode, step, …) that it is centred on."""
        ...


@runtime_checkable
class World(Protocol):
    """A model as a simulator whose state can be set.

    Everything is drawn from torch's global generator, which the planner seeds.

    Attributes:
        horizon: T, the number of actions.
        temperature: τ, in reward units per nat.
        state_axes: the axes of one state: 1 for vectors, 0 for tables.
        prior_sees_state: whether the action prior depends on the state.
        num_states: the size of a state, or for tables the number of states.
    """

    horizon: int
    temperature: float
    state_axes: int
    prior_sees_state: bool
    num_states: int

    def states(self, state: Any) -> tuple[Tensor, bool]:
        """The states (episode, …) of an argument, and whether it was a single one.

        Raises:
            InvalidArgument: if they do not fit the model.
        """
        ...

    def observed(self, observation: Any) -> tuple[Tensor, bool]:
        """The states (episode, …) in an observation of an environment, and whether it was a single one."""
        ...

    def proposal(self, t: int, state: Tensor, steps: int, spread: Any, temperature: float) -> Proposal:
        """The plans before any search: those of the action prior at the present states."""
        ...

    def like(self) -> Tensor:
        """A tensor with the shape and the dtype of one step of a plan that a proposal is centred on."""
        ...

    def played(self, centre: Tensor) -> Tensor:
        """The actions (episode, step, …) of the plans that proposals are centred on."""
        ...

    def log_prior(self, t: int, state: Tensor, action: Tensor) -> Tensor:
        """log ρ_t(a|s), in nats, for states (episode, plan, noise, …) and actions (episode, plan, 1 or noise, …)."""
        ...

    def move(self, t: int, state: Tensor, action: Tensor) -> Moved:
        """One step of states (episode, plan, noise, …) under actions (episode, plan, 1 or noise, …)."""
        ...
