"""Skills: what an agent can make happen, and what it believes that it can.

A room of 5 x 5 cells with walls, from its centre, four steps: in each the wind replaces the action, with probability ½,
by one of the four moves. No reward from outside. A skill z is drawn, and pays for a last state from which z can be
guessed, 5 log d(z | s_T); d is refitted by Bayes' rule until nothing moves (variational intrinsic control). It is one
inference problem, and it has the dial. The free agent is sure that it can be distinguished: it believes that the wind
will carry each skill to cells of its own, log N nats, however many skills there are. An observer of the room learns
next to nothing. What the clamped agent imagines is what it has. The empowerment of the centre, the most that any
choice of plans made beforehand can carry, is .756 nats; these skills see where they are on the way. Printed:

skills  agent      imagined    true
     4  free         1.3863   0.0905
     4  half         1.3863   0.2176
     4  clamped      0.5097   0.5097
     8  free         2.0794   0.1090
     8  half         2.0794   0.2928
     8  clamped      0.6063   0.6063
empowerment of the centre 0.7559 nats, of a corner 0.5698 nats
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from matplotlib.figure import Figure

from pgm_control import TabularMDP, TabularModel, empowerment, skills

MOVES = ((0, 1), (1, 0), (0, -1), (-1, 0), (0, 0))
AGENTS = {"free": 1.0, "half": 0.5, "clamped": 0.0}


@dataclass
class Args:
    """Options of the example."""

    wind: float = 0.5
    """probability that the wind replaces the action"""
    picture: Path = Path("40_skills.png")
    """output file of the picture"""
    smoke: bool = False
    """four skills only, from one start, to see that it runs"""


def room(wind: float, size: int = 5, horizon: int = 4) -> TabularMDP:
    """The room, as a table."""
    cells = [(row, column) for row in range(size) for column in range(size)]
    transition = torch.zeros(len(cells), len(MOVES), len(cells), dtype=torch.float64)
    for state, (row, column) in enumerate(cells):
        reached = [(row + down, column + right) for down, right in MOVES]
        ahead = [cells.index(each) if each in cells else state for each in reached]
        for action in range(len(MOVES)):
            transition[state, action, ahead[action]] += 1 - wind
            for gust in ahead[:4]:
                transition[state, action, gust] += wind / 4
    start = torch.zeros(len(cells), dtype=torch.float64)
    start[len(cells) // 2] = 1.0
    reward = torch.zeros(len(cells), len(MOVES), dtype=torch.float64)
    return TabularMDP.from_dense(start, transition, reward, horizon, layout=cells)


def main(args: Args) -> None:
    """Find skills of three agents, and draw where they end."""
    mdp = room(args.wind)
    model, found = TabularModel(mdp, temperature=1.0), {}
    print("skills  agent      imagined    true")
    for count, seed in ((4, 14), (8, 0))[: 1 if args.smoke else 2]:
        for name, optimism in AGENTS.items():
            best = skills(model, count, optimism, scale=5.0, starts=1 if args.smoke else 2, seed=seed)
            found[name, count] = best
            print(f"{count:6}  {name:9}{best.imagined_information:10.4f}{best.true_information:9.4f}")
    centre, corner = empowerment(mdp, states=[12, 0]).value.tolist()
    print(f"empowerment of the centre {centre:.4f} nats, of a corner {corner:.4f} nats")

    free, clamped = found["free", 4], found["clamped", 4]
    rows = {
        f"free, imagined: {free.imagined_information:.2f} nats": free.imagined,
        f"free, true: {free.true_information:.2f} nats": free.true,
        f"clamped: {clamped.true_information:.2f} nats": clamped.true,
    }
    figure = Figure(figsize=(8, 6.2), layout="constrained")
    axes = figure.subplots(3, 4)
    for row, (name, ends) in zip(axes, rows.items(), strict=True):
        for skill, ax in enumerate(row):
            ax.imshow(ends[skill].reshape(5, 5).numpy(), cmap="Blues", vmin=0.0, vmax=float(ends.max()))
            ax.set_title(f"skill {skill + 1}", fontsize=9)
            ax.set(xticks=[], yticks=[])
        row[0].set_ylabel(name)
        figure.colorbar(row[0].images[0], ax=row, label="probability\nof the last cell", fraction=0.02)
    figure.savefig(args.picture, dpi=100)


if __name__ == "__main__":
    main(tyro.cli(Args))
