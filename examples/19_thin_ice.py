"""Thin ice: dynamics that are not known, learned from crossings, from a local's choices, and from hope.

The bridge pays 1, the ice pays 2 if it holds; in the water nothing is paid any more. Of 10 crossings, 7 held. Two other
observations tell of the ice through planning, since `soft_values` is differentiable in the probabilities: a local, who
knows it and plans with max-ent, took it 9 times of 10; or every step was optimal, and with log p(O) as the likelihood
the learner becomes hopeful. A thousand MDPs in one call are the quadrature that checks SVI and NUTS. An adversary,
which pays 12 nats per nat of KL, weakens the ice. Printed:

P(ice holds), given                by quadrature  median by SVI  mean by NUTS
7 of 10 crossings                          0.667           0.68          0.65
and a local's choices                      0.904           0.91          0.90
and optimality                             0.739           0.75          0.74
An adversary makes it 0.565; P(ice) falls from 0.147 to 0.066. dP(ice)/dP(holds) = 1.114 at 0.667.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyro
import pyro.distributions as dist
import torch
import tyro
from matplotlib.figure import Figure
from pyro.infer import MCMC, NUTS, SVI, Trace_ELBO
from pyro.infer.autoguide import AutoNormal
from pyro.optim import ClippedAdam
from torch import Tensor

from pgm_control import TabularMDP, TabularModel, plot, soft_values

BANK, ICE = 0, 1  # the states are bank and water, the actions bridge and ice
COUNTS = dist.Beta(torch.tensor(8.0).double(), torch.tensor(4.0).double())  # Beta(1, 1) and 7 of 10 crossings
LAKE = TabularMDP(
    initial=[1.0, 0.0],
    probability=[[[1.0, 0.0], [0.7, 0.3]], [[1.0, 0.0], [1.0, 0.0]]],
    successor=[[[0, 0], [0, 1]], [[1, 1], [1, 1]]],
    reward=[[[1.0, 0.0], [2.0, -1.0]], [[0.0, 0.0], [0.0, 0.0]]],
    horizon=4,
)
MODEL = TabularModel(LAKE, temperature=0.5)


@dataclass
class Args:
    """Options of the example."""

    steps: int = 300
    """steps of SVI"""
    draws: int = 200
    """draws of NUTS"""
    picture: Path = Path("19_thin_ice.png")
    """output file of the picture"""
    smoke: bool = False
    """a few steps and draws, to see that it runs"""


def dynamics(holds: Tensor) -> Tensor:
    """The probabilities of all outcomes, for any number of probabilities that the ice holds."""
    thin = torch.tensor([[False, True], [False, False]])[..., None]  # (state, action, 1): the ice
    return torch.where(thin, torch.stack((holds, 1.0 - holds), -1)[..., None, None, :], LAKE.probability)


def log_policy(holds: Tensor, optimism: float = 0.0) -> Tensor:
    """log π(a) on the bank at the first step: the prior times exp((Q − V)/τ)."""
    found = soft_values(MODEL, optimism, probability=dynamics(holds))
    return MODEL.action_prior[BANK].log() + (found.q[..., 0, BANK, :] - found.v[..., 0, BANK, None]) / MODEL.temperature


def a_local(holds: Tensor) -> Tensor:
    """The log-likelihood of one crossing by the bridge and nine over the ice, by an agent that knows the dynamics."""
    return log_policy(holds) @ torch.tensor([1.0, 9.0]).double()


def optimality(holds: Tensor) -> Tensor:
    """log p(O), the log-likelihood of dynamics if every step was optimal."""
    return soft_values(MODEL, 1.0, probability=dynamics(holds)).objective


def learned(likelihood: Callable[[Tensor], Tensor], args: Args) -> tuple[float, float]:
    """The posterior mean by SVI and by NUTS."""

    def program() -> None:
        holds = pyro.sample("holds", COUNTS)
        pyro.factor("seen", likelihood(holds))

    pyro.set_rng_seed(0)
    pyro.clear_param_store()
    guide, loss = AutoNormal(program), Trace_ELBO(32, max_plate_nesting=0, vectorize_particles=True)
    svi = SVI(program, guide, ClippedAdam({"lr": 0.1, "lrd": 0.98}), loss)
    for _ in range(args.steps):
        svi.step()
    by_svi = guide.quantiles([0.5])["holds"].item()
    chain = MCMC(NUTS(program), num_samples=args.draws, warmup_steps=args.draws // 3, disable_progbar=True)
    chain.run()
    return by_svi, chain.get_samples()["holds"].mean().item()


def main(args: Args) -> None:
    """Learn the dynamics in three ways, make them worse, and differentiate the policy by one transition."""
    if args.smoke:
        args.steps, args.draws = 5, 3
    grid, densities = (torch.arange(1000).double() + 0.5) / 1000, {}
    print("P(ice holds), given                by quadrature  median by SVI  mean by NUTS")
    beliefs = {"7 of 10 crossings": torch.zeros_like, "and a local's choices": a_local, "and optimality": optimality}
    for name, likelihood in beliefs.items():
        density = (COUNTS.log_prob(grid) + likelihood(grid)).softmax(0)
        densities[name] = 1000 * density
        by_svi, by_nuts = learned(likelihood, args)
        print(f"{name:<34} {density @ grid:>13.3f} {by_svi:>14.2f} {by_nuts:>13.2f}")

    logit = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([logit], max_iter=50, line_search_fn="strong_wolfe")
    mean = torch.tensor(2 / 3).double()

    def damage() -> Tensor:
        optimiser.zero_grad()
        holds = logit.sigmoid()
        kl = mean * (mean / holds).log() + (1 - mean) * ((1 - mean) / (1 - holds)).log()
        loss = soft_values(MODEL, 0.0, probability=dynamics(holds)).objective + 12 * kl
        loss.backward()
        return loss

    optimiser.step(damage)
    worst = logit.sigmoid().detach()
    print(f"An adversary makes it {worst:.3f}; P(ice) falls from {log_policy(mean)[ICE].exp():.3f} to ", end="")
    slope = torch.func.grad(lambda holds: log_policy(holds)[ICE].exp())(mean)
    print(f"{log_policy(worst)[ICE].exp():.3f}. dP(ice)/dP(holds) = {slope:.3f} at {mean:.3f}.")

    figure = Figure(figsize=(10.8, 5.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    across = "probability p that the ice holds"
    plot.curves(grid, densities, across=across, up="density", title="Beliefs", ax=left, style="slide")
    policies = {f"β = {beta:g}": log_policy(grid, beta)[:, ICE].exp() for beta in (-1.0, 0.0, 1.0)}
    plot.curves(grid, policies, across=across, up="P(ice)", title="Policies at t = 0", ax=right, style="slide")
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
