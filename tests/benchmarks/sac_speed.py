"""A step of soft actor-critic, one update included: ours beside that of Stable-Baselines3, with the same settings."""

import statistics
import time
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import gymnasium
import torch
import tyro

from pgm_control.learners import SAC

THEIRS = "stable-baselines3"


@dataclass
class Options:
    """What to run."""

    env: str = "Pendulum-v1"
    steps: int = 300
    rounds: int = 10


class Ours:
    def __init__(self, env, products):
        self.learner = SAC(env, products=products, seed=0)

    def learn(self, steps):
        self.learner.learn(self.learner.steps + steps)


class Theirs:
    def __init__(self, env, products):
        sac = import_module("stable_baselines3").SAC
        self.learner = sac("MlpPolicy", gymnasium.make(env), seed=0, device="cpu")
        self.precision = {"float32": "highest", "bfloat16": "medium"}[products]

    def learn(self, steps):
        torch.set_float32_matmul_precision(self.precision)
        self.learner.learn(steps, reset_num_timesteps=False)
        torch.set_float32_matmul_precision("highest")


class Products:
    """The sixteen products of 256 x 256 matrices in an update, and nothing else: what no way of writing it can beat."""

    def __init__(self, products):
        dtype = getattr(torch, products)
        self.one, self.two = (torch.randn(n, k, 256, 256, dtype=dtype) for n, k in ((4, 1), (6, 2)))

    def learn(self, steps):
        for _ in range(steps):
            for each in (*self.one, *self.two):
                torch.bmm(each, each)


def main() -> None:
    options = tyro.cli(Options)
    torch.set_num_threads(1)
    contestants = {}
    if find_spec("stable_baselines3"):
        contestants |= {f"{THEIRS}, {each}": Theirs(options.env, each) for each in ("float32", "bfloat16")}
    else:
        print(f"{THEIRS} is not installed: ours alone.")
    contestants |= {f"pgm-control, {each}": Ours(options.env, each) for each in ("float32", "bfloat16")}
    contestants |= {f"products alone, {each}": Products(each) for each in ("float32", "bfloat16")}
    for each in contestants.values():
        each.learn(300)  # beyond the steps before the first update, and warm
    times = {name: [] for name in contestants}
    for _ in range(options.rounds):
        for name, each in contestants.items():
            start = time.process_time()
            each.learn(options.steps)
            times[name].append((time.process_time() - start) / options.steps)
    print(f"{options.env}: CPU time of a step, median of {options.rounds} rounds, one thread\n")
    print("| | ms a step | times the speed of the first |\n|---|---|---|")
    first = next(iter(times.values()))
    for name, found in times.items():
        ratio = statistics.median(theirs / mine for theirs, mine in zip(first, found, strict=True))
        print(f"| {name} | {1e3 * statistics.median(found):.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
