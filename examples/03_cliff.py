"""Along the cliff: two guides of one model. The free guide walks along the edge.

CliffWalkingSlippery leads from the left end of a cliff to the right one. Every step costs 1, a fall costs 100 and
returns to the start, and each step slips sideways with probability 2/3. The free guide believes that it will not slip.

The script fits both guides by SVI, compares them with the exact answers, and runs the exact policies in the live
environment. The fitted free guide has the ELBO of the exact posterior to four digits, but not its return in the true
world. An ELBO does not depend on the policy in states that the guide believes it never visits, and its policy there is
still close to the prior. The true dynamics lead there. The return then depends on the step at which SVI stops: -231.2
on the machine that printed this, -228.7 on another processor. Printed (T = 50, τ = 1):

free     ELBO -29.8088 nats. The objective stopped improving.
clamped  ELBO -68.9041 nats. The objective stopped improving.
                 true return  delusion  imagined return       ELBO      gap  KL of policy  KL of dynamics
                    [reward]  [reward]         [reward]     [nats]   [nats]        [nats]          [nats]
───────────────  ───────────  ────────  ───────────────  ─────────  ───────  ────────────  ──────────────
free, exact        -486.2090  471.0371         -15.1719   -29.8087   0.0000        2.5884         12.0484
free, fitted       -231.2049  216.0332         -15.1717   -29.8088   0.0001        2.5873         12.0498
clamped, exact      -49.8002    0.0000         -49.8002   -68.9039  39.0953       19.1038          0.0000
clamped, fitted     -49.8001    0.0000         -49.8001   -68.9041  39.0955       19.1040          0.0000
best policy         -47.1022    0.0000         -47.1022  -107.9572  78.1486       60.8550          0.0000
───────────────  ───────────  ────────  ───────────────  ─────────  ───────  ────────────  ──────────────
log p(O) = -29.8087 nats; ELBO = imagined return − KL of policy − KL of dynamics

"free, fitted" is within 0.0002 nats of its optimum and yet truly earns
-231.20, not -486.21: an ELBO is an average over what the guide imagines, so its
policy stays untrained in states that it never expects.
free     return -502.275 ± 19 (mean and standard error of 200 episodes; 49.8 steps on average, 197 cut by a time limit)
clamped  return -49.71 ± 0.15 (mean and standard error of 200 episodes; 49.7 steps on average, 196 cut by a time limit)
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

from pgm_control import ClampedGuide, FreeGuide, TabularModel, fit, infer, plot, rollout, scorecard
from pgm_control.models import slippery_cliff


@dataclass
class Args:
    """Options of the example."""

    horizon: int = 50
    """number of actions"""
    temperature: float = 1.0
    """reward units per nat"""
    num_steps: int = 2000
    """maximum number of SVI steps for each guide"""
    num_episodes: int = 200
    """number of episodes in the live environment"""
    seed: int = 28
    """seed of the two episodes on each map: in this one both true episodes are typical"""
    picture: Path = Path("03_cliff.png")
    """output file of the picture"""
    smoke: bool = False
    """a small cliff walk, to see that it runs"""


def main(args: Args) -> None:
    """Fit both guides, compare them with the exact answers, then run both exact policies in the live environment."""
    if args.smoke:
        args.horizon, args.num_steps, args.num_episodes = 12, 20, 5
    model = TabularModel(slippery_cliff(horizon=args.horizon), args.temperature)
    free = fit(model, FreeGuide(model), num_steps=args.num_steps)
    clamped = fit(model, ClampedGuide(model), num_steps=args.num_steps)
    for name, fitted in (("free", free), ("clamped", clamped)):
        print(f"{name:<8} ELBO {fitted.elbo:.4f} nats. {fitted.status.message}")
    guides = {
        "free, exact": infer(model, optimism=1.0),
        "free, fitted": free.guide,
        "clamped, exact": infer(model, optimism=0.0),
        "clamped, fitted": clamped.guide,
    }
    print(scorecard(model, guides))
    for name in ("free, exact", "clamped, exact"):
        print(
            f"{name.split(',')[0]:<8}",
            rollout("CliffWalkingSlippery-v1", guides[name], num_episodes=args.num_episodes, seed=0),
        )

    shown = {
        "free: along the edge, sure not to slip": guides["free, exact"],
        "clamped: up and away from the edge": guides["clamped, exact"],
    }
    axes = plot.episode_maps(model, shown, seed=args.seed, style="slide")
    axes[0].figure.savefig(args.picture, dpi=70, bbox_inches="tight")


if __name__ == "__main__":
    main(tyro.cli(Args))
