"""A problem without a horizon, with its settings: what the functions of the stationary world share, checked once."""

import math
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.operators import is_mean
from ...chance.optimism import Optimism
from ...errors import InvalidArgument
from ...problems.checks import Kind, normalised, table
from ...problems.mdp import TabularMDP
from ...runtime.arguments import positive, whole
from ...runtime.array_like import ArrayLike
from .bellman import Bellman
from .checkpoint import digest
from .tables import Form

_ROWS = 1 << 16  # states whose policy is worked out at once


@final
@dataclass(frozen=True, eq=False)
class Endless:
    """An MDP of which the horizon is ignored, with all that defines its Bellman operator.

    Attributes:
        mdp: the problem.
        temperature: τ, in reward units per nat.
        optimism: β of the dynamics.
        discount: γ.
        prior: ρ(a|s), or one row for all states, in float64.
    """

    mdp: TabularMDP
    temperature: float
    optimism: float
    discount: float
    prior: Float[Tensor, "state_or_one action"]

    @classmethod
    def of(
        cls,
        mdp: TabularMDP,
        temperature: Any = 0.0,
        optimism: Any = 0.0,
        discount: Any = None,
        action_prior: ArrayLike | None = None,
    ) -> "Endless":
        """Check the arguments of `value_iteration`.

        Raises:
            InvalidArgument: naming the argument and the remedy.
        """
        if not isinstance(mdp, TabularMDP):
            raise InvalidArgument(
                f"`mdp` must be a TabularMDP, but is a {type(mdp).__name__}. Of a TabularModel pass model.mdp, "
                "model.temperature and action_prior=model.action_prior."
            )
        if _no_number(temperature) or not 0 <= temperature < math.inf:
            raise InvalidArgument(
                f"`temperature` must be a number of reward units per nat, 0 or more, but is {temperature!r}."
            )
        discount = mdp.discount if discount is None else discount
        if _no_number(discount) or not 0 < discount <= 1:
            raise InvalidArgument(
                f"`discount` must be a probability of surviving a step, above 0 and at most 1, but is {discount!r}."
            )
        dynamics, _, survival = Optimism.of(optimism).numbers("a problem without a horizon")
        if survival != 0 and discount < 1:
            raise InvalidArgument(
                f"`optimism` of survival must be 0 without a horizon, but is {survival:g}: a guide that may "
                "change whether it survives is not held to its discount, and its values need not converge. Clamp "
                "survival, or use infer(model, optimism) with a horizon."
            )
        if temperature == 0 and dynamics != 0:
            raise InvalidArgument(
                f"`optimism` must be 0 when the temperature is 0, but is {optimism}. With temperature 0 only hard "
                "value iteration is defined: pass optimism=0, or a positive temperature."
            )
        rows, names = (mdp.num_states, mdp.num_actions), (mdp.state_names, mdp.action_names)
        if action_prior is None:
            prior = torch.full((1, rows[1]), 1.0 / rows[1], dtype=torch.float64, device=mdp.probability.device)
        else:
            prior = table("action_prior", action_prior, 2, Kind(torch.float64, mdp.probability.device), InvalidArgument)
            if tuple(prior.shape) != rows:
                raise InvalidArgument(
                    f"`action_prior` must have shape {rows} (one row a state, one probability an action), but has "
                    f"shape {tuple(prior.shape)}. Check the order of its axes."
                )
            prior = normalised("action_prior", prior, names, InvalidArgument)
        mean = is_mean(dynamics, float(temperature), torch.float64)
        return cls(mdp, float(temperature), 0.0 if mean else dynamics, float(discount), prior)

    @property
    def num_states(self) -> int:
        """S."""
        return self.mdp.num_states

    @property
    def num_actions(self) -> int:
        """A."""
        return self.mdp.num_actions

    def bellman(self, threads: int | None = None, form: Form | None = None) -> Bellman:
        """The operator, with its threads; use it in a `with` statement.

        Raises:
            InvalidArgument: if `threads` is not a positive whole number.
        """
        threads = torch.get_num_threads() if threads is None else threads
        threads = whole("threads", threads)
        return Bellman(self.mdp, self.temperature, self.optimism, self.discount, self.prior, threads, form)

    def value(self, name: str, value: ArrayLike | None) -> Float[Tensor, " state"]:
        """Values to start from, with 0 for what is unknown.

        Raises:
            InvalidArgument: naming the argument, if it is not one number a state.
        """
        kind = Kind(torch.float64, self.mdp.probability.device)
        if value is None:
            return torch.zeros(self.num_states, dtype=kind.dtype, device=kind.device)
        given = table(name, value, 1, kind, InvalidArgument)
        if len(given) != self.num_states or not bool((given < torch.inf).all()):
            raise InvalidArgument(
                f"`{name}` must hold {self.num_states} numbers, one a state, none of them nan or +inf, but has shape "
                f"{tuple(given.shape)} and largest entry {float(given.max()):g}. Leave it out to start from zeros."
            )
        return torch.where(given > -torch.inf, given, torch.zeros_like(given))

    def description(self, method: str) -> dict[str, Any]:
        """What a resumed run must have been a run of."""
        return {
            "problem": digest(self.mdp, self.prior),
            "temperature": self.temperature,
            "optimism": self.optimism,
            "discount": self.discount,
            "method": method,
        }


def optimal_policy(q: Float[Tensor, "state action"], problem: Endless) -> Float[Tensor, "state action"]:
    """The policy that attains the soft maximum, some states at a time."""
    policy = torch.empty_like(q)
    for first in range(0, len(q), _ROWS):
        x, weight = q[first : first + _ROWS], problem.prior[first : first + _ROWS]
        if len(problem.prior) == 1:
            weight = problem.prior
        best = x.amax(-1, keepdim=True)
        here = policy[first : first + _ROWS]
        if problem.temperature == 0:
            torch.eq(x, best, out=here)
        else:
            torch.sub(x, best, out=here).div_(problem.temperature).exp_()
        here.mul_(weight)
        here.copy_(torch.where(best > -torch.inf, here / here.sum(-1, keepdim=True), weight))
    return policy


def require_sweeps(max_sweeps: Any) -> None:
    """Refuse a limit that leaves no sweep.

    Raises:
        InvalidArgument: naming the argument.
    """
    whole("max_sweeps", max_sweeps)


def require_number(name: str, value: Any) -> None:
    """Refuse what is not a positive number.

    Raises:
        InvalidArgument: naming the argument.
    """
    positive(name, value, remedy="Rounding leaves about 1e-14 of the largest value, divided by 1 − discount.")


def _no_number(value: Any) -> bool:
    return isinstance(value, bool) or not isinstance(value, int | float)
