r"""Exact inference within a budget of KL, trajectory-wide or for each event.

A budget for whole trajectories has one multiplier: the optimum is that of the objective $J_\beta$ whose β spends it.
Events with their own budgets are solved one by one in a backward sweep; these are the robust MDPs with rectangular
uncertainty [iyengar2005], [nilim2005]. A budget of the policy makes the temperature the multiplier, as in relative
entropy policy search [peters2010].

Sources:
    [iyengar2005] G. N. Iyengar, Robust dynamic programming. Mathematics of Operations Research 30(2):257–280, 2005.
        doi:10.1287/moor.1040.0129
    [nilim2005] A. Nilim and L. El Ghaoui, Robust control of Markov decision processes with uncertain transition
        matrices. Operations Research 53(5):780–798, 2005. doi:10.1287/opre.1050.0216
    [peters2010] J. Peters, K. Mülling and Y. Altün, Relative entropy policy search. AAAI Conference on Artificial
        Intelligence, pages 1607–1612, 2010.
"""

import copy
import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ....chance.budget import BudgetReport, KLBudget, Spending, spending
from ....chance.kl_ball import extreme_mean
from ....chance.log_space import expect
from ....chance.optimism import Optimism
from ....chance.risk import unit
from ....errors import InvalidArgument
from ....trajectories.action_measure import counts_actions
from ....trajectories.blocks import MarkovModel
from ..backward.messages import Factors, Messages, backward_messages, require_room_for_messages
from .dynamics import within_trajectory
from .prices import price_that_spends
from .start import start_within
from .sweeps import PricedPolicy, costs_at_start, messages_at, swept


class Solved(NamedTuple):
    """The model, with the temperature that was found, the optimum, and how the budgets were spent."""

    model: MarkovModel
    found: Messages
    report: BudgetReport


@torch.no_grad()
def within_budget(model: MarkovModel, budget: KLBudget) -> Solved:
    """The optimum within the budgets, and how they were spent.

    Its value is that of the rewards and the entropy of the policy, not charged for what is spent. If every distribution
    within the budgets has the value −inf, the blocks stay clamped and spend nothing.

    Raises:
        InvalidArgument: if the budget of the dynamics is for whole trajectories and the temperature is 0; if that of
            the policy cannot avoid rewards of −inf, or the action prior counts actions.

    References:
        [iyengar2005], [nilim2005], [peters2010]
    """
    require_room_for_messages(model.mdp, clamped=not budget.dynamics)
    if budget.policy is not None:
        return _policy(model, budget.policy)
    if budget.dynamics is None:
        return _clamped(model, budget)
    if budget.per == "event":
        return _events(model, budget, budget.dynamics)
    if model.temperature == 0:
        raise InvalidArgument(
            "`optimism` must not be a budget of the dynamics for whole trajectories when the model's temperature is 0, "
            f'since the best policy may be a mixture, but is {budget}. Use per="event", or a positive temperature.'
        )
    solution = within_trajectory(model, budget, budget.dynamics) if budget.dynamics > 0 else None
    return _clamped(model, budget) if solution is None else Solved(model, *solution)


def _clamped(model: MarkovModel, budget: KLBudget) -> Solved:
    """Clamped dynamics, with the best start within its budget."""
    found = backward_messages(model, Optimism(0.0, 0.0))
    of_dynamics = None if budget.dynamics is None else spending(budget.dynamics, 0.0, math.inf, budget.adversarial)
    return _started(model, budget, found, of_dynamics)


def _started(model: MarkovModel, budget: KLBudget, found: Messages, of_dynamics: Spending | None) -> Solved:
    """The messages with the best start within its budget."""
    start = start_within(model, found.v[0], budget.initial, budget.adversarial)
    factors = found.factors()._replace(log_initial=start.log_q)
    found = Messages.of(found.q, found.v, float(expect(start.log_q, found.v[0])), factors)
    return Solved(model, found, BudgetReport(of_dynamics, start.spending))


def _events(model: MarkovModel, budget: KLBudget, radius: float) -> Solved:
    """A ball around each row of the dynamics: the rows of a step are one batch of convex problems."""
    mdp, tau, log_p = model.mdp, model.temperature, model.mdp.probability.log()
    price, kl = mdp.reward.new_empty(2, mdp.horizon, mdp.num_states, mdp.num_actions)
    log_dynamics = log_p.new_empty(mdp.horizon, *log_p.shape)

    def best(t: int, x: Float[Tensor, "state action outcome"]) -> Float[Tensor, "state action"]:
        value, log_dynamics[t], price[t], kl[t] = extreme_mean(x, log_p, radius, budget.adversarial)
        return value

    q, v, log_policy = swept(model, tau, best)
    found = Messages.of(q, v, math.nan, Factors(mdp.initial.log(), log_policy, log_dynamics))
    return _started(model, budget, found, spending(radius, kl, price / unit(tau), budget.adversarial))


def _policy(model: MarkovModel, radius: float) -> Solved:
    """The temperature at which the policy spends its budget; 0 if it does not bind."""
    if counts_actions(model):
        raise InvalidArgument(
            "`optimism` must not be a budget of the policy when the action prior of the model counts actions, since "
            "there is no KL from a count. Give probabilities, or None for the uniform prior."
        )
    block, log_initial = PricedPolicy(model), model.mdp.initial.log()

    def spent(price: float) -> float:
        return float(expect(log_initial, costs_at_start(block, block.v.new_tensor([price]))[1][0]))

    bracket, most = (0.0, 0.0), spent(0.0)
    if most > radius:
        bracket = price_that_spends(spent, radius, torch.finfo(block.v.dtype).eps, block.scale)
    if bracket is None or float(expect(log_initial, block.v[0])) == -math.inf:
        raise InvalidArgument(
            f"`optimism` must be a budget within which a policy avoids rewards of −inf, but is {radius:g} nats. Give a "
            "larger one, or an action prior of 0 to the actions that lead there."
        )
    temperature = bracket[1]
    used = spent(temperature)
    found = messages_at(block, temperature, log_initial)
    solved_model = copy.copy(model)
    object.__setattr__(solved_model, "temperature", temperature)
    account = Spending(radius, used, None, temperature > 0)
    return Solved(solved_model, found._replace(value=found.value + temperature * used), BudgetReport(policy=account))
