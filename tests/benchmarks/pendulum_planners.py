"""Planning in Pendulum-v1 with known dynamics, beside pytorch_mppi: returns, and the time of a decision.

`python -m tests.benchmarks.pendulum_planners --beside FOLDER`, where FOLDER is the `site-packages` of an environment
with pytorch_mppi 0.9.1 and the same torch, if it is not installed here. Both planners have as many plans and steps, act
in copies of the environment with the same starts, in float64 on one thread, and decide in turns, so that both are timed
in one run. pytorch_mppi has the settings of its own example: λ = 1, a noise of variance 10, bounds of ±2. Ours has the
defaults, with one draw of the noise, as there is none. The last row of a size is ours with all episodes side by side.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
import torch

from pgm_control.planners import MPPI, pendulum_simulator

SIZES = ((100, 15), (500, 25))
STEPS, WARM = 200, 20
Act = Callable[[np.ndarray], np.ndarray]


def theirs(plans: int, steps: int) -> Act:
    """A controller of pytorch_mppi, with the dynamics of its example in states (φ, v)."""

    def dynamics(state: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        angle, speed = state[:, 0:1], state[:, 1:2]
        faster = (speed + (15 * angle.sin() + 3 * action.clamp(-2, 2)) * 0.05).clamp(-8, 8)
        return torch.cat((angle + faster * 0.05, faster), 1)

    def cost(state: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        angle = (state[:, 0] + math.pi) % (2 * math.pi) - math.pi
        return angle**2 + 0.1 * state[:, 1] ** 2 + 0.001 * action[:, 0] ** 2

    two = torch.tensor([2.0], dtype=torch.float64)
    planner = import_module("pytorch_mppi").MPPI(
        dynamics, cost, 2, torch.tensor(10.0, dtype=torch.float64), num_samples=plans, horizon=steps, lambda_=1.0,
        u_min=-two, u_max=two,
    )  # fmt: skip

    def act(seen: np.ndarray) -> np.ndarray:
        state = torch.tensor([math.atan2(seen[1], seen[0]), float(seen[2])], dtype=torch.float64)
        return planner.command(state).numpy()

    return act


def ours(plans: int, steps: int, seed: int) -> Act:
    """A planner of the library, in the form of Stable-Baselines3."""
    planner = MPPI(pendulum_simulator(), num_plans=plans, num_noise_samples=1, horizon=steps, seed=seed)
    memory: list[Any] = [None]

    def act(seen: np.ndarray) -> np.ndarray:
        action, memory[0] = planner.predict(seen, memory[0], deterministic=True)
        return action

    return act


def in_turns(actors: dict[str, Act], seed: int) -> dict[str, tuple[float, float]]:
    """The return and the median time of a decision in ms of each, in an episode with one start."""
    envs: dict[str, Any] = {name: gymnasium.make("Pendulum-v1") for name in actors}
    seen = {name: env.reset(seed=seed)[0] for name, env in envs.items()}
    total, spent = dict.fromkeys(actors, 0.0), {name: list[float]() for name in actors}
    for _ in range(STEPS):
        for name, act in actors.items():
            began = time.perf_counter()
            action = act(seen[name])
            spent[name].append(1e3 * (time.perf_counter() - began))
            seen[name], reward, *_ = envs[name].step(action)
            total[name] += float(reward)
    return {name: (total[name], float(np.median(spent[name][WARM:]))) for name in actors}


def side_by_side(plans: int, steps: int, episodes: int) -> tuple[np.ndarray, float]:
    """The returns of our planner in all episodes at once, and the median time of a decision and episode, in ms."""
    envs = gymnasium.make_vec("Pendulum-v1", episodes)
    seen, act = envs.reset(seed=list(range(episodes)))[0], ours(plans, steps, 0)
    total, spent = np.zeros(episodes), list[float]()
    for _ in range(STEPS):
        began = time.perf_counter()
        action = act(seen)
        spent.append(1e3 * (time.perf_counter() - began) / episodes)
        seen, reward, *_ = envs.step(action)
        total += reward
    return total, float(np.median(spent[WARM:]))


def mean(values: Any) -> str:
    """The mean with its standard error."""
    found = np.asarray(values)
    return f"{found.mean():8.1f} ± {found.std(ddof=1) / math.sqrt(len(found)):.1f}"


def main() -> None:
    """Print a table for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beside", help="a folder site-packages with pytorch_mppi")
    parser.add_argument("--episodes", type=int, default=10)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.beside:
        sys.path.append(given.beside)
    if not find_spec("pytorch_mppi"):
        print("pytorch_mppi is not installed, and is left out")
    for plans, steps in SIZES:
        rows = []
        for episode in range(given.episodes):
            torch.manual_seed(episode)
            actors = {"pgm-control": ours(plans, steps, episode)}
            if find_spec("pytorch_mppi"):
                actors["pytorch_mppi"] = theirs(plans, steps)
            rows.append(in_turns(actors, episode))
        print(f"{plans} plans of {steps} steps, {given.episodes} episodes")
        for name in rows[0]:
            times = [row[name][1] for row in rows]
            print(f"  {name:<24}{mean([row[name][0] for row in rows])}  {np.median(times):6.2f} ms a decision")
        if "pytorch_mppi" in rows[0]:
            ratios = [row["pytorch_mppi"][1] / row["pgm-control"][1] for row in rows]
            gains = [row["pgm-control"][0] - row["pytorch_mppi"][0] for row in rows]
            print(
                f"  faster by {np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); return by{mean(gains)}"
            )
        total, cost = side_by_side(plans, steps, given.episodes)
        print(f"  {'all side by side':<24}{mean(total)}  {cost:6.2f} ms a decision and episode")


if __name__ == "__main__":
    main()
