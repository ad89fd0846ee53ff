"""Whose dice? A bridge in gusts of wind: two dice a step, the own foot and the weather, and only one of them is yours.

An agent that plans as if it controlled its *foot* is a little too bold. One that plans as if it controlled the *wind*
walks where one gust is enough to fall. `Optimism` frees the factors of a die apart. An ensemble frees not luck but
ignorance: which of two climates it is. Printed:

nothing freed          imagines   -8.91   earns   -8.91
its foot freed         imagines   -7.22   earns   -9.07
the wind freed         imagines   -6.79   earns  -16.17
both freed             imagines   -6.16   earns  -16.30

knows its ignorance    believes in calm with 0.300 (in truth .300), earns -12.02
hopes for calm         believes in calm with 0.999 (in truth .300), earns -14.73
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
    """How long the walk may take."""

    horizon: int = 12
    """number of steps"""
    picture: Path = Path("12_whose_dice.png")
    """file to draw into"""
    smoke: bool = False
    """a short walk, to see that it runs"""


def main(args: Args) -> None:
    """Free one die after the other; then doubt the climate."""
    horizon = 6 if args.smoke else args.horizon
    model = TabularModel(windy_bridge(horizon))
    rows: dict[str, Evaluation] = {}
    for name, own, wind in (
        ("nothing freed", 0.0, 0.0),
        ("its foot freed", 1.0, 0.0),
        ("the wind freed", 0.0, 1.0),
        ("both freed", 1.0, 1.0),
    ):
        rows[name] = evaluate(model, infer(model, optimism=Optimism({"own": own, "wind": wind}, initial=0.0)))
        print(f"{name:<22} imagines {rows[name].imagined_return:7.2f}   earns {rows[name].true_return:7.2f}")
    print()

    calm, gusty = (windy_bridge_in_parts(horizon, gust).joint() for gust in (0.02, 0.25))
    climate = Ensemble([calm, gusty], weights=[0.3, 0.7], names=["calm", "gusty"])
    both = TabularModel(climate.joint())
    for name, member in (("knows its ignorance", 0.0), ("hopes for calm", 1.0)):
        found = infer(both, optimism=Optimism({"own": 0.0, "wind": 0.0}, initial={"member": member, "state": 0.0}))
        belief = believed_weights(climate, found)
        earned = belief @ member_returns(climate, found) @ climate.weights
        print(f"{name:<22} believes in calm with {belief[0]:.3f} (in truth .300), earns {earned:.2f}")

    figure = Figure(figsize=(9.6, 5.8), layout="constrained")
    plot.imagined_and_true(rows, ax=figure.subplots(), style="slide")
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
