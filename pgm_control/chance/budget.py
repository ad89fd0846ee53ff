"""A budget of KL for each block, and the account of how it was spent."""

import math
from dataclasses import dataclass, fields
from typing import Any, Literal, final

from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import InvalidArgument
from ..runtime.arguments import flag, number, one_of, shown


@final
@dataclass(frozen=True, repr=False)
class KLBudget:
    r"""How many nats a block may differ from the model, in place of an optimism β: the price of a nat is then found.

    $$\max_q E_q\Bigl[\sum_t \tfrac{r_t}{\tau} - \log\tfrac{\pi_t}{\rho}\Bigr] \quad\text{subject to}\quad
        E_q \sum_t KL(q_t(\cdot \mid s,a) \| p(\cdot \mid s,a)) \le \varepsilon$$

    A block without a budget stays clamped, and so does survival. A budget of 0 clamps the block.

        infer(model, KLBudget(dynamics=0.3)).budget.dynamics.optimism  # the β whose posterior spends 0.3 nats
        infer(model, KLBudget(dynamics=0.1, per="event", adversarial=True)).value  # a robust MDP

    Attributes:
        dynamics: ε of the dynamics, in nats, at least 0.
        initial: ε of the start, $KL(q(s_0) \| p(s_0))$, in nats, at least 0.
        policy: ε of the policy, $E_q \sum_t KL(\pi_t \| \rho)$, in nats, above 0. The temperature is then the price:
            the expected return is maximised, and the temperature of the model is replaced. No other block has a budget.
        per: "trajectory" for one budget of the dynamics that all steps share, or "event" for
            $KL(q_t(\cdot \mid s,a) \| p(\cdot \mid s,a)) \le \varepsilon$ at each time, state and action.
        adversarial: whether the blocks minimise instead, against the best policy. Several prices may then
            spend the budget of a whole trajectory. The best one is found by a scan, which excludes that another is
            better by more than 1e-5 of the difference between the values without and with an unlimited adversary.
    """

    dynamics: float | None = None
    initial: float | None = None
    policy: float | None = None
    per: Literal["trajectory", "event"] = "trajectory"
    adversarial: bool = False

    def __post_init__(self) -> None:
        """Check that budgets are numbers of nats and fit together.

        Raises:
            InvalidArgument: if an argument is invalid; the message names it.
        """
        one_of("per", self.per, ("trajectory", "event"))
        object.__setattr__(self, "adversarial", flag("adversarial", self.adversarial))
        for block in ("dynamics", "initial", "policy"):
            if (budget := getattr(self, block)) is not None:
                object.__setattr__(self, block, _nats(block, budget))
        given = [block for block in ("dynamics", "initial", "policy") if getattr(self, block) is not None]
        if not given:
            raise InvalidArgument(
                "`dynamics`, `initial` or `policy` must be a number of nats, but all are None. Every block is then "
                "clamped: infer(model, 0.0)."
            )
        if self.policy is not None and (given != ["policy"] or self.per != "trajectory" or self.adversarial):
            raise InvalidArgument(
                "`policy` must be the only budget, per trajectory and not adversarial, since its price is the "
                f"temperature, but is one of {self!r}. For budgets of the other blocks give a temperature to the model."
            )
        if self.adversarial and self.per == "trajectory" and len(given) > 1:
            raise InvalidArgument(
                "`adversarial` must be False with budgets of several blocks for a whole trajectory, whose two prices "
                f'have no common optimum, but is True in {self!r}. Give one of them, or per="event".'
            )

    def __repr__(self) -> str:
        """The arguments that differ from their defaults."""
        given = [
            (field.name, getattr(self, field.name))
            for field in fields(self)
            if getattr(self, field.name) != field.default
        ]
        return f"KLBudget({', '.join(f'{name}={value!r}' for name, value in given)})"


@final
@dataclass(frozen=True, eq=False, repr=False)
class Spending:
    """What one block made of its budget. With per="event" numbers are tables over (time, state, action).

    Attributes:
        budget: ε, in nats.
        spent: the KL of the block, in nats; the budget, where it binds.
        optimism: the β that spends it, where 1/β is the multiplier: ±inf where the budget does not bind, 0 for a
            budget of 0. At temperature 0 it is θ, in 1/reward, as in `Risk`. None for a policy, whose multiplier is the
            temperature of `Posterior.model`: 0 where the budget does not bind.
        binds: whether a larger budget would change the optimum.
    """

    budget: float
    spent: float | Float[Tensor, "time state action"]
    optimism: float | Float[Tensor, "time state action"] | Any
    binds: bool | Bool[Tensor, "time state action"]

    def __repr__(self) -> str:
        """The nats spent, β, and whether the budget binds, in words."""
        if isinstance(self.binds, Tensor):
            events = int(self.binds.sum()), self.binds.numel()
            return f"{self.budget:.6g} nats an event, binding in {events[0]} of {events[1]} events"
        price = "" if self.optimism is None else f", β = {self.optimism:.6g}".replace("inf", "∞")
        return f"{self.spent:.6g} of {self.budget:.6g} nats spent{'' if self.binds else ', not binding'}{price}"


@final
@dataclass(frozen=True, eq=False, repr=False)
class BudgetReport:
    """How the budgets of a `KLBudget` were spent; None for a block without one."""

    dynamics: Spending | Any = None  # Any, so that those who gave a budget need not check it
    initial: Spending | Any = None
    policy: Spending | Any = None

    def __repr__(self) -> str:
        """What each block spent."""
        given = [(field.name, getattr(self, field.name)) for field in fields(self)]
        return f"BudgetReport({'; '.join(f'{name}: {each!r}' for name, each in given if each is not None)})"


def spending(budget: float, spent: Any, price: Any, adversarial: bool) -> Spending:
    """The account of a block whose multiplier is `price`, 1/|β|: 0 where the budget does not bind."""
    sign = -1.0 if adversarial else 1.0
    if isinstance(price, Tensor):
        return Spending(budget, spent, sign / price, price > 0)
    return Spending(budget, float(spent), sign / price if price > 0 else sign * math.inf, price > 0)


def _nats(block: str, budget: Any) -> float:
    found = number(budget)
    least = found > 0 if block == "policy" else found >= 0
    if not (least and math.isfinite(found)):
        remedy = "0 leaves the action prior: evaluate(model, model)." if block == "policy" else "0 clamps the block."
        bound = "above 0" if block == "policy" else "at least 0"
        raise InvalidArgument(
            f"`{block}` must be a finite number of nats, {bound}, or None, but is {shown(budget)}. {remedy}"
        )
    return found
