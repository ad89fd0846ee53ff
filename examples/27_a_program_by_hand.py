"""Any Pyro program with factors of optimality: a linear system under Gaussian noise, written by hand.

s' = .9 s + .5 a + w, w ~ N(0, .3), cost ½ (s² + .2 a²), six steps. `estimate`, `scorecard`, `iwae_bound` and `smc` ask
a program for the roles of its sites, not for tables; the names `state_t`, `action_t` and `optimality_t` say them. The
optimal guides follow from a backward recursion (the Riccati equation, with dynamics that are free or clamped), so that
log p(O) = −2.7677 and the best clamped ELBO, −4.3584, are known; `AutoMultivariateNormal` is fitted by SVI and comes
close. The free guide believes in noise that pushes towards 0: it leaves the work to the noise, and earns less. The
fitted Gaussian believes the same, and earns still less, because its actions do not see the states. Printed:

sites: state_0, action_0, state_1, action_1 …
free blocks: ('initial', 'dynamics') ()
             true return        delusion   imagined return              ELBO     KL of policy   KL of dynamics      ESS
                [reward]        [reward]          [reward]            [nats]           [nats]           [nats]  [draws]
────────  ──────────────  ──────────────  ────────────────  ────────────────  ───────────────  ───────────────  ───────
free      -3.999 ± 0.030   2.301 ± 0.031  -1.6978 ± 0.0092      -2.76773 ± 0  0.2757 ± 0.0062  0.7942 ± 0.0091    10000
clamped   -3.401 ± 0.023  -0.036 ± 0.032    -3.437 ± 0.023    -4.349 ± 0.026    0.912 ± 0.010            0 ± 0     2749
Gaussian  -5.524 ± 0.051   3.831 ± 0.052  -1.6935 ± 0.0092  -2.9126 ± 0.0054                –                –     7392
────────  ──────────────  ──────────────  ────────────────  ────────────────  ───────────────  ───────────────  ───────
log p(O) is at least each ELBO, and not known here; estimates ± standard error, from 10,000 draws
1000 particles of the clamped guide: IWAE -2.768, SMC -2.762 nats
"""

from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import pyro
import pyro.distributions as dist
import tyro
from matplotlib.figure import Figure
from pyro.infer.autoguide import AutoMultivariateNormal
from pyro.optim import ClippedAdam

from pgm_control import fit, iwae_bound, plot, scorecard, smc
from pgm_control.testing import check_guide, check_model

HORIZON, A, B, NOISE, Q, R, MEAN, SPREAD = 6, 0.9, 0.5, 0.3, 1.0, 0.2, 1.0, 0.5  # NOISE and SPREAD are variances


def program() -> None:
    """The model: start, prior over actions, factors exp(−cost), dynamics."""
    state = pyro.sample("state_0", dist.Normal(MEAN, sqrt(SPREAD)))
    for t in range(HORIZON):
        action = pyro.sample(f"action_{t}", dist.Normal(0.0, 1.0))
        pyro.factor(f"optimality_{t}", -(Q * state**2 + R * action**2) / 2)
        state = pyro.sample(f"state_{t + 1}", dist.Normal(A * state + B * action, sqrt(NOISE)))


class Optimal:
    """The optimal guide whose dynamics are free (β = 1) or clamped (β = 0), by a backward recursion."""

    def __init__(self, optimism: float) -> None:
        self.optimism, self.steps, p = optimism, [], 0.0  # the value of a state is −p s²/2 + constant
        for _ in range(HORIZON):
            believed = NOISE / (1 + optimism * NOISE * p)
            ahead = p - optimism * p * believed * p
            gain, variance = A * B * ahead / (1 + R + B * B * ahead), 1 / (1 + R + B * B * ahead)
            self.steps.insert(0, (gain, variance, believed, 1 - optimism * believed * p))
            p = Q + A * A * ahead - gain * A * B * ahead
        self.spread = SPREAD / (1 + optimism * SPREAD * p)
        self.mean = (1 - optimism * self.spread * p) * MEAN

    def __call__(self) -> None:
        """Draw a trajectory at the sites of the program."""
        state = pyro.sample("state_0", dist.Normal(self.mean, sqrt(self.spread)))
        for t, (gain, variance, believed, shrink) in enumerate(self.steps):
            action = pyro.sample(f"action_{t}", dist.Normal(-gain * state, sqrt(variance)))
            state = pyro.sample(f"state_{t + 1}", dist.Normal(shrink * (A * state + B * action), sqrt(believed)))


@dataclass
class Args:
    """Options of the example."""

    num_steps: int = 1500
    """number of SVI steps"""
    num_samples: int = 10_000
    """number of draws of each estimate"""
    picture: Path = Path("27_a_program_by_hand.png")
    """output file of the picture"""
    smoke: bool = False
    """a few steps, to see that it runs"""


def main(args: Args) -> None:
    """Check the program and its guides, compare them, and estimate log p(O)."""
    if args.smoke:
        args.num_steps, args.num_samples = 20, 500
    free, clamped = Optimal(1.0), Optimal(0.0)
    print("sites:", ", ".join(check_model(program, seed=0).sites[:4]), "…")
    print("free blocks:", check_guide(program, free, seed=0).free, check_guide(program, clamped, seed=0).free)
    pyro.set_rng_seed(0)
    auto = AutoMultivariateNormal(program, init_scale=0.3)
    fit(program, auto, optim=ClippedAdam({"lr": 0.05, "lrd": 0.998}), num_steps=args.num_steps, tolerance=0.0, seed=0)
    guides = {"free": free, "clamped": clamped, "Gaussian": auto}
    card = scorecard(program, guides, num_samples=args.num_samples, seed=0)
    print(card)

    particles = [1, 3, 10, 30, 100, 300, 1000]
    bounds = [iwae_bound(program, clamped, k, args.num_samples // 10, seed=0).mean for k in particles]
    runs = [[smc(program, clamped, k, seed=i).log_evidence for i in range(args.num_samples // 200)] for k in particles]
    by_smc = [sum(each) / len(each) for each in runs]
    print(f"1000 particles of the clamped guide: IWAE {bounds[-1]:.3f}, SMC {by_smc[-1]:.3f} nats")

    figure = Figure(figsize=(10.8, 5.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    for i, (label, colour) in enumerate({"imagined_return": "tab:orange", "true_return": "tab:blue"}.items()):
        found = [getattr(score, label) for score in card.scores.values()]
        left.bar(
            [x + 0.4 * i for x in range(len(found))],
            [each.mean for each in found],
            0.38,
            yerr=[each.standard_error for each in found],
            color=colour,
            label=label.replace("_", " "),
        )
    left.set_xticks([x + 0.2 for x in range(3)], list(card.scores))
    left.set_ylabel("reward")
    left.set_title("The free guide imagines more and earns less")
    left.legend()
    plot.curves(
        particles,
        {"IWAE": bounds, "SMC, mean of log Ẑ": by_smc, "log p(O)": [-2.7677] * len(particles)},
        across="number of particles",
        up="nats",
        title="Estimates of log p(O) with the clamped guide",
        logarithmic="x",
        ax=right,
    )
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
