"""Recovery of simulated people by `fit_people`, calibration of its intervals, its time, and confusion of models.

python -m tests.benchmarks.people [--sets N] [--method nuts] [--confusion N]

40 simulated people make 60 decisions each between a gamble and a safe amount. Their τ is log-normal with the median 0.8
and a deviation of 0.6 in its logarithm; their θ = β/τ is normal with mean −.1 and deviation .2. The confusion of the
four models of the demonstrator is over data sets of 10 people, with 30 lotteries and 30 menus of two decisions.
"""

import argparse
import time

import torch

from pgm_control.behaviour import PeoplePrior, model_confusion, recovery
from tests.behaviour.designs import lotteries, menus

PRIOR = PeoplePrior(temperature=1.0, risk=0.3)
POPULATION = {"temperature": (0.8, 0.6), "risk": (-0.1, 0.2)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", type=int, default=1, help="data sets to recover")
    parser.add_argument("--method", default="nuts")
    parser.add_argument("--confusion", type=int, default=0, help="data sets of each model")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    held = {}
    for seed in range(args.seed, args.seed + args.sets):
        since = time.perf_counter()
        found = recovery(lotteries(60), PRIOR, POPULATION, method=args.method, seed=seed)
        print(f"seed {seed}, {args.method}: {time.perf_counter() - since:.0f} s, {found.fit.status.name}")
        print(found, flush=True)
        for name in found.names:
            held.setdefault(name, []).append(found.coverage(name))
    if args.sets > 1:
        for name, shares in held.items():
            print(
                f"{name}: 90 % intervals hold for {100 * sum(shares) / len(shares):.1f} % of {40 * len(shares)} people"
            )
    if args.confusion:
        since = time.perf_counter()
        design = lotteries(30) | menus(30)
        found = model_confusion(design, PRIOR, POPULATION, num_people=10, num_sets=args.confusion, seed=0)
        print(f"confusion: {time.perf_counter() - since:.0f} s")
        print(found)
        own = torch.arange(4)
        ahead = found.log_evidence - found.log_evidence[own, :, own][..., None]
        ahead[own, :, own] = -torch.inf
        print("nats behind the true model, at least:", (-ahead.amax(-1).amax(-1)).tolist())


if __name__ == "__main__":
    main()
