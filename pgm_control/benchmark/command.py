"""The command that reproduces a bench, and the command to try next."""

import shlex
from collections.abc import Mapping
from typing import Any

from ..inference.variational.fitting.fit_result import FitStatus
from .lines import lines_of
from .page import Bench

_DEFAULTS = {"jobs": 1}


def command_of(asked: Mapping[str, Any]) -> str:
    """Return the command line with these options; default values are left out."""
    words = ["pgm-control", "bench"]
    for name, value in asked.items():
        if name == "guide":
            words += [word for each in value for word in ("--guide", each)]
        elif isinstance(value, tuple):
            words += [_flag(name), *value] if value else []
        elif value is not None and value != _DEFAULTS.get(name):
            words += [_flag(name), f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(words)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def next_of(found: Bench, asked: Mapping[str, Any]) -> tuple[str, str]:
    """Return what to try next, and the command."""
    lines = lines_of(found.rows)

    def only(model: str, guide: str, **changes: Any) -> str:
        return command_of({**asked, "models": (model,), "guides": (guide,), "guide": (), **changes})

    for line in lines:
        if line.failures:
            return f"repeat the failure of {line.guide} on {line.model} alone", only(line.model, line.guide, jobs=1)
    short = [line for line in lines if line.typical is not None and line.typical.status == FitStatus.out_of_steps.name]
    missed = [line for line in short if line.typical and line.typical.steps_to_optimum is None]
    if missed:
        line = missed[0]
        steps = 2 * (line.typical.num_steps or 1) if line.typical else 1
        return f"give {line.guide} on {line.model} more steps", only(line.model, line.guide, num_steps=steps)
    worst = max((line.typical for line in lines if line.typical), key=lambda row: abs(row.delusion or 0.0))
    return "see where the largest delusion comes from", f"pgm-control compare {worst.model}"
