"""The options of a command: checked before anything slow is imported, and named in messages as they are typed."""

import difflib
import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tyro

from ..errors import InvalidArgument, InvalidCheckpoint
from .named_problem import require_environment, require_name

LEARNERS = ("sac", "original_sac", "soft_q", "policy_gradient")
"""The names of the learners."""
OF = ("state", "state_action", "outcome")
"""The entries that may have a reward of their own."""
DEMONSTRATORS = ("clamped", "free", "boltzmann")
"""The names of the models of a demonstrator."""

OWN_MODULE = tyro.conf.arg(name="import", metavar="MODULE")
"""The option that names a module of the user."""

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
_FINITE = {
    "optimism": "number, the dial β",
    "risk": "number in 1/reward",
    "stop_at_return": "return, in reward units",
}
# The option that sets an argument of a function that a command calls; the last one that was typed counts.
_SETS = (
    ("optimism", "--demonstrator"),
    ("optimism", "--by"),
    ("optimism", "--optimism"),
    ("optimism", "--risk"),
    ("theta", "--risk"),
)
_PROBLEM = ("model", "mdp", "env")  # arguments that are made from the NAME of a problem


def require_options(options: Mapping[str, Any], *, file: str = "", folder: str = "", may_be_hard: bool = False) -> None:
    """Require values that a command can use; None stands for an option that is not given.

    Args:
        options: the arguments of the command by name; `name` is the name of a problem.
        file, folder: the option that holds the path of the file or the folder to write.
        may_be_hard: whether the temperature may be 0.

    Raises:
        InvalidArgument: if a value is invalid; the message names the option.
        InvalidCheckpoint: if the folder of a run that is read is none.
    """
    for name, value in options.items():
        if value is None:
            continue
        if name in _LEAST and not _LEAST[name] <= value < 2**63:
            raise InvalidArgument(f"`{name}` must be a whole number, at least {_LEAST[name]}, but is {value}.")
        if name in _FINITE and not math.isfinite(value):
            raise InvalidArgument(f"`{name}` must be a finite {_FINITE[name]}, but is {value}.")
        if name in _VALUES and not (may_be_hard and name == "temperature" and _number(value) == 0):
            _VALUES[name](name, value)
        if name in (file, folder) and isinstance(value, Path):
            _require_path(name, value, is_folder=name == folder)
    for other in ("optimism", "demonstrator"):
        if options.get("risk") is not None and options.get(other) is not None:
            raise InvalidArgument(f"--{other} and --risk exclude each other: θ = β/τ. Give one of them.")
    if options.get("name") is not None:
        require_name(options["name"])


def require_demonstrations(file: Path | None, num_episodes: int | None) -> None:
    """Require either a file of demonstrations or the number of episodes to sample.

    Raises:
        InvalidArgument: if neither or both are given, or the file does not exist.
    """
    if (file is None) == (num_episodes is None):
        raise InvalidArgument(
            "Either `demonstrations` FILE.npz or `num_episodes` N must be given: a file of demonstrations, "
            "or the number of episodes to sample from a demonstrator of the problem's own reward."
        )
    if file is not None and not file.is_file():
        raise InvalidArgument(f"`demonstrations` must be a file, but there is no {file}.")


def require_algorithm(name: str) -> None:
    """Require the name of a learner.

    Raises:
        InvalidArgument: if there is none of this name, with the nearest.
    """
    if name not in LEARNERS:
        near = difflib.get_close_matches(name.lower().replace("-", "_"), LEARNERS, n=1)
        remedy = f" Did you mean {near[0]}?" if near else ""
        raise InvalidArgument(f"There is no algorithm {name!r}.{remedy} There are: {', '.join(LEARNERS)}.")


def require_run(options: Mapping[str, Any]) -> None:
    """Require either a new run, an algorithm and an environment, or a run to resume, without other settings.

    Raises:
        InvalidArgument: if the options of `train` are neither.
    """
    if options["resume"] is None:
        if options["algorithm"] is None or options["env"] is None:
            raise InvalidArgument(
                "An algorithm and an environment must be given, as in `pgm-control train sac Pendulum-v1`; or a run to "
                f"resume, --resume DIR. Algorithms: {', '.join(LEARNERS)}."
            )
        return
    for name, value in options.items():
        if name not in ("resume", "total_steps", "device", "import_") and value not in (None, False, ()):
            said = {"algorithm": "an algorithm", "env": "an environment"}.get(name, f"`{name}`")
            raise InvalidArgument(
                f"With --resume all settings are those of the run, so {said} cannot be given; --total-steps and "
                "--device can. For other settings start a run in another folder: --out DIR."
            )


