"""The price of a nat: with a learned action prior a policy needs little information about the state.

A policy pays τ reward units for each nat of log π/ρ. With a uniform prior it pays even for its habits, here for going
right at almost every step. `learn_prior` finds the prior ρ(a) that maximises the objective: the policy averaged over
its visits. What is left to pay for is the mutual information of state and action, and the return that so many nats buy
is the rate-distortion curve of control. A prior of its own for each state and time would have nothing to save. There,
making each policy the next prior, as MPO does, ends in the best deterministic policy at any temperature. Printed:

   τ  prior: left   down  right     up    nats  return   uniform: nats  return
10.0         0.000  0.312  0.688  0.000   0.025 -12.216          0.001 -15.956
 3.0         0.000  0.304  0.696  0.000   0.261 -11.114          0.015 -15.894
 1.0         0.000  0.279  0.721  0.000   1.451  -9.174          1.347 -14.231
 0.3         0.000  0.251  0.749  0.000   3.440  -7.984         10.510  -8.046

the policy is the next prior, iteration  0: return -15.8936
the policy is the next prior, iteration  1: return -15.5610
the policy is the next prior, iteration  3: return -11.4436
the policy is the next prior, iteration 10: return  -7.9989
the policy is the next prior, iteration 30: return  -7.8745
the best policy:                            return  -7.8400
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from matplotlib.figure import Figure

from pgm_control import TabularModel, evaluate, infer, learn_prior, plot
from pgm_control.exchange import grid_world

MAP = """
S......
.##.##.
......G
"""


@dataclass
class Args:
    """Options of the example."""

    temperatures: int = 40
    """number of temperatures on each curve"""
    iterations: int = 30
    """number of iterations with one prior for each state and time"""
    picture: Path = Path("20_the_price_of_a_nat.png")
    """output file of the picture"""
    smoke: bool = False
    """only a few temperatures, to see that it runs"""


def main(args: Args) -> None:
    """Print learned priors and what they save, draw both curves, then iterate one prior for each state and time."""
    mdp = grid_world(MAP, horizon=16, slip=0.1, step_reward=-1.0)
    best = infer(TabularModel(mdp, 0.0), 0.0).value
    print("   τ  prior: left   down  right     up    nats  return   uniform: nats  return")
    for temperature in (10.0, 3.0, 1.0, 0.3):
        model = TabularModel(mdp, temperature)
        found, uniform = learn_prior(model), evaluate(model, infer(model, 0.0))
        prior = " ".join(f"{each:6.3f}" for each in found.action_prior)
        earned = evaluate(found.model, found.optimum).true_return
        print(
            f"{temperature:4.1f}        {prior} {found.rate:7.3f} {earned:7.3f}  {uniform.policy_kl:13.3f} "
            f"{uniform.true_return:7.3f}"
        )

    curves: dict[str, list[tuple[float, float]]] = {"learned prior": [], "uniform prior": []}
    for temperature in np.geomspace(100, 0.02, 5 if args.smoke else args.temperatures):
        uniform = TabularModel(mdp, temperature)
        for name, model in (("learned prior", learn_prior(uniform).model), ("uniform prior", uniform)):
            point = evaluate(model, infer(model, 0.0))
            curves[name].append((point.policy_kl, point.true_return))

    returns, model = [], TabularModel(mdp, 3.0)
    for _ in range(args.iterations + 1):
        policy = infer(model, 0.0).policy
        returns.append(evaluate(model, policy).true_return)
        model = TabularModel(mdp, 3.0, policy)
    print()
    for i in (0, 1, 3, 10, args.iterations):
        print(f"the policy is the next prior, iteration {i:>2}: return {returns[i]:8.4f}")
    print(f"the best policy:                            return {best:8.4f}")

    nats = np.linspace(0, max(rate for rate, _ in curves["uniform prior"]), 200)
    figure = Figure(figsize=(10.8, 9.2), layout="constrained")
    upper, lower = figure.subplots(2, 1)
    plot.curves(
        nats,
        {name: np.interp(nats, *np.array(points).T, left=np.nan, right=np.nan) for name, points in curves.items()},
        across="KL of the policy from the prior (nats)",
        up="true return (reward units)",
        title="What a nat buys, with a learned prior and without",
        levels={"best policy": best},
        ax=upper,
        style="slide",
    )
    plot.curves(
        np.arange(len(returns)),
        {"one prior per state": returns},
        across="iteration",
        up="true return (reward units)",
        title="A prior per state ends in the best policy",
        levels={"best policy": best},
        ax=lower,
        style="slide",
    )
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
