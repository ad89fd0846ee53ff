"""Calibration of the posterior over optimism, and accuracy of the evidence in identifying the demonstrator.

python -m tests.benchmarks.calibration [--sets N] [--nuts N] [--problems N] [--engine loky] [--jobs N] [--out FOLDER]

The rewards of three of four states and β are unknown. In a data set the rewards are drawn from their prior and β is
drawn from its prior or fixed. It has 100 demonstrations at this β and 39 nearly independent draws of the posterior. The
rank of the true β among them takes 40 values, all equally probable if the posterior is right and β was drawn from its
prior.

Every data set is a job of a sweep: with --out a run that was stopped continues, and --engine takes processes or a
cluster.
"""

import argparse
import functools
import math
import time
from collections.abc import Callable

import numpy as np
import pyro
import pyro.distributions as dist
import torch

from pgm_control import Sweep, TabularMDP, TabularModel, sweep
from pgm_control.inverse_rl import (
    BoltzmannDemonstrator,
    ClampedDemonstrator,
    Demonstrations,
    Demonstrator,
    DialDemonstrator,
    FreeDemonstrator,
    compare_demonstrators,
    reward_posterior,
)

LEVELS = {0.5: (10, 29), 0.8: (4, 35), 0.9: (2, 37), 0.95: (1, 38)}  # the ranks, of 0 to 39, in each central interval
BETAS = (-0.5, 0.0, 0.3, 1.0)
SIGMA, WIDTH, TAU = 2.0, 1.0, 0.7
DEMONSTRATORS = {
    "clamped": ClampedDemonstrator(),
    "free": FreeDemonstrator(),
    "dial −0.7": DialDemonstrator(-0.7),
    "boltzmann": BoltzmannDemonstrator(),
}


def problem(seed: int, weight: np.ndarray) -> TabularMDP:
    """A random problem: four states, three actions, three outcomes, five steps; rewards belong to states."""
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.ones(3), (4, 3))
    reward = np.broadcast_to(weight[:, None, None], (4, 3, 3))
    return TabularMDP(rng.dirichlet(np.ones(4)), probability, rng.integers(4, size=(4, 3, 3)), reward, 5)


def demonstrations(model: TabularModel, demonstrator: Demonstrator, number: int, seed: int) -> Demonstrations:
    """Demonstrations of a demonstrator under its own dynamics."""
    mdp, generator = model.mdp, torch.Generator().manual_seed(seed)
    behaviour = demonstrator.behaviour(model, mdp.reward, torch.zeros_like(mdp.initial), model.temperature)
    policy, dynamics = behaviour.log_policy.exp(), behaviour.log_dynamics.exp()
    states, actions = [torch.multinomial(mdp.initial, number, True, generator=generator)], []
    for t in range(mdp.horizon):
        s = states[-1]
        a = torch.multinomial(policy[t, s], 1, generator=generator)[:, 0]
        k = torch.multinomial(dynamics[t, s, a], 1, generator=generator)[:, 0]
        actions.append(a)
        states.append(mdp.successor[s, a, k].long())
    return Demonstrations.from_trajectories(mdp, torch.stack(states, 1).numpy(), torch.stack(actions, 1).numpy())


