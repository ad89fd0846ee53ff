"""The goals that soft Q-learning reaches in MultiGoal-v0, by the number of steps learned."""

from dataclasses import dataclass
from typing import Literal

import gymnasium
import numpy as np
import torch
import tyro

from pgm_control.learners import SoftQLearning

ENV = "pgm_control/MultiGoal-v0"


@dataclass
class Options:
    """Options of the benchmark."""

    steps: int = 20_000
    every: int = 5_000
    seeds: int = 3
    episodes: int = 60
    sampler: Literal["svgd", "langevin"] = "svgd"


def goals(learner, episodes):
    """The number of episodes that end at each goal, within at most 30 steps."""
    torch.manual_seed(0)
    envs = [gymnasium.make(ENV) for _ in range(episodes)]
    position = np.stack([env.reset(seed=i)[0] for i, env in enumerate(envs)])
    reached, running = np.zeros(4, int), set(range(episodes))
    while running:
        action, _ = learner.predict(position)
        for i in list(running):
            position[i], _, terminated, truncated, info = envs[i].step(action[i])
            reached[info["goal"]] += terminated
            if terminated or truncated:
                running.remove(i)
    return reached


def quarters(learner):
    """The shares of the critic's distribution of the first action that point to each goal."""
    line = torch.linspace(-0.98, 0.98, 40)
    actions = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).reshape(1, -1, 2)
    with torch.no_grad():
        share = learner._log_density(torch.zeros(1, 2), actions)[0].softmax(0)
    x, y = actions[0].unbind(-1)
    ways = (x > y.abs(), -x > y.abs(), y > x.abs(), -y > x.abs())
    return [float(share[way].sum()) for way in ways]


def main() -> None:
    options = tyro.cli(Options)
    torch.set_num_threads(1)
    print("| seed | steps | episodes that end at each goal | first actions by the critic |\n|---|---|---|---|")
    for seed in range(options.seeds):
        learner = SoftQLearning(
            ENV,
            temperature=10.0,
            hidden=(128, 128),
            batch_size=128,
            learning_starts=1000,
            sampler=options.sampler,
            seed=seed,
        )
        for steps in range(options.every, options.steps + 1, options.every):
            learner.learn(steps)
            reached = ", ".join(map(str, goals(learner, options.episodes)))
            wanted = ", ".join(f"{each:.2f}" for each in quarters(learner))
            print(f"| {seed} | {steps:,} | {reached} | {wanted} |", flush=True)


if __name__ == "__main__":
    main()
