"""De-biasing: a model changed so that its exact free posterior has the true dynamics and the clamped policy.

A free posterior shifts the dynamics towards good outcomes. If the model shifts them towards bad outcomes beforehand,
the posterior returns them to the truth: in a model with such dynamics, and a bonus for every action, exact free
inference has the clamped policy, the true dynamics and the clamped objective. The dynamics of that model are those that
an adversary would choose. This solves nothing, since it needs the clamped answer; it expresses what clamping does as a
change of the model. Printed:

                          P(French)  objective [nats]
free                       0.379251          6.514996
clamped                    0.890903          4.722372
free, de-biased model      0.890903          4.722372

Italian:                                       bad          good   spectacular
true                                        0.2000        0.6000        0.2000
believed by the free posterior              0.0000        0.2888        0.7112
de-biased model (adversarial)               1.0000        0.0000        0.0000
believed in the de-biased model             0.2000        0.6000        0.2000
bonus for the action                       11.5906 (reward units)

French:                                        bad          good   spectacular
true                                        0.0500        0.9000        0.0500
believed by the free posterior              0.0000        0.7090        0.2910
de-biased model (adversarial)               1.0000        0.0000        0.0000
believed in the de-biased model             0.0500        0.9000        0.0500
bonus for the action                       12.3043 (reward units)

On the windy bridge the policies differ by at most 0.00000000.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import tyro
from matplotlib.figure import Figure
from torch import Tensor

from pgm_control import TabularModel, debias, infer
from pgm_control.models import restaurant, windy_bridge

PLACES, DINNERS = ("Italian", "French"), ("bad", "good", "spectacular")


@dataclass
class Args:
    """Options of the example."""

    horizon: int = 12
    """number of steps on the bridge"""
    picture: Path = Path("08_debiasing.png")
    """output file of the picture"""
    smoke: bool = False
    """a short bridge, to see that it runs"""


def main(args: Args) -> None:
    """Print all tables of the restaurant, then compare the policies on the windy bridge."""
    model = TabularModel(restaurant())
    cured = debias(model)
    free, clamped, free_cured = infer(model, optimism=1.0), infer(model, optimism=0.0), infer(cured.model, optimism=1.0)
    print("                          P(French)  objective [nats]")
    for name, found in (("free", free), ("clamped", clamped), ("free, de-biased model", free_cured)):
        print(f"{name:<25}{found.policy[0, 0, 1]:>10.6f}{found.objective:>18.6f}")
    dynamics = {
        "true": clamped.dynamics[0, 0],
        "believed by the free posterior": free.dynamics[0, 0],
        "de-biased model (adversarial)": cured.probability[0, 0],
        "believed in the de-biased model": cured.folded(free_cured).blocks().log_dynamics[0, 0].exp(),
    }
    for place, name in enumerate(PLACES):
        print(f"\n{name + ':':<36}" + "".join(f"{dinner:>14}" for dinner in DINNERS))
        for which, table in dynamics.items():
            print(f"{which:<36}" + "".join(f"{p:>14.4f}" for p in table[place].tolist()))
        print(f"{'bonus for the action':<36}{float(cured.bonus[0, 0, place]):>14.4f} (reward units)")

    bridge = TabularModel(windy_bridge(6 if args.smoke else args.horizon))
    there = debias(bridge)
    by_free_guide, clamped = there.folded(infer(there.model, optimism=1.0)).blocks(), infer(bridge, optimism=0.0)
    apart = (by_free_guide.log_policy.exp() - clamped.policy).abs().max()
    print(f"\nOn the windy bridge the policies differ by at most {float(apart):.8f}.")

    draw(dynamics, args.picture)


def draw(dynamics: Mapping[str, Tensor], path: Path) -> None:
    """Draw a panel for each restaurant: both models' dynamics, and what each posterior believes."""
    looks = [("#BBBBBB", ""), ("#E69F00", "//"), ("#0072B2", "xx"), ("#FFFFFF", "//")]
    with matplotlib.rc_context({"font.size": 17, "axes.titlesize": 19}):
        figure = Figure(figsize=(12, 6.6), layout="constrained")
        for place, (name, panel) in enumerate(zip(PLACES, figure.subplots(1, 2, sharey=True), strict=True)):
            for i, ((which, table), (color, hatch)) in enumerate(zip(dynamics.items(), looks, strict=True)):
                at = [k + 0.2 * (i - 1.5) for k in range(len(DINNERS))]
                panel.bar(at, table[place].numpy(), 0.2, color=color, hatch=hatch, edgecolor="black", label=which)
            panel.set_xticks(range(len(DINNERS)), DINNERS)
            panel.set_title(name, loc="left")
            panel.set(xlabel="dinner", ylim=(0, 1.02))
            panel.spines[["top", "right"]].set_visible(False)
        figure.axes[0].set_ylabel("probability")
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
        figure.suptitle("The posterior of the de-biased model has the true dynamics", fontsize=21)
        figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main(tyro.cli(Args))
