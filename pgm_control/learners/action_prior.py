"""The action prior of a learner: what the policy is charged for leaving."""

import math
from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from jaxtyping import Float, Num
from torch import Tensor

from .._errors import InvalidArgument
from .spaces import Actions

PriorSource = Callable[[Tensor], Any] | Sequence[float] | Tensor | None


@final
class ActionPrior:
    r"""ρ(a|s): uniform unless given. In a box, its density is with respect to $[-1, 1]^d$.

    Attributes:
        is_uniform: whether it is.
    """

    def __init__(self, prior: PriorSource, actions: Actions, device: torch.device) -> None:
        """Check it.

        Args:
            prior: None for the uniform one; for discrete actions A probabilities, the same in all states, or a function
                of features (batch, feature) to probabilities (batch, A); for a box a function of features to a torch
                distribution over [−1, 1]^d of one event axis.
            actions: of the environment.
            device: where features are.

        Raises:
            InvalidArgument: if it is no prior over these actions.
        """
        self._actions, self._device, self._function = actions, device, None
        self.is_uniform = prior is None
        self._constant = -math.log(actions.size) if actions.is_discrete else -actions.size * math.log(2)
        self._table: Tensor | None = None
        if prior is None:
            return
        if callable(prior):
            self._function = prior
            return
        table = torch.as_tensor(prior, dtype=torch.float32, device=device)
        if not actions.is_discrete or table.shape != (actions.size,):
            raise InvalidArgument(
                f"`action_prior` must be {actions.size} probabilities for discrete actions, or a function of features, "
                f"but has shape {tuple(table.shape)} for {actions.space}. For a box pass a function that returns a "
                "distribution."
            )
        if (table < 0).any() or abs(float(table.sum()) - 1) > 1e-4:
            raise InvalidArgument(f"`action_prior` must be probabilities that sum to one, but is {table.tolist()}.")
        self._table = (table / table.sum()).log()

    def log_probabilities(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch action"]:
        """Of all discrete actions, in nats; −inf where one is masked."""
        if self._function is not None:
            given = torch.as_tensor(self._function(features), dtype=torch.float32, device=features.device)
            if given.shape != (len(features), self._actions.size):
                raise InvalidArgument(
                    f"`action_prior` must give probabilities of shape {(len(features), self._actions.size)}, but gave "
                    f"{tuple(given.shape)}. It gets the features of a batch of observations."
                )
            return given.log()
        if self._table is not None:
            return self._table.expand(len(features), -1)
        return features.new_full((len(features), self._actions.size), self._constant)

    def log_density(
        self, features: Float[Tensor, "batch feature"], actions: Float[Tensor, "batch action"]
    ) -> Float[Tensor, " batch"] | float:
        """Of actions in the box, in nats."""
        if self._function is None:
            return self._constant
        return self._function(features).log_prob(actions)

    def sample(self, features: Float[Tensor, "batch feature"]) -> Num[Tensor, "batch ..."]:
        """Actions from it."""
        if self._actions.is_discrete:
            return torch.distributions.Categorical(logits=self.log_probabilities(features)).sample()
        if self._function is not None:
            return self._function(features).sample()
        return torch.rand(len(features), self._actions.size, device=features.device) * 2 - 1
