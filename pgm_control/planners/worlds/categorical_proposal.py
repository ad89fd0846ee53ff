"""Plans of indices as a proposal: a categorical distribution for each step, mixed with the first one."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...errors import InvalidArgument
from ...text.one_line import one_line

_FIRST = 0.2  # the share of the first proposal, which leaves every action possible


@final
@dataclass(frozen=True, eq=False)
class CategoricalProposal:
    """Actions drawn from a mixture of the probabilities that were found and those before any search.

    Attributes:
        probability: what was found, by episode, step and action.
        first: the probabilities before any search.
    """

    probability: Float[Tensor, "episode step action"]
    first: Float[Tensor, "episode step action"]

    __repr__ = one_line

    def draw(self, count: int) -> Int[Tensor, "episode plan step"]:
        """Plans of independent actions."""
        mixed = self._mixed()
        drawn = torch.multinomial(mixed.flatten(0, 1), count, replacement=True)
        return drawn.view(*mixed.shape[:2], count).transpose(1, 2).contiguous()

    def log_density(self, plans: Int[Tensor, "episode plan step"]) -> Float[Tensor, "episode plan step"]:
        """The log-probability of each action of plans, in nats."""
        return self._mixed().log().gather(-1, plans.transpose(1, 2)).transpose(1, 2)

    def refitted(
        self, plans: Int[Tensor, "episode plan step"], weight: Float[Tensor, "episode plan"], spread: bool
    ) -> "CategoricalProposal":
        """The weighted frequencies of actions; `spread` makes no difference."""
        many = weight[:, None].expand(-1, plans.shape[2], -1)
        found = torch.zeros_like(self.probability).scatter_add(-1, plans.transpose(1, 2), many)
        return CategoricalProposal(found, self.first)

    def continued(self, centre: Float[Tensor, "episode kept action"]) -> "CategoricalProposal":
        """This proposal, with probabilities that were found before in the place of its own first ones.

        Raises:
            InvalidArgument: if some are negative, or all of a step are 0.
        """
        kept = centre[:, : self.probability.shape[1]]
        total = kept.sum(-1, keepdim=True)
        if bool((kept < 0).any() or (total <= 0).any()):
            raise InvalidArgument(
                "`centre` must hold probabilities of actions for each step, at least 0 and not all 0, such as "
                "Plan.centre[:, 1:]."
            )
        kept = kept / total
        return CategoricalProposal(torch.cat((kept, self.probability[:, kept.shape[1] :]), 1), self.first)

    def centre(self) -> Float[Tensor, "episode step action"]:
        """The probabilities that were found."""
        return self.probability

    def _mixed(self) -> Tensor:
        return (1 - _FIRST) * self.probability + _FIRST * self.first
