"""Many ways: the max-ent policy reaches four equal goals; the best Gaussian policy does too, until it must choose.

A point in the plane moves to any of four goals (MultiGoal-v0 on a lattice of 1/4, 30 steps). The max-ent policy is
exact. The best policy that is Gaussian in every state and at every time is found by the same backward recursion, with
a search over means and deviations in place of the softmax. It is said that a unimodal policy reaches one goal only. At
temperature 10 this is wrong: the best Gaussian spreads widely at the origin and decides later. It reaches all goals,
and loses 1.1 nats and a return of 7.5 by the detour. At temperature 3 to spread is too dear, and it takes one goal.
"deviation" is that of the first step to the right. Printed:

objective   return  entropy  deviation   right   left     up   down
τ = 10  max-ent          -23.57  -165.82    19.03       0.66   0.250  0.250  0.250  0.250
τ = 10  best Gaussian    -24.69  -173.36    19.64       0.64   0.202  0.298  0.250  0.250
τ = 3   max-ent          -58.12  -138.60    14.63       0.66   0.250  0.250  0.250  0.250
τ = 3   best Gaussian    -60.49  -141.48    12.77       0.15   0.000  1.000  0.000  0.000
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from matplotlib.figure import Figure

from pgm_control import TabularMDP, TabularModel, evaluate, infer
from pgm_control.models.multi_goal import BOUND, GOALS

TEMPERATURES = (10.0, 3.0)


@dataclass
class Args:
    """Options of the example."""

    step: float = 0.25
    """distance of the points of the lattice"""
    picture: Path = Path("34_many_ways.png")
    """output file of the picture"""
    smoke: bool = False
    """a coarse lattice, to see that it runs"""


def square(reach: float, step: float) -> np.ndarray:
    """The points of a square lattice."""
    line = np.linspace(-reach, reach, 1 + round(2 * reach / step))
    return np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)


def multi_goal(place: np.ndarray, action: np.ndarray, step: float) -> TabularMDP:
    """The environment on its lattice; the last state is reached by reaching a goal."""
    ended, side = len(place), round(len(place) ** 0.5)
    row, column = (
        np.rint((np.clip(place[:, None] + action, -BOUND, BOUND) + BOUND) / step).astype(int).transpose(2, 0, 1)
    )
    squared, to = np.square(place[:, None] - GOALS).sum(-1).min(1), row * side + column
    reward = -30 * np.square(action).sum(1) - squared[to] + 10 * (squared[to] < 1)
    successor = np.vstack([np.where(squared[to] < 1, ended, to), np.full((1, len(action)), ended)])[..., None]
    reward = np.vstack([reward, np.zeros((1, len(action)))])[..., None]
    start = np.append(np.abs(place).sum(1) == 0, False).astype(float)
    return TabularMDP(start, np.ones_like(reward), successor, reward, horizon=30)


def best_gaussian(model: TabularModel, action: np.ndarray) -> torch.Tensor:
    """The best of all policies that are Gaussian at each time and state, (T, S, A), on a grid of Gaussians."""
    mean, spread = torch.as_tensor(square(1.25, 0.25)), torch.tensor([0.1, 0.15, 0.22, 0.33, 0.5, 0.75, 1.2, 3.0])
    gap = torch.as_tensor(action)[None, :] - mean[:, None]
    log_q = (-0.5 * (gap[:, None] / spread.double()[:, None, None]).square().sum(-1)).log_softmax(-1).flatten(0, 1)
    q, mdp = log_q.exp(), model.mdp
    cost = model.temperature * (q * (log_q + np.log(len(action)))).sum(-1)
    value, rows = torch.zeros(mdp.num_states, dtype=torch.float64), []
    for _ in range(mdp.horizon):
        worth = (mdp.reward[..., 0] + value[mdp.successor[..., 0]]) @ q.T - cost
        value = worth.amax(-1)
        first = (worth > value[:, None] - 1e-9).int().argmax(-1)  # of those that are equal but for rounding
        rows.append(q[first])
    return torch.stack(rows[::-1])


def arrivals(mdp: TabularMDP, policy: torch.Tensor, goals: np.ndarray) -> list[float]:
    """The probability that an episode ends at each goal."""
    here, share = mdp.initial.clone(), torch.zeros(4, dtype=torch.float64)
    to = mdp.successor[..., 0]
    for t in range(mdp.horizon):
        flow = here[:, None] * policy[t]
        arrive = (to == mdp.num_states - 1) & (torch.arange(mdp.num_states)[:, None] < mdp.num_states - 1)
        share.index_add_(0, torch.as_tensor(goals)[arrive], flow[arrive])
        here = torch.zeros_like(here).index_add_(0, to.flatten(), flow.flatten())
    return share.tolist()


def distance(place: np.ndarray) -> np.ndarray:
    """The distance of each point from the nearest goal, as a square table whose rows are the second coordinate."""
    side = round(len(place) ** 0.5)
    return np.sqrt(np.square(place[:, None] - GOALS).sum(-1).min(1)).reshape(side, side).T


def main(args: Args) -> None:
    """Solve the problem twice and compare."""
    step = 0.5 if args.smoke else args.step
    place, action = square(BOUND, step), square(1.0, step)
    mdp = multi_goal(place, action, step)
    nearest = np.square((place[:, None] + action)[..., None, :] - GOALS).sum(-1).argmin(-1)
    nearest, rng = np.vstack([nearest, np.zeros((1, len(action)), int)]), np.random.default_rng(0)
    first, figure = int(mdp.initial.argmax()), Figure(figsize=(8, 8), layout="constrained")
    grid = figure.subplots(2, 2)
    print(f"{'':<22}objective   return  entropy  deviation   right   left     up   down")
    for row, temperature in zip(grid, TEMPERATURES, strict=True):
        model = TabularModel(mdp, temperature)
        policies = {"max-ent": infer(model, 0.0).policy, "best Gaussian": best_gaussian(model, action)}
        for axes, (name, policy) in zip(row, policies.items(), strict=True):
            found, share = evaluate(model, policy), arrivals(mdp, policy, nearest)
            start = policy[0, first].numpy() @ action
            spread = (policy[0, first].numpy() @ np.square(action - start))[0] ** 0.5
            numbers = f"{found.elbo:9.2f}{found.true_return:9.2f}{found.policy_entropy:9.2f}{spread:11.2f}"
            print(f"τ = {temperature:<4g}{name:<14}{numbers} " + "".join(f"{each:7.3f}" for each in share))
            axes.contour(*np.unique(place, axis=None)[None].repeat(2, 0), distance(place), 5, colors="0.8")
            for _ in range(25):
                path, s = [], first
                for t in range(mdp.horizon):
                    path.append(place[s])
                    chance = policy[t, s].numpy()
                    s = int(mdp.successor[s, rng.choice(len(action), p=chance / chance.sum()), 0])
                    if s == len(place):
                        break
                axes.plot(*np.transpose(path), color="tab:blue", lw=0.7)
            axes.plot(*GOALS.T, "o", color="tab:red")
            axes.set(title=f"{name}, τ = {temperature:g}", aspect="equal", xticks=[], yticks=[])
    figure.savefig(args.picture, dpi=90)


if __name__ == "__main__":
    main(tyro.cli(Args))
