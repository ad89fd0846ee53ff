"""A budget of hope: how many nats of hope a lottery ticket takes, and how many nats of doubt prevent it.

A day's work pays 3. A ticket costs 1 and wins with probability 1/100, so it is worth 1.01 with a jackpot of 200 and
4.01 with one of 500. A budget says how far the dynamics may differ from the true ones, in nats. Within an optimistic
budget the agent believes more in winning, within an adversarial one it plans for losing. A hundredth of a nat of hope
buys the bad ticket every other time. Two ten-thousandths of a nat of doubt are enough to leave the good one: without a
ticket the adversary has nothing to spend on, its budget does not bind, and β = −∞. Printed:

jackpot  budget                 β  P(ticket)  P(win | ticket)  true return
    200  0 of hope        0.00000     0.0000           0.0100       3.0000
    200  0.01 of hope     0.00063     0.5272           0.0348       1.9509
    500  0 of doubt       0.00000     1.0000           0.0100       4.0100
    500  0.0001 of doubt -0.00003     0.9986           0.0086       4.0086
    500  0.001 of doubt      -inf     0.0000           0.0000       3.0000
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from matplotlib.figure import Figure

from pgm_control import KLBudget, TabularModel, evaluate, infer, plot
from pgm_control.models import lottery

CHOOSING, TICKET, WIN = 0, 0, 0


@dataclass
class Args:
    """Options of the example."""

    budgets: int = 60
    """number of budgets in the picture"""
    picture: Path = Path("18_a_budget_of_hope.png")
    """output file of the picture"""
    smoke: bool = False
    """only a few budgets, to see that it runs"""


def main(args: Args) -> None:
    """Print what five budgets of hope and doubt buy, then draw the choice for many."""
    fair, unfair = (TabularModel(lottery(jackpot=jackpot), temperature=0.1) for jackpot in (500.0, 200.0))
    print("jackpot  budget                 β  P(ticket)  P(win | ticket)  true return")
    for model, jackpot, adversarial, nats in (
        (unfair, 200, False, 0.0),
        (unfair, 200, False, 0.01),
        (fair, 500, True, 0.0),
        (fair, 500, True, 0.0001),
        (fair, 500, True, 0.001),
    ):
        found = infer(model, KLBudget(dynamics=nats, adversarial=adversarial))
        buys, wins = found.policy[0, CHOOSING, TICKET], found.dynamics[0, CHOOSING, TICKET, WIN]
        beta, earned = found.budget.dynamics.optimism, evaluate(model, found).true_return
        name = f"{nats:g} of {'doubt' if adversarial else 'hope'}"
        print(f"{jackpot:>7}  {name:<15} {beta + 0.0:>8.5f} {buys:>10.4f} {wins:>16.4f} {earned:>12.4f}")

    nats = torch.logspace(-5, -1, 5 if args.smoke else args.budgets).tolist()
    bought = {
        f"{word}, jackpot {jackpot}": [
            float(infer(model, KLBudget(dynamics=each, adversarial=adversarial)).policy[0, CHOOSING, TICKET])
            for each in nats
        ]
        for word, jackpot, model, adversarial in (("hope", 200, unfair, False), ("doubt", 500, fair, True))
    }
    figure = Figure(figsize=(10.8, 5.8), layout="constrained")
    plot.curves(
        nats,
        bought,
        across="budget of the dynamics for the whole trajectory (nats)",
        up="probability of buying a ticket",
        title="Hope buys the bad ticket, doubt leaves the good one",
        logarithmic="x",
        ax=figure.subplots(),
        style="slide",
    )
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
