"""How optimistic are they? The attitudes to risk of 40 people, from 60 choices each between a gamble and a safe amount.

We simulate people whose optimism β and temperature τ we know, and fit them with a hierarchy: each person has its own
θ = β/τ and τ, drawn from a population that is learned too. The correlation with the truth says whether 60 choices are
enough; intervals of probability .9 should hold for nine people of ten. Of the four models of a demonstrator, the one
whose β is free explains the choices far better than max-ent control (β = 0) or the free posterior (β = 1), while
"boltzmann" is the same as "clamped" where there is one decision only. Printed:

Choices(2400 choices, 40 people, 60 problems)

             correlation with the truth   90 % intervals that hold
temperature                        0.90                       88 %
risk                               0.97                       98 %
optimism                           0.94                       90 %

22 people are averse to risk and 8 seek it, with 95 % probability each

demonstrator     log-evidence  difference to best  probability
                         nats                nats
────────────  ───────────────  ──────────────────  ───────────
dial          -1059.74 ± 0.25                0.00       1.0000
clamped       -1319.92 ± 0.14             -260.19       0.0000
boltzmann     -1319.92 ± 0.14             -260.19       0.0000
free          -1512.38 ± 0.17             -452.64       0.0000
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from matplotlib.figure import Figure

from pgm_control import Risk, TabularMDP, TabularModel, plot
from pgm_control.behaviour import PeoplePrior, compare_people_models, fit_people, simulate_people

PRIOR = PeoplePrior(temperature=1.0, risk=0.3)  # in reward units per nat, and its inverse


def lottery(chance: float, win: float, safe: float) -> TabularModel:
    """One decision: a gamble for `win`, or a safe amount."""
    stay = [[1.0, 0.0]] * 2
    return TabularModel(
        TabularMDP(
            initial=[1.0, 0.0],
            probability=[[[chance, 1.0 - chance], [1.0, 0.0]], stay],
            successor=[[[1, 1]] * 2] * 2,
            reward=[[[win, 0.0], [safe, 0.0]], [[0.0, 0.0]] * 2],
            horizon=1,
            state_names=["choosing", "over"],
            action_names=["gamble", "safe"],
        )
    )


@dataclass
class Args:
    """Options of the example."""

    people: int = 40
    """number of simulated people"""
    seed: int = 0
    """seed of the design, the people and the draws"""
    picture: Path = Path("24_how_optimistic_are_they.png")
    """output file of the picture"""
    smoke: bool = False
    """a few people and draws, to see that it runs"""


def main(args: Args) -> None:
    """Simulate people, fit them, compare models of them, and draw what was recovered."""
    rng = torch.Generator().manual_seed(args.seed)
    people, number = (6, 12) if args.smoke else (args.people, 60)
    models = {}
    for i in range(number):
        chance, size, place = torch.rand(3, generator=rng).tolist()
        chance, win = 0.15 + 0.7 * chance, 4.0 + 8.0 * size
        share = min(max(chance + 0.7 * (place - 0.5), 0.05), 0.95)  # of the win, around its mean
        models[f"lottery {i + 1}"] = lottery(chance, win, share * win)
    normal = torch.randn(2, people, generator=rng, dtype=torch.float64)
    true = {"temperature": 0.8 * (0.6 * normal[0]).exp(), "risk": -0.1 + 0.2 * normal[1]}
    true["optimism"] = true["risk"] * true["temperature"]

    data = simulate_people(models, Risk(true["risk"]), true["temperature"], num_people=people, seed=args.seed)
    draws, warmup = (16, 10) if args.smoke else (400, 150)
    fit = fit_people(models, data, PRIOR, num_samples=draws, num_warmup=warmup, num_chains=2, seed=args.seed)
    print(f"{data}\n\n{'':<12} correlation with the truth   90 % intervals that hold")
    estimates = {}
    for name in fit.names:
        estimates[name] = torch.cat([fit.mean(name)[:, None], fit.interval(name)], 1)
        mean, low, high = estimates[name].T
        held = ((low <= true[name]) & (true[name] <= high)).double().mean()
        print(f"{name:<12} {torch.corrcoef(torch.stack([mean, true[name]]))[0, 1]:>26.2f} {100 * held:>24.0f} %")
    averse = int((fit.interval("risk")[:, 1] < 0).sum())
    seeking = int((fit.interval("risk")[:, 0] > 0).sum())
    print(f"\n{averse} people are averse to risk and {seeking} seek it, with 95 % probability each\n")
    print(compare_people_models(models, data, PRIOR, num_populations=20 if args.smoke else 50, seed=args.seed))

    figure = Figure(figsize=(12.0, 4.8), layout="constrained")
    plot.recovered_parameters(true, estimates, axes=figure.subplots(1, 3), style="slide")
    figure.savefig(args.picture)


if __name__ == "__main__":
    main(tyro.cli(Args))
