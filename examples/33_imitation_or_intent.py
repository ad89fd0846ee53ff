"""Imitation or intent: cloning copies actions, inverse RL learns what they were for. The world then changes.

Twenty demonstrations lead through the near door of a wall. Cloning learns the frequencies of actions by state, uniform
where nothing was seen; `inverse` learns a reward, and plans with it in the world at hand. With two features, the time
outside the goal and in the swamp (~), the learned weights are in error by a third, and still good enough in the new
worlds. A reward with one number for each state explains the demonstrations as well, but it knows little about cells
that were not visited, and does not find the far door. In the world of the demonstrations cloning is nearly as good
as inverse RL, and needs neither features nor dynamics. Printed:

weights of the two features: -0.80 and -1.79; the truth is -1 and -3

return in the world        as demonstrated  near door closed      another door
knows the reward                    -10.45            -16.46            -11.89
cloning                             -11.23            -46.28            -46.23
inverse, two features               -10.62            -16.94            -12.38
inverse, by state                   -10.65            -46.54            -14.66
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pgm_control import TabularMDP, TabularModel, Trajectories, evaluate, infer
from pgm_control.inverse_rl import Demonstrations, LinearReward, inverse

ROWS, COLUMNS, HORIZON, TEMPERATURE = 7, 7, 40, 0.5
START, GOAL, SWAMP = (1, 0), (1, 6), {(0, 1), (1, 1), (2, 1), (5, 5), (6, 5), (4, 5)}
NEAR, FAR = (1, 3), (5, 3)  # doors in the wall, which is column 3
WORLDS = {"as demonstrated": (NEAR, FAR), "near door closed": (FAR,), "another door": ((3, 3),)}
WEIGHTS = torch.tensor([-1.0, -3.0], dtype=torch.float64)  # of a step outside the goal, and of one from a swamp


def index(cell: tuple[int, int]) -> int:
    """The number of a cell."""
    return cell[0] * COLUMNS + cell[1]


def features() -> torch.Tensor:
    """Whether the state is outside the goal, and whether it is a swamp, (S, A, 2)."""
    shown = torch.zeros(ROWS * COLUMNS, 4, 2, dtype=torch.float64)
    shown[..., 0] = 1.0
    shown[index(GOAL)] = 0.0
    for cell in SWAMP:
        shown[index(cell), :, 1] = 1.0
    return shown


def world(doors: tuple[tuple[int, int], ...], reward: torch.Tensor) -> TabularModel:
    """The grid with these doors; a step goes in a random direction with probability .1."""
    transition = torch.zeros(ROWS * COLUMNS, 4, ROWS * COLUMNS, dtype=torch.float64)
    for s in range(ROWS * COLUMNS):
        for a, (down, right) in enumerate(((-1, 0), (0, 1), (1, 0), (0, -1))):
            to = s // COLUMNS + down, s % COLUMNS + right
            enters = 0 <= to[0] < ROWS and 0 <= to[1] < COLUMNS and (to[1] != 3 or to in doors)
            transition[s, a, index(to) if enters and s != index(GOAL) else s] = 1.0
    transition = 0.9 * transition + 0.1 * transition.mean(1, keepdim=True)
    start = torch.eye(ROWS * COLUMNS)[index(START)]
    return TabularModel(TabularMDP.from_dense(start, transition, reward, HORIZON), TEMPERATURE)


def clone(watched: Trajectories) -> torch.Tensor:
    """The frequencies of the actions in each state, uniform where there are none."""
    counts = torch.zeros(ROWS * COLUMNS, 4, dtype=torch.float64)
    states, actions = watched.states[:, :HORIZON].flatten(), watched.actions.flatten()
    counts.index_put_((states, actions), torch.ones(len(actions), dtype=torch.float64), accumulate=True)
    total = counts.sum(-1, keepdim=True)
    return torch.where(total > 0, counts / total.clamp(min=1), 0.25).expand(HORIZON, -1, -1)


@dataclass
class Args:
    """Options of the example."""

    demonstrations: int = 20
    """number of demonstrations"""
    picture: Path = Path("33_imitation_or_intent.png")
    """output file of the picture"""
    smoke: bool = False
    """few demonstrations, to see that it runs"""


def main(args: Args) -> None:
    """Watch, clone, learn rewards, and live in other worlds."""
    true = features() @ WEIGHTS
    home = world(WORLDS["as demonstrated"], true)
    watched = infer(home, 0.0).sample(3 if args.smoke else args.demonstrations, torch.Generator().manual_seed(0))
    seen = Demonstrations.from_trajectories(home.mdp, watched)
    copied = clone(watched)

    two = LinearReward(home.mdp, features(), names=("outside the goal", "in the swamp"))
    found = inverse(home, seen, two, "clamped")
    each = inverse(home, seen, "state", "clamped", prior=2.0)
    print("weights of the two features: {:.2f} and {:.2f}; the truth is -1 and -3".format(*two.weight.tolist()))
    if found.direction is not None:
        print("they grow without bound: so few demonstrations do not tell their size")
    rewards = {"inverse, two features": (features() @ two.weight.detach()), "inverse, by state": each.table[..., 0]}
    print(f"\n{'return in the world':<24}" + "".join(f"{name:>18}" for name in WORLDS))
    earned: dict[str, list[float]] = {}
    for name in ("knows the reward", "cloning", *rewards):
        for doors in WORLDS.values():
            there = world(doors, true)
            if name == "cloning":
                policy = copied
            else:
                policy = infer(there if name == "knows the reward" else world(doors, rewards[name]), 0.0).policy
            earned.setdefault(name, []).append(evaluate(there, policy).true_return)
        print(f"{name:<24}" + "".join(f"{value:>18.2f}" for value in earned[name]))

    figure = Figure(figsize=(9, 4.2), layout="constrained")
    grid = figure.subplots(2, 3)
    for first, row, name in zip((True, False), grid, ("cloning", "inverse, two features"), strict=True):
        for axes, (where, doors) in zip(row, WORLDS.items(), strict=True):
            there = world(doors, true)
            policy = copied if name == "cloning" else infer(world(doors, rewards[name]), 0.0).policy
            walk = TabularModel(there.mdp.replace(reward=0 * there.mdp.reward), 1.0, policy)
            shown = infer(walk, 0.0).marginals().state.sum(0).reshape(ROWS, COLUMNS)
            axes.imshow(shown.sqrt().numpy(), cmap="Blues", vmax=4)
            for i in range(ROWS):
                if (i, 3) not in doors:
                    axes.add_patch(Rectangle((2.5, i - 0.5), 1, 1, color="0.3"))
            for i, j in SWAMP:
                axes.text(j, i, "~", ha="center", va="center", color="tab:brown")
            axes.text(GOAL[1], GOAL[0], "G", ha="center", va="center", color="tab:green", weight="bold")
            axes.set(xticks=[], yticks=[], title=where if first else "")
        row[0].set_ylabel(name)
    figure.savefig(args.picture, dpi=110)


if __name__ == "__main__":
    main(tyro.cli(Args))
