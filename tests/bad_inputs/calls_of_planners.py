"""A valid call of every public function of planners, with small arguments."""

from typing import Any

import numpy as np
import torch

from pgm_control import infer
from pgm_control.planners import ESS, MPPI, RecedingHorizon

from .calls import add, add_method, regulator


def ahead(t: int, state: torch.Tensor) -> torch.Tensor:
    """A value of states."""
    return -(state**2).sum(-1)


def solved(left: Any, before: Any) -> Any:
    """The exact optimum of what is left."""
    return infer(left, 0.0)


def drift(state: torch.Tensor, action: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A step of a simulator."""
    return state + action, -(state**2).sum(-1)


def same(rows: torch.Tensor) -> torch.Tensor:
    """What is observed of states, and back."""
    return rows


SMALL = {"num_plans": 4, "num_noise_samples": 2, "horizon": 1, "spread": 0.5, "terminal_value": ahead, "seed": 0}


def planner() -> MPPI:
    """A small one."""
    return MPPI(regulator(), num_plans=4, num_noise_samples=2, seed=0)


add("planners:MPPI", lambda: {"model": regulator(), "optimism": 0.5, "temperature": ESS(0.5), **SMALL})
add("planners:CEM", lambda: {"model": regulator(), "optimism": 0.5, "temperature": 1.0, **SMALL})
add("planners:SMCPlanner", lambda: {"model": regulator(), "optimism": 0.5, "temperature": 1.0, **SMALL})
add(
    "planners:Simulator",
    lambda: {
        "step": drift, "start": [0.5], "action_low": [-1.0], "action_high": [1.0], "horizon": 2, "temperature": 0.5,
        "observe": same, "locate": same,
    },
)  # fmt: skip
add("planners:pendulum_simulator", lambda: {"horizon": 2, "temperature": 0.5, "gravity": 9.0})
add("planners:ESS", lambda: {"fraction": 0.5})
add("planners:RecedingHorizon", lambda: {"model": regulator(), "guide": solved, "horizon": 1, "seed": 0})
add_method("planners:Planner.plan", planner, lambda: {"state": np.ones((3, 1)), "time": 0})
add_method("planners:Planner.act", planner, lambda: {"state": np.ones((3, 1))})
add_method("planners:Planner.predict", planner, lambda: {"observation": np.ones((3, 1)), "deterministic": True})
add_method(
    "planners:RecedingHorizon.act",
    lambda: RecedingHorizon(regulator(), solved, seed=0),
    lambda: {"state": np.ones(1)},
)
add_method(
    "planners:RecedingHorizon.predict",
    lambda: RecedingHorizon(regulator(), solved, seed=0),
    lambda: {"observation": np.ones((3, 1)), "deterministic": True},
)
