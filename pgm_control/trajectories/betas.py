"""The optimism β of each block, as the numbers or tables that a problem needs."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..chance.factors import Factors, Number
from ..chance.operators import is_mean
from ..chance.optimism import Optimism, broadcast, in_parts
from ..chance.risk import beta_of, unit
from ..problems.mdp import TabularMDP


class Betas(NamedTuple):
    """β of each block, in the `unit` of the temperature: one per factor of an event, or one for all if they agree."""

    dynamics: list[Number]  # numbers, or tables (time, state, action)
    initial: list[float]
    survival: Number  # a number, or a table (time, next_state)

    @classmethod
    def of(cls, mdp: TabularMDP, optimism: Optimism, temperature: float | Tensor) -> "Betas":
        """β of each block for this problem. A β too small to matter becomes 0; so does that of survival if γ = 1.

        A temperature that depends on time makes β = θτ of a `Risk` depend on it.

        Raises:
            InvalidArgument: if tables or factors do not fit the problem; if the temperature is 0 and a β is neither 0
                nor a `Risk`.
        """
        shape = mdp.horizon, mdp.num_states
        factors, start = (each and each.names for each in (mdp.factors, mdp.initial_factors))
        highest = float(temperature.max()) if isinstance(temperature, Tensor) else unit(temperature)
        used = at_temperatures(optimism, temperature).each(partial(_cleaned, tau=highest, like=mdp.probability))
        dynamics = in_parts(used.dynamics, factors, "dynamics")
        initial = in_parts(used.initial, start, "initial")
        survival = broadcast(used.survival, shape, "survival")  # pyright: ignore[reportArgumentType]
        return cls(
            dynamics[:1] if same(dynamics) else [broadcast(b, (*shape, mdp.num_actions), "dynamics") for b in dynamics],
            initial[:1] if same(initial) else initial,
            survival if mdp.discount < 1 else 0.0,
        )

    @property
    def is_whole(self) -> bool:
        """True if each block has one number."""
        numbers = isinstance(self.dynamics[0], float) and isinstance(self.survival, float)
        return numbers and len(self.dynamics) == len(self.initial) == 1

    @property
    def frees_survival(self) -> bool:
        """True if survival may differ from γ somewhere."""
        return not same([self.survival, 0.0])

    def weights(self) -> "Betas":
        """The price of a nat of KL, 1/β, for each block; 0 where β = 0, because the block is the model's there."""
        return Betas(
            [_weight(each) for each in self.dynamics],
            [float(_weight(each)) for each in self.initial],
            _weight(self.survival),
        )


def at_temperatures(optimism: Optimism, temperature: float | Tensor) -> Optimism:
    """`Optimism.at`, also for a temperature by time and last: a table by time in place of every `Risk`."""
    if not isinstance(temperature, Tensor):
        return optimism.at(temperature)
    steps = temperature[:-1, None]
    return Optimism(
        _with_betas(optimism.dynamics, steps[..., None]),
        _with_betas(optimism.initial, float(temperature[0])),
        _with_betas(optimism.survival, steps),
    )


def _with_betas(block: Any, temperature: float | Tensor) -> Any:
    if isinstance(block, Mapping):
        return {name: beta_of(each, temperature) for name, each in block.items()}
    return beta_of(block, temperature)


def same(values: Sequence[Number]) -> bool:
    """True if all are the same number: the factors of an event then need no separate treatment."""
    return all(isinstance(each, float) and each == values[0] for each in values)


def sizes_of(factors: Factors | None, num_outcomes: int, betas: Sequence[Number]) -> Sequence[int]:
    """The sizes of the factors that are treated separately, or of the whole event if none are."""
    return [num_outcomes] if factors is None or len(betas) == 1 else factors.sizes


def _cleaned(beta: Number, tau: float, like: Tensor) -> Number:
    if isinstance(beta, Tensor):
        table = beta.to(like)
        return torch.where(is_mean(table, tau, table.dtype), 0.0, table)
    return 0.0 if is_mean(beta, tau, like.dtype) else beta


def _weight(beta: Number) -> Number:
    if isinstance(beta, Tensor):
        return torch.where(beta == 0, 0.0, 1.0 / torch.where(beta == 0, 1.0, beta))
    return 0.0 if beta == 0 else 1.0 / beta
