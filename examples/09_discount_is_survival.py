"""Discount as survival: a posterior that may change survival becomes immortal as long as living pays.

A discount of γ = .9 means that the episode ends with probability .1 after every step. Survival is a random event like
the dynamics, and a block of its own. An inn pays 1 at once; a treasure of 5 lies 20 steps down the road, and an agent
lives to reach it with probability 1/8. If survival is clamped, the agent accounts for this risk and goes to the inn. If
it is freed, the agent believes that it surely lives until it is paid. In a desert that costs .1 a step it believes the
opposite: that the episode will soon end. Without a horizon, a reward of .2 a step is then worth more than any number.
Printed:

survival    P(road)   imagined       true
clamped      0.1724     0.9324     0.9324
freed        1.0000     5.0000     0.6079

Without a horizon, at temperature 1:
-1.0 a step is worth -10.00 clamped,  -2.90 freed: bounded
 0.2 a step is worth   2.00 clamped,    inf freed: unbounded
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from matplotlib.figure import Figure

from pgm_control import Optimism, TabularMDP, TabularModel, evaluate, freed_survival, infer, plot

SURVIVAL = 0.9
MORTAL, IMMORTAL = Optimism(0.0, 0.0, survival=0.0), Optimism(0.0, 0.0, survival=1.0)


@dataclass
class Args:
    """Options of the example."""

    steps: int = 20
    """number of steps to the treasure"""
    temperature: float = 0.25
    """reward units per nat"""
    picture: Path = Path("09_discount_is_survival.png")
    """output file of the picture"""
    smoke: bool = False
    """a short road, to see that it runs"""


def road(rewards: Sequence[float], inn: float, start: int) -> TabularMDP:
    """A road with states 0 … N and an end. State 0 has an inn; walking on from state n pays rewards[n]."""
    end = len(rewards)
    initial = torch.zeros(end + 1, dtype=torch.float64)
    initial[start] = 1.0
    on = [min(n + 1, end) for n in range(end + 1)]
    paid = [*rewards, 0.0]
    return TabularMDP(
        initial,
        [[[1.0], [1.0]]] * (end + 1),
        [[[end], [1]], *[[[n]] * 2 for n in on[1:]]],
        [[[inn], [paid[0]]], *[[[r]] * 2 for r in paid[1:]]],
        horizon=end,
        discount=SURVIVAL,
        action_names=("inn", "road"),
    )


def main(args: Args) -> None:
    """Solve the choice, then a problem without a horizon; draw the believed probability of being alive."""
    steps = 5 if args.smoke else args.steps
    treasure, desert = [0.0] * steps + [5.0], [-0.1] * (steps + 1)
    model = TabularModel(road(treasure, inn=1.0, start=0), args.temperature)
    print("survival    P(road)   imagined       true")
    for name, optimism in (("clamped", MORTAL), ("freed", IMMORTAL)):
        found = infer(model, optimism=optimism)
        score = evaluate(model, found)
        print(f"{name:<9}{found.policy[0, 0, 1]:>10.4f}{score.imagined_return:>11.4f}{score.true_return:>11.4f}")

    print("\nWithout a horizon, at temperature 1:")
    for reward in (-1.0, 0.2):
        endless = TabularModel(TabularMDP([1.0], [[[1.0]]], [[[0]]], [[[reward]]], horizon=1, discount=SURVIVAL))
        freed = freed_survival(endless)
        clamped, v = reward / (1 - SURVIVAL), float(freed.v[0])
        print(f"{reward:4.1f} a step is worth {clamped:6.2f} clamped, {v:6.2f} freed: {freed.status.name}")

    walks = {
        "freed: to a treasure": (treasure, IMMORTAL),
        "clamped: true risk": (treasure, MORTAL),
        "freed: through a desert": (desert, IMMORTAL),
    }
    alive = {}
    for name, (rewards, optimism) in walks.items():
        found = infer(TabularModel(road(rewards, 1.0, start=1), args.temperature), optimism=optimism)
        alive[name] = found.marginals().state.sum(-1)
    figure = Figure(figsize=(10.8, 5.8), layout="constrained")
    plot.curves(
        range(steps + 2),
        alive,
        across="time t (steps)",
        up="believed probability of being alive",
        title="Freed survival: immortal as long as living pays",
        ax=figure.subplots(),
        style="slide",
    )
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
