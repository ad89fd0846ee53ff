"""Collapse: policy gradient settles on the near reward before it has seen the far one. Entropy helps, up to a point.

A corridor of 14 cells: the left end is 2 steps away and pays a little, the right end is 11 away and pays 1. Forty runs
of policy gradient for each setting, with a softmax table, 8 episodes a step, rewards to go with a baseline. If the near
end pays .2 more than half of the runs without entropy end there, and almost none at τ = .05. If it pays .5 most runs
end there with entropy too: the far end is found too late. "optimum" is the exact return of the policy that the
objective wants; it shows that nothing forces these runs to the near end but their gradients. In a shorter corridor
(10 cells, 12 steps, a near end of .2) none of 100 runs collapsed, without entropy or with it. Printed:

near end pays      τ   optimum   mean return   runs at the near end   at the far end
          0.2      0     1.000         0.539                     23               17
          0.2   0.02     1.000         0.691                     15               25
          0.2   0.05     1.000         0.957                      1               39
          0.5      0     1.000         0.525                     38                2
          0.5   0.02     1.000         0.536                     37                3
          0.5   0.05     0.999         0.569                     34                6
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from matplotlib.figure import Figure

from pgm_control import TabularMDP, TabularModel, evaluate, infer

CELLS, START, HORIZON = 14, 2, 20


@dataclass
class Args:
    """Options of the example."""

    runs: int = 40
    """number of runs of each setting"""
    steps: int = 500
    """number of gradient steps"""
    batch: int = 8
    """number of episodes for each step"""
    picture: Path = Path("37_collapse.png")
    """output file of the picture"""
    smoke: bool = False
    """few steps, to see that it runs"""


def corridor(near: float) -> TabularMDP:
    """Cells in a row; action 0 goes left and 1 right; both ends are absorbing."""
    transition, reward = torch.zeros(CELLS, 2, CELLS), torch.zeros(CELLS, 2)
    for s in range(CELLS):
        for a in range(2):
            transition[s, a, s if s in (0, CELLS - 1) else s + 2 * a - 1] = 1.0
    reward[1, 0], reward[-2, 1] = near, 1.0
    return TabularMDP.from_dense(torch.eye(CELLS)[START], transition, reward, HORIZON)


def gradient(logits: torch.Tensor, args: Args, near: float, temperature: float, noise: torch.Generator) -> torch.Tensor:
    """The policy gradient of each run from a batch of episodes: entropies and rewards to go, minus their mean."""
    log_policy = logits.log_softmax(-1)
    run = torch.arange(args.runs)[:, None].expand(-1, args.batch)
    s, alive, seen, paid = torch.full_like(run, START), torch.ones_like(run, dtype=torch.bool), [], []
    for _ in range(HORIZON):
        a = (torch.rand(run.shape, generator=noise, dtype=torch.float64) < log_policy[run, s, 1].exp()).long()
        after = s + 2 * a - 1
        reward = near * (after == 0) + 1.0 * (after == CELLS - 1)
        price = temperature * (log_policy[run, s, a] + math.log(2))
        seen.append((s, a, alive))
        paid.append(torch.where(alive, reward - price, 0.0))
        alive = alive & (after > 0) & (after < CELLS - 1)
        s = torch.where(alive, after, s)
    to_go, total = torch.stack(paid).flip(0).cumsum(0).flip(0), torch.zeros_like(logits)
    for (state, action, here), value in zip(seen, to_go, strict=True):
        weight = torch.where(here, value - value.mean(1, keepdim=True), 0.0)[..., None] / args.batch
        score = torch.nn.functional.one_hot(action, 2) - log_policy[run, state].exp()
        total.index_put_((run, state), weight * score, accumulate=True)
    return total


def main(args: Args) -> None:
    """Learn and count where the runs end."""
    if args.smoke:
        args.steps = 5
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    print("near end pays      τ   optimum   mean return   runs at the near end   at the far end")
    for axes, near in zip(figure.subplots(1, 2, sharey=True), (0.2, 0.5), strict=True):
        for temperature in (0.0, 0.02, 0.05):
            model, noise = TabularModel(corridor(near), temperature), torch.Generator().manual_seed(0)
            logits, returns = torch.zeros(args.runs, CELLS, 2, dtype=torch.float64), []
            for step in range(args.steps):
                logits += 2.0 * gradient(logits, args, near, temperature, noise)
                if step % 20 == 0 or step == args.steps - 1:
                    returns.append(far(logits.softmax(-1), near))
            last = torch.tensor(
                [evaluate(model, each.expand(HORIZON, -1, -1)).true_return for each in logits.softmax(-1)]
            )
            ends = int(((last - near).abs() < 0.1).sum()), int((last > 0.8).sum())
            best = evaluate(model, infer(model, 0.0)).true_return
            print(f"{near:13g}{temperature:7g}{best:10.3f}{last.mean():14.3f}{ends[0]:23d}{ends[1]:17d}")
            axes.plot(torch.stack(returns).mean(1).numpy(), label=f"τ = {temperature:g}")
        axes.set(title=f"the near end pays {near:g}", xlabel="gradient steps / 20", ylim=(0, 1))
    figure.axes[0].set_ylabel("mean return of the runs")
    figure.axes[0].legend(frameon=False)
    figure.savefig(args.picture, dpi=120)


def far(policy: torch.Tensor, near: float) -> torch.Tensor:
    """The return of each run's policy, backwards."""
    value, inside = torch.zeros(policy.shape[:2], dtype=torch.float64), slice(1, -1)
    for _ in range(HORIZON):
        left, right = value[:, :-2].clone(), value[:, 2:].clone()
        left[:, 0], right[:, -1] = near, 1.0
        value[:, inside] = policy[:, inside, 0] * left + policy[:, inside, 1] * right
    return value[:, START]


if __name__ == "__main__":
    main(tyro.cli(Args))
