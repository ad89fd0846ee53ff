"""Misreading a gambler: if an optimist is modelled as a max-ent demonstrator, she seems to love gambling.

Every day one of five shops offers her a ticket for 1, or she works for 3. A win is worth 12 to her, buying itself
nothing, but her optimism is β = .5. We learn both values from 5000 days. Modelled as max-ent (β = 0), she seems to like
buying nearly as much as a day's wage, and a win eight times too much. With the true β both values are right within two
standard errors, and the log-likelihood is 33 nats higher or more. The posterior of β finds it in 30 days. Printed:

modelled with         a win is worth    buying as such  log-likelihood
β = 0.0  max-ent       101.84 ± 3.85        2.58 ± 0.06        -1667.42
β = 0.25                15.97 ± 0.25        1.66 ± 0.11        -1544.26
β = 0.5  the truth      11.56 ± 0.31        0.34 ± 0.26        -1510.89
truth                   12.00               0.00
where nothing can be won she buys with 0.018; the max-ent model of her, with 0.194
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
    """One day: a random shop, then a ticket (action 0, with the outcomes win and loss) or work (action 1)."""
    n = len(odds)
    chance = [[[p, 1 - p], [1.0, 0.0]] for p in odds] + [[[1.0, 0.0]] * 2]
    paid = [[[prize, -PRICE], [WAGE, 0.0]]] * n + [[[0.0, 0.0]] * 2]
    return TabularMDP([1 / n] * n + [0.0], chance, [[[n, n]] * 2] * (n + 1), paid, horizon=1)


@final
class Taste(RewardModel):
    """A reward with known money and two unknown weights: the value of winning, and that of buying itself."""

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
    """Options of the example."""

    days: int = 5000
    """number of demonstrated days"""
    seed: int = 0
    """seed of the sampled days"""
    picture: Path = Path("16_misreading_a_gambler.png")
    """output file of the picture"""
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
    """Sample her days, and learn her reward for several β of the demonstrator."""
    mdp = shops(ODDS, PRIZE)
    model, n = TabularModel(mdp), 300 if args.smoke else args.days
    days = infer(model, optimism=Optimism(OPTIMISM, initial=0.0)).sample(n, torch.Generator().manual_seed(args.seed))
    seen = Demonstrations.from_trajectories(mdp, days)
    print("modelled with         a win is worth    buying as such  log-likelihood")
    readings = {}
    for beta, name in ((0.0, "max-ent"), (0.25, ""), (OPTIMISM, "the truth")):
        taste = Taste(mdp)
        found = inverse(model, seen, taste, DialDemonstrator(beta))
        readings[beta] = taste.weight.tolist()
        worth = [f"{x:7.2f} ± {e:<5.2f}" for x, e in zip(readings[beta], errors(taste, found), strict=True)]
        print(f"β = {beta:<4} {name:<12} {worth[0]}    {worth[1]} {found.log_likelihood:>14.2f}")
    print(f"truth                 {PRIZE:>7.2f}            {0:>7.2f}")

    without_prize = (WAGE + PRICE, WAGE + PRICE - readings[0.0][1])
    does, would = (float(torch.sigmoid(torch.tensor(-each))) for each in without_prize)
    print(f"where nothing can be won she buys with {does:.3f}; the max-ent model of her, with {would:.3f}")

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
    buys = {"her policy": infer(shelf, optimism=Optimism(OPTIMISM, initial=0.0)).policy[0, :-1, 0]}
    for beta, name in ((0.0, "max-ent model, β = 0"), (OPTIMISM, "at the true β, .5")):
        win, bonus = readings[beta]
        paid = shops(others, win).reward
        paid[:-1, 0] += bonus
        learned = TabularModel(shops(others, win).replace(reward=paid))
        buys[name] = infer(learned, optimism=Optimism(beta, initial=0.0)).policy[0, :-1, 0]
    plot.curves(
        others, buys, across="probability of winning", up="probability that she buys", logarithmic="x",
        title="The max-ent model of her buys hopeless tickets", ax=figure.subplots(), style="slide",
    )  # fmt: skip
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
