"""When optimism helps: on the frozen lake a little optimism raises the true return of an agent at a high temperature.

The goal pays 1, which is worth 1/τ nats, and careful steps cost nats as long as the walk lasts. At a low temperature
the agent can afford the care: max-ent control (β = 0) comes close to the optimal policy, and optimism only does harm.
At a higher temperature it cannot. At τ = .02 the optimal policy spends 60 nats in 44 steps; max-ent spends 4, and
leaves the ice after 12 steps, mostly through a hole. With a *little* optimism the goal looks nearly certain, and so is
worth more care. Optimism adds effort but distorts the beliefs, so there is a best amount, and it rises with the
temperature. Full optimism beats max-ent only from τ = .1 on, where both rarely arrive, and at τ = .02 with T = 6, where
arriving is luck. No optimism beats the optimal policy: a lower temperature helps more.
Printed (P(goal) in the true world):

T = 100     β = 0  β = 0.02  β = 0.05   β = 0.1   β = 0.2   β = 0.3     β = 1    best
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

The optimal policy, T = 100: 0.7442
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
    """Options of the example."""

    horizon: int = 100
    """number of actions"""
    picture: Path = Path("04_when_optimism_helps.png")
    """output file of the picture"""
    smoke: bool = False
    """a short walk at few temperatures, to see that it runs"""


def row(name: str, found: Frontier) -> str:
    """A line with the true return of each β, and the best β; the return is 1 at the goal and 0 in a hole."""
    numbers = "".join(f"{point.true_return:>10.4f}" for point in found.points)
    return f"{name:<9}{numbers[2:]}    β = {found.best.optimism:g}"


def main(args: Args) -> None:
    """Evaluate every optimism at every temperature, then at one temperature for several horizons."""
    temperatures = [0.005, 0.01, 0.014, 0.02, 0.03, 0.05, 0.1, 0.2]
    if args.smoke:
        args.horizon, temperatures = 10, [0.02, 0.1]
    lake = frozen_lake(horizon=args.horizon)
    print(f"{f'T = {args.horizon}':<9}" + "".join(f"{f'β = {b:g}':>10}" for b in OPTIMISMS)[2:] + "    best")
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
    print(f"\nThe optimal policy, T = {args.horizon}: {best:.4f}")

    names = {0: "clamped, β = 0", 2: "β = 0.05", 4: "β = 0.2", 6: "free, β = 1"}
    figure = Figure(figsize=(10.8, 5.8), layout="constrained")
    plot.curves(
        temperatures,
        {name: [each.points[i].true_return for each in found.values()] for i, name in names.items()},
        across="temperature τ (reward units per nat)",
        up="probability of reaching the goal",
        title="At a high temperature a little optimism helps",
        levels={"optimal policy": best},
        logarithmic="xy",
        ax=figure.subplots(),
        style="slide",
    )
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
