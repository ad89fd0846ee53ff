"""A reward model as a function of one row of parameters, its own left as they are."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from ..problems.mdp import TabularMDP
from .inverse import tables
from .rewards import RewardModel


@final
class RewardFunction:
    """ψ ↦ rewards of outcomes and of the last state, differentiable.

    Attributes:
        start: ψ as the reward model has it now: all parameters that can be learned, in one row.
        names: of the parameters.
    """

    def __init__(self, reward: RewardModel, mdp: TabularMDP) -> None:
        """Read the parameters off."""
        self._tables = _Tables(reward, mdp)
        free = {name: each for name, each in self._tables.named_parameters() if each.requires_grad}
        self._shapes = {name: each.shape for name, each in free.items()}
        parts = [each.detach().reshape(-1) for each in free.values()]
        self.start: Float[Tensor, " parameter"] = torch.cat([mdp.initial.new_zeros(0), *parts])
        own = reward.names
        if own is not None and len(own) == len(self.start):
            self.names = own
        else:
            self.names = tuple(f"ψ[{i}]" for i in range(len(self.start)))

    def __call__(
        self, psi: Float[Tensor, "*batch parameter"]
    ) -> tuple[Float[Tensor, "*batch state action outcome"], Float[Tensor, "*batch state"]]:
        """The rewards, of each row of parameters."""
        if psi.ndim == 1:
            return self._of_row(psi)
        found = torch.func.vmap(self._of_row)(psi.flatten(0, -2))
        table, last = (each.unflatten(0, psi.shape[:-1]) for each in found)
        return table, last

    def _of_row(self, psi: Tensor) -> tuple[Tensor, Tensor]:
        sizes = [shape.numel() for shape in self._shapes.values()]
        parts = zip(self._shapes.items(), psi.split(sizes), strict=True)
        return torch.func.functional_call(
            self._tables, {name: part.reshape(shape) for (name, shape), part in parts}, ()
        )


@final
class _Tables(torch.nn.Module):
    """Both tables by one call, as `functional_call` needs it."""

    def __init__(self, reward: RewardModel, mdp: TabularMDP) -> None:
        super().__init__()
        self.reward, self._mdp = reward, mdp

    def forward(self) -> tuple[Tensor, Tensor]:
        return tables(self.reward, self._mdp)
