"""A sighting: where the agent was, and will be, given that it was seen somewhere. Printed:

"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from matplotlib.figure import Figure

from pgm_control import InvalidArgument, TabularModel, infer, plot
from pgm_control.exchange import grid_world

MAP = """
..S...
.####.
.####.
.....G
"""
WHEN = 4


@dataclass
class Args:
    """Options of the example."""

    temperature: float = 0.5
    """reward units per nat"""
    picture: Path = Path("21_a_sighting.png")
    """output file of the picture"""
    smoke: bool = False
    """a shorter walk, to see that it runs"""


def main(args: Args) -> None:
    """Print what each piece of evidence says about the route, then draw where the agent is at one time."""
    mdp = grid_world(MAP, horizon=10 if args.smoke else 14, slip=0.2, step_reward=-0.2)
    model = TabularModel(mdp, args.temperature)
    east = torch.tensor([float(column >= 3) for _, column in mdp.layout])
    sensor = torch.where(east > 0, 0.3, 0.9)  # the likelihood of its report: "west"
    cases = {
        "nothing": None,
        "seen in (3, 1) at t = 8": {"state_8": "(3, 1)"},
        "sensor at t = 3: west": {"state_3": sensor},
        "sensor at t = 3, 4, 5: west": {f"state_{t}": sensor for t in (3, 4, 5)},
    }
    optimal = infer(model, 1.0)
    figure = Figure(figsize=(10.8, 7.6), layout="constrained")
    print("known                          log p(known | O)   P(in the east at t = 4)")
    for (name, evidence), panel in zip(cases.items(), figure.subplots(2, 2).flat, strict=True):
        found = infer(model, 1.0, evidence=evidence)
        there = found.marginals().state[WHEN]
        print(f"{name:<30} {found.log_evidence - optimal.log_evidence:>16.4f} {float(there @ east):>25.4f}")
        plot.state_map(mdp, there, f"q(s_{WHEN})", title=name, ax=panel, style="slide")
    figure.savefig(args.picture, dpi=100)
    try:
        infer(model, 0.0, evidence=cases["seen in (3, 1) at t = 8"])
    except InvalidArgument as refusal:
        print(f"\nclamped: {refusal}")


if __name__ == "__main__":
    main(tyro.cli(Args))
