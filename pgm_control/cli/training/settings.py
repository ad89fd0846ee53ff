"""The settings of a training run: the arguments of a learner and of `learn`, and the command that repeats it."""

import difflib
import inspect
import json
import shlex
from collections.abc import Mapping
from typing import Any

from ...chance.risk import Risk
from ...errors import InvalidArgument
from ...learners import Learner

_STEPS = 20_000
_ROWS, _MOST_APART = 20, 1000  # the number of rows of the log, and the largest number of steps between rows


def plan_of(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `learn`."""
    total_steps = _STEPS if asked["total_steps"] is None else asked["total_steps"]
    part = max(1, total_steps // _ROWS)
    usual = {"evaluate_every": part, "num_evaluation_episodes": 10, "checkpoint_every": 10 * min(part, _MOST_APART)}
    chosen = {name: asked[name] if asked[name] is not None else usual[name] for name in usual}
    plan = {"total_steps": total_steps, **chosen}
    for name, value in plan.items():
        if value < (0 if name == "evaluate_every" else 1):
            raise InvalidArgument(f"`{name}` must be a whole number, at least 1, but is {value!r}.")
    return {**plan, "evaluate_every": plan["evaluate_every"] or None, "log_every": min(part, _MOST_APART)}


def options_of(algorithm: str, kind: type[Learner], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given arguments of the learner, from options of their own or from NAME=VALUE.

    Raises:
        InvalidArgument: if the learner has no such argument, with the arguments that it has.
    """
    parameters = inspect.signature(kind.__init__).parameters
    known = [name for name in parameters if name not in ("self", "env")]
    apart = {name: asked[name] for name in ("seed", "temperature", "optimism", "num_envs", "device")}
    given = {name: _value(value) for name, value in apart.items() if value is not None}
    if asked["normalise_observations"]:
        given["normalise_observations"] = True
    if asked["risk"] is not None:
        given["optimism"] = Risk(asked["risk"])
    for each in asked["option"]:
        name, _, value = each.partition("=")
        given[name.strip().replace("-", "_")] = _value(value.strip())
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            remedy = f" Did you mean {near[0]}?" if near else ""
            typed = "--risk" if isinstance(value, Risk) else _flag(name) if name in apart else name
            raise InvalidArgument(
                f"{algorithm} has no option {typed}.{remedy} It has: {', '.join(known)}. Give those "
                "that are not options of the command as --option NAME=VALUE."
            )
        if isinstance(parameters[name].default, tuple) and not isinstance(value, list):
            given[name] = [] if value == "" else [value]
        elif type(value) is int and (
            isinstance(parameters[name].default, float) or name in ("temperature", "optimism")
        ):
            given[name] = float(value)
    return given


def command_of(asked: Mapping[str, Any], plan: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """Return the command that repeats a run.

    Args:
        asked: the options of the command by name.
        plan: the arguments of `learn`.
        options: the arguments of the learner, with its seed.
    """
    words = ["pgm-control", "train", asked["algorithm"], asked["env"]]
    for name, value in {**plan, **options}.items():
        if isinstance(value, Risk):
            words += ["--risk", str(value.theta)]
        elif value is True and name in asked:
            words += [_flag(name)]
        elif name in asked:
            words += [_flag(name), str(0 if value is None else value)]
        elif name not in plan:
            words += ["--option", f"{name}={json.dumps(value) if not isinstance(value, str) else value}"]
    if asked["stop_at_return"] is not None:
        words += ["--stop-at-return", str(asked["stop_at_return"])]
    words += ["--keep-best"] * asked["keep_best"]
    words += ["--tensorboard"] * asked["tensorboard"]
    if asked["import_"] is not None:
        words += ["--import", asked["import_"]]
    return shlex.join(words)


def _value(text: object) -> Any:
    """Return the value of a text: a number, a list if it has commas, true, false, null, or else the text itself."""
    for form in (f"{text}", f"[{text}]" if "," in f"{text}" else ""):
        try:
            return json.loads(form)
        except ValueError:
            continue
    return text


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
