"""The optimum of a model and how often it visits each state and action, with a horizon or in the long run."""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..chance.log_space import relative, weighted
from ..chance.operators import certainty_equivalent, tilt
from ..chance.optimism import Optimism
from ..errors import InvalidArgument
from ..inference.exact.infer import infer
from ..inference.exact.posterior import Posterior
from ..inference.infinite_horizon.average_reward import AverageReward, average_reward
from ..inference.infinite_horizon.policy_evaluation import stationary_distribution
from ..inference.infinite_horizon.value_iteration import ValueIteration, value_iteration
from ..models.tabular import TabularModel
from ..runtime.status import Status

Horizon = Literal["finite", "discounted", "average"]
_MARGIN = 0.01  # accuracy of the values relative to that of what is computed from them


class VisitedOptimum(NamedTuple):
    """The optimum of $J_β$, in nats, with its visits; in the long run it is stationary, and there is one time.

    Attributes:
        solution: what solved the model.
        objective: $J_β$, in nats; without a discount in the long run, in nats per step.
        rounding: a bound on the error of the objective, in nats.
        state_action: the expected number of visits, or in the long run the share of time.
        log_policy: $\\log π_t(a|s)$.
    """

    solution: Posterior | ValueIteration | AverageReward
    objective: float
    rounding: float
    state_action: Float[Tensor, "time state action"]
    log_policy: Float[Tensor, "time state action"]

    @property
    def action(self) -> Float[Tensor, "time action"]:
        """The expected number of visits to each action."""
        return self.state_action.sum(1)

    def rate(self, model: TabularModel) -> float:
        """$E_q[Σ_t \\log π_t/ρ]$, the divergence of the policy from the action prior of `model`, in nats."""
        return float(weighted(self.state_action, relative(self.log_policy, model.action_prior.log())).sum())


def visited_optimum(
    model: TabularModel, optimism: Optimism, horizon: Horizon, tolerance: float, near: VisitedOptimum | None = None
) -> VisitedOptimum:
    """The optimum and its visits; in the long run values are accurate to a part of `tolerance`, in nats.

    `near` is the optimum of a similar model, from whose values value iteration starts.

    Raises:
        InvalidArgument: if the values do not converge, or `optimism` does not fit.
    """
    if horizon == "finite":
        return _with_horizon(model, optimism)
    return _in_the_long_run(model, optimism, 1.0 if horizon == "average" else model.mdp.discount, tolerance, near)


def _with_horizon(model: TabularModel, optimism: Optimism) -> VisitedOptimum:
    found = infer(model, optimism)
    rounding = 64 * torch.finfo(found.q.dtype).eps * max(1.0, abs(found.objective))
    log_policy = found.distribution.log_policy
    return VisitedOptimum(found, found.objective, rounding, found.marginals().state_action, log_policy)


def _in_the_long_run(
    model: TabularModel, optimism: Optimism, discount: float, tolerance: float, near: VisitedOptimum | None
) -> VisitedOptimum:
    mdp, tau = model.mdp, model.temperature
    dynamics, of_start, _ = optimism.at(tau).numbers("a problem without a horizon")
    accuracy, initial, probability = _MARGIN * tolerance * tau, mdp.initial.double(), mdp.probability.double()
    if discount < 1:
        begin = near.solution.v if near is not None and isinstance(near.solution, ValueIteration) else None
        solution = value_iteration(model, optimism, accuracy * (1 - discount), initial_value=begin)
        _require_solved(solution.status)
        v, steps = solution.v, 1 / (1 - discount)
        objective = float(certainty_equivalent(v, initial.log(), tau, of_start)) / tau
        initial = tilt(v, initial.log(), tau, of_start).exp()
    else:
        solution = average_reward(model, optimism, accuracy)
        _require_solved(solution.status)
        v, steps, objective = solution.bias, 1.0, solution.gain / tau
    if dynamics != 0:
        reached = mdp.reward.double() + discount * v[mdp.successor.long()]
        probability = tilt(reached, probability.log(), tau, dynamics).exp()
    if dynamics != 0 or of_start != 0:
        mdp = mdp.to(dtype=torch.float64).replace(initial=initial, probability=probability)
    share = stationary_distribution(TabularModel(mdp.replace(discount=discount)), solution.policy).probability
    visits = steps * share[:, None] * solution.policy
    return VisitedOptimum(solution, objective, 2 * accuracy / tau, visits[None], solution.policy.log()[None])


def _require_solved(status: Status) -> None:
    if status.ended_early and status.name != "interrupted":
        raise InvalidArgument(f"`model` must have values in the long run, but: {status.message}")
