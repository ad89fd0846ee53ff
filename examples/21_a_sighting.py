"""A sighting: where the agent was, given that it was seen later, or that a noisy sensor reported something.

An optimal agent walks around a lake, by the east or by the west; a step slips aside with probability 1/5. Evidence
multiplies the density of trajectories by a likelihood at some of its sites. To be seen in a cell is a hard fact. The
sensor is virtual evidence: where the agent is in the west it says so with probability 0.9, elsewhere with 0.3, and
three reports weigh more than one. The log-probability of what is known, given that every step was optimal, is a
difference of two log evidences. Only dynamics that are free can be conditioned on how they fell: a clamped agent
chooses its actions, and none of them makes sure of being seen. Printed:

known                          log p(known | O)   P(in the east at t = 4)
nothing known                            0.0000                    0.9699
seen in (3, 1) at t = 8                 -5.6658                    0.0000
sensor at t = 3: west                   -1.1247                    0.9205
sensor at t = 3, 4, 5: west             -3.0821                    0.5895

clamped: `evidence` on state_8 must hold whatever happens under this `optimism`, but no choice of actions makes sure
that it does. Dynamics that are clamped or adversarial cannot be conditioned on how they fell: free the dynamics,
infer(model, 1.0, evidence=…), or pay for the state by a reward.
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
....G.
"""
WHEN = 4


@dataclass
class Args:
    """Options of the example."""

    temperature: float = 0.2
    """reward units per nat"""
    picture: Path = Path("21_a_sighting.png")
    """output file of the picture"""
    smoke: bool = False
    """a shorter walk, to see that it runs"""


def main(args: Args) -> None:
    """Print what each piece of evidence says about the route, then draw where the agent is at one time."""
    mdp = grid_world(MAP, horizon=10 if args.smoke else 14, slip=0.2, step_reward=-0.2)
    model = TabularModel(mdp, args.temperature)
    places = mdp.layout or ()
    east = torch.tensor([float(cell is not None and cell[1] >= 3) for cell in places], dtype=torch.float64)
    sensor = torch.where(east > 0, 0.3, 0.9)  # the likelihood of its report: "west"
    cases = {
        "nothing known": None,
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
        plot.state_map(mdp, there, f"P(state at t = {WHEN})", title=name, ax=panel, style="slide")
    figure.savefig(args.picture, dpi=100)
    try:
        infer(model, 0.0, evidence=cases["seen in (3, 1) at t = 8"])
    except InvalidArgument as refusal:
        print(f"\nclamped: {refusal}")


if __name__ == "__main__":
    main(tyro.cli(Args))
