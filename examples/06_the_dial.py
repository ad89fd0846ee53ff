"""Between free and clamped, and beyond: one number β turns the exact posterior into max-ent control and past it.

The dial is turned on three problems, and every policy is tried in the true world, exactly:

1. The slippery cliff, where optimism is paid for. β = −1 plans against the dice, 0 is max-ent, 1 believes in luck.
2. The restaurant, where the preference flips at one β, found by bisection.
3. The frozen lake, where a *mild* optimism helps. The goal is worth 1/τ = 50 nats, and stepping with care costs nats as
   long as the walk lasts: the best policy spends 60 of them in 44 steps. Max-ent spends 4, and is off the ice after 12
   steps, mostly through a hole; at β = .05 the goal looks nearly sure, and so worth 18 nats and 25 steps. That cures
   max-ent at this temperature and no more: half the temperature cures it better, at a quarter optimism does harm, and
   nothing passes hard value iteration, .7442.

Then a guide at β = 0.3 is fitted by two routes that share nothing: its own dice at a price of 1/β, and no dice at all
under a Rényi bound of order 1 − β. Printed:

The slippery cliff
optimism  objective  imagined return  true mean  deviation  worst 10 %
             [nats]         [reward]   [reward]   [reward]    [reward]
────────  ─────────  ───────────────  ─────────  ─────────  ──────────
-1          -101.21           -50.00     -49.88      1.272         -50
0            -68.90           -49.80     -49.80      1.738         -50
0.1          -65.22           -48.15     -74.40      51.73     -185.78
0.3          -50.54           -24.06    -300.93     201.38     -716.40
1            -29.81           -15.17    -486.21     283.27    -1049.11

The restaurant: French below, Italian above β = 0.345580

The frozen lake
optimism  objective  imagined return  true mean  deviation  worst 10 %  P(return ≥ 1)
             [nats]         [reward]   [reward]   [reward]    [reward]
────────  ─────────  ───────────────  ─────────  ─────────  ──────────  ─────────────
-0.05        0.6987         0.006808    0.06080     0.2390           0        0.06080
0             3.475           0.1576     0.1576     0.3643           0         0.1576
0.05          14.74           0.8252     0.3599     0.4800           0         0.3599
0.2           33.81           0.9993     0.1066     0.3086           0         0.1066
1             45.73                1    0.03120     0.1739           0        0.03120
The best of these is β = 0.05; max-ent at half the temperature earns 0.5901, hard value iteration 0.7442.

β = 0.3 on the restaurant, in nats: exact 5.9292, dice at a price 5.9292, Rényi bound 5.9292
"""

from dataclasses import dataclass

import tyro

from pgm_control import (
    ClampedGuide,
    DialGuide,
    MarkovRenyi,
    TabularModel,
    critical_optimism,
    evaluate,
    fit,
    frontier,
    infer,
    objective,
    renyi_bound,
)
from pgm_control.models import frozen_lake, restaurant, slippery_cliff


@dataclass
class Args:
    """How long the fits may take."""

    steps: int = 2000
    """SVI steps a guide, at most"""
    smoke: bool = False
    """short problems and a few steps, to see that it runs"""


def main(args: Args) -> None:
    """Turn the dial on three problems, then fit it by two routes."""
    long, lake = (6, 10) if args.smoke else (50, 100)
    print("The slippery cliff")
    print(frontier(TabularModel(slippery_cliff(long)), [-1.0, 0.0, 0.1, 0.3, 1.0]))

    dinner = TabularModel(restaurant())
    flip = critical_optimism(dinner, "hungry")
    names = [dinner.mdp.action_name(each) for each in (flip.before, flip.after)]
    print(f"\nThe restaurant: {names[0]} below, {names[1]} above β = {float(flip):.6f}")

    print("\nThe frozen lake")
    ice = frozen_lake(horizon=lake)
    found = frontier(TabularModel(ice, 0.02), [-0.05, 0.0, 0.05, 0.2, 1.0], target=1.0)
    print(found)
    print(f"The best of these is β = {found.best.optimism}; ", end="")
    colder, hard = (
        evaluate(TabularModel(ice), infer(TabularModel(ice, tau), optimism=0.0).policy).true_return
        for tau in (0.01, 0.0)
    )
    print(f"max-ent at half the temperature earns {colder:.4f}, hard value iteration {hard:.4f}.")

    beta, steps = 0.3, 20 if args.smoke else args.steps
    exact = infer(dinner, beta).objective
    priced = objective(dinner, fit(dinner, DialGuide(dinner, beta), steps=steps).guide)
    bound = renyi_bound(dinner, fit(dinner, ClampedGuide(dinner), MarkovRenyi(1 - beta), steps=steps).guide, 1 - beta)
    print(f"\nβ = {beta} on the restaurant, in nats: exact {exact:.4f}, ", end="")
    print(f"dice at a price {priced:.4f}, Rényi bound {bound:.4f}")


if __name__ == "__main__":
    main(tyro.cli(Args))
