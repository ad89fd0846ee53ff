"""The same model, two guides, SVI: one of them walks along the edge of the cliff.

CliffWalkingSlippery: from the left end of a cliff to the right one; every step costs 1, a fall costs 100 and a restart,
and each step slips sideways two times in three. The free guide believes that it will not slip.

The last lines hold a lesson of their own. The fitted free guide has the ELBO of the exact posterior to four digits,
but not its return in the true world: an ELBO says nothing about states where the guide believes that it never comes,
and its policy there is still close to the prior. The true world takes it there. Printed (T = 50, τ = 1):

    500  elbo -29.8088
Fit(ELBO -29.808768 nats after 564 steps, 2.4 s. The ELBO stopped improving.)
Fit(ELBO -68.904153 nats after 458 steps, 0.4 s. The ELBO stopped improving.)
                     ELBO      gap  imagined return  true return  delusion  policy entropy  KL of dynamics
                   [nats]   [nats]         [reward]     [reward]  [reward]          [nats]          [nats]
───────────────  ────────  ───────  ───────────────  ───────────  ────────  ──────────────  ──────────────
free, exact      -29.8087   0.0000         -15.1719    -486.2090  471.0371         65.8227         12.0484
free, fitted     -29.8088   0.0001         -15.1740    -228.9932  213.8192         51.6256         12.0474
clamped, exact   -68.9039  39.0953         -49.8002     -49.8002    0.0000         50.2110          0.0000
clamped, fitted  -68.9042  39.0955         -49.8001     -49.8001    0.0000         50.2107          0.0000
───────────────  ────────  ───────  ───────────────  ───────────  ────────  ──────────────  ──────────────
log p(O) = -29.8087 nats
free     return -221.58 ± 10 (mean and standard error of 200 episodes; 49.8 steps on average, 196 cut by a time limit)
clamped  return -49.71 ± 0.15 (mean and standard error of 200 episodes; 49.7 steps on average, 196 cut by a time limit)
"""

from dataclasses import dataclass

import tyro

from pgm_control import ClampedGuide, FreeGuide, PrintEvery, TabularModel, fit, infer, rollout, scorecard, silent
from pgm_control.models import slippery_cliff


@dataclass
class Args:
    """Which cliff, and how long to climb."""

    horizon: int = 50
    """number of actions"""
    temperature: float = 1.0
    """reward units per nat"""
    steps: int = 2000
    """SVI steps a guide, at most"""
    episodes: int = 200
    """episodes to walk in the live environment"""
    smoke: bool = False
    """a small cliff walk, to see that it runs"""


def main(args: Args) -> None:
    """Fit both guides, put them beside the exact answers, then let both policies walk."""
    if args.smoke:
        args.horizon, args.steps, args.episodes = 12, 20, 5
    model = TabularModel(slippery_cliff(horizon=args.horizon), args.temperature)
    progress = silent if args.smoke else PrintEvery(500)
    free = fit(model, FreeGuide(model), steps=args.steps, progress=progress)
    clamped = fit(model, ClampedGuide(model), steps=args.steps, progress=progress)
    print(free, clamped, sep="\n")
    card = scorecard(
        model,
        {
            "free, exact": infer(model, optimism=1.0),
            "free, fitted": free.guide,
            "clamped, exact": infer(model, optimism=0.0),
            "clamped, fitted": clamped.guide,
        },
    )
    print(card)
    for name, guide in (("free", free.guide), ("clamped", clamped.guide)):
        print(f"{name:<8}", rollout("CliffWalkingSlippery-v1", guide, episodes=args.episodes, seed=0))


if __name__ == "__main__":
    main(tyro.cli(Args))
