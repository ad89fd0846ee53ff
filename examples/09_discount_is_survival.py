"""A discount is a probability of surviving, and who may change it lives for ever.

To discount by γ = .9 is to die with probability .1 after every step. That is chance like the dice, and a block of its
own. An inn pays 1 at once; a treasure of 5 lies 20 steps down the road, where one in eight arrives. Clamped, survival
is a risk, and the agent goes to the inn. Freed, it is a choice: the agent is certain to live until it is paid. Through
a desert that costs .1 a step it believes the contrary, that it will soon be released. Without a horizon, a reward of
.2 a step is then worth more than any number: the agent is immortal. Printed:

survival    P(road)   imagined       true
clamped      0.1724     0.9324     0.9324
freed        1.0000     5.0000     0.6079

For ever, at temperature 1:
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
    """How far, and how decided."""

    steps: int = 20
    """to the treasure"""
    temperature: float = 0.25
    """reward units per nat"""
    picture: Path = Path("09_discount_is_survival.png")
    """file to draw into"""
    smoke: bool = False
    """a short road, to see that it runs"""


def road(rewards: Sequence[float], inn: float, start: int) -> TabularMDP:
    """States 0 … N of a road, then its end. At 0 there is an inn; walking on from n pays rewards[n]."""
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
    """Choose between inn and treasure; look at who believes to be alive; then let the road be endless."""
    steps = 5 if args.smoke else args.steps
    treasure, desert = [0.0] * steps + [5.0], [-0.1] * (steps + 1)
    model = TabularModel(road(treasure, inn=1.0, start=0), args.temperature)
    print("survival    P(road)   imagined       true")
    for name, optimism in (("clamped", MORTAL), ("freed", IMMORTAL)):
        found = infer(model, optimism=optimism)
        score = evaluate(model, found)
        print(f"{name:<9}{found.policy[0, 0, 1]:>10.4f}{score.imagined_return:>11.4f}{score.true_return:>11.4f}")

    print("\nFor ever, at temperature 1:")
    for reward in (-1.0, 0.2):
        endless = TabularModel(TabularMDP([1.0], [[[1.0]]], [[[0]]], [[[reward]]], horizon=1, discount=SURVIVAL))
        freed = freed_survival(endless)
        clamped, v = reward / (1 - SURVIVAL), float(freed.v[0])
        print(f"{reward:4.1f} a step is worth {clamped:6.2f} clamped, {v:6.2f} freed: {freed.status.name}")

    walks = {
        "freed: to a treasure": (treasure, IMMORTAL),
        "clamped: the truth": (treasure, MORTAL),
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
        title="Freed survival: immortal, as long as it pays",
        ax=figure.subplots(),
        style="slide",
    )
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
