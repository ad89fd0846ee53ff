"""The settings of a run of a planner: read from the options, compared with those of a folder, and as a command."""

import difflib
import inspect
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import InvalidArgument
from .pendulum import PENDULUM
from .problem import KINDS, value_in

_OWN = ("optimism", "risk", "num_plans", "num_noise_samples", "horizon", "temperature", "terminal")
_GIVEN = (*_OWN, "model", "seed", "terminal_value", "action_value", "guide")  # not for --option


def settings_of(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the planner, as JSON can represent them; those that are not given are left out."""
    kind, env = asked["planner"], asked["env"]
    given = {name: asked[name] for name in _OWN if asked[name] is not None}
    if "terminal" in given:
        given["terminal"] = str(given["terminal"])
    if (text := given.get("temperature")) is not None:  # as numbers, so that 0.50 is 0.5
        size = "ess:" if text.startswith("ess:") else ""
        given["temperature"] = f"{size}{float(text.removeprefix('ess:'))!r}"
    if "risk" not in given:
        given.setdefault("optimism", 0.0)
    if env == PENDULUM and kind != "receding":
        given = {"num_noise_samples": 1, "horizon": 15, **given}
    return given | _others(kind, asked["option"])


def _others(kind: str, options: tuple[str, ...]) -> dict[str, Any]:
    """The arguments of --option.

    Raises:
        InvalidArgument: if the planner has no such argument, with those that it has.
    """
    if not options:
        return {}
    known = [name for name in inspect.signature(KINDS[kind]).parameters if name not in _GIVEN]
    found: dict[str, Any] = {}
    for each in options:
        name, _, text = each.partition("=")
        name = name.strip().replace("-", "_")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            remedy = f" Did you mean {near[0]}?" if near else ""
            raise InvalidArgument(
                f"{kind} has no option {name}.{remedy} It has: {', '.join(known)}; the other arguments are options of "
                "the command."
            )
        found[name] = value_in(text.strip())
    return found


def require_same(
    folder: Path, before: Mapping[str, Any], env: str, kind: str, settings: dict[str, Any], seed: int | None
) -> None:
    """Require that the run in a folder is the one that is asked for.

    Raises:
        InvalidArgument: if it is another; the message names what differs.
    """
    had = {"env": before["env"], "planner": before["planner"], **before["settings"]}
    has = {"env": env, "planner": kind, **settings}
    if seed is not None:
        had, has = {**had, "seed": before["seed"]}, {**has, "seed": seed}
    for name in dict.fromkeys((*had, *has)):
        if had.get(name) != has.get(name):
            raise InvalidArgument(
                f"`out` must be a new folder, or that of the same run, but the run in {folder} has `{name}` "
                f"{_shown(had.get(name))}, and this one {_shown(has.get(name))}. Give another --out."
            )


def _shown(value: Any) -> str:
    return "by default" if value is None else str(value)


def command_of(facts: Mapping[str, Any]) -> str:
    """The command that reproduces the run."""
    words = ["pgm-control", "plan", facts["env"], "--planner", facts["planner"]]
    for name, value in {**facts["settings"], "seed": facts["seed"], "num_episodes": facts["num_episodes"]}.items():
        if name in (*_OWN, "seed", "num_episodes"):
            words += [f"--{name.replace('_', '-')}", str(value)]
        elif name != "terminal_steps":
            words += ["--option", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    if facts["import"] is not None:
        words += ["--import", facts["import"]]
    return shlex.join(words)
