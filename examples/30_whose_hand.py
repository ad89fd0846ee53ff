"""Whose hand was it? Free inference cannot tell its own hand from the wind; what it earns depends on it.

On the gusty ledge, s' = s + a + w with a ~ N(0, U) and w ~ N(0, W). The exact posterior draws hand and wind as one: log
p(O) and everything it imagines depend on U + W alone. Move variance from the hand to the wind, U + W = .8, and the
evidence stays what it is, while the same beliefs are paid for with more and more falls. The clamped guide counts only
its hand as its own: its ELBO falls with W, and it keeps more distance. Returns in reward units. Printed:

 hand   wind |    log p(O)  imagined     true |  clamped ELBO     true
 0.76   0.04 |    -13.7133   -2.0357   -4.575 |       -15.293   -2.493
 0.70   0.10 |    -13.7133   -2.0357  -10.694 |       -17.656   -3.198
 0.64   0.16 |    -13.7133   -2.0357  -17.788 |       -20.079   -3.909
 0.52   0.28 |    -13.7133   -2.0357  -34.201 |       -25.448   -5.403
 0.40   0.40 |    -13.7133   -2.0357  -55.056 |       -32.207   -7.107
"""

from dataclasses import dataclass
from pathlib import Path

import tyro
from matplotlib.figure import Figure

from pgm_control import PlanarModel, infer_planar, plot
from pgm_control.models import gusty_ledge

TOTAL, TEMPERATURE = 0.8, 0.5


@dataclass
class Args:
    """Options of the example."""

    horizon: int = 16
    """number of steps"""
    picture: Path = Path("30_whose_hand.png")
    """output file of the picture"""
    smoke: bool = False
    """two winds, a short horizon and a coarse mesh, to see that it runs"""


def main(args: Args) -> None:
    """Solve the ledge for several shares of the wind, free and clamped."""
    winds, spacing = [0.04, 0.1, 0.16, 0.28, 0.4], 0.08
    if args.smoke:
        winds, spacing, args.horizon = [0.2, 0.4], 0.2, 3
    print(" hand   wind |    log p(O)  imagined     true |  clamped ELBO     true")
    rows: dict[str, list[float]] = {"free, imagined": [], "free, true": [], "clamped, true": []}
    nats: dict[str, list[float]] = {"free: log p(O)": [], "clamped: ELBO": []}
    for wind in winds:
        model = PlanarModel(gusty_ledge(args.horizon, wind), TEMPERATURE, TOTAL - wind)
        free, clamped = (infer_planar(model, beta, spacing=spacing) for beta in (1.0, 0.0))
        left = f"{free.log_evidence:>12.4f}{free.imagined_return:>10.4f}{free.true_return:>9.3f}"
        print(f"{TOTAL - wind:5.2f}  {wind:5.2f} |{left} |{clamped.objective:>14.3f}{clamped.true_return:>9.3f}")
        for row, number in zip(
            (*rows.values(), *nats.values()),
            (free.imagined_return, free.true_return, clamped.true_return, free.log_evidence, clamped.objective),
            strict=True,
        ):
            row.append(number)

    figure = Figure(figsize=(11.8, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    across = f"variance of the wind; that of the hand is {TOTAL:g} minus it"
    plot.curves(winds, nats, across=across, up="nats", title="The evidence does not see whose hand it was", ax=left)
    plot.curves(winds, rows, across=across, up="reward units", title="What is earned does", ax=right)
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
