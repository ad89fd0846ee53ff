"""One budget for the dynamics of a whole trajectory, alone or with one for the start.

The optimum is that of the objective with the multipliers 1/β as prices. The dual function is convex in the prices, and
the start that spends its budget at a given price of the dynamics is one convex problem: the price of the dynamics
remains, and what is spent does not rise with it. An adversary minimises over dynamics for the best policy; there the
best price maximises a function with several maxima.
"""

from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from ....chance.budget import BudgetReport, KLBudget, spending
from ....chance.log_space import expect
from ....chance.optimism import Optimism
from ....trajectories.blocks import MarkovModel
from ..backward.messages import Messages, backward_messages
from .prices import adversary_price, price_that_spends
from .start import Start, mixed, start_within, thriftiest
from .sweeps import PricedDynamics, costs_at_start, messages_at


class Solution(NamedTuple):
    """The optimum and how the budgets were spent."""

    found: Messages
    report: BudgetReport


def within_trajectory(model: MarkovModel, budget: KLBudget, radius: float) -> Solution | None:
    """The optimum; None if every distribution within the budgets has the value −inf."""
    problem = _Problem(model, budget, radius)
    price = problem.adversary_price() if budget.adversarial else problem.price()
    if price is None:
        return None
    low, high = price
    start, spent = problem.start_at(high)
    used = float(expect(start.log_q, spent))
    if low < high and used < radius and budget.initial is not None:
        # Between neighbouring prices the best start may jump: there both starts and their mixtures are optimal.
        other = problem.start_at(low)[0]
        more = float(expect(other.log_q, spent))
        if more > radius:
            start = mixed(model, other, start, (radius - used) / (more - used))
            used = float(expect(start.log_q, spent))
    found = messages_at(problem.block, high, start.log_q)
    uncharged = found.value + problem.block.sign * high * model.temperature * used
    report = BudgetReport(spending(radius, used, high, budget.adversarial), start.spending)
    return Solution(found._replace(value=uncharged), report)


@final
class _Problem:
    """What is spent at each price of the dynamics, with the start within its own budget."""

    def __init__(self, model: MarkovModel, budget: KLBudget, radius: float) -> None:
        self.model, self.budget, self.radius = model, budget, radius
        self.block = PricedDynamics(model, budget.adversarial)
        self.eps = torch.finfo(self.block.v.dtype).eps

    def start_at(self, price: float) -> tuple[Start, Float[Tensor, " state"]]:
        """The start, and the KL of the dynamics from each state on, in nats."""
        cost, spent = (each[0] for each in costs_at_start(self.block, self.block.v.new_tensor([price])))
        v = self.block.v[0] - self.block.sign * price * self.block.unit * cost
        start = start_within(self.model, v, self.budget.initial)
        return thriftiest(self.model, start, cost) if price == 0 else start, spent

    def spent(self, price: float) -> float:
        """The expected KL of the dynamics, in nats."""
        start, spent = self.start_at(price)
        return float(expect(start.log_q, spent))

    def price(self) -> tuple[float, float] | None:
        """The price of a nat between two neighbouring numbers, 0 if the budget does not bind; None if hopeless."""
        start, spent = self.start_at(0.0)
        if float(expect(start.log_q, self.block.v[0])) == -torch.inf:
            return None
        if float(expect(start.log_q, spent)) <= self.radius:
            return 0.0, 0.0
        return price_that_spends(self.spent, self.radius, self.eps, self.block.scale)

    def scan(self, price: Float[Tensor, " batch"]) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
        """J at −1/λ, in nats, and the KL that is spent, for many prices λ and a clamped start."""
        cost, spent = costs_at_start(self.block, price.to(self.block.v))
        log_p = self.model.mdp.initial.log()
        worst = expect(log_p, self.block.v[0]) / self.block.unit
        value = worst + price.to(worst) * expect(log_p.expand_as(cost), cost)
        return value.double().cpu(), expect(log_p.expand_as(spent), spent).double().cpu()

    def adversary_price(self) -> tuple[float, float] | None:
        """The best price, twice; None if the adversary can force −inf."""
        clamped = backward_messages(self.model, Optimism(0.0, 0.0)).value / self.block.unit
        if clamped == -torch.inf:
            return None
        price = adversary_price(self.scan, self.radius, clamped, self.eps)
        return price, price
