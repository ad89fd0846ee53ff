"""The ids under which the problems of the zoo are registered with Gymnasium."""

import gymnasium

from ..problems.named import PROBLEMS

NAMESPACE = "pgm_control"
_MULTI_GOAL, _MULTI_GOAL_STEPS = f"{NAMESPACE}/MultiGoal-v0", 30


def register_environments() -> tuple[str, ...]:
    """Register the problems of the zoo with Gymnasium, such as `pgm_control/RiskyPath-v0`; a second call has no effect.

    Only `import pgm_control` calls it; `gymnasium.make("pgm_control:pgm_control/RiskyPath-v0")` imports the package
    first.

    Every problem of the zoo and its twin is registered under its name in CamelCase, and the point mass as
    `pgm_control/MultiGoal-v0`. Arguments of `gymnasium.make` are passed to the problem and to the environment:
    `gymnasium.make("pgm_control/RiskyPath-v0", horizon=10, observe_time=True)`.

    The tabular environments truncate or terminate their episodes themselves, at their horizon, which is also in
    `spec.max_episode_steps`; the point mass has Gymnasium's `TimeLimit`.

    Returns:
        The ids, in the order of the zoo.
    """
    ids = {word_of(each.name): each.name for each in PROBLEMS}
    for each, name in ids.items():
        if each not in gymnasium.registry:
            entry = "pgm_control.models.environments:zoo_environment"
            gymnasium.register(each, entry_point=entry, kwargs={"problem": name})
    if _MULTI_GOAL not in gymnasium.registry:
        entry = "pgm_control.models.multi_goal:MultiGoalEnv"
        gymnasium.register(_MULTI_GOAL, entry_point=entry, max_episode_steps=_MULTI_GOAL_STEPS)
    return (*ids, _MULTI_GOAL)


def word_of(name: str) -> str:
    """The id of a problem's environment, such as `pgm_control/RiskyPath-v0` for `risky_path`."""
    return f"{NAMESPACE}/{''.join(part.capitalize() for part in name.split('_'))}-v0"
