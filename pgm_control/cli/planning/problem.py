"""The model, the planner and the live environment of a run of a planner, by their names."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium

from ...chance.risk import Risk
from ...environments.rollout import Predictor
from ...environments.tabular_env import to_gymnasium
from ...errors import InvalidArgument
from ...inference.exact.grid.infer_line import infer_line
from ...inference.exact.grid.infer_planar import infer_planar
from ...inference.exact.infer import infer
from ...models import ContinuousModel, LineModel, PlanarModel, TabularModel
from ...planners import CEM, ESS, MPPI, RecedingHorizon, Simulator, SMCPlanner
from ...problems.gymnasium_envs import made

KINDS: Mapping[str, type] = {"mppi": MPPI, "cem": CEM, "smc": SMCPlanner, "receding": RecedingHorizon}
"""The planners by their names on the command line."""
_APART = ("risk", "optimism", "terminal", "terminal_steps")  # not arguments of a planner by these names


def optimism_in(settings: Mapping[str, Any]) -> float | Risk:
    """The optimism of settings, or the risk in its place."""
    return Risk(settings["risk"]) if "risk" in settings else float(settings["optimism"])


def solved(model: Any, optimism: float | Risk) -> Any:
    """The exact optimum of a model.

    Raises:
        InvalidArgument: if the model is not solved exactly.
    """
    if isinstance(model, PlanarModel):
        return infer_planar(model, optimism)
    if isinstance(model, LineModel):
        return infer_line(model, optimism)
    if isinstance(model, ContinuousModel | Simulator):
        raise InvalidArgument("`planner` must be mppi or cem for an environment that is not solved exactly.")
    return infer(model, optimism)


def planner_maker(kind: str, model: Any, settings: Mapping[str, Any], critic: Any = None) -> Callable[[int], Predictor]:
    """A function that makes the planner with a seed.

    Args:
        kind: a name of `KINDS`.
        model: the model to plan with.
        settings: the arguments of the planner, and those that name its critic.
        critic: the terminal value; None for the planner's own.

    Raises:
        InvalidArgument: if the planner is not for this model.
    """
    optimism = optimism_in(settings)
    if kind == "receding":
        horizon = settings.get("horizon")
        require_solved(model, kind)
        return lambda seed: RecedingHorizon(
            model, lambda left, before: solved(left, optimism), horizon=horizon, seed=seed
        )
    given = {name: value for name, value in settings.items() if name not in _APART}
    if isinstance(asked := given.get("temperature"), str):
        given["temperature"] = ESS(float(asked.removeprefix("ess:"))) if asked.startswith("ess:") else float(asked)
    if critic is not None:
        given["terminal_value"] = critic
    elif kind == "smc" and optimism != 1.0:
        require_solved(model, kind)
        given["terminal_value"] = solved(model, optimism)
    planner = KINDS[kind]
    return lambda seed: planner(model, optimism=optimism, seed=seed, **given)


def require_solved(model: Any, kind: str) -> None:
    """Require a model that is solved exactly.

    Raises:
        InvalidArgument: if it is not.
    """
    if isinstance(model, ContinuousModel | Simulator):
        only = "has optimism 1 only" if kind == "smc" else "is not"
        raise InvalidArgument(
            f"`planner` {kind} needs exact values, and {only} for an environment that is not solved exactly. Take mppi "
            "or cem."
        )


def environment_of(name: str, model: Any, is_live: bool) -> Callable[..., gymnasium.Env]:
    """A function that makes the live environment, perhaps with `render_mode`.

    Args:
        name: the name of the environment.
        model: the model to plan with.
        is_live: whether Gymnasium makes it, rather than the model.
    """
    if is_live:
        return lambda **given: made(name, max_episode_steps=model_horizon(model), **given)
    problem = model.mdp if isinstance(model, TabularModel) else model
    return lambda **given: to_gymnasium(problem, **given)


def model_horizon(model: Any) -> int:
    """T of a table or of a simulator, beyond which its planners know nothing."""
    return model.horizon if isinstance(model, Simulator) else model.mdp.horizon


def value_in(text: str) -> Any:
    """The value of a text: a number, a list if it has commas, true, false, null, or else the text itself."""
    for form in (text, f"[{text}]" if "," in text else ""):
        try:
            return json.loads(form)
        except ValueError:
            continue
    return text
