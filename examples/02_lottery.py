"""A ticket or a day's work: the free posterior buys a lottery ticket and believes that it will win.

A ticket costs 1 and wins a jackpot with probability 1/100; a day's work pays 3. Free inference values the ticket at log
E exp(reward), which a jackpot of 12 dominates. Clamped inference values it at the mean, −.87. So the free guide buys,
and believes that it almost surely wins. It buys from a jackpot of 8, the clamped guide from 400. Printed:

jackpot 12            P(ticket)  P(win | ticket)   imagined       true
free                     0.9878           0.9998    11.8874    -0.8228
clamped                  0.0204           0.0100     2.9209     2.9209
the free guide buys from a jackpot of 7.6, the clamped one from 399
"""

from dataclasses import dataclass
from math import exp, log
from pathlib import Path

import torch
import tyro
from matplotlib.figure import Figure

from pgm_control import TabularModel, evaluate, infer, plot
from pgm_control.models import lottery

CHOOSING, TICKET, WIN = 0, 0, 0


@dataclass
class Args:
    """Options of the example."""

    jackpots: int = 60
    """number of jackpots in the picture"""
    picture: Path = Path("02_lottery.png")
    """output file of the picture"""
    smoke: bool = False
    """only a few jackpots, to see that it runs"""


def main(args: Args) -> None:
    """Print the answers for one jackpot, then draw the choice for many."""
    model = TabularModel(lottery(jackpot=12.0))
    print("jackpot 12            P(ticket)  P(win | ticket)   imagined       true")
    for name, optimism in (("free", 1.0), ("clamped", 0.0)):
        found = infer(model, optimism=optimism)
        score = evaluate(model, found)
        buys, wins = found.policy[0, CHOOSING, TICKET], found.dynamics[0, CHOOSING, TICKET, WIN]
        print(f"{name:<20} {buys:>10.4f} {wins:>16.4f} {score.imagined_return:>10.4f} {score.true_return:>10.4f}")
    # The jackpots from which a ticket is worth the wage of 3.
    optimist, planner = log((exp(3) - 0.99 * exp(-1)) / 0.01), (3 + 0.99) / 0.01
    print(f"the free guide buys from a jackpot of {optimist:.1f}, the clamped one from {planner:.0f}")

    jackpots = torch.logspace(0, 3.3, 5 if args.smoke else args.jackpots).tolist()
    many = [TabularModel(lottery(jackpot=each)) for each in jackpots]
    bought = {
        name: [float(infer(each, optimism=optimism).policy[0, CHOOSING, TICKET]) for each in many]
        for name, optimism in (("free guide", 1.0), ("clamped guide", 0.0))
    }
    figure = Figure(figsize=(10.8, 5.8), layout="constrained")
    plot.curves(
        jackpots,
        bought,
        across="jackpot, won once in a hundred (reward units)",
        up="probability of buying a ticket",
        title="Free buys from a jackpot of 8, clamped from 400",
        logarithmic="x",
        ax=figure.subplots(),
        style="slide",
    )
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
