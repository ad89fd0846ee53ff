"""Deterministic twins: with deterministic dynamics, free, clamped and every optimism between them are the same.

A free posterior differs from a clamped one only in that it may change the dynamics. Each problem of the zoo has a twin
in which every action has one outcome, and there the two have the same objective and the same policy. So planning as
inference is biased in stochastic worlds only. The picture makes the ice of the frozen lake slippery bit by bit: the
return that the free guide imagines stays the same, and the return that it earns does not. Printed:

free and clamped differ by:  objective [nats]   policy [probability]
restaurant                             1.7926              0.5117
restaurant_twin                        0.0000              0.0000
lottery                                4.3867              0.9674
lottery_twin                           0.0000              0.0000
risky_path                             1.1661              0.6884
risky_path_twin                        0.0000              0.0000
windy_bridge                           4.8594              0.6743
windy_bridge_twin                      0.0000              0.0000
slippery_cliff                        39.0953              0.6667
slippery_cliff_twin                    0.0000              0.0000
frozen_lake                            0.0090              0.0179
frozen_lake_twin                       0.0000              0.0000
"""

from dataclasses import dataclass
from pathlib import Path

import gymnasium
import tyro
from matplotlib.figure import Figure

from pgm_control import TabularMDP, TabularModel, evaluate, infer, plot, zoo


@dataclass
class Args:
    """Options of the example."""

    horizon: int = 100
    """number of actions"""
    temperature: float = 0.05
    """reward units per nat"""
    picture: Path = Path("05_deterministic_twins.png")
    """output file of the picture"""
    smoke: bool = False
    """a short walk, to see that it runs"""


def main(args: Args) -> None:
    """Compare the guides on problems and their twins, then on lakes with more and more slipping."""
    print("free and clamped differ by:  objective [nats]   policy [probability]")
    for name, entry in zoo().items():
        if "8x8" in name:  # a larger version of the same problem
            continue
        model = TabularModel(entry.build())
        free, clamped = infer(model, optimism=1.0), infer(model, optimism=0.0)
        visited = clamped.marginals().state[:-1] > 0
        apart = 0.5 * (free.policy - clamped.policy).abs().sum(-1)[visited].max()  # total variation
        print(f"{name:<25}{abs(free.value - clamped.value) / model.temperature:>20.4f}{float(apart):>20.4f}")

    horizon, steps = (10, 3) if args.smoke else (args.horizon, 11)
    slips = [2 / 3 * n / (steps - 1) for n in range(steps)]
    rows = {"free, imagined": [], "free, true": [], "clamped, true": []}
    for slip in slips:
        env = gymnasium.make("FrozenLake-v1", success_rate=1.0 - slip)
        model = TabularModel(TabularMDP.from_gymnasium(env, horizon), args.temperature)
        free, clamped = (evaluate(model, infer(model, optimism=optimism)) for optimism in (1.0, 0.0))
        for row, value in zip(
            rows.values(), (free.imagined_return, free.true_return, clamped.true_return), strict=True
        ):
            row.append(value)
    figure = Figure(figsize=(10.8, 5.8), layout="constrained")
    plot.curves(
        slips,
        rows,
        across="probability of slipping (Gymnasium's lake: 0.67)",
        up="probability of reaching the goal",
        title="Without slips the free guide earns what it imagines",
        ax=figure.subplots(),
        style="slide",
    )
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
