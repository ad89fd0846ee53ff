"""Whose dice? Freeing only some of the dynamics: each step on the bridge has two random events, a slip and the wind.

We call the distribution of a random event a die. An agent that plans as if it controlled its *own slips* is a little
too bold. One that plans as if it controlled the *wind* walks where one gust is enough to fall. `Optimism` takes a
number for each factor of the dynamics. In an ensemble it can free the unknown instead of the random: which of two
climates is the true one. Printed:

nothing freed          imagines   -8.91   earns   -8.91
own slips freed        imagines   -7.22   earns   -9.07
wind freed             imagines   -6.79   earns  -16.17
both freed             imagines   -6.16   earns  -16.30

climate clamped        believes in calm with 0.300 (truth: .300), earns -12.02
climate freed          believes in calm with 0.999 (truth: .300), earns -14.73
"""

from dataclasses import dataclass
from pathlib import Path

import tyro
from matplotlib.figure import Figure

from pgm_control import (
    Ensemble,
    Evaluation,
    Optimism,
    TabularModel,
    believed_weights,
    evaluate,
    infer,
    member_returns,
    plot,
)
from pgm_control.models import windy_bridge, windy_bridge_in_parts


@dataclass
class Args:
    """Options of the example."""

    horizon: int = 12
    """number of steps"""
    picture: Path = Path("12_whose_dice.png")
    """output file of the picture"""
    smoke: bool = False
    """a short walk, to see that it runs"""


def main(args: Args) -> None:
    """Free the factors of the dynamics one by one, then the unknown climate."""
    horizon = 6 if args.smoke else args.horizon
    model = TabularModel(windy_bridge(horizon))
    rows: dict[str, Evaluation] = {}
    for name, own, wind in (
        ("nothing freed", 0.0, 0.0),
        ("own slips freed", 1.0, 0.0),
        ("wind freed", 0.0, 1.0),
        ("both freed", 1.0, 1.0),
    ):
        rows[name] = evaluate(model, infer(model, optimism=Optimism({"own": own, "wind": wind}, initial=0.0)))
        print(f"{name:<22} imagines {rows[name].imagined_return:7.2f}   earns {rows[name].true_return:7.2f}")
    print()

    calm, gusty = (windy_bridge_in_parts(horizon, gust).joint() for gust in (0.02, 0.25))
    climate = Ensemble([calm, gusty], weights=[0.3, 0.7], names=["calm", "gusty"])
    both = TabularModel(climate.joint())
    for name, member in (("climate clamped", 0.0), ("climate freed", 1.0)):
        found = infer(both, optimism=Optimism({"own": 0.0, "wind": 0.0}, initial={"member": member, "state": 0.0}))
        belief = believed_weights(climate, found)
        earned = belief @ member_returns(climate, found) @ climate.weights
        print(f"{name:<22} believes in calm with {belief[0]:.3f} (truth: .300), earns {earned:.2f}")

    figure = Figure(figsize=(9.6, 5.8), layout="constrained")
    plot.imagined_and_true(rows, ax=figure.subplots(), style="slide")
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
