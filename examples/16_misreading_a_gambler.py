"""Misreading a gambler: she believes in her luck, and whoever takes her for sober concludes that she loves to gamble.

Every day one of five shops offers her a ticket for 1, or she works for 3. A win is worth 12 to her, and buying as such
nothing; but she plans as if luck could be had at the price β = .5, and buys where sense would not. From 5000 days we
learn what a win is worth to her, and how much she likes to buy. Taken for sober, she likes it nearly as much as a day's
wage, and a win is worth eight times what it is: such a gambler would buy where there is nothing to win. At the right β
both are right within two standard errors. Her days tell the readings apart, by 33 nats and more: who does not know her
β, and asks for its posterior, knows after a month that she is an optimist. Printed:

read as               a win is worth    buying as such  log-likelihood
β = 0.0  sober         101.84 ± 3.85        2.58 ± 0.06        -1667.42
β = 0.25                15.97 ± 0.25        1.66 ± 0.11        -1544.26
β = 0.5  what she is    11.56 ± 0.31        0.34 ± 0.26        -1510.89
truth                   12.00               0.00
where nothing can be won she buys with 0.018; taken for sober, she would with 0.194
is she an optimist? after  3 days: β = 0.3 ± 0.8, yes with probability 0.8
is she an optimist? after 30 days: β = 0.4 ± 0.3, yes with probability 1.0
"""

from dataclasses import dataclass
from pathlib import Path
from typing import final

import pyro.distributions as dist
import torch
import tyro
from matplotlib.figure import Figure
from torch.autograd.functional import hessian

from pgm_control import Optimism, TabularMDP, TabularModel, infer, plot
from pgm_control.inverse_rl import Demonstrations, DialDemonstrator, Inverse, RewardModel, inverse, reward_posterior

ODDS = [0.002, 0.01, 0.03, 0.08, 0.2]
PRICE, WAGE, PRIZE, OPTIMISM = 1.0, 3.0, 12.0, 0.5


def shops(odds: list[float], prize: float) -> TabularMDP:
    """A day: a shop by chance, then a ticket (action 0; its faces are win and loss) or work (action 1)."""
    n = len(odds)
    chance = [[[p, 1 - p], [1.0, 0.0]] for p in odds] + [[[1.0, 0.0]] * 2]
    paid = [[[prize, -PRICE], [WAGE, 0.0]]] * n + [[[0.0, 0.0]] * 2]
    return TabularMDP([1 / n] * n + [0.0], chance, [[[n, n]] * 2] * (n + 1), paid, horizon=1)


@final
class Taste(RewardModel):
    """Money is known; what winning is worth and what buying is worth are not."""

    money: torch.Tensor
    win: torch.Tensor
    buy: torch.Tensor

    def __init__(self, mdp: TabularMDP) -> None:
        super().__init__()
        self.register_buffer("money", shops(ODDS, 0.0).reward)
        self.register_buffer("win", shops(ODDS, 1.0).reward - self.money)
        self.register_buffer("buy", torch.zeros_like(self.win).index_fill_(1, torch.tensor([0]), 1.0))
        self.buy[-1] = 0.0
        self.weight = torch.nn.Parameter(torch.zeros(2, dtype=mdp.reward.dtype))

    def forward(self) -> torch.Tensor:
        return self.money + self.weight[0] * self.win + self.weight[1] * self.buy


@dataclass
class Args:
    """How long she is watched."""

    days: int = 5000
    """number of days"""
    seed: int = 0
    """of these days"""
    picture: Path = Path("16_misreading_a_gambler.png")
    """file to draw into"""
    smoke: bool = False
    """a few days, to see that it runs"""


def errors(taste: Taste, found: Inverse) -> list[float]:
    """Standard errors of the two weights, from the curvature of the log-likelihood."""
    model = found.model

    def log_likelihood(weight: torch.Tensor) -> torch.Tensor:
        reward = taste.money + weight[0] * taste.win + weight[1] * taste.buy
        last = torch.zeros_like(model.mdp.initial)
        return found.demonstrator.log_likelihood(model, found.demonstrations, reward, last, model.temperature)

    return (-torch.as_tensor(hessian(log_likelihood, taste.weight.detach()))).inverse().diagonal().sqrt().tolist()


def main(args: Args) -> None:
    """Watch her, and read her by one β after the other."""
    mdp = shops(ODDS, PRIZE)
    model, n = TabularModel(mdp), 300 if args.smoke else args.days
    days = infer(model, optimism=Optimism(OPTIMISM, initial=0.0)).sample(n, torch.Generator().manual_seed(args.seed))
    seen = Demonstrations.from_trajectories(mdp, days)
    print("read as               a win is worth    buying as such  log-likelihood")
    readings = {}
    for beta, name in ((0.0, "sober"), (0.25, ""), (OPTIMISM, "what she is")):
        taste = Taste(mdp)
        found = inverse(model, seen, taste, DialDemonstrator(beta))
        readings[beta] = taste.weight.tolist()
        worth = [f"{x:7.2f} ± {e:<5.2f}" for x, e in zip(readings[beta], errors(taste, found), strict=True)]
        print(f"β = {beta:<4} {name:<12} {worth[0]}    {worth[1]} {found.log_likelihood:>14.2f}")
    print(f"truth                 {PRIZE:>7.2f}            {0:>7.2f}")

    without_prize = (WAGE + PRICE, WAGE + PRICE - readings[0.0][1])
    does, would = (float(torch.sigmoid(torch.tensor(-each))) for each in without_prize)
    print(f"where nothing can be won she buys with {does:.3f}; taken for sober, she would with {would:.3f}")

    for n in (3, 30):
        first = Demonstrations.from_trajectories(mdp, days.states[:n], days.actions[:n])
        found = reward_posterior(
            *(model, first, Taste(mdp), DialDemonstrator(0.0)),
            prior=20.0,
            optimism=dist.Normal(0.0, 1.0),
            num_samples=1000,
            seed=0,
        )
        beta, optimistic = found.optimism, found.probability(lambda x: x.optimism > 0)
        answer = f"β = {beta.mean():.1f} ± {beta.std():.1f}, yes with probability {optimistic:.1f}"
        print(f"is she an optimist? after {n:>2} days: {answer}")

    others = torch.logspace(-3, -0.5, 40).tolist()
    shelf = TabularModel(shops(others, PRIZE))
    figure = Figure(figsize=(10.8, 5.8), layout="constrained")
    buys = {"what she does": infer(shelf, optimism=Optimism(OPTIMISM, initial=0.0)).policy[0, :-1, 0]}
    for beta, name in ((0.0, "taken for sober, β = 0"), (OPTIMISM, "at the right β, .5")):
        win, bonus = readings[beta]
        paid = shops(others, win).reward
        paid[:-1, 0] += bonus
        learned = TabularModel(shops(others, win).replace(reward=paid))
        buys[name] = infer(learned, optimism=Optimism(beta, initial=0.0)).policy[0, :-1, 0]
    plot.curves(
        others, buys, across="chance of winning", up="probability that she buys", logarithmic="x",
        title="Taken for sober, she would buy hopeless tickets", ax=figure.subplots(), style="slide",
    )  # fmt: skip
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
