"""When optimism helps: on the frozen lake, hope makes up for a lack of will. The hotter the agent, the more it needs.

The goal pays 1, so it is worth 1/τ nats, and stepping with care costs nats as long as the walk lasts. A cold agent can
afford the care: max-ent control (β = 0) comes close to the best policy there is, and every optimism does harm. A warm
one cannot. At τ = .02 the best policy spends 60 nats in 44 steps; max-ent spends 4, and is off the ice after 12 steps,
mostly through a hole. With a *little* optimism the goal looks nearly sure, and so worth more care. What optimism adds
in will it takes in sense, so there is a best amount, and it rises with the temperature. Full optimism beats max-ent
only from τ = .1 on, where both hardly ever arrive, and, at τ = .02, in the six steps in which only luck arrives.
Nothing beats the best policy: optimism cures heat, and cooling cures it better. Printed (P(goal) in the true world):

T = 100     β = 0  β = 0.02  β = 0.05   β = 0.1   β = 0.2   β = 0.3     β = 1    the best is
τ = 0.005  0.7212    0.6533    0.5151    0.2737    0.1067    0.0708    0.0312    β = 0
τ = 0.01   0.5901    0.6011    0.5090    0.2735    0.1067    0.0708    0.0312    β = 0.02
τ = 0.014  0.3628    0.5343    0.4842    0.2709    0.1067    0.0708    0.0312    β = 0.02
τ = 0.02   0.1576    0.2589    0.3599    0.2501    0.1066    0.0708    0.0312    β = 0.05
τ = 0.03   0.0858    0.1057    0.1401    0.1661    0.1042    0.0707    0.0312    β = 0.1
τ = 0.05   0.0498    0.0546    0.0621    0.0734    0.0804    0.0677    0.0312    β = 0.2
τ = 0.1    0.0304    0.0313    0.0327    0.0351    0.0397    0.0428    0.0312    β = 0.3
τ = 0.2    0.0219    0.0221    0.0224    0.0230    0.0241    0.0251    0.0282    β = 1

τ = 0.02
T = 6      0.0020    0.0023    0.0029    0.0038    0.0040    0.0038    0.0031    β = 0.2
T = 8      0.0098    0.0115    0.0142    0.0164    0.0153    0.0140    0.0097    β = 0.1
T = 12     0.0344    0.0411    0.0498    0.0524    0.0424    0.0356    0.0208    β = 0.1
T = 20     0.0832    0.1056    0.1323    0.1241    0.0797    0.0596    0.0293    β = 0.05
T = 50     0.1514    0.2324    0.3091    0.2331    0.1059    0.0707    0.0312    β = 0.05

The best policy of all, T = 100: 0.7442
"""

from dataclasses import dataclass
from pathlib import Path

import tyro
from matplotlib.figure import Figure

from pgm_control import Frontier, TabularModel, evaluate, frontier, infer, plot
from pgm_control.models import frozen_lake

OPTIMISMS = [0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 1.0]


@dataclass
class Args:
    """How long the walk may take."""

    horizon: int = 100
    """number of actions"""
    picture: Path = Path("04_when_optimism_helps.png")
    """file to draw into"""
    smoke: bool = False
    """a short walk at few temperatures, to see that it runs"""


def row(name: str, found: Frontier) -> str:
    """What each optimism earns, and which is best: the return is 1 at the goal and 0 in a hole."""
    numbers = "".join(f"{point.mean:>10.4f}" for point in found.points)
    return f"{name:<9}{numbers[2:]}    β = {found.best.optimism:g}"


def main(args: Args) -> None:
    """Try every optimism at every temperature; then with less and less time."""
    temperatures = [0.005, 0.01, 0.014, 0.02, 0.03, 0.05, 0.1, 0.2]
    if args.smoke:
        args.horizon, temperatures = 10, [0.02, 0.1]
    lake = frozen_lake(horizon=args.horizon)
    print(f"{f'T = {args.horizon}':<9}" + "".join(f"{f'β = {b:g}':>10}" for b in OPTIMISMS)[2:] + "    the best is")
    found = {tau: frontier(TabularModel(lake, tau), OPTIMISMS, cvar_level=None) for tau in temperatures}
    for tau, each in found.items():
        print(row(f"τ = {tau:g}", each))
    print("\nτ = 0.02")
    for horizon in (6, 8, 12, 20, 50):
        print(
            row(
                f"T = {horizon}", frontier(TabularModel(frozen_lake(horizon=horizon), 0.02), OPTIMISMS, cvar_level=None)
            )
        )
    hard = infer(TabularModel(lake, temperature=0.0), optimism=0.0)  # value iteration
    best = evaluate(TabularModel(lake), hard.policy).true_return
    print(f"\nThe best policy of all, T = {args.horizon}: {best:.4f}")

    names = {0: "clamped, β = 0", 2: "β = 0.05", 4: "β = 0.2", 6: "free, β = 1"}
    figure = Figure(figsize=(10.8, 5.8), layout="constrained")
    plot.curves(
        temperatures,
        {name: [each.points[i].mean for each in found.values()] for i, name in names.items()},
        across="temperature τ (reward units per nat)",
        up="probability of reaching the goal",
        title="A little optimism helps who is too warm to care",
        levels={"the best policy": best},
        logarithmic="xy",
        ax=figure.subplots(),
        style="slide",
    )
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
