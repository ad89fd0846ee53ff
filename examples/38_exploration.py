"""Exploration: what soft and hard Q-learning visit. Entropy walks at random; it does not look for what is unknown.

Tabular Q-learning in two deterministic worlds, 50 runs of 10,000 steps each. Rooms: a goal 2 steps away pays .2, one
in the opposite room 1. Sea: only 10 steps to the right in a row find the 1, and each costs .001. Soft learners visit
more of the rooms the higher the temperature, up to what a random walk visits, and more than Boltzmann actions of hard
values; at τ = .01 they visit less than ε-greedy. They find the 1 by chance and hardly learn it. A greedy learner whose
Q starts at 1, an optimism about the unknown, visits all and learns both. "optimum": the return of the policy that the
objective wants; "learned": the runs whose greedy policy reaches the 1; "±": a standard error. Printed:

rooms                   coverage         found the 1   learned   optimum
hard, ε = .1            0.451 ± 0.025             1         0     0.653
hard, Boltzmann τ = .05 0.651 ± 0.018             6         0
soft, τ = .01           0.314 ± 0.021             0         0     0.645
soft, τ = .05           0.781 ± 0.013            11         0     0.430
soft, τ = .2            0.968 ± 0.005            36         0     0.130
random walk             0.979 ± 0.004            41         0
hard, Q = 1 at first    1.000 ± 0.000            50        50     0.653
sea                     coverage         found the 1   learned   optimum
hard, ε = .1            0.711 ± 0.009             0         0     0.990
hard, Boltzmann τ = .05 0.991 ± 0.002            29         3
soft, τ = .01           0.990 ± 0.002            26         4     0.990
soft, τ = .05           0.992 ± 0.002            30         4     0.990
soft, τ = .2            0.992 ± 0.002            31         1     0.118
random walk             0.992 ± 0.002            31         5
hard, Q = 1 at first    1.000 ± 0.000            50        50     0.990
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from matplotlib.figure import Figure

from pgm_control import TabularMDP, TabularModel, evaluate, infer

MAP = ("....#...G", "....#....", ".........", "....#....", "....#....",
       "#.####.##", "....#....", "s........", "....#....", "n...#....")  # fmt: skip
STEPS = ((-1, 0), (1, 0), (0, -1), (0, 1))
LEARNERS = {
    "hard, ε = .1": {"epsilon": 0.1}, "hard, Boltzmann τ = .05": {"boltzmann": 0.05}, "soft, τ = .01": {"tau": 0.01},
    "soft, τ = .05": {"tau": 0.05}, "soft, τ = .2": {"tau": 0.2}, "random walk": {"boltzmann": np.inf},
    "hard, Q = 1 at first": {"first": 1.0},
}  # fmt: skip


@dataclass
class Args:
    """Options of the example."""

    runs: int = 50
    """number of runs of each learner"""
    steps: int = 10_000
    """number of steps of each run"""
    picture: Path = Path("38_exploration.png")
    """output file of the picture"""
    smoke: bool = False
    """few steps, to see that it runs"""


def rooms() -> TabularMDP:
    """Four rooms with doors; actions go up, down, left and right, and walls stop them."""
    cells = [(i, j) for i, row in enumerate(MAP) for j, kind in enumerate(row) if kind != "#"]
    number, kind = {cell: n for n, cell in enumerate(cells)}, np.array([MAP[i][j] for i, j in cells])
    to = np.array([[number.get((i + y, j + x), number[i, j]) for y, x in STEPS] for i, j in cells])
    ended = np.isin(kind, ["n", "G"])
    to[ended] = np.flatnonzero(ended)[:, None]
    reward = np.where(ended[:, None], 0.0, 0.2 * (kind[to] == "n") + 1.0 * (kind[to] == "G"))
    return deterministic(to, reward, kind == "s", 60, 0.97)


def sea(rows: int = 10) -> TabularMDP:
    """A triangle: each action goes down a row, 0 to the left and 1 to the right; the last state is the end."""
    cells = [(i, j) for i in range(rows) for j in range(i + 1)]
    number, end = {cell: n for n, cell in enumerate(cells)}, len(cells)
    to = [[number.get((i + 1, max(j - 1, 0)), end), number.get((i + 1, j + 1), end)] for i, j in cells]
    reward = np.outer(np.arange(end + 1) < end, [0.0, -0.01 / rows])
    reward[end - 1, 1] += 1.0
    return deterministic(np.array([*to, [end, end]]), reward, np.arange(end + 1) == 0, rows, 1.0)


def deterministic(to: np.ndarray, reward: np.ndarray, start: np.ndarray, horizon: int, gamma: float) -> TabularMDP:
    """A problem of one outcome for each action."""
    return TabularMDP(1.0 * start, np.ones((*to.shape, 1)), to[..., None], reward[..., None], horizon, discount=gamma)


def learn(mdp: TabularMDP, args: Args, **options: float) -> tuple[np.ndarray, ...]:
    """Q-learning, all runs side by side: coverage over time, visits, Q, whether the 1 was found and learned."""
    tau, boltzmann, epsilon, first = (options.get(name, 0.0) for name in ("tau", "boltzmann", "epsilon", "first"))
    to, pays = mdp.successor[..., 0].numpy(), mdp.reward[..., 0].numpy()
    ended, start = (to == np.arange(len(to))[:, None]).all(1), int(mdp.initial.argmax())
    rng, run, unit = np.random.default_rng(0), np.arange(args.runs), tau or boltzmann or 1e-9
    q = np.where(ended[:, None], 0.0, first) * np.ones((args.runs, *to.shape))
    visits, covered = np.zeros(q.shape[:2]), np.zeros((args.steps, args.runs))
    s, age, found = np.full(args.runs, start), np.zeros(args.runs, int), np.zeros(args.runs, bool)
    for t in range(args.steps):
        a = (q[run, s] / unit + rng.gumbel(size=(args.runs, to.shape[1]))).argmax(1)  # a sample of the softmax
        a = np.where(rng.random(args.runs) < epsilon, rng.integers(to.shape[1], size=args.runs), a)
        covered[t] = covered[t - 1] + (visits[run, s] == 0)  # the last row is still 0 at first
        visits[run, s] += 1
        after, reward = to[s, a], pays[s, a]
        ahead, found = q[run, after], found | (reward > 0.5)
        v = tau * np.log(np.exp(ahead / tau).mean(1)) if tau else ahead.max(1)
        q[run, s, a] += 0.5 * (reward + mdp.discount * np.where(ended[after], 0.0, v) - q[run, s, a])
        over = ended[after] | (age == mdp.horizon - 1)
        s, age = np.where(over, start, after), np.where(over, 0, age + 1)
    s, earned = np.full(args.runs, start), np.zeros(args.runs)
    for _ in range(mdp.horizon):
        a = (q[run, s] + 1e-9 * rng.random((args.runs, to.shape[1]))).argmax(1)
        s, earned = to[s, a], earned + pays[s, a]
    return covered / (~ended).sum(), visits, q, found, earned > 0.5


def main(args: Args) -> None:
    """Let all learners loose in both worlds, and draw what they visit."""
    args.runs, args.steps = (3, 100) if args.smoke else (args.runs, args.steps)
    figure = Figure(figsize=(8, 5.6), layout="constrained")
    grid, sizes = figure.add_gridspec(2, 1, height_ratios=(1, 1.9)), (len(LEARNERS), 2)
    maps, curves = (figure.add_subfigure(grid[row]).subplots(1, sizes[row], sharey=True) for row in (0, 1))
    for world, mdp, axes in zip(("rooms", "sea"), (rooms(), sea()), curves, strict=True):
        print(f"{world:<24}coverage         found the 1   learned   optimum")
        for place, (name, options) in zip(maps, LEARNERS.items(), strict=True):
            covered, visits, _, found, learned = learn(mdp, args, **options)
            model, error = TabularModel(mdp, options.get("tau", 0.0)), covered[-1].std() / args.runs**0.5
            best = "" if "boltzmann" in options else f"{evaluate(model, infer(model, 0.0)).true_return:9.3f}"
            print(f"{name:<24}{covered[-1].mean():.3f} ± {error:.3f}{found.sum():14}{learned.sum():10} {best}".rstrip())
            axes.plot(covered.mean(1), label=name)
            if world == "rooms":
                shown = np.full((len(MAP), len(MAP[0])), np.nan)
                shown[np.array([list(row) for row in MAP]) != "#"] = np.log10(1 + visits.mean(0))
                place.imshow(shown, vmin=0, vmax=3)
                place.set_title(name.replace(", ", "\n"), fontsize=8)
                place.set_axis_off()
        axes.set(title=f"{world}: share of the states visited", xlabel="steps", xscale="log", ylim=(0, 1.02))
    curves[1].legend(frameon=False, fontsize=8)
    figure.savefig(args.picture, dpi=110)


if __name__ == "__main__":
    main(tyro.cli(Args))
