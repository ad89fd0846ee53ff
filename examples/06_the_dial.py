"""The dial: one number β leads from adversarial dynamics through max-ent control to the exact posterior.

1/β is the price of a nat of change of the dynamics. β = 1 pays it at par, which is free inference; β → 0 forbids any
change, which is clamped inference; at β < 0 an adversary chooses the dynamics. On the slippery cliff the policy of each
β is evaluated in the true world, exactly: from 0 up, a higher optimism raises the imagined return and lowers the true
one. In the restaurant the preference flips at one β, found by bisection. Then a guide at β = 0.3 is fitted in two ways
that share nothing: with dynamics of its own at the price 1/β, and without them under a Rényi bound of order 1 − β.
Printed:

The slippery cliff
optimism  objective  imagined return  true mean  std. dev.  CVaR 10 %
             [nats]         [reward]   [reward]   [reward]   [reward]
────────  ─────────  ───────────────  ─────────  ─────────  ─────────
-1          -101.21           -50.00     -49.88      1.272        -50
-0.5         -88.95           -50.00     -49.87      1.323        -50
0            -68.90           -49.80     -49.80      1.738        -50
0.1          -65.22           -48.15     -74.40      51.73    -185.78
0.2          -58.45           -36.37    -201.34     147.32    -517.78
0.3          -50.54           -24.06    -300.93     201.38    -716.40
0.5          -40.24           -18.64    -403.52     249.04    -904.35
0.75         -33.63           -16.28    -459.74     272.46   -1002.36
1            -29.81           -15.17    -486.21     283.27   -1049.11

The restaurant: French below, Italian above β = 0.345580

β = 0.3 on the restaurant, in nats: exact 5.9292, priced dynamics 5.9292, Rényi bound 5.9292
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

from pgm_control import (
    ClampedGuide,
    DialGuide,
    MarkovRenyi,
    TabularModel,
    critical_optimism,
    fit,
    frontier,
    infer,
    objective,
    plot,
    renyi_bound,
)
from pgm_control.models import restaurant, slippery_cliff


@dataclass
class Args:
    """Options of the example."""

    num_steps: int = 2000
    """maximum number of SVI steps for each guide"""
    picture: Path = Path("06_the_dial.png")
    """output file of the picture"""
    smoke: bool = False
    """a short problem and a few steps, to see that it runs"""


def main(args: Args) -> None:
    """Vary β on two problems, then fit one β in two ways."""
    horizon, steps = (6, 20) if args.smoke else (50, args.num_steps)
    found = frontier(TabularModel(slippery_cliff(horizon)), [-1.0, -0.5, 0.0, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0])
    print(f"The slippery cliff\n{found}")

    dinner = TabularModel(restaurant())
    flip = critical_optimism(dinner, "hungry")
    below, above = (dinner.mdp.action_name(each) for each in (flip.before, flip.after))
    print(f"\nThe restaurant: {below} below, {above} above β = {float(flip):.6f}")

    beta = 0.3
    exact = infer(dinner, optimism=beta).objective
    by_dial = objective(dinner, fit(dinner, DialGuide(dinner, beta), num_steps=steps).guide)
    bound = renyi_bound(
        dinner, fit(dinner, ClampedGuide(dinner), MarkovRenyi(1 - beta), num_steps=steps).guide, 1 - beta
    )
    print(f"\nβ = {beta} on the restaurant, in nats: exact {exact:.4f}, ", end="")
    print(f"priced dynamics {by_dial:.4f}, Rényi bound {bound:.4f}")

    axes = plot.dial_sweep(found, style="slide")
    axes[0].figure.savefig(args.picture, dpi=80)


if __name__ == "__main__":
    main(tyro.cli(Args))
