"""The named problems: what is known of each without building it, so that the command line answers without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, final


class Settings(NamedTuple):
    """The temperature, in reward units per nat, and the horizon at which a problem shows what its guides do."""

    temperature: float
    horizon: int


@final
@dataclass(frozen=True)
class NamedProblem:
    """The facts of a problem of the zoo.

    Attributes:
        name: the name in the zoo.
        summary: a description in one sentence.
        num_states, num_actions: the sizes of its tables.
        settings: its temperature, at which the returns of free and clamped guides differ and the clamped one earns much
            of the best return; and its horizon.
        environment: the id of Gymnasium's environment with the same table, or None.
        twin: the name of its deterministic twin; None for a twin.
    """

    name: str
    summary: str
    num_states: int
    num_actions: int
    settings: Settings
    environment: str | None = None
    twin: str | None = None


def _pair(
    name: str,
    summary: str,
    of_twin: str,
    num_states: int,
    num_actions: int,
    settings: Settings,
    environment: str | None = None,
    environment_of_twin: str | None = None,
) -> tuple[NamedProblem, NamedProblem]:
    twin = f"{name}_twin"
    return (
        NamedProblem(name, summary, num_states, num_actions, settings, environment, twin),
        NamedProblem(twin, of_twin, num_states, num_actions, settings, environment_of_twin),
    )


PROBLEMS = (
    *_pair(
        "restaurant",
        "Choose between an erratic kitchen and a dependable one: one decision.",
        "Both kitchens always serve a good dinner.",
        4,
        2,
        Settings(1.0, 1),
    ),
    *_pair(
        "lottery",
        "Choose between a ticket with a rare jackpot and a sure wage: one decision.",
        "The ticket always loses.",
        4,
        2,
        Settings(1.0, 1),
    ),
    *_pair(
        "risky_path",
        "Choose between a safe path of two steps and a jump with an even chance of goal or pit.",
        "The risky jump always arrives at the goal.",
        4,
        2,
        Settings(1.0, 5),
    ),
    *_pair(
        "windy_bridge",
        "A narrow bridge in gusts of wind: slips of the own foot and the wind are separate random events.",
        "The foot never slips and there is no wind.",
        17,
        3,
        Settings(1.0, 12),
    ),
    *_pair(
        "slippery_cliff",
        "Gymnasium's CliffWalkingSlippery-v1: the way along the edge is short, and every step may slip sideways.",
        "Gymnasium's CliffWalking-v1: every step goes as intended.",
        49,
        4,
        Settings(1.0, 50),
        "CliffWalkingSlippery-v1",
        "CliffWalking-v1",
    ),
    *_pair(
        "frozen_lake",
        "Gymnasium's FrozenLake-v1, 4x4: cross slippery ice with holes in it.",
        "The 4x4 lake without slipping.",
        17,
        4,
        Settings(0.01, 100),
        "FrozenLake-v1",
    ),
    *_pair(
        "frozen_lake_8x8",
        "Gymnasium's FrozenLake8x8-v1: the same on a larger lake.",
        "The 8x8 lake without slipping.",
        65,
        4,
        Settings(0.01, 200),
        "FrozenLake8x8-v1",
    ),
)
"""The zoo, in its order: each problem is followed by its deterministic twin."""

ENVIRONMENTS: Mapping[str, Settings] = {
    **{each.environment: each.settings for each in PROBLEMS if each.environment is not None},
    "Taxi-v4": Settings(1.0, 30),  # no trip takes as many steps
}
"""The ids of the Gymnasium environments that have a transition table, with the settings of the same problem."""


class NamedContinuous(NamedTuple):
    """The facts of a continuous problem of the zoo: its name, its state in words, a summary, its settings, and whether
    it is solved exactly, up to the error of a mesh."""

    name: str
    state: str
    summary: str
    settings: Settings
    is_exact: bool = True


CONTINUOUS = (
    NamedContinuous(
        "double_integrator",
        "two numbers, linear-quadratic",
        "Push a mass on a line back to 0, under noise.",
        Settings(1.0, 20),
    ),
    NamedContinuous(
        "gusty_ledge",
        "a point of the plane",
        "Walk along a ledge in gusts of wind, beside a pit.",
        Settings(0.5, 16),
    ),
    NamedContinuous(
        "hurry",
        "a number",
        "Walk to a goal on a line, with a noise that grows with the size of a step.",
        Settings(0.5, 8),
    ),
    NamedContinuous(
        "windy_pendulum",
        "an angle and a speed",
        "Hold a pendulum up, in gusts of wind.",
        Settings(0.5, 20),
        is_exact=False,
    ),
)
"""The zoo of continuous problems."""
