"""Robust to what? A max-ent policy is the best answer to an adversary of rewards, not to another world.

Exact: what a policy π reaches of the clamped objective is what it earns under the worst rewards r' of the set in which
E_π Σ τ log Σ_a ρ(a|s) exp((r − r')/τ) ≤ 0 (Eysenbach and Levine, arXiv:2103.06257); the worst are r' = r − τ log π/ρ.
So V_soft is the best that one can be sure of. That rewards may change says nothing about dynamics: below, policies
that are planned in one world are lived in another. Each plan has all hard policies that are optimal in it: the first
or the last of the best actions, or all of them alike. On the lake, planned without slipping, being soft helps where
hard policies dawdle (γ = 1: they may wait), and with γ = .99 its advantage is gone. On a grid with cells that are
blocked later it is better than the worst tie, and worse than ties that are shared if two cells are blocked. Printed:

the identity             V_soft   earned under the worst rewards
the lake                 0.2070    0.2070

lake, lived with success       1.0     0.9     0.8     0.5
γ = 1    first               1.000   0.283   0.061   0.000
γ = 1    last                1.000   0.575   0.312   0.028
γ = 1    shared              1.000   0.297   0.139   0.030
γ = 1    max-ent             1.000   0.731   0.503   0.103
γ = 0.99 first               1.000   0.883   0.734   0.219
γ = 0.99 last                1.000   0.799   0.602   0.148
γ = 0.99 shared              1.000   0.822   0.643   0.175
γ = 0.99 max-ent             1.000   0.829   0.652   0.179

grid, lived with blocked         none        (0,2)  (0,2) (2,2)
first                          -8.000       -8.000       -8.000
last                           -8.000      -30.000      -30.000
shared                         -8.000       -8.500       -9.375
max-ent                        -8.000       -8.375       -9.768
"""

from dataclasses import dataclass
from pathlib import Path

import gymnasium
import torch
import tyro
from matplotlib.figure import Figure

from pgm_control import TabularMDP, TabularModel, evaluate, infer

TIES = ("first", "last", "shared")
COLD = 1e-3  # max-ent policies at this temperature are uniform over the optimal paths


@dataclass
class Args:
    """Options of the example."""

    picture: Path = Path("32_robustness.png")
    """output file of the picture"""
    smoke: bool = False
    """fewer worlds, to see that it runs"""


def lake(success: float, discount: float = 1.0) -> TabularMDP:
    """The 4x4 lake on which the intended move succeeds with this probability."""
    slips = {"is_slippery": False} if success == 1 else {"is_slippery": True, "success_rate": success}
    return TabularMDP.from_gymnasium(gymnasium.make("FrozenLake-v1", **slips), 100).replace(discount=discount)


def grid(*blocked: tuple[int, int]) -> TabularMDP:
    """A 5x5 grid from one corner to the other, −1 a step, at most 30 steps, with cells that nobody enters."""
    transition, reward = torch.zeros(25, 4, 25), torch.full((25, 4), -1.0)
    for s in range(24):
        for a, (down, right) in enumerate(((0, -1), (1, 0), (0, 1), (-1, 0))):
            row, column = s // 5 + down, s % 5 + right
            enters = 0 <= row < 5 and 0 <= column < 5 and (row, column) not in blocked
            transition[s, a, 5 * row + column if enters else s] = 1.0
    transition[24, :, 24], reward[24] = 1.0, 0.0
    return TabularMDP.from_dense(torch.eye(25)[0], transition, reward, horizon=30)


def hard(mdp: TabularMDP, ties: str) -> torch.Tensor:
    """An optimal policy, (T, S, A), by the way in which it chooses among the best actions."""
    value, rows = torch.zeros(mdp.num_states, dtype=torch.float64), []
    for _ in range(mdp.horizon):
        q = (mdp.probability * (mdp.reward + mdp.discount * value[mdp.successor])).sum(-1)
        value = q.max(-1).values
        best = (q >= value[:, None] - 1e-12).double()
        if ties != "shared":
            order = best if ties == "first" else best.flip(-1)
            one = torch.nn.functional.one_hot(order.argmax(-1), best.shape[-1]).double()
            best = one if ties == "first" else one.flip(-1)
        rows.append(best / best.sum(-1, keepdim=True))
    return torch.stack(rows[::-1])


def plans(mdp: TabularMDP) -> dict[str, torch.Tensor]:
    """All hard policies and the max-ent one."""
    return {ties: hard(mdp, ties) for ties in TIES} | {"max-ent": infer(TabularModel(mdp, COLD), 0.0).policy}


def under_worst_rewards(model: TabularModel) -> tuple[float, float]:
    """V_soft, and what the max-ent policy earns under r − τ log π/ρ."""
    found = infer(model, 0.0)
    visits = found.marginals().state_action
    reward = (model.mdp.probability * model.mdp.reward).sum(-1)
    worst = reward - model.temperature * (model.mdp.num_actions * found.policy).log()
    return found.value, float(torch.where(visits > 0, visits * worst, 0.0).sum())


def main(args: Args) -> None:
    """Check the identity, then live in other worlds."""
    print("the identity             V_soft   earned under the worst rewards")
    print("{:<24}{:>7.4f}   {:>7.4f}".format("the lake", *under_worst_rewards(TabularModel(lake(0.8), 0.1))))

    rates = (1.0, 0.8) if args.smoke else (1.0, 0.9, 0.8, 0.5)
    print("\nlake, lived with success  " + "".join(f"{rate:>8}" for rate in rates))
    lines: dict[str, list[float]] = {}
    for discount in (1.0, 0.99):
        plan = lake(1.0, discount)
        for name, policy in plans(plan).items():
            earned = [evaluate(TabularModel(plan), policy, world=lake(rate)).true_return for rate in rates]
            lines[f"γ = {discount:<5g}{name}"] = earned
            print(f"γ = {discount:<5g}{name:<17}" + "".join(f"{each:>8.3f}" for each in earned))

    worlds = {"none": grid(), "(0,2)": grid((0, 2)), "(0,2) (2,2)": grid((0, 2), (2, 2))}
    print("\ngrid, lived with blocked" + "".join(f"{name:>13}" for name in worlds))
    for name, policy in plans(grid()).items():
        earned = [evaluate(TabularModel(grid()), policy, world=world).true_return for world in worlds.values()]
        print(f"{name:<24}" + "".join(f"{each:>13.3f}" for each in earned))

    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, discount in zip(figure.subplots(1, 2, sharey=True), (1.0, 0.99), strict=True):
        for name, colour in zip((*TIES, "max-ent"), ("0.75", "0.55", "0.3", "tab:orange"), strict=True):
            label = "max-ent" if name == "max-ent" else f"hard, ties: {name}"
            axes.plot(rates, lines[f"γ = {discount:<5g}{name}"], "o-", color=colour, label=label)
        axes.set(title=f"planned with γ = {discount:g}", xlabel="probability that a step goes where intended")
        axes.invert_xaxis()
    figure.axes[0].set_ylabel("probability of reaching the goal")
    figure.axes[0].legend(frameon=False)
    figure.savefig(args.picture, dpi=120)


if __name__ == "__main__":
    main(tyro.cli(Args))
