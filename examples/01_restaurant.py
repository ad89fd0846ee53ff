"""One decision, by hand and by machine: where does an optimist eat?

The Italian place is bad, good or spectacular (utilities −10, 6, 8) with probabilities .2, .6, .2; the French one with
.05, .9, .05. Conditioned on "the dinner was optimal", the exact posterior moves the cook's dice as well as the choice,
and goes to the Italian. Clamp the dice and the safe French kitchen wins. Printed:

                       P(French)     nats
free, by hand           0.379251   6.514996
clamped, by hand        0.890903   4.722372
free, infer             0.379251   6.514996
clamped, infer          0.890903   4.722372
P(spectacular | Italian) is 0.200; the free posterior believes 0.711
the preference flips at optimism 0.345580
"""

from dataclasses import dataclass
from math import exp, log

import tyro

from pgm_control import TabularModel, infer
from pgm_control.models import restaurant

UTILITY = (-10.0, 6.0, 8.0)
ITALIAN, FRENCH = (0.2, 0.6, 0.2), (0.05, 0.9, 0.05)


@dataclass
class Args:
    """How exactly to look."""

    bisections: int = 40
    """halvings of the interval in which the preference flips"""
    smoke: bool = False
    """a few halvings only, to see that it runs"""


def by_hand() -> None:
    """Free: log E exp of the utility of each place. Clamped: its mean. Then a softmax of the two, with prior 1/2."""
    free = [log(sum(p * exp(u) for p, u in zip(place, UTILITY, strict=True))) for place in (ITALIAN, FRENCH)]
    clamped = [sum(p * u for p, u in zip(place, UTILITY, strict=True)) for place in (ITALIAN, FRENCH)]
    for name, (italian, french) in (("free", free), ("clamped", clamped)):
        total = log(0.5 * exp(italian) + 0.5 * exp(french))
        print(f"{name + ', by hand':<20} {0.5 * exp(french - total):>11.6f} {total:>10.6f}")


def main(args: Args) -> None:
    """Compare the two ways, then look for the optimism at which they change over."""
    model = TabularModel(restaurant())
    italian, french = 0, 1
    print("                       P(French)     nats")
    by_hand()
    for name, optimism in (("free", 1.0), ("clamped", 0.0)):
        posterior = infer(model, optimism)
        print(f"{name + ', infer':<20} {posterior.policy[0, 0, french]:>11.6f} {posterior.objective:>10.6f}")
    believed = infer(model).dynamics[0, 0, italian, 2]
    print(f"P(spectacular | Italian) is 0.200; the free posterior believes {believed:.3f}")

    low, high = 0.0, 1.0  # French is preferred at low, Italian at high
    for _ in range(5 if args.smoke else args.bisections):
        middle = (low + high) / 2
        prefers_french = infer(model, middle).policy[0, 0, french] > 0.5
        low, high = (middle, high) if prefers_french else (low, middle)
    print(f"the preference flips at optimism {low:.6f}")


if __name__ == "__main__":
    main(tyro.cli(Args))
