"""The problems of the zoo as Gymnasium environments, and the ids under which they are registered."""

from typing import Any

from pgm_control.environments.registration import word_of
from pgm_control.environments.tabular_env import TabularEnv

from .zoo import zoo_entry


def environment_id(name: str) -> str:
    """The Gymnasium id of a problem of the zoo, such as `pgm_control/RiskyPath-v0` for `risky_path`.

    Raises:
        InvalidArgument: if there is no such problem; the message suggests the nearest names.
    """
    return word_of(zoo_entry(name).name)


def zoo_environment(
    problem: str, observe_time: bool = False, render_mode: str | None = None, **arguments: Any
) -> TabularEnv:
    """A problem of the zoo as a live environment.

    Args:
        problem: the name of the problem.
        observe_time, render_mode: as in `TabularEnv`.
        arguments: arguments of the problem, such as `horizon`.

    Raises:
        InvalidArgument: if there is no such problem, or an argument does not fit.
    """
    return TabularEnv(zoo_entry(problem).build(**arguments), observe_time, render_mode)


zoo_environment.metadata = TabularEnv.metadata  # pyright: ignore[reportFunctionMemberAccess]  gymnasium.make looks here
