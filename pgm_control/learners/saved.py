"""Loading a learner from a file: the checks of its contents, and the restoration of its parts."""

import inspect
import json
import pickle
import typing
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import gymnasium
import numpy as np
import torch

from ..chance.risk import Risk
from ..environments.spaces import Actions, Observations
from ..errors import EnvironmentFailure, InvalidArgument, InvalidCheckpoint
from ..networks.mlp import widths
from ..runtime.arguments import plain_number
from ..runtime.checkpoint import read, require_same
from ..runtime.checkpoint_checks import (
    Check,
    alike,
    anything,
    either,
    every,
    fields,
    hinted,
    mapping,
    nothing,
    number,
    require,
    text,
)
from .checks import require_settings
from .losses.certainty_equivalent_loss import require_one
from .normaliser import Normaliser, check_of_normaliser

_Made = TypeVar("_Made")
REMEDY = "Load an intact copy, or start a new training run."
_TENSORS = fields(
    {
        "parts": mapping(anything),
        "random": anything,
        "worlds": fields({"episodes": every(anything)}, others=True),
    }
)
"""The checks of the tensors in a file that are possible before the learner exists."""
_FACTS: dict[str, Check] = {
    "env": either(text, nothing),
    "description": mapping(text),
    "config": mapping(anything),
    "left_out": every(text),
    "total_steps": number(0, whole=True),
    "seconds": number(0),
}
"""The checks of the facts of a learner, except those of its journal."""
_NARROW = {
    "hidden": every(number(1, whole=True)),
    "seed": number(0, whole=True),
    "optimism": either(number(), fields({"theta": number()})),
}
"""The checks of arguments that have fewer forms in a file than their types allow."""


