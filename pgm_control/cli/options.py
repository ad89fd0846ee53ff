"""The options of a command: checked before anything slow is imported, and named in messages as they are typed."""

import inspect
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import InvalidArgument
from .named_problem import require_name

_LEAST = {
    "horizon": 1,
    "num_steps": 1,
    "num_seeds": 1,
    "num_episodes": 1,
    "num_envs": 1,
    "num_evaluation_episodes": 1,
    "checkpoint_every": 1,
    "total_steps": 1,
    "evaluate_every": 0,
    "seed": 0,
}
_POSITIVE = {"temperature": "number of reward units per nat", "prior": "standard deviation"}


def require_options(options: Mapping[str, Any], *, file: str = "", folder: str = "") -> None:
    """Require values that a command can use; None stands for an option that is not given.

    Args:
        options: the arguments of the command by name; `name` is the name of a problem.
        file, folder: the option that holds the path of the file or the folder to write.

    Raises:
        InvalidArgument: if a value is invalid; the message names the option.
    """
    for name, value in options.items():
        if value is None:
            continue
        if name in _LEAST and not _LEAST[name] <= value < 2**63:
            raise InvalidArgument(f"`{name}` must be a whole number, at least {_LEAST[name]}, but is {value}.")
        least = 0.0 if name == "prior" else math.ulp(0.0)  # a prior of 0 is no prior
        if name in _POSITIVE and not least <= _number(value) < math.inf:
            raise InvalidArgument(f"`{name}` must be a positive {_POSITIVE[name]}, but is {value}.")
        if name in (file, folder) and isinstance(value, Path):
            _require_path(name, value, is_folder=name == folder)
    if options.get("name") is not None:
        require_name(options["name"])


def _number(value: float | str) -> float:
    """The number in an option that may also be a word, such as auto; 1 for a word."""
    try:
        return float(value)
    except ValueError:
        return 1.0


def _require_path(name: str, path: Path, is_folder: bool) -> None:
    try:
        taken = path.exists() and path.is_dir() != is_folder
        above = next((each for each in path.absolute().parents if each.exists()), None)
    except (OSError, ValueError) as problem:  # a name that is too long, or holds a zero byte
        raise InvalidArgument(f"`{name}` must be a path that can be written, but {problem}.") from None
    kinds = ("file", "folder") if is_folder else ("folder", "file")
    if taken:
        raise InvalidArgument(f"`{name}` must be a {kinds[1]}, but {path} is a {kinds[0]}. Give another path.")
    if above is not None and not above.is_dir():
        raise InvalidArgument(f"`{name}` must be in a folder, but {above} is a file. Give another path.")


def in_options(message: str, command: Callable[..., Any]) -> str:
    """The message with the arguments of a command as they are typed: `--num-steps` for `num_steps` or num_steps=…."""
    for name, parameter in inspect.signature(command).parameters.items():
        flag = f"--{name.replace('_', '-')}"
        if "Positional" in str(parameter.annotation):
            flag = name.upper()
        message = re.sub(rf"`{name}`", flag, message)
        message = re.sub(rf"(?<![\w.({{]){name}=(?=\S)", f"{flag} ", message)
    return message
