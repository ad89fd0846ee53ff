"""Against a simulator: the clamped guide needs samples of the dynamics, not their probabilities.

In the ELBO of a clamped guide the dynamics of the model and of the guide cancel. The rest can be estimated in any
Gymnasium environment: by the score function, which is policy gradient, or from its optimality conditions, which is soft
Q-learning. Here both learn the restaurant from visits only, and are compared with the exact answer of `infer`. Other β
work as well: a loss whose minimiser is the certainty equivalent replaces the squared one, and the learner is then as
optimistic as the exact β-posterior. Printed, with the defaults:

P(Italian) after 20,000 visits, by soft Q-learning, and exactly
  β = -1.0  learned 0.2050   exact 0.2000
  β =  0.0  learned 0.1256   exact 0.1091
  β =  0.5  learned 0.5439   exact 0.5493
  β =  1.0  learned 0.6267   exact 0.6207
and by SVI in the simulator, which is policy gradient
  β =  0.0  learned 0.1170   exact 0.1091
"""

import math
from dataclasses import dataclass
from pathlib import Path

import pyro
import torch
import tyro
from matplotlib.figure import Figure
from pyro.infer import SVI
from pyro.optim import PyroOptim

from pgm_control import TabularModel, ToGoELBO, infer, plot
from pgm_control.guides import SimulatedGuide
from pgm_control.learners import SoftQLearning
from pgm_control.models import SimulatorModel, restaurant

RESTAURANT = "pgm_control/Restaurant-v0"


@dataclass
class Args:
    """Options of the example."""

    visits: int = 20_000
    """number of visits to the restaurants"""
    seed: int = 0
    picture: Path = Path("15_against_a_simulator.png")
    """output file of the picture"""
    smoke: bool = False
    """a short run, to see that it runs"""


def by_soft_q_learning(optimism: float, args: Args) -> float:
    """P(Italian) from a table of Q, learned from single visits."""
    learner = SoftQLearning(
        RESTAURANT,
        optimism=optimism,
        hidden=(),
        learning_rate=0.01,
        num_envs=32,
        num_updates=4,
        discount=1.0,
        seed=args.seed,
    )
    learner.learn(args.visits)
    start = learner.observations([0])
    return float(learner.log_policy(start)[0, 0].exp())


def by_policy_gradient(args: Args) -> float:
    """P(Italian) from `pyro.infer.SVI`, with a simulated model, a clamped guide, and a loss that sums rewards to go."""
    pyro.set_rng_seed(args.seed)
    model = SimulatorModel(RESTAURANT, num_envs=100, seed=args.seed)
    guide = SimulatedGuide(model, hidden=())
    svi = SVI(model, guide, PyroOptim(torch.optim.Adam, {"lr": 0.02}), ToGoELBO())
    for _ in range(args.visits // 100):
        svi.step()
    with torch.no_grad():
        return float(guide.policy(model.observations([0])).probs[0, 0])


def main(args: Args) -> None:
    """Learn for several β, and compare with the exact answers."""
    if args.smoke:
        args.visits = 500
    model = TabularModel(restaurant())
    optimisms = [-1.0, 0.0, 0.5, 1.0]
    exact = [float(infer(model, optimism=optimism).policy[0, 0, 0]) for optimism in optimisms]
    learned = []
    print(f"P(Italian) after {args.visits:,} visits, by soft Q-learning, and exactly")
    for optimism, truth in zip(optimisms, exact, strict=True):
        learned.append(by_soft_q_learning(optimism, args))
        print(f"  β = {optimism:4.1f}  learned {learned[-1]:.4f}   exact {truth:.4f}")
    gradient = by_policy_gradient(args)
    print("and by SVI in the simulator, which is policy gradient")
    print(f"  β =  0.0  learned {gradient:.4f}   exact {exact[1]:.4f}")

    dial = sorted({*optimisms, *(n / 20 - 1 for n in range(41))})
    figure = Figure(figsize=(10.8, 5.8), layout="constrained")
    axes = plot.curves(
        dial,
        {
            "exact": [float(infer(model, optimism=optimism).policy[0, 0, 0]) for optimism in dial],
            "learned: circles": [learned[optimisms.index(each)] if each in optimisms else math.nan for each in dial],
        },
        across="optimism β (0 clamped, 1 free)",
        up="probability of the Italian",
        title=f"Soft Q-learning, after {args.visits:,} visits to a simulator",
        ax=figure.subplots(),
        style="slide",
    )
    circles = axes.get_lines()[1]
    circles.set(color="black", marker="o", markersize=18, markerfacecolor="none", markeredgewidth=3)
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
