"""The ids by which Gymnasium knows the problems of the zoo."""

import gymnasium

NAMESPACE = "pgm_control"
PROBLEMS = (
    "restaurant",
    "lottery",
    "risky_path",
    "windy_bridge",
    "slippery_cliff",
    "frozen_lake",
    "frozen_lake_8x8",
)
"""Of the zoo; each has a twin. Written out, for the zoo itself takes torch to load."""
_MULTI_GOAL, _MULTI_GOAL_STEPS = f"{NAMESPACE}/MultiGoal-v0", 30


def register_environments() -> tuple[str, ...]:
    """Register `pgm_control/RiskyPath-v0` and so on with Gymnasium; doing it again changes nothing.

    `import pgm_control` does it, and nothing else does; `gymnasium.make("pgm_control:pgm_control/RiskyPath-v0")`
    imports the package first.

    Every problem of the zoo is there under its name in one word, its twin beside it, and `pgm_control/MultiGoal-v0`.
    Arguments of `gymnasium.make` go to the problem and to the environment:
    `gymnasium.make("pgm_control/RiskyPath-v0", horizon=10, observe_time=True)`.

    The tabular ones cut their episodes themselves, at the horizon they were made with, and say so in
    `spec.max_episode_steps`; the point mass has Gymnasium's `TimeLimit`.

    Returns:
        The ids, in the order of the zoo.
    """
    ids = {word_of(name): name for problem in PROBLEMS for name in (problem, f"{problem}_twin")}
    for each, name in ids.items():
        if each not in gymnasium.registry:
            entry = "pgm_control.models.environments:zoo_environment"
            gymnasium.register(each, entry_point=entry, kwargs={"problem": name})
    if _MULTI_GOAL not in gymnasium.registry:
        entry = "pgm_control.models.multi_goal:MultiGoalEnv"
        gymnasium.register(_MULTI_GOAL, entry_point=entry, max_episode_steps=_MULTI_GOAL_STEPS)
    return (*ids, _MULTI_GOAL)


def word_of(name: str) -> str:
    """`pgm_control/RiskyPath-v0` for `risky_path`."""
    return f"{NAMESPACE}/{''.join(part.capitalize() for part in name.split('_'))}-v0"