def read_learner(
    kind: Any, path: str | Path, journal: Mapping[str, Check], given: Collection[str], env_is_given: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tensors and the facts of a learner of this class, read from a file, with every fact checked.

    Args:
        kind: the class of the learner.
        path: the path of the file.
        journal: the checks of the contents of its journal.
        given: the names of the arguments that are passed instead of read.
        env_is_given: whether the environment is passed too.

    Raises:
        InvalidCheckpoint: if the file cannot be read, or holds something else.
    """
    tensors, facts = read(path, kind.__name__, _TENSORS, fields({**_FACTS, **journal}), REMEDY)
    if not env_is_given:
        require_plain_id(path, facts["env"])
    require_arguments(kind, path, facts["config"], facts["left_out"], given)
    if (
        not env_is_given and "num_envs" not in given and "num_envs" in facts["config"]
    ):  # compare first: otherwise so many copies would be made
        there = {"number of environments side by side": len(tensors["worlds"]["episodes"])}
        require_same(path, there, dict.fromkeys(there, facts["config"]["num_envs"]), REMEDY)
    return tensors, facts


def state_of(part: Any) -> Any:
    """The state of a part: its own `state()`, or the state dictionary of a module or an optimiser."""
    return part.state() if hasattr(part, "state") and callable(part.state) else part.state_dict()


def restore_to(part: Any, state: Any) -> None:
    """Restore a state that `state_of` returned."""
    (part.restore if hasattr(part, "restore") else part.load_state_dict)(state)


def check_of(part: Any) -> Check:
    """The check of a part's state: its own `check`, or for a module its present names, shapes and dtypes."""
    if isinstance(part, Normaliser):
        return check_of_normaliser(part)
    if hasattr(part, "check"):
        return part.check
    return alike(part.state_dict()) if isinstance(part, torch.nn.Module) else anything


def restore_parts(parts: Mapping[str, Any], states: Mapping[str, Any], path: object) -> None:
    """Restore the states of all parts.

    Raises:
        InvalidCheckpoint: if a state does not fit its part.
    """
    try:
        for name, part in parts.items():
            restore_to(part, states[name])
    except (LookupError, AttributeError, TypeError, RuntimeError, ValueError) as problem:
        raise InvalidCheckpoint(f"{path} does not fit this learner: {problem}. {REMEDY}") from problem


def facts_of(learner: Any) -> dict[str, Any]:
    """All that a learner saves, other than tensors, in a form that JSON can represent."""
    unfit = [name for name, value in learner.config.items() if not is_plain(value)]
    return {
        "env": learner.env_id,
        "description": description_of(learner.observations, learner.actions),
        "config": {name: value for name, value in learner.config.items() if name not in unfit},
        "left_out": unfit,
        "total_steps": learner.total_steps,
        "seconds": learner.seconds,
        **learner.journal.facts(),
    }


def made_again(kind: Callable[..., _Made], path: object, env: str, config: Mapping[str, Any], ours: bool) -> _Made:
    """A learner from the environment and the arguments that a file holds.

    Args:
        kind: the class of the learner.
        path: the path of the file.
        env: the id of the environment, without a module part.
        config: the arguments.
        ours: whether all arguments come from the file, so that none can be a mistake of the caller.

    Raises:
        InvalidCheckpoint: if Gymnasium does not make the environment, or the class refuses the arguments.
        EnvironmentFailure: if the environment cannot be reset.
    """
    try:
        return kind(env, **arguments(config))
    except EnvironmentFailure:
        raise
    except Exception as problem:  # the environment of a wrong id may raise anything
        cause = problem.__cause__
        if isinstance(problem, InvalidArgument) and isinstance(cause, gymnasium.error.Error | ImportError):
            unknown = isinstance(cause, gymnasium.error.UnregisteredEnv)
            remedy = " Import what registers it, or pass it: load(path, env=…)." if unknown else ""
            raise InvalidCheckpoint(
                f"Gymnasium cannot make {env!r}, the environment of {path}: {cause}{remedy}"
            ) from cause
        if not ours:
            raise
        raise InvalidCheckpoint(f"{path} holds what cannot be made here: {problem} {REMEDY}") from problem


def pickled(learner: Any, source: Any) -> tuple[Any, ...]:
    """What `pickle` needs to make a learner again: its class, arguments and environment, and all that is saved.

    Raises:
        InvalidArgument: if the environment or an argument cannot be pickled.
    """
    found = type(learner), source, {**learner.config}
    try:
        pickle.dumps(found)
    except Exception as problem:
        raise InvalidArgument(
            f"A learner can only be pickled if its environment and arguments can be, but: {problem}. Pass an id, or a "
            "function of a module, as `env`; or use save(path) here and load(path, env=…) there."
        ) from problem
    return _unpickled, (*found, learner._state(), learner._facts())


def _unpickled(
    kind: Any, source: Any, config: Mapping[str, Any], tensors: Mapping[str, Any], facts: Mapping[str, Any]
) -> Any:
    """The learner that was pickled; its environments repeat their episodes."""
    learner = kind(source, **arguments(config))
    learner._restore(tensors, facts, "The pickled learner")
    return learner


def description_of(observations: Observations, actions: Actions) -> dict[str, str]:
    """The description of the spaces, which the environment of a file must share."""
    kind = "a choice of" if actions.is_discrete else "a box of"
    return {"observation": f"{observations.features} features", "action": f"{kind} {actions.size}"}


def require_plain_id(path: object, found: str | None) -> None:
    """Require the id in a file to name an environment that Gymnasium makes without importing a module named in the id.

    Raises:
        InvalidCheckpoint: if there is no id, or it has a module part.
    """
    if found is None:
        raise InvalidCheckpoint(f"{path} was made in an environment without an id. Pass it: load(path, env=…).")
    if ":" in found:
        raise InvalidCheckpoint(
            f"{path} names the environment {found!r}, and loading that would import the module before the colon: a "
            "file must not choose what code is run. If you trust it, import the module yourself, in Python, and "
            "pass the environment: load(path, env=…)."
        )


def require_arguments(
    kind: Any, path: object, config: Mapping[str, Any], left_out: Collection[str] = (), given: Collection[str] = ()
) -> None:
    """Require a file to hold all arguments of a learner, each with a value of the right kind.

    Args:
        kind: the class of the learner.
        path: the path of the file.
        config: the arguments that the file holds.
        left_out: the names of the arguments that JSON cannot represent.
        given: the names of the arguments that are passed instead.

    Raises:
        InvalidCheckpoint: if an argument is missing or wrong; the message names it.
    """
    for name in left_out:
        if name not in given:
            raise InvalidCheckpoint(
                f"{path} was made with a `{name}` that a file cannot hold. Pass it again: load(path, {name}=…)."
            )
    hints = typing.get_type_hints(kind.__init__)
    names = [name for name in inspect.signature(kind).parameters if name != "env" and name not in left_out]
    checks = {name: hinted(hints.get(name, Any)) for name in names}
    checks |= {name: check for name, check in _NARROW.items() if name in checks}
    require(path, f"the arguments of {kind.__name__}", dict(config), fields(checks), REMEDY)


def configuration(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a learner, from the `locals()` of its constructor, without `self` and the environment.

    Its numbers are those of Python, and checked.

    `Risk(θ)` becomes {"theta": θ}, which JSON can represent; `arguments` is the inverse.
    """
    config = {name: _plain(value) for name, value in given.items() if name not in ("self", "env", "__class__")}
    require_settings(config)
    return {**config, "hidden": list(widths(given["hidden"]))}


def _plain(value: Any) -> Any:
    """A number or truth value of numpy or torch as one of Python, a device as its name; others but a `Risk` stay."""
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, Risk):
        return {"theta": require_one(value)}
    found = plain_number(value)
    if found is not None:
        return found
    return str(value) if isinstance(value, torch.device) else value


def arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a learner from its `configuration`."""
    optimism = config.get("optimism")
    return {**config, **({"optimism": Risk(**optimism)} if isinstance(optimism, Mapping) else {})}


def is_plain(value: Any) -> bool:
    """Whether JSON can represent the value."""
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True
