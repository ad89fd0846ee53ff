"""Time of an update of soft actor-critic, ours beside Stable-Baselines3, with the same settings.

There is one update after a step in all copies of the environment. Each contestant learns in its own process, as in
normal use, so that the memory use of one does not affect another. They take turns, so that other load on the machine
affects all of them equally.
"""

import multiprocessing
import statistics
import time
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec

import gymnasium
import torch
import tyro

from pgm_control.learners import SAC
from pgm_control.networks.precision import bfloat16_is_slow

THEIRS = "stable-baselines3"


@dataclass
class Options:
    """Options of the benchmark."""

    env: str = "Pendulum-v1"
    num_envs: tuple[int, ...] = (1, 8)  # copies of the environment, side by side; a table for each number
    steps: int = 100
    rounds: int = 24


class Ours:
    def __init__(self, env, num_envs, products):
        self.learner = SAC(env, products=products, num_envs=num_envs, seed=0)

    def learn(self, steps):
        self.learner.learn(self.learner.total_steps + steps * self.learner.worlds.number)


class Theirs:
    def __init__(self, env, num_envs, products):
        sac, vectors = import_module("stable_baselines3").SAC, import_module("stable_baselines3.common.vec_env")
        copies = vectors.DummyVecEnv([partial(gymnasium.make, env)] * num_envs)
        self.learner = sac("MlpPolicy", copies, seed=0, device="cpu")
        self.precision = {"float32": "highest", "bfloat16": "medium"}[products]

    def learn(self, steps):
        torch.set_float32_matmul_precision(self.precision)
        self.learner.learn(steps * self.learner.n_envs, reset_num_timesteps=False)
        torch.set_float32_matmul_precision("highest")


class Products:
    """Only the sixteen products of 256 x 256 matrices in an update: a lower bound on the time of any implementation."""

    def __init__(self, env, num_envs, products):
        del env, num_envs
        dtype = getattr(torch, products)
        self.one, self.two = (torch.randn(n, k, 256, 256, dtype=dtype) for n, k in ((4, 1), (6, 2)))

    def learn(self, steps):
        for _ in range(steps):
            for each in (*self.one, *self.two):
                torch.bmm(each, each)


def alone(kind, env, num_envs, products, pipe):
    """In a new process: learn as many steps as requested, and send back the CPU time of one step in all copies."""
    torch.set_num_threads(1)
    learner = kind(env, num_envs, products)
    learner.learn(300)  # past the first updates, so that everything is warm
    while steps := pipe.recv():
        start = time.process_time()
        learner.learn(steps)
        pipe.send((time.process_time() - start) / steps)


def contestant(kind, env, num_envs, products):
    """Start the process of a contestant, and return the pipe to it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    context.Process(target=alone, args=(kind, env, num_envs, products, theirs), daemon=True).start()
    return ours


def asked(pipe, steps):
    pipe.send(steps)
    return pipe.recv()


def main() -> None:
    options = tyro.cli(Options)
    kinds = {THEIRS: Theirs, "pgm-control": Ours, "matrix products only": Products}
    if not find_spec("stable_baselines3"):
        print(f"{THEIRS} is not installed: only ours is measured.")
        del kinds[THEIRS]
    torch.set_num_threads(1)
    precisions = ["float32", "bfloat16"]
    if bfloat16_is_slow("cpu"):
        print("bfloat16 is left out: the processor has no instructions for it.")
        precisions.remove("bfloat16")
    for num_envs in options.num_envs:
        table(options, num_envs, kinds, precisions)


def table(options, num_envs, kinds, precisions) -> None:
    """Measure all contestants with a number of copies of the environment, and print a table."""
    contestants = {
        f"{name}, {products}": contestant(kind, options.env, num_envs, products)
        for name, kind in kinds.items()
        for products in precisions
    }
    for each in contestants.values():
        asked(each, 1)
    times = {name: [] for name in contestants}
    for _ in range(options.rounds):
        for name, each in contestants.items():
            times[name].append(asked(each, options.steps))
    for each in contestants.values():
        each.send(0)
    copies = "1 copy" if num_envs == 1 else f"{num_envs} copies"
    print(f"\n{options.env}, {copies}: CPU time of an update, median of {options.rounds} rounds, one thread\n")
    print("| | ms an update | environment steps a second | times the speed of the first |\n|---|---|---|---|")
    first = next(iter(times.values()))
    for name, found in times.items():
        ratio = statistics.median(theirs / mine for theirs, mine in zip(first, found, strict=True))
        median = statistics.median(found)
        print(f"| {name} | {1e3 * median:.2f} | {num_envs / median:.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
