"""A thousand temperatures solved in two calls, with derivatives: the KL that an agent spends on leaving its prior.

`soft_values` solves one problem for a whole batch of settings, and its answers can be differentiated. The derivative of
the soft value by the temperature is, up to its sign, the KL of the optimum from the prior, in nats. On the frozen lake
the whole curve takes two calls. A free agent never spends more than 4.27 nats, which is −log of the probability that
the prior reaches the goal: it changes dynamics and actions until the goal is certain. A clamped agent has to walk
there. It spends fourteen times as much at a low temperature, and almost nothing at a high one. Printed:

temperature      value [reward]         spent [nats]
                 free  clamped         free  clamped
      0.001    0.9957   0.6842       4.2730  59.7967
      0.010    0.9576   0.2339       4.2730  36.0858
      0.100    0.5750   0.0220       4.2392   0.0846
      0.998    0.0237   0.0147       0.0134   0.0008
     10.000    0.0146   0.0140       0.0001   0.0000
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from matplotlib.figure import Figure

from pgm_control import TabularModel, plot, soft_values
from pgm_control.models import frozen_lake


@dataclass
class Args:
    """Options of the example."""

    temperatures: int = 1000
    """number of temperatures"""
    horizon: int = 100
    """number of actions"""
    picture: Path = Path("14_a_thousand_temperatures.png")
    """output file of the picture"""
    smoke: bool = False
    """a short walk at few temperatures, to see that it runs"""


def main(args: Args) -> None:
    """Solve for all temperatures, differentiate, and draw."""
    if args.smoke:
        args.temperatures, args.horizon = 10, 10
    model = TabularModel(frozen_lake(horizon=args.horizon))
    spent, values = {}, {}
    for name, optimism in (("free guide", 1.0), ("clamped guide", 0.0)):
        tau = torch.logspace(-3, 1, args.temperatures, dtype=torch.float64, requires_grad=True)
        value = soft_values(model, optimism, temperature=tau).objective * tau  # reward units
        spent[name] = -torch.autograd.grad(value.sum(), tau)[0]
        values[name] = value.detach()
    print("temperature      value [reward]         spent [nats]\n                 free  clamped         free  clamped")
    for n in torch.linspace(0, args.temperatures - 1, 5).long().tolist():
        free, clamped = (f"{float(values[name][n]):>9.4f}" for name in values)
        of_free, of_clamped = (f"{float(spent[name][n]):>9.4f}" for name in spent)
        print(f"{tau[n].item():>11.3f} {free}{clamped}    {of_free}{of_clamped}")

    figure = Figure(figsize=(10.8, 5.8), layout="constrained")
    plot.curves(
        tau,
        spent,
        across="temperature τ (reward units per nat)",
        up="KL from the prior (nats)",
        title="A thousand temperatures in two calls",
        logarithmic="xy",
        ax=figure.subplots(),
        style="slide",
    )
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
