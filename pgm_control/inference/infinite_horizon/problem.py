"""A model without a horizon: what defines its Bellman operator, checked once for all functions of this folder."""

from dataclasses import dataclass, replace
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from ...chance.operators import is_mean
from ...chance.optimism import Optimism
from ...chance.risk import unit
from ...errors import InvalidArgument
from ...problems.checks import Kind, table
from ...problems.mdp import TabularMDP
from ...runtime.arguments import positive, whole
from ...runtime.array_like import ArrayLike
from ...trajectories.blocks import MarkovModel, require_model
from .checkpoint import digest
from .operators.bellman import Bellman
from .operators.share import ALL_STATES, Form

ROWS = 1 << 13  # states whose policy, or dynamics, are computed at once


@final
@dataclass(frozen=True, eq=False)
class InfiniteHorizonProblem:
    """An MDP whose horizon is ignored, with everything that defines its Bellman operator.

    Attributes:
        mdp: the problem.
        temperature: τ, in reward units per nat.
        optimism: β of the dynamics, in the `unit` of the temperature.
        discount: γ.
        prior: ρ(a|s), or one row if all states have the same, in float64; a row sums to 1, or to the number of actions
            that it counts.
    """

    mdp: TabularMDP
    temperature: float
    optimism: float
    discount: float
    prior: Float[Tensor, "state_or_one action"]

    @classmethod
    def of(cls, model: MarkovModel, optimism: Any, discount: float | None = None) -> "InfiniteHorizonProblem":
        """The problem with the temperature and the action prior of a model.

        Args:
            model: a tabular model.
            optimism: β of the dynamics, a `Risk` or an `Optimism`.
            discount: γ; default: the discount of the model's problem.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it and the remedy.
        """
        require_model(model)
        mdp, temperature = model.mdp, model.temperature
        discount = mdp.discount if discount is None else discount
        optimism = optimism_of_dynamics(optimism, temperature, discount)
        return cls(mdp, temperature, optimism, discount, prior_rows(model.action_prior))

    @property
    def num_states(self) -> int:
        """The number of states, S."""
        return self.mdp.num_states

    @property
    def num_actions(self) -> int:
        """The number of actions, A."""
        return self.mdp.num_actions

    def without_entropy(self) -> "InfiniteHorizonProblem":
        """The problem at temperature 0, in which policies are evaluated by their reward alone."""
        return replace(self, temperature=0.0)

    def bellman(self, num_threads: int | None = None, form: Form | None = None) -> Bellman:
        """The Bellman operator with its threads; use it in a `with` statement.

        Raises:
            InvalidArgument: if `num_threads` is not a positive whole number.
        """
        num_threads = torch.get_num_threads() if num_threads is None else whole("num_threads", num_threads)
        return Bellman(
            self.mdp, self.temperature, self.optimism, self.discount, self.prior, num_threads, ALL_STATES, form
        )

    def value(self, name: str, value: ArrayLike | None) -> Float[Tensor, " state"]:
        """The initial values, with 0 in place of None or −inf.

        Raises:
            InvalidArgument: if an argument is not one number per state; the message names it.
        """
        kind = Kind(torch.float64, self.mdp.probability.device)
        if value is None:
            return torch.zeros(self.num_states, dtype=kind.dtype, device=kind.device)
        given = table(name, value, 1, kind, InvalidArgument)
        if len(given) != self.num_states or not bool((given < torch.inf).all()):
            raise InvalidArgument(
                f"`{name}` must hold {self.num_states} numbers, one per state, none of them nan or +inf, but has shape "
                f"{tuple(given.shape)} and largest entry {float(given.max()):g}. Leave it out to start from zeros."
            )
        return torch.where(given > -torch.inf, given, torch.zeros_like(given))

    def description(self, method: str) -> dict[str, Any]:
        """The facts that must agree between a checkpoint and the run that resumes it."""
        return {
            "problem": digest(self.mdp, self.prior),
            "temperature": self.temperature,
            "optimism": self.optimism,
            "discount": self.discount,
            "method": method,
        }


def optimism_of_dynamics(optimism: Any, temperature: float, discount: float) -> float:
    """β of the dynamics, where survival is clamped; exactly 0 where rewards are averaged.

    Raises:
        InvalidArgument: if it is no optimism, or frees survival.
    """
    beta = replace(Optimism.of(optimism), initial=0.0).at(temperature)  # the start does not matter here
    dynamics, _, survival = beta.numbers("a problem without a horizon")
    if survival != 0 and discount < 1:
        raise InvalidArgument(
            f"`optimism` of survival must be 0 without a horizon, but is {survival:g}: for a guide that may "
            "change its survival the discount does not make the operator a contraction, and its values need not "
            "converge. Clamp survival, use freed_survival(model), or use infer(model, optimism) with a horizon."
        )
    return 0.0 if is_mean(dynamics, unit(temperature), torch.float64) else dynamics


def optimal_policy(
    q: Float[Tensor, "state action"], prior: Float[Tensor, "state_or_one action"], temperature: float
) -> Float[Tensor, "state action"]:
    """The policy that attains the soft maximum, computed in blocks of states."""
    policy = torch.empty_like(q)
    for first in range(0, len(q), ROWS):
        x, weight = q[first : first + ROWS], prior[first : first + ROWS]
        if len(prior) == 1:
            weight = prior
        best = x.amax(-1, keepdim=True)
        here = policy[first : first + ROWS]
        if temperature == 0:
            torch.eq(x, best, out=here)
        else:
            torch.sub(x, best, out=here).div_(temperature).exp_()
        here.mul_(weight)
        own = weight / weight.sum(-1, keepdim=True)
        here.copy_(torch.where(best > -torch.inf, here / here.sum(-1, keepdim=True), own))
    return policy


def limits(tolerance: Any, max_sweeps: Any) -> tuple[float, int]:
    """The tolerance (positive) and the maximum number of sweeps (at least 1), as Python numbers.

    Raises:
        InvalidArgument: if an argument is invalid; the message names it.
    """
    remedy = "The rounding error is about 1e-14 of the largest value, divided by 1 − discount."
    return positive("tolerance", tolerance, remedy=remedy), whole("max_sweeps", max_sweeps)


def prior_rows(prior: Float[Tensor, "state action"]) -> Float[Tensor, "state_or_one action"]:
    """The action prior in float64, as one row if all rows are equal, which saves memory in huge problems."""
    prior = prior.detach()
    if prior.stride(0) == 0 or torch.equal(prior, prior[:1].expand_as(prior)):
        prior = prior[:1]
    if prior.dtype == torch.float64:
        return prior
    prior = prior.double()  # rows that sum to one in float32 do not in float64
    total = prior.sum(-1, keepdim=True)
    return prior / (total / total.round())
