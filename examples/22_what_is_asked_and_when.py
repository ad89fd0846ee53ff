"""What is asked, and when: models whose temperature, rewards and observed optimality depend on time.

A max-ent agent walks around a lake; each step costs 0.2, and not to have arrived at the end costs 6. In the second
model the temperature falls from 10 to 0.01: the walk begins nearly at random and ends with purpose. In the third, step
5 pays 4 in the corner (0, 0), so that the agent goes by the west and is there in time. In the last, only the optimality
of the end is observed: steps cost nothing there, so that the agent arrives without hurry. Printed:

                         entropy: t = 0  t = 15   P((0, 0) after step 5)   P(arrived at 10)  at 20
constant temperature              0.890   0.506                    0.005            0.324   0.993
temperature falls                 1.301   0.586                    0.021            0.030   0.995
step 5 pays in (0, 0)             1.248   0.465                    0.753            0.036   0.964
only the end observed             1.185   0.718                    0.020            0.073   0.969
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from matplotlib.figure import Figure

from pgm_control import TabularModel, infer, plot
from pgm_control.exchange import grid_world

MAP = """
..S...
.####.
.####.
....G.
"""
WHEN, WHERE = 5, "(0, 0)"


@dataclass
class Args:
    """Options of the example."""

    temperature: float = 0.3
    """reward units per nat, where it is constant"""
    picture: Path = Path("22_what_is_asked_and_when.png")
    """output file of the picture"""
    smoke: bool = False
    """a shorter walk, to see that it runs"""


def main(args: Args) -> None:
    """Solve four models of the same walk, print when each agent decides and arrives, and draw where it spends time."""
    steps = 12 if args.smoke else 20
    mdp = grid_world(MAP, horizon=steps, slip=0.2, step_reward=-0.2)
    names = mdp.state_names or ()
    mdp = mdp.replace(final_reward=[0.0 if name == "ended" else -6.0 for name in names])
    waypoint = mdp.reward.repeat(steps, 1, 1, 1)
    waypoint[WHEN] += 4.0 * (mdp.successor == names.index(WHERE))
    models = {
        "constant temperature": TabularModel(mdp, args.temperature),
        "temperature falls": TabularModel(mdp, torch.logspace(1.0, -2.0, steps)),
        f"step {WHEN} pays in {WHERE}": TabularModel(mdp.replace(reward=waypoint), args.temperature),
        "only the end observed": TabularModel(mdp, args.temperature, observed=[False] * steps + [True]),
    }
    spent = {}
    half, late = steps // 2, 3 * steps // 4
    print(f"{'':<24} entropy: t = 0  t = {late}   P({WHERE} after step {WHEN})   P(arrived at {half})  at {steps}")
    for name, model in models.items():
        found = infer(model, optimism=0.0)
        visits, policy = found.marginals().state, torch.distributions.Categorical(found.policy)
        inside = visits[:-1, :-1] / visits[:-1, :-1].sum(-1, keepdim=True)  # given that it has not arrived
        entropy = (inside * policy.entropy()[:, :-1]).sum(-1)
        there = float(visits[WHEN + 1, names.index(WHERE)])
        arrived = visits[:, -1]
        print(
            f"{name:<24} {entropy[0]:>14.3f} {entropy[late]:>7.3f} {there:>24.3f} {arrived[half]:>16.3f} "
            f"{arrived[-1]:>7.3f}"
        )
        spent[name] = visits.sum(0)
    figure = Figure(figsize=(10.8, 7.6), layout="constrained")
    most = max(float(each[:-1].max()) for each in spent.values())
    for (name, each), panel in zip(spent.items(), figure.subplots(2, 2).flat, strict=True):
        plot.state_map(mdp, each, "visits", title=name, limits=(0.0, most), ax=panel, style="slide")
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
