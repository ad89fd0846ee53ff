"""Returns of soft actor-critic by number of steps, ours beside that of Stable-Baselines3, with the same settings."""

import time
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import gymnasium
import numpy as np
import torch
import tyro

from pgm_control import rollout
from pgm_control.learners import SAC


@dataclass
class Options:
    """Options of the benchmark."""

    env: str = "Pendulum-v1"
    steps: int = 20_000
    every: int = 5_000
    seeds: int = 5
    episodes: int = 20
    learning_rate: float = 1e-3


class Ours:
    name = "pgm-control"

    def __init__(self, options, seed):
        self.learner = SAC(options.env, learning_rate=options.learning_rate, seed=seed)

    def learn(self, steps):
        self.learner.learn(steps)
        return self.learner


class Theirs:
    name = "stable-baselines3"

    def __init__(self, options, seed):
        stable_baselines3 = import_module("stable_baselines3")
        env = gymnasium.make(options.env)
        self.learner = stable_baselines3.SAC(
            "MlpPolicy", env, learning_rate=options.learning_rate, seed=seed, device="cpu"
        )

    def learn(self, steps):
        self.learner.learn(steps - self.learner.num_timesteps, reset_num_timesteps=False)
        return self.learner


def main() -> None:
    options = tyro.cli(Options)
    torch.set_num_threads(1)
    contestants = [Ours] + ([Theirs] if find_spec("stable_baselines3") else [])
    if len(contestants) == 1:
        print("stable-baselines3 is not installed: only ours is measured.")
    marks = list(range(options.every, options.steps + 1, options.every))
    earned = {each.name: np.zeros((options.seeds, len(marks))) for each in contestants}
    seconds = dict.fromkeys(earned, 0.0)
    for seed in range(options.seeds):
        for contestant in contestants:
            made = contestant(options, seed)
            for i, steps in enumerate(marks):
                start = time.process_time()
                learner = made.learn(steps)
                seconds[contestant.name] += time.process_time() - start
                found = rollout(options.env, learner, options.episodes, seed=1000 + seed, deterministic=True)
                earned[contestant.name][seed, i] = found.mean
            print(f"{contestant.name}, seed {seed}: {earned[contestant.name][seed].round(1).tolist()}", flush=True)
    print(f"\n{options.env}: mean return of {options.episodes} episodes, over {options.seeds} seeds (of each)\n")
    heads = ["", *(f"{steps:,} steps" for steps in marks), "CPU ms a step"]
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for name, table in earned.items():
        cells = [f"{column.mean():.1f} ({', '.join(f'{each:.0f}' for each in column)})" for column in table.T]
        cells.append(f"{1e3 * seconds[name] / options.seeds / options.steps:.1f}")
        print("| " + " | ".join([name, *cells]) + " |")


if __name__ == "__main__":
    main()
