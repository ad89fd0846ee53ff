"""Against a simulator: the clamped guide needs samples of the dynamics, not their probabilities.

In the ELBO of a clamped guide the dynamics stand above and below the line and cancel. What is left can be estimated in
any Gymnasium environment: by the score function, which is policy gradient, or from its own optimality conditions, which
is soft Q-learning. Here both act in the restaurant, which they know by visits alone, beside the exact answer of
`infer`. The dial works as well: a loss whose minimiser is the certainty equivalent stands in for the squared one, and
the learner takes luck for choice just as the exact β-posterior does. Printed, with the defaults:

P(Italian) after 20,000 visits, by soft Q-learning, and exactly
  β = -1.0  learned 0.2050   exact 0.2000
  β =  0.0  learned 0.1256   exact 0.1091
  β =  0.5  learned 0.5439   exact 0.5493
  β =  1.0  learned 0.6267   exact 0.6207
and by SVI in the simulator, which is policy gradient
  β =  0.0  learned 0.1170   exact 0.1091
"""

from dataclasses import dataclass

import pyro
import torch
import tyro
from pyro.infer import SVI
from pyro.optim import PyroOptim

from pgm_control import TabularModel, ToGoELBO, infer
from pgm_control.guides import SimulatedGuide
from pgm_control.learners import SoftQLearning
from pgm_control.models import SimulatorModel, restaurant

RESTAURANT = "pgm_control/Restaurant-v0"


@dataclass
class Args:
    """How long to learn."""

    visits: int = 20_000
    """to the restaurants"""
    seed: int = 0
    smoke: bool = False
    """a short run, to see that it runs"""


def by_soft_q_learning(optimism: float, args: Args) -> float:
    """P(Italian) of a table of Q, learned from single visits."""
    learner = SoftQLearning(
        RESTAURANT,
        optimism=optimism,
        hidden=(),
        learning_rate=0.01,
        num_envs=32,
        updates=4,
        discount=1.0,
        seed=args.seed,
    )
    learner.learn(args.visits)
    start = learner.observations([0])
    return float(learner.log_policy(start)[0, 0].exp())


def by_policy_gradient(args: Args) -> float:
    """The same by `pyro.infer.SVI`: a simulated model, a clamped guide, and a loss that looks at what comes after."""
    pyro.set_rng_seed(args.seed)
    model = SimulatorModel(RESTAURANT, num_envs=100, seed=args.seed)
    guide = SimulatedGuide(model, hidden=())
    svi = SVI(model, guide, PyroOptim(torch.optim.Adam, {"lr": 0.02}), ToGoELBO())
    for _ in range(args.visits // 100):
        svi.step()
    with torch.no_grad():
        return float(guide.policy(model.observations([0])).probs[0, 0])


def main(args: Args) -> None:
    """Learn with and without optimism; compare with the exact answers."""
    if args.smoke:
        args.visits = 500
    model = TabularModel(restaurant())
    print(f"P(Italian) after {args.visits:,} visits, by soft Q-learning, and exactly")
    for optimism in (-1.0, 0.0, 0.5, 1.0):
        exact = infer(model, optimism).policy[0, 0, 0]
        print(f"  β = {optimism:4.1f}  learned {by_soft_q_learning(optimism, args):.4f}   exact {exact:.4f}")
    exact = infer(model, 0.0).policy[0, 0, 0]
    print("and by SVI in the simulator, which is policy gradient")
    print(f"  β =  0.0  learned {by_policy_gradient(args):.4f}   exact {exact:.4f}")


if __name__ == "__main__":
    main(tyro.cli(Args))
