"""Your own guide: one class with one method.

`StationaryGuide` clamps the dynamics and has one policy for all time steps. It declares what it may change by returning
blocks: log-probabilities of the start, the policy and the dynamics. `check_guide` tests it against the laws of guides
(it samples every site in the required order, its ELBO never exceeds log p(O), …), `fit` fits it, and `scorecard` and
the picture show the ELBO lost by a policy that ignores the time: .16 nats on the frozen lake. Printed:

GuideReport(free=(), elbo=0.6222412146144057, log_evidence=45.61354953799836)
                true return  delusion  imagined return      ELBO      gap  KL of policy  KL of dynamics
                   [reward]  [reward]         [reward]    [nats]   [nats]        [nats]          [nats]
──────────────  ───────────  ────────  ───────────────  ────────  ───────  ────────────  ──────────────
stationary           0.0749    0.0000           0.0749    2.2369  43.3766        1.5103          0.0000
clamped              0.0832    0.0000           0.0832    2.3924  43.2212        1.7659          0.0000
clamped, exact       0.0832    0.0000           0.0832    2.3924  43.2211        1.7658          0.0000
free, exact          0.0293    0.9707           1.0000   45.6135   0.0000        0.5532          3.8333
best policy          0.1991    0.0000           0.1991  -11.0289  56.6425       20.9856          0.0000
──────────────  ───────────  ────────  ───────────────  ────────  ───────  ────────────  ──────────────
log p(O) = 45.6135 nats; ELBO = imagined return / 0.02 − KL of policy − KL of dynamics
"""

from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
import tyro
from matplotlib.figure import Figure

from pgm_control import Blocks, ClampedGuide, MarkovGuide, TabularModel, fit, infer, plot, scorecard
from pgm_control.models import frozen_lake
from pgm_control.testing import check_guide


@final
class StationaryGuide(MarkovGuide):
    """One policy π(a|s) for all times; true start and dynamics."""

    def __init__(self, model: TabularModel) -> None:
        super().__init__(model)
        self.logits = torch.nn.Parameter(torch.zeros_like(model.action_prior))

    def blocks(self) -> Blocks:
        prior = self.model.blocks()  # the model's own factors; the policy's are log ρ, of shape (time, state, action)
        return prior.replace(log_policy=torch.log_softmax(prior.log_policy + self.logits, -1))


@dataclass
class Args:
    """Options of the example."""

    horizon: int = 20
    """number of actions"""
    temperature: float = 0.02
    """reward units per nat"""
    num_steps: int = 2000
    """maximum number of SVI steps for each guide"""
    picture: Path = Path("11_your_own_guide.png")
    """output file of the picture"""
    smoke: bool = False
    """a few steps, to see that it runs"""


def main(args: Args) -> None:
    """Check the guide, fit it, and compare it with others."""
    if args.smoke:
        args.horizon, args.num_steps = 8, 20
    model = TabularModel(frozen_lake(horizon=args.horizon), args.temperature)
    print(check_guide(model, StationaryGuide(model)))
    fits = {
        "stationary": fit(model, StationaryGuide(model), num_steps=args.num_steps),
        "clamped": fit(model, ClampedGuide(model), num_steps=args.num_steps),
    }
    exact = {"clamped, exact": infer(model, optimism=0.0), "free, exact": infer(model, optimism=1.0)}
    print(scorecard(model, {name: each.guide for name, each in fits.items()} | exact))

    best = exact["clamped, exact"].objective  # the highest ELBO of any guide with the true dynamics
    shown = min(len(each.elbo_history) for each in fits.values())
    figure = Figure(figsize=(10.8, 5.8), layout="constrained")
    plot.curves(
        range(1, shown + 1),
        {name: best - each.elbo_history[:shown] for name, each in fits.items()},
        across="step of the fit",
        up="ELBO below the clamped optimum (nats)",
        title="The ELBO lost by a policy that ignores the time",
        logarithmic="y",
        ax=figure.subplots(),
        style="slide",
    )
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