def no_run(path: Path) -> InvalidCheckpoint:
    """The error for a folder that is not that of a training run."""
    missing = f"there is no {path / 'run.json'}" if path.is_dir() else "there is no such folder"
    return InvalidCheckpoint(
        f"`{path}` must be the folder of a training run, but {missing}. `pgm-control train` makes one, and prints its "
        "path."
    )


def _require_temperature(name: str, value: float | str) -> None:
    """Require a positive finite number, or auto."""
    if value != "auto" and not 0 < _number(value) < math.inf:
        raise InvalidArgument(f"`{name}` must be a positive number of reward units per nat, but is {value}.")


def _require_prior(name: str, value: str) -> None:
    """Require a standard deviation, 0 or a word for none, or the word for the default."""
    if value != "weak" and value.lower() != "none" and not 0 <= _number(value) < math.inf:
        raise InvalidArgument(
            f"`{name}` must be a positive standard deviation, weak, or 0 or none for none, but is {value!r}."
        )


def _require_demonstrator(name: str, value: str) -> None:
    """Require the name of a demonstrator or a finite β."""
    if value not in DEMONSTRATORS and not math.isfinite(_number(value)):
        choices = ", ".join(DEMONSTRATORS)
        raise InvalidArgument(f"`{name}` must be {choices} or a number, the dial β, but is {value!r}.")


def _require_of(name: str, value: str) -> None:
    if value not in OF:
        raise InvalidArgument(f"`{name}` must be {', '.join(OF)}, but is {value!r}.")


def _require_jobs(name: str, value: int) -> None:
    if value < -1 or value == 0:
        raise InvalidArgument(f"`{name}` must be a number of jobs at a time, or −1 for one per core, but is {value}.")


def _require_pairs(name: str, value: Sequence[str]) -> None:
    for each in value:
        if "=" not in each:
            raise InvalidArgument(f"`{name}` must be NAME=VALUE, such as learning_rate=1e-3, but is {each!r}.")


def _require_run(name: str, value: Path) -> None:
    if not (value / "run.json").exists():
        raise no_run(value)


_VALUES: dict[str, Callable[[str, Any], None]] = {
    "temperature": _require_temperature,
    "prior": _require_prior,
    "demonstrator": _require_demonstrator,
    "by": _require_demonstrator,
    "of": _require_of,
    "algorithm": lambda _, value: require_algorithm(value),
    "env": require_environment,
    "jobs": _require_jobs,
    "option": _require_pairs,
    "folder": _require_run,
    "resume": _require_run,
    "terminal": _require_run,
}


def _number(value: float | str) -> float:
    """The number that an option holds; nan for any other word."""
    try:
        return float(value)
    except ValueError:
        return math.nan


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


def in_options(message: str, command: Callable[..., Any], args: Sequence[str] = ()) -> str:
    """The message with all arguments as they are typed: `--num-steps` for `num_steps` or num_steps=….

    Args:
        message: the message of an error, in terms of the arguments of functions.
        command: the function of the command.
        args: what was typed. An argument that is not an option of the command is called by the option that sets it.
    """
    parameters = inspect.signature(command).parameters
    flags = {name: f"--{name.strip('_').replace('_', '-')}" for name in parameters}
    flags |= {name: name.upper() for name, each in parameters.items() if "Positional" in str(each.annotation)}
    if "name" in parameters:
        flags = dict.fromkeys(_PROBLEM, flags["name"]) | flags
    typed = [each.partition("=") for each in args]
    words = {before for before, _, _ in typed}
    flags |= {argument: option for argument, option in _SETS if option in words}
    flags |= {name.replace("-", "_"): f"--option {name}" for name, equals, _ in typed if equals and name[:1] != "-"}
    for name, flag in flags.items():
        message = re.sub(rf"`{name}(\[\d+\])?`", rf"{flag}\1", message)
    if "risk" in parameters:
        message = re.sub(r"\bRisk\b(\(theta\))?(?!\()", "--risk", message)
    for name in parameters:
        flag = flags[name]
        message = re.sub(rf"(?<![\w.({{]){name}=(?=\S)", f"{flag} ", message)
    return message
