"""One episode of a planner in a live environment, with the numbers of its plans."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from ...environments.checked import Checked
from ...environments.rollout import Predictor
from ...planners import Plan, PlanStatus

SEEDS = "environment_seed", "planner_seed"
"""The columns of the seeds of an episode."""
COLUMNS = (
    "episode", *SEEDS, "return", "steps", "terminated", "effective_sample_size", "smallest_effective_sample_size",
    "largest_weight", "largest_noise_weight", "temperature", "degenerate", "simulated_steps", "seconds",
)  # fmt: skip
"""The columns of the log."""
WHOLE = frozenset({"episode", *SEEDS, "steps", "terminated", "degenerate", "simulated_steps"})
"""The columns that hold whole numbers."""
OF_PLANS = frozenset(COLUMNS[6:13])
"""The columns that a planner without plans, which solves a guide, leaves empty."""

Row = Mapping[str, float | int | None]


class Task(NamedTuple):
    """What is planned in, and how.

    Attributes:
        name: the name of the environment.
        environment: makes it, perhaps with `render_mode`.
        planner: makes the planner with a seed.
    """

    name: str
    environment: Callable[..., gymnasium.Env]
    planner: Callable[[int], Predictor]


def seeds_of(seed: int, episode: int) -> tuple[int, int]:
    """The seeds of the environment and of the planner in an episode: independent, and known without the others."""
    drawn = np.random.SeedSequence(seed, spawn_key=(episode,)).generate_state(2)
    return int(drawn[0] >> 1), int(drawn[1] >> 1)


def played(task: Task, seed: int, episode: int, is_stopped: Callable[[], bool]) -> Row | None:
    """The row of an episode in the log; None if it is stopped on the way, before its last step.

    Args:
        task: the environment and the planner, which are made anew.
        seed: the seed of the run.
        episode: the number of the episode, from 0.
        is_stopped: asked after each step.
    """
    begun, (world_seed, planner_seed) = time.perf_counter(), seeds_of(seed, episode)
    planner, env = task.planner(planner_seed), Checked(task.environment())
    plans: list[Plan] = []
    try:
        observation, _ = env.reset(seed=world_seed)
        memory, total, steps, terminated, truncated = None, 0.0, 0, False, False
        while not (terminated or truncated):
            action, memory = planner.predict(observation, memory, deterministic=True)
            if isinstance(latest := getattr(planner, "latest", None), Plan):
                plans.append(latest)
            observation, reward, terminated, truncated, _ = env.step(fitting(action, env.action_space))
            total, steps = total + reward, steps + 1
            if not (terminated or truncated) and is_stopped():
                return None
    finally:
        env.close()
    return {
        "episode": episode, "environment_seed": world_seed, "planner_seed": planner_seed, "return": total,
        "steps": steps, "terminated": int(terminated), **_of_plans(plans), "seconds": time.perf_counter() - begun,
    }  # fmt: skip


def fitting(action: Any, space: gymnasium.Space) -> Any:
    """The action in the form of the space: a whole number, or an array of its dtype within its bounds."""
    if isinstance(space, Box):
        return np.clip(np.asarray(action), space.low, space.high).astype(space.dtype)
    return int(action)


def _of_plans(plans: list[Plan]) -> dict[str, float | int | None]:
    """The numbers of the plans of an episode: means of sizes and temperatures, the extremes of sizes and weights."""
    if not plans:
        return dict.fromkeys(sorted(OF_PLANS, key=COLUMNS.index))
    sizes = [float(each.effective_sample_size[0]) for each in plans]
    return {
        "effective_sample_size": math.fsum(sizes) / len(sizes),
        "smallest_effective_sample_size": min(sizes),
        "largest_weight": max(float(each.largest_weight[0]) for each in plans),
        "largest_noise_weight": max(float(each.largest_noise_weight[0]) for each in plans),
        "temperature": math.fsum(float(each.temperature[0]) for each in plans) / len(plans),
        "degenerate": sum(each.status is PlanStatus.degenerate for each in plans),
        "simulated_steps": sum(each.num_simulated_steps for each in plans),
    }
