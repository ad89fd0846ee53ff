r"""Optimism in units of 1/reward: the risk parameter θ = β/τ, whose certainty equivalent needs no temperature.

Sources:
    [howard1972] R. A. Howard and J. E. Matheson, Risk-sensitive Markov decision processes. Management Science
        18(7):356–369, 1972. doi:10.1287/mnsc.18.7.356
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InvalidArgument
from ..runtime.arguments import finite
from ..runtime.array_like import numbers


@final
@dataclass(frozen=True, eq=False, repr=False)
class Risk:
    r"""A risk parameter θ. It is accepted wherever an optimism β is, and stands for β = θτ.

    $$L[x] = \frac1\theta \log \mathbb{E}\, e^{\theta x}
        = \mathbb{E}[x] + \frac\theta2 \operatorname{Var}[x] + O(\theta^2)$$

    This certainty equivalent is the same at every temperature. It is the criterion of an exponential utility: θ < 0 is
    averse to risk, θ > 0 seeks it, and θ = 0 is the mean. At temperature 0, where a β other than 0 has no meaning, the
    actions are the hard maximum, which is risk-sensitive control as in [howard1972]. Values are then in reward units,
    and there are no objectives in nats.

        infer(TabularModel(mdp, temperature=0.0), Risk(-0.1)).value  # the largest certainty equivalent of the return

    A `Risk` in place of a number sets the start and the dynamics and leaves survival clamped, as a number β does. In an
    `Optimism` every block and every factor has its own number β or `Risk`; at temperature 0 each must be 0 or a `Risk`.

    Attributes:
        theta: θ, in 1/reward. A table is for `Optimism(dynamics=Risk(table))`, with the shapes of a table of β. A
            tensor with one θ for each setting is for `soft_values` and demonstrators, which are differentiable in it.

    References:
        [howard1972]
    """

    theta: float | Float[Tensor, "..."] | Float[np.ndarray, "..."]

    def __post_init__(self) -> None:
        """Check that θ is a finite number or a table of finite numbers.

        Raises:
            InvalidArgument: otherwise.
        """
        theta: Any = self.theta
        if isinstance(theta, Tensor | np.ndarray) and (theta.ndim > 0 or _is_differentiable(theta)):
            with torch.no_grad():
                table = numbers("theta", theta, InvalidArgument)
            theta = theta if isinstance(theta, Tensor) else table
            theta = theta if theta.dtype in (torch.float32, torch.float64) else theta.double()
            if not theta.numel() or not bool(theta.isfinite().all()):
                raise InvalidArgument(
                    "`theta` must be a finite number in 1/reward, or a table of them, but is a table that is empty, or "
                    "has nan or infinite entries."
                )
        else:
            theta = finite("theta", theta, "number in 1/reward", remedy="0 is the mean, negative is averse to risk.")
        object.__setattr__(self, "theta", theta)  # the dataclass is frozen

    def __eq__(self, other: object) -> bool:
        """True for the same number or table."""
        return isinstance(other, Risk) and torch.equal(torch.as_tensor(self.theta), torch.as_tensor(other.theta))

    def __hash__(self) -> int:
        """The hash of the number; that of the class for a table."""
        return hash((Risk, None if isinstance(self.theta, Tensor) and self.theta.ndim else float(self.theta)))

    def __repr__(self) -> str:
        """The number, or the shape of the table."""
        if isinstance(self.theta, Tensor) and self.theta.ndim > 0:
            return f"Risk(table {tuple(self.theta.shape)})"
        return f"Risk({float(self.theta)!r})"


def _is_differentiable(theta: Any) -> bool:
    return isinstance(theta, Tensor) and theta.is_floating_point()


def beta_of(optimism: Any, temperature: Any) -> Any:
    """The optimism β at a temperature: θτ for a `Risk`, which is θ in the `unit` of temperature 0; else unchanged."""
    return optimism.theta * unit(temperature) if isinstance(optimism, Risk) else optimism


def unit(temperature: Any) -> Any:
    """The unit of β, in reward units per nat: τ; at temperature 0, where β stands for θ, 1.

    The certainty equivalent of an event with β at temperature τ is `certainty_equivalent(x, log_weight, unit(τ), β)`.
    """
    return temperature if isinstance(temperature, Tensor) or temperature > 0 else 1.0