def begin() -> None:
    """Settings of torch and Pyro, which a process that runs jobs needs too."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    pyro.enable_validation(False)


def rank(seed: int, beta: float | None, method: str) -> dict[str, float]:
    """The rank of the true β among 39 draws, the standard deviation of the posterior, and the wall time."""
    begin()
    since = time.perf_counter()
    rng = np.random.default_rng(10_000 + seed)
    weight = np.append(SIGMA * rng.normal(size=3), 0.0)
    truth = WIDTH * rng.normal() if beta is None else beta
    model = TabularModel(problem(seed % 10, weight), TAU)
    found = reward_posterior(
        model,
        demonstrations(model, DialDemonstrator(truth), 100, seed),
        np.eye(4)[:, :3],
        DialDemonstrator(0.0),
        prior=SIGMA,
        optimism=dist.Normal(0.0, WIDTH),
        method=method,
        num_samples={"laplace": 39, "tempering": 273, "nuts": 156}[method],
        num_warmup=60,
        num_chains=1,
        seed=seed,
    )
    draws = found.optimism[:: len(found.optimism) // 39]
    deviation = float(found.optimism.std())
    return {"rank": int((draws < truth).sum()), "deviation": deviation, "seconds": time.perf_counter() - since}


def coverage(ranks: np.ndarray) -> str:
    """The coverage of the four intervals in per cent, with the binomial errors of a calibrated posterior."""
    cells = []
    for level, (low, high) in LEVELS.items():
        share = np.mean((ranks >= low) & (ranks <= high))
        cells.append(f"{100 * share:.1f} ± {100 * math.sqrt(level * (1 - level) / len(ranks)):.1f}")
    return " | ".join(cells)


def chi_square(ranks: np.ndarray) -> str:
    """The chi-square statistic of ten groups of four ranks, with its p-value."""
    counts, expected = np.bincount(ranks // 4, minlength=10), len(ranks) / 10
    statistic = ((counts - expected) ** 2 / expected).sum()
    p = float(torch.special.gammaincc(torch.tensor(4.5), torch.tensor(statistic / 2)))
    return f"{statistic:.1f}, p = {p:.2f} ({' '.join(map(str, counts))})"


def calibrate(run: Callable[..., Sweep], sets: int, by_nuts: int) -> None:
    print("| β | method | sets | 50 % | 80 % | 90 % | 95 % | std. dev. | ranks: chi-square of 9 degrees | seconds |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    rows = [
        ("laplace", None, 5 * sets),
        ("tempering", None, 5 * sets),
        *(("tempering", beta, 2 * sets) for beta in BETAS),
        ("nuts", None, by_nuts),
    ]
    for method, beta, number in rows:
        if number:
            found = run(rank, {"seed": range(number), "beta": [beta], "method": [method]})
            ranks = np.array(found.column("rank"))
            print(
                f"| {'from its prior' if beta is None else beta} | {method} | {number} | {coverage(ranks)} | "
                f"{np.mean(found.column('deviation')):.2f} | {chi_square(ranks) if beta is None else ''} | "
                f"{np.mean(found.column('seconds')):.2f} |",
                flush=True,
            )


def selected(number: int, seed: int, true: str) -> dict[str, str]:
    """The demonstrator that explains demonstrations of another one best."""
    begin()
    weight = SIGMA * np.random.default_rng(20_000 + seed).normal(size=4)
    model = TabularModel(problem(100 + seed, weight), TAU)
    seen = demonstrations(model, DEMONSTRATORS[true], number, seed)
    return {"best": compare_demonstrators(model, seen, "state", DEMONSTRATORS, prior=SIGMA, seed=0).best}


def confuse(run: Callable[..., Sweep], problems: int) -> None:
    """Print the confusion tables of true and selected demonstrators."""
    for number in (20, 160, 1280):
        found = run(selected, {"number": [number], "seed": range(problems), "true": list(DEMONSTRATORS)})
        counts = {name: dict.fromkeys(DEMONSTRATORS, 0) for name in DEMONSTRATORS}
        for row in found.rows:
            counts[row["true"]][row["best"]] += 1
        print(f"\n| true ({number} demonstrations, {problems} problems) | selected {' | '.join(DEMONSTRATORS)} |")
        print("|---" * (len(DEMONSTRATORS) + 1) + "|")
        for name, row in counts.items():
            print(f"| {name} | {' | '.join(map(str, row.values()))} |", flush=True)


def complete(found: Sweep) -> Sweep:
    """The sweep, if every job has a result."""
    if found.num_failed or found.num_left:
        raise SystemExit(str(found))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sets",
        type=int,
        default=200,
        help="data sets: five times as many with drawn β, twice as many with each fixed β",
    )
    parser.add_argument("--nuts", type=int, default=200, help="data sets for NUTS")
    parser.add_argument("--problems", type=int, default=30, help="problems for the comparison of demonstrators")
    parser.add_argument("--engine", help="what runs the jobs, as for pgm_control.sweep; default: this process")
    parser.add_argument("--jobs", type=int, help="jobs at a time")
    parser.add_argument("--out", help="folder for the results of single jobs; a run that was stopped continues")
    arguments = parser.parse_args()
    begin()
    settings = {"engine": arguments.engine, "jobs": arguments.jobs, "out": arguments.out}
    taken = functools.partial(sweep, **settings)
    calibrate(lambda *each: complete(taken(*each)), arguments.sets, arguments.nuts)
    confuse(lambda *each: complete(taken(*each)), arguments.problems)
