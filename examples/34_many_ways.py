"""Many ways: the max-ent policy reaches four equal goals; the best Gaussian policy has to choose, or to spread.

A point in the plane moves to any of four goals (MultiGoal-v0 on a lattice of 1/4, 30 steps). The max-ent policy is
exact. The best policy that is Gaussian in every state and at every time is found by the same backward recursion, with
a search over means and deviations in place of the softmax: no other choice of Gaussians is better, up to
the grid of the search. Printed:

"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from matplotlib.figure import Figure

from pgm_control import TabularMDP, TabularModel, evaluate, infer
from pgm_control.models.multi_goal import BOUND, GOALS

TEMPERATURE = 10.0


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
    row, column = np.rint((np.clip(place[:, None] + action, -BOUND, BOUND) + BOUND) / step).astype(int).transpose(2, 0, 1)
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
        value, chosen = worth.max(-1)
        rows.append(q[chosen])
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


def main(args: Args) -> None:
    """Solve the problem twice and compare."""
    step = 0.5 if args.smoke else args.step
    place, action = square(BOUND, step), square(1.0, step)
    mdp = multi_goal(place, action, step)
    model = TabularModel(mdp, TEMPERATURE)
    nearest = np.square((place[:, None] + action)[..., None, :] - GOALS).sum(-1).argmin(-1)
    nearest = np.vstack([nearest, np.zeros((1, len(action)), int)])
    policies = {"max-ent": infer(model, 0.0).policy, "best Gaussian": best_gaussian(model, action)}

    print(f"{'':<15}objective  true return  entropy  right  left    up  down   none")
    for name, policy in policies.items():
        found, share = evaluate(model, policy), arrivals(mdp, policy, nearest)
        shown = " ".join(f"{each:5.3f}" for each in (*share, 1 - sum(share)))
        print(f"{name:<15}{found.elbo * TEMPERATURE:9.2f}  {found.true_return:11.2f}  {found.policy_entropy:7.2f}  {shown}")

if __name__ == "__main__":
    main(tyro.cli(Args))
