"""Problems by name, from the zoo or from Gymnasium."""

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import gymnasium

from ..errors import InvalidArgument
from ..problems.named import CONTINUOUS, ENVIRONMENTS, PROBLEMS

if TYPE_CHECKING:
    from ..models import TabularModel
    from ..problems.mdp import TabularMDP

TABLE_IDS = tuple(sorted(ENVIRONMENTS))
CONTINUOUS_NAMES = tuple(each.name for each in CONTINUOUS)
_ZOO = {each.name: each.settings for each in PROBLEMS}
_MOST = 10_000_000  # numbers in a table of the dynamics at all steps: two fits by SVI take a quarter of an hour


def require_name(name: str) -> None:
    """Require the name of a problem, as far as it can be known without importing other modules.

    Raises:
        InvalidArgument: if neither the zoo nor Gymnasium has the name, with the nearest names.
    """
    if name in _ZOO or name in CONTINUOUS_NAMES or ":" in name:  # module:id is known when the module has been imported
        return
    try:
        gymnasium.spec(name)
    except gymnasium.error.Error as problem:
        raise _unknown(name) from problem


def is_in_zoo(name: str) -> bool:
    """Whether the tabular zoo has a problem of this name."""
    return name in _ZOO


def require_environment(name: str, value: str) -> None:
    """Require the id of an environment that Gymnasium knows, as far as that can be known without making it.

    Raises:
        InvalidArgument: if Gymnasium has no such environment; `name` is that of the option.
    """
    if ":" in value:
        raise InvalidArgument(
            f"`{name}` must be an id without a module, but is {value!r}: a run's folder must not choose what is "
            "imported when it is resumed. Give the id that the module registers, and the module by --import."
        )
    try:
        gymnasium.spec(value)
    except gymnasium.error.Error as problem:
        if not any(
            re.fullmatch(rf"{re.escape(value)}-v\d+", known) for known in gymnasium.registry
        ):  # takes the latest
            raise InvalidArgument(f"Gymnasium cannot make {value!r}: {problem}") from problem


def named_problem(name: str, horizon: int | None) -> "TabularMDP":
    """Return the problem with this name, from the zoo or from Gymnasium; default: at its own horizon.

    Raises:
        InvalidArgument: if neither has the name, if a horizon must be given, or if the problem is too large.
        UnsupportedEnvironment: if the environment has no transition table.
    """
    from ..models import zoo
    from ..problems.gymnasium_envs import time_limit
    from ..problems.mdp import TabularMDP

    require_name(name)
    if name in CONTINUOUS_NAMES:
        exact = next(each for each in CONTINUOUS if each.name == name).is_exact
        these = "commands compare, report and plan take it, and no others do"
        taken = f"the {these}" if exact else "the command plan takes it, and no other does"
        raise InvalidArgument(
            f"{name} is a continuous problem, without tables: {taken}. In Python, continuous_zoo() has it."
        )
    if name in _ZOO:
        mdp = zoo()[name].build()
        mdp = mdp if horizon is None else mdp.replace(horizon=horizon)
    else:
        try:
            env = gymnasium.make(name)
        except gymnasium.error.DependencyNotInstalled as problem:
            raise InvalidArgument(f"Gymnasium cannot make {name!r}: {problem}") from problem
        except (gymnasium.error.Error, ImportError) as problem:
            if ":" in name and isinstance(problem, ImportError):
                raise InvalidArgument(
                    f"Gymnasium cannot make {name!r}: {problem} A module of the present folder is found by "
                    "`python -m pgm_control`, in place of `pgm-control`."
                ) from problem
            raise _unknown(name) from problem
        if horizon is None:
            horizon = ENVIRONMENTS[name].horizon if name in ENVIRONMENTS else time_limit(env)
        mdp = TabularMDP.from_gymnasium(env, horizon)
    entries = mdp.horizon * mdp.probability.numel()
    if entries > _MOST:
        raise InvalidArgument(
            f"`horizon` must make a problem of at most {_MOST:,} numbers, steps times states times actions times "
            f"outcomes, but {mdp.horizon} makes {entries:,}, {entries / 2**27:,.1f} GiB a table. Give a smaller one, "
            "or solve it in Python, with infer or value_iteration."
        )
    return mdp


def named_model(name: str, horizon: int | None, temperature: float | None) -> "TabularModel":
    """Return the problem with this name as a model; default: at its own horizon and temperature.

    Raises:
        InvalidArgument: as `named_problem`, or if the temperature is not positive.
    """
    from ..models import TabularModel

    return TabularModel(named_problem(name, horizon), own_temperature(name) if temperature is None else temperature)


def own_temperature(name: str) -> float:
    """Return the temperature at which a problem shows what its guides do; 1 for one of which that is not known."""
    known = _ZOO.get(name) or ENVIRONMENTS.get(name)
    return 1.0 if known is None else known.temperature


def folder_of(name: str) -> Path:
    """Return the default folder for what the commands write about a problem."""
    return Path("pgm-control-out") / name.replace("/", "_").replace(":", "_")


def run_folder_of(kind: str, env: str, out: Path | None) -> Path:
    """Return the folder of a run of a learner or planner of this kind: the one that is given, or the default."""
    return folder_of(f"{kind}-{env}") if out is None else out


def sizes(mdp: "TabularMDP") -> str:
    """Return the sizes of a problem in words."""
    return in_words(mdp.num_states, mdp.num_actions, mdp.horizon)


def in_words(num_states: int, num_actions: int, horizon: int) -> str:
    """Return these sizes of a problem in words."""
    return f"{num_states} states, {num_actions} actions, T = {horizon}"


def _unknown(name: str) -> InvalidArgument:
    known = {_plain(each): each for each in (*_ZOO, *CONTINUOUS_NAMES, *ENVIRONMENTS)}
    near = difflib.get_close_matches(_plain(name), known, n=2, cutoff=0.5)
    remedy = f" Did you mean {' or '.join(known[each] for each in near)}?" if near else ""
    return InvalidArgument(
        f"There is no problem {name!r}, in the zoo or in Gymnasium.{remedy} `pgm-control zoo` lists them all."
    )


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))
