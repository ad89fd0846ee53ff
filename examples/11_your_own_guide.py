"""Write your own guide: one class, one method, and the library tells you what it is.

`StationaryGuide` clamps the dynamics and uses one policy for all times. It says what it may change by returning blocks:
log-probabilities of the start, the policy and the dynamics. `check_guide` then holds it to the laws (it names every
site, draws them in the safe order, its ELBO never exceeds log p(O), …), `fit` fits it, and `scorecard` shows the price
of forgetting the time. Printed:

GuideReport(free=(), elbo=0.12444824292288109, log_evidence=5.617145761188415)
                  ELBO     gap  imagined return  true return  delusion  policy entropy  KL of dynamics
                [nats]  [nats]         [reward]     [reward]  [reward]          [nats]          [nats]
──────────────  ──────  ──────  ───────────────  ───────────  ────────  ──────────────  ──────────────
stationary      0.1919  5.4253           0.0259       0.0259    0.0000         27.6592          0.0000
clamped         0.1939  5.4232           0.0264       0.0264    0.0000         27.6560          0.0000
clamped, exact  0.1940  5.4232           0.0264       0.0264    0.0000         27.6562          0.0000
free, exact     5.6171  0.0000           0.9964       0.0293    0.9671         27.4622          3.7970
──────────────  ──────  ──────  ───────────────  ───────────  ────────  ──────────────  ──────────────
log p(O) = 5.6171 nats
"""

from dataclasses import dataclass
from typing import final

import torch
import tyro

from pgm_control import Blocks, ClampedGuide, MarkovGuide, TabularModel, fit, infer, scorecard
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
        return Blocks(prior.log_initial, torch.log_softmax(prior.log_policy + self.logits, -1), prior.log_dynamics)


@dataclass
class Args:
    """How long, how cold."""

    horizon: int = 20
    """number of actions"""
    temperature: float = 0.1
    """reward units per nat"""
    steps: int = 2000
    """SVI steps a guide, at most"""
    smoke: bool = False
    """a few steps, to see that it runs"""


def main(args: Args) -> None:
    """Check it, fit it, score it."""
    if args.smoke:
        args.horizon, args.steps = 8, 20
    model = TabularModel(frozen_lake(horizon=args.horizon), args.temperature)
    print(check_guide(model, StationaryGuide(model)))
    card = scorecard(
        model,
        {
            "stationary": fit(model, StationaryGuide(model), steps=args.steps).guide,
            "clamped": fit(model, ClampedGuide(model), steps=args.steps).guide,
            "clamped, exact": infer(model, optimism=0.0),
            "free, exact": infer(model, optimism=1.0),
        },
    )
    print(card)


if __name__ == "__main__":
    main(tyro.cli(Args))
