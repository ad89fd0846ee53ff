"""The start within its budget, for given values."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ....chance.budget import Spending, spending
from ....chance.kl_ball import extreme_mean
from ....chance.log_space import expect, relative
from ....chance.risk import unit
from ....trajectories.blocks import MarkovModel

_BOUND = 1e-9  # nats, relative: the distance from the budget at which a mixture of starts does not bind


class Start(NamedTuple):
    """A start distribution, and the multiplier of its budget; that of the model, if it has no budget."""

    log_q: Float[Tensor, " state"]
    spending: Spending | None


def start_within(
    model: MarkovModel, v: Float[Tensor, " state"], budget: float | None, adversarial: bool = False
) -> Start:
    """The start with the best mean of v, in reward units, within a KL budget in nats; None clamps it."""
    log_p = model.mdp.initial.log()
    if budget is None:
        return Start(log_p, None)
    ball = extreme_mean(v[None], log_p[None], budget, adversarial)
    return Start(
        ball.log_q[0], spending(budget, ball.kl[0], float(ball.price[0]) / unit(model.temperature), adversarial)
    )


def thriftiest(model: MarkovModel, start: Start, cost: Float[Tensor, " state"]) -> Start:
    """Of the starts that are as good as one whose budget does not bind, that with the smallest mean cost."""
    if start.spending is None or start.spending.binds:
        return start
    left = start.spending.budget - float(start.spending.spent)
    log_q = extreme_mean(cost[None], start.log_q[None], left, adversarial=True).log_q[0]
    return _replaced(model, start, log_q)


def mixed(model: MarkovModel, one: Start, other: Start, share: float) -> Start:
    """A mixture of two starts; its budget binds only if it is spent."""
    return _replaced(model, other, (share * one.log_q.exp() + (1 - share) * other.log_q.exp()).log())


def _replaced(model: MarkovModel, start: Start, log_q: Float[Tensor, " state"]) -> Start:
    """The same account for another distribution."""
    given = start.spending
    if given is None:
        return start
    kl = float(expect(log_q, relative(log_q, model.mdp.initial.log())))
    binds = given.binds and kl >= (1 - _BOUND) * given.budget
    return Start(log_q, Spending(given.budget, kl, given.optimism if binds else torch.inf, binds))
