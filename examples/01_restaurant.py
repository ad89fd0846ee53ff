"""Where does an optimist eat? One decision, solved by hand and by the library.

A dinner at the Italian restaurant is bad, good or spectacular (utilities −10, 6, 8) with probabilities .2, .6, .2; at
the French one with .05, .9, .05. We call each such distribution of outcomes a die. The exact posterior conditions on
"the dinner was optimal". It changes the dice as well as the choice, and prefers the Italian restaurant. If the dice are
clamped, the safe French restaurant wins. The picture shows both dice: the true probabilities, and those that the free
posterior believes. Printed:

                       P(French)     nats
free, by hand           0.379251   6.514996
clamped, by hand        0.890903   4.722372
free, infer             0.379251   6.514996
clamped, infer          0.890903   4.722372
P(spectacular | Italian) is 0.200; the free posterior believes 0.711
"""

from dataclasses import dataclass
from math import exp, log
from pathlib import Path

import tyro
from matplotlib.figure import Figure

from pgm_control import TabularModel, infer, plot
from pgm_control.models import restaurant

UTILITY = (-10.0, 6.0, 8.0)
ITALIAN, FRENCH = (0.2, 0.6, 0.2), (0.05, 0.9, 0.05)


@dataclass
class Args:
    """Options of the example."""

    picture: Path = Path("01_restaurant.png")
    """output file of the picture"""
    smoke: bool = False
    """no effect: the example takes only a moment"""


def by_hand() -> None:
    """Print the softmax, with prior 1/2, of the two values: log E exp(utility) if free, E utility if clamped."""
    free = [log(sum(p * exp(u) for p, u in zip(place, UTILITY, strict=True))) for place in (ITALIAN, FRENCH)]
    clamped = [sum(p * u for p, u in zip(place, UTILITY, strict=True)) for place in (ITALIAN, FRENCH)]
    for name, (italian, french) in (("free", free), ("clamped", clamped)):
        total = log(0.5 * exp(italian) + 0.5 * exp(french))
        print(f"{name + ', by hand':<20} {0.5 * exp(french - total):>11.6f} {total:>10.6f}")


def main(args: Args) -> None:
    """Compare the answers by hand with those of `infer`, then draw the dice."""
    model = TabularModel(restaurant())
    italian, french = 0, 1
    print("                       P(French)     nats")
    by_hand()
    free, clamped = infer(model, optimism=1.0), infer(model, optimism=0.0)
    for name, posterior in (("free", free), ("clamped", clamped)):
        print(f"{name + ', infer':<20} {posterior.policy[0, 0, french]:>11.6f} {posterior.objective:>10.6f}")
    print(f"P(spectacular | Italian) is 0.200; the free posterior believes {free.dynamics[0, 0, italian, 2]:.3f}")

    figure = Figure(figsize=(10, 9), layout="constrained")
    for place, name, panel in zip((italian, french), ("Italian", "French"), figure.subplots(2, 1), strict=True):
        plot.outcomes(model, free, state=0, action=place, ax=panel, style="slide")
        by_free, by_clamped = (float(each.policy[0, 0, place]) for each in (free, clamped))
        title = f"{name}: chosen with probability {by_free:.2f} if free, {by_clamped:.2f} if clamped"
        panel.set_title(title, loc="left", fontsize=19, pad=66)  # points: room for the legend
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
