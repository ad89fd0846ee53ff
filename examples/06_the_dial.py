"""Between free and clamped, and beyond: one number β turns the exact posterior into max-ent control and past it.

β is what tilting the dice costs: 1/β nats for a nat. At 1 it is free inference, at 0 nothing may be tilted, and below 0
the dice belong to an adversary. On the slippery cliff every policy of the dial is tried in the true world, exactly:
from 0 up, the more an agent hopes, the more it imagines to earn, and the less it earns. In the restaurant the
preference flips at one β, found by bisection. Then a guide at β = 0.3 is fitted by two routes that share nothing: its
own dice at a price of 1/β, and no dice at all under a Rényi bound of order 1 − β. Printed:

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

β = 0.3 on the restaurant, in nats: exact 5.9292, dice at a price 5.9292, Rényi bound 5.9292
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
    """How long the fits may take."""

    num_steps: int = 2000
    """SVI steps a guide, at most"""
    picture: Path = Path("06_the_dial.png")
    """file to draw into"""
    smoke: bool = False
    """a short problem and a few steps, to see that it runs"""


def main(args: Args) -> None:
    """Turn the dial on two problems, then fit it by two routes."""
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
    print(f"dice at a price {by_dial:.4f}, Rényi bound {bound:.4f}")

    axes = plot.dial_sweep(found, style="slide")
    axes[0].figure.savefig(args.picture, dpi=80)


if __name__ == "__main__":
    main(tyro.cli(Args))
