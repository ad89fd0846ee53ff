"""The cold limit: max-ent becomes optimal control, free inference becomes a maximum over luck as well.

It is said that inference recovers the optimal policy as the temperature goes to 0. Of the clamped posterior this is
true: V tends to the hard value, from below under a uniform prior, and by at most τ log A a step. The free posterior
tends to max max: the best action and the best outcome of positive probability, however improbable, from below and by at
most τ log(A / p) a step. It stays an optimist, whose policy plans for luck. On the slippery cliff its imagined return
is that of the walk that never slips; what it truly earns is the average over true slips. Printed:

limit of V: max-ent -47.102 (max mean), free -13.000 (max max)

      τ   V max-ent  gap/τ   earns        V free  gap/τ  imagines      earns
     10   -232.6270  18.55  -75.82      -81.7701   6.88   -49.288    -472.38
      3   -107.0472  19.98  -49.87      -53.0359  13.35   -26.199    -473.37
      1    -68.9039  21.80  -49.80      -29.8087  16.81   -15.172    -486.21
    0.3    -55.4312  27.76  -49.49      -18.3936  17.98   -13.051    -495.14
    0.1    -51.0814  39.79  -48.36      -14.8022  18.02   -13.000    -496.24
   0.03    -48.6475  51.51  -47.29      -13.5407  18.02   -13.000    -496.72
   0.01    -47.6644  56.22  -47.13      -13.1802  18.02   -13.000    -496.72
  0.003    -47.2775  58.43  -47.11      -13.0541  18.02   -13.000    -496.72
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from matplotlib.figure import Figure

from pgm_control import TabularMDP, TabularModel, evaluate, infer
from pgm_control.models import slippery_cliff


@dataclass
class Args:
    """Options of the example."""

    horizon: int = 50
    """number of actions"""
    picture: Path = Path("35_the_cold_limit.png")
    """output file of the picture"""
    smoke: bool = False
    """few temperatures, to see that it runs"""


def hard_value(mdp: TabularMDP, lucky: bool) -> float:
    """max over actions of the mean outcome, or of the best outcome that is possible."""
    v = torch.zeros(mdp.num_states, dtype=torch.float64)
    for _ in range(mdp.horizon):
        ahead = mdp.reward + v[mdp.successor]
        possible = torch.where(mdp.probability > 0, ahead, -torch.inf)
        v = (possible.max(-1).values if lucky else (mdp.probability * ahead).sum(-1)).max(-1).values
    return float(mdp.initial @ v)


def main(args: Args) -> None:
    """Cool both posteriors."""
    mdp = slippery_cliff(horizon=args.horizon)
    temperatures = (1.0, 0.01) if args.smoke else (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
    limits = {"max-ent": hard_value(mdp, lucky=False), "free": hard_value(mdp, lucky=True)}
    print("limit of V: max-ent {max-ent:.3f} (max mean), free {free:.3f} (max max)\n".format(**limits))
    print("      τ   V max-ent  gap/τ   earns        V free  gap/τ  imagines      earns")
    lines: dict[str, list[tuple[float, float, float]]] = {"max-ent": [], "free": []}
    for temperature in temperatures:
        model, text = TabularModel(mdp, temperature), f"{temperature:7g}"
        for name, optimism in (("max-ent", 0.0), ("free", 1.0)):
            found = infer(model, optimism)
            lived, gap = evaluate(model, found), limits[name] - found.value
            lines[name].append((found.value, lived.imagined_return, lived.true_return))
            text += f"{found.value:12.4f}{gap / temperature:7.2f}"
            text += (
                f"{lived.imagined_return:10.3f}{lived.true_return:11.2f}" if optimism else f"{lived.true_return:8.2f}  "
            )
        print(text)

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, colour in (("max-ent", "tab:blue"), ("free", "tab:orange")):
        value, _, earned = zip(*lines[name], strict=True)
        axes.semilogx(temperatures, value, "o-", color=colour, label=f"V, {name}")
        axes.semilogx(temperatures, earned, "s--", color=colour, label=f"earned, {name}", alpha=0.6)
        axes.axhline(limits[name], color=colour, lw=0.8, ls=":")
    axes.set(xlabel="temperature τ", ylabel="reward", ylim=(-520, 0))
    axes.invert_xaxis()
    axes.legend(frameon=False)
    figure.savefig(args.picture, dpi=120)


if __name__ == "__main__":
    main(tyro.cli(Args))
