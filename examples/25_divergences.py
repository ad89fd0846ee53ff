"""Divergences: what a guide learns depends on which divergence from the posterior it minimises.

A clamped guide has the true dynamics. The ELBO, KL(q ‖ p), makes it sensible: it avoids actions that are good only with
luck. The forward KL, KL(p ‖ q), copies the actions of the free posterior, which had luck, and the optimism is back.
Wake-sleep follows the forward KL by weighted samples. In between are the Rényi bounds of order α, whose best clamped
guide has the optimism β = 1 − α. The importance-weighted bound (IWAE) is the ELBO for one particle; with eight the
guide only proposes, and may hope. A mean-field guide, with independent states and actions, is deluded by each of them.
Pyro's own IWAE has no gradient for discrete sites, so that it is written here, with the baselines of VIMCO. Printed:

guide       divergence         ELBO  imagined    true  delusion
Clamped     ELBO               4.72      5.07    5.07      0.00
Clamped     Rényi, α = 0.5     4.14      4.15    4.15      0.00
Clamped     IWAE               3.90      3.94    3.94      0.00
Clamped     wake-sleep         4.07      4.09    4.09      0.00
Clamped     forward KL         3.97      4.00    4.00      0.00
MeanField   ELBO               6.42      7.13    3.94      3.19
MeanField   Rényi, α = 0.5     6.42      7.10    3.97      3.13
MeanField   IWAE               5.37      5.95    3.98      1.96
MeanField   wake-sleep         6.41      7.04    4.02      3.02
MeanField   forward KL         6.42      7.10    4.00      3.11
free posterior: log p(O) = 6.515
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import torch
import tyro
from matplotlib.figure import Figure
from pyro import poutine
from pyro.infer import ReweightedWakeSleep
from pyro.optim.lr_scheduler import PyroLRScheduler

from pgm_control import ClampedGuide, MarkovELBO, MarkovRenyi, Optimism, TabularModel, evaluate, fit, infer, plot
from pgm_control.guides import MeanFieldGuide
from pgm_control.models import restaurant


@dataclass
class Args:
    """Options of the example."""

    num_steps: int = 500
    """number of steps of each fit by samples"""
    num_particles: int = 8
    """number of samples in a step"""
    picture: Path = Path("25_divergences.png")
    """output file of the picture"""
    smoke: bool = False
    """only a few steps, to see that it runs"""


def importance_weighted(num_particles: int) -> Any:
    """Minus the importance-weighted bound; the baseline of each particle is the bound without it."""

    particles = pyro.plate("particles", num_particles, dim=-1)

    def log_density(trace: Any) -> torch.Tensor:
        trace.compute_log_prob()
        return torch.stack([trace.nodes[name]["log_prob"] for name in trace if name[-1].isdigit()]).sum(0)

    def loss(model: Any, guide: Any) -> torch.Tensor:
        drawn = poutine.trace(particles(guide)).get_trace()
        log_q = log_density(drawn)
        log_weight = log_density(poutine.trace(poutine.replay(particles(model), trace=drawn)).get_trace()) - log_q
        bound = log_weight.logsumexp(0)
        others = (log_weight.sum() - log_weight) / (num_particles - 1)  # in place of the particle, their mean
        without = torch.stack([torch.where(row, others, log_weight) for row in torch.eye(num_particles).bool()])
        score = (log_q * (bound - without.logsumexp(-1)).detach()).sum()
        return score.detach() - score - bound + math.log(num_particles)

    return loss


def main(args: Args) -> None:
    """Fit two guides by five divergences, print what they earn, and draw what each order of the Rényi bound earns."""
    model = TabularModel(restaurant())
    wake = ReweightedWakeSleep(args.num_particles, vectorize_particles=True, max_plate_nesting=0)
    ways: dict[str, Any] = {
        "ELBO": MarkovELBO(),
        "Rényi, α = 0.5": MarkovRenyi(0.5),
        "IWAE": importance_weighted(args.num_particles),
        "wake-sleep": wake,
        "forward KL": None,
    }
    earned: dict[str, float] = {}
    print("guide       divergence         ELBO  imagined    true  delusion")
    for guide_class in (ClampedGuide, MeanFieldGuide):
        for name, loss in ways.items():
            guide = guide_class(model)
            if loss is None:
                fit(model, guide, method="forward")
            else:
                decaying = {"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.2}, "gamma": 0.99}
                optim = PyroLRScheduler(torch.optim.lr_scheduler.ExponentialLR, decaying)
                fit(model, guide, loss, optim, num_steps=5 if args.smoke else args.num_steps, seed=0)
            found = evaluate(model, guide)
            delusion = round(found.imagined_return - found.true_return, 6) + 0.0  # no −0
            kind = guide_class.__name__.removesuffix("Guide")
            print(
                f"{kind:11} {name:14} {found.elbo:8.2f} {found.imagined_return:9.2f} {found.true_return:7.2f} "
                f"{delusion:9.2f}"
            )
            earned.setdefault(name, found.true_return)
    print(f"free posterior: log p(O) = {infer(model, 1.0).log_evidence:.3f}")

    orders = np.linspace(-0.5, 1.5, 9 if args.smoke else 101)
    best = [evaluate(model, infer(model, Optimism(*[1.0 - order] * 3)).policy).true_return for order in orders]
    figure = Figure(figsize=(10.8, 6.4), layout="constrained")
    plot.curves(
        orders,
        {"best clamped guide of the Rényi bound": best},
        across="order α = 1 − β",
        up="true return (reward units)",
        title="The divergence chooses between sense and hope",
        levels=earned,
        ax=figure.subplots(),
        style="slide",
    )
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
