"""Neural policies for discrete actions and for boxes, and the function that chooses among them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution

from ..environments.action_prior import ActionPrior
from ..environments.spaces import Actions
from ..errors import InvalidArgument
from ..runtime.arguments import shown
from ..runtime.programs import require_callable
from .flow import FlowPolicy
from .mlp import Network
from .squashed_gaussian import SquashedGaussian, moments


@final
class DiscretePolicy(torch.nn.Module):
    r"""The policy $\pi(a|s) \propto \rho(a|s)\, e^{f_a(s)}$ of discrete actions: a masked action stays masked."""

    def __init__(self, features: int, actions: int, hidden: Sequence[int], prior: ActionPrior) -> None:
        """Make the network f."""
        super().__init__()
        self.network = Network(features, actions, hidden)
        self._prior = prior

    def forward(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch action"]:
        """The log-probabilities of the actions, in nats."""
        return torch.log_softmax(self._prior.log_probabilities(features) + self.network(features).squeeze(0), -1)

    def act(self, features: Float[Tensor, "batch feature"], deterministic: bool) -> Int[Tensor, " batch"]:
        """A sample, or the most probable action."""
        log_policy = self(features)
        if deterministic:
            return log_policy.argmax(-1)
        return torch.multinomial(log_policy.exp(), 1)[:, 0]


@final
class BoxPolicy(torch.nn.Module):
    """A squashed Gaussian whose mean and scale are the outputs of a network."""

    def __init__(self, features: int, size: int, hidden: Sequence[int]) -> None:
        """Make the network."""
        super().__init__()
        self.network = Network(features, 2 * size, hidden)

    def forward(self, features: Float[Tensor, "batch feature"]) -> Distribution:
        """The `SquashedGaussian` of the action in [−1, 1]^d."""
        return SquashedGaussian(*moments(self.network(features).squeeze(0)))

    @torch.no_grad()
    def act(self, features: Float[Tensor, "batch feature"], deterministic: bool) -> Float[Tensor, "batch action"]:
        """Return actions: the median of the policy if `deterministic`, otherwise a sample."""
        policy = self(features)
        return policy.median if deterministic else policy.sample()


@runtime_checkable
class Policy(Protocol):
    """The protocol of policies: `DiscretePolicy`, `BoxPolicy`, `FlowPolicy`, or your own module."""

    def __call__(self, features: Tensor) -> Any:
        """The log-probabilities of discrete actions, in nats; in a box a distribution with `rsample_with_log_prob`."""
        ...

    def act(self, features: Tensor, deterministic: bool) -> Tensor:
        """A sample without gradients, or the action that a deterministic policy takes."""
        ...

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """The parameters to be learned."""
        ...

    def to(self, device: torch.device) -> "Policy":
        """Move the policy to a device."""
        ...


PolicySource = Literal["gaussian", "flow"] | Callable[[int, Actions, Sequence[int]], torch.nn.Module]


def policy_of(
    source: PolicySource, features: int, actions: Actions, hidden: Sequence[int], prior: ActionPrior
) -> Policy:
    """The policy that fits the action space.

    Args:
        source: in a box "gaussian" is `BoxPolicy` and "flow" is `FlowPolicy`; for discrete actions "gaussian", the
            default of learners, is `DiscretePolicy`. Or a function of `features`, `actions` and `hidden` that makes a
            module with the protocol `Policy`; for discrete actions it must give probability 0 to those that `prior`
            masks.
        features: the number of features of an observation.
        actions: the action space of the environment.
        hidden: the number of units of each hidden layer.
        prior: the action prior ρ.

    Raises:
        InvalidArgument: if there is no such policy for these actions.
    """
    if callable(source):
        if not (isinstance(source, type) and issubclass(source, torch.nn.Module)):
            require_callable("policy", source, "features", "actions", "hidden")
        made: Any = source(features, actions, hidden)
        if not isinstance(made, torch.nn.Module) or not isinstance(made, Policy):
            raise InvalidArgument(
                f"`policy` must make a torch.nn.Module with a method act(features, deterministic), but made a "
                f"{type(made).__name__}. Write the class like BoxPolicy."
            )
        return made
    if not isinstance(source, str) or source not in (("gaussian",) if actions.is_discrete else ("gaussian", "flow")):
        raise InvalidArgument(
            f'`policy` must be "gaussian", for a box "flow", or a function that makes a module, but is {shown(source)} '
            f"for {actions.space}. Leave it out: for discrete actions a network gives all probabilities."
        )
    if actions.is_discrete:
        return DiscretePolicy(features, actions.size, hidden, prior)
    return (BoxPolicy if source == "gaussian" else FlowPolicy)(features, actions.size, hidden)
